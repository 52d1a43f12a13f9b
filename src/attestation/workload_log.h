#pragma once
#include <array>
#include <boost/describe.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "attestation/validate/trust_store.h"
#include "common/json_type.h"

namespace ee::attestation {

/// What happened to a workload.
enum class WorkloadOp : std::uint8_t { deploy, undeploy };
BOOST_DESCRIBE_ENUM(WorkloadOp, deploy, undeploy)

/// What an agent measures into RTMR3 before a workload starts and after it stopped (01 section 12.4). The order of the
/// members is that of RFC 8785.
struct WorkloadEvent {
  std::string app = {};
  std::string compose_sha256 = {};  ///< 64 lower-case hex
  std::string deployment_id = {};
  WorkloadOp op = WorkloadOp::deploy;
  bool operator==(const WorkloadEvent&) const = default;
};
BOOST_DESCRIBE_STRUCT(WorkloadEvent, (), (app, compose_sha256, deployment_id, op))
constexpr auto json_rules(json::For<WorkloadEvent> /*type*/) {
  return std::array{json::field("app").length(1, 255), json::field("compose_sha256").hex(64),
                    json::field("deployment_id").uuid()};
}

/// The canonical text of an event: what is measured.
std::string workload_payload(const WorkloadEvent& event);
/// The event of a payload; nothing when it is not the canonical text of one.
std::optional<WorkloadEvent> read_workload_payload(std::string_view payload);

/// SHA-384("easyenclave.workload.1" || 00 || payload).
Measurement workload_digest(std::string_view payload);

/// RTMR3 after these payloads were measured into it one after the other, from 48 zero bytes.
Measurement replay_workload_log(std::span<const std::string_view> payloads);

}  // namespace ee::attestation
