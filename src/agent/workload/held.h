#pragma once
#include <array>
#include <boost/describe/class.hpp>
#include <map>
#include <optional>
#include <string>

#include "common/agent_api.h"
#include "common/deployment_document.h"

namespace ee::agent {

/// The deployment that this agent has taken, as the state file keeps it. `assignment_epoch` and `revision` are those of
/// the newest document that was taken; `document` (without its secrets) is the one whose containers exist, which is an
/// older revision while an upgrade is under way and after one that failed.
struct HeldWorkload {
  std::string deployment_id;
  std::int64_t assignment_epoch = 0;
  std::int64_t revision = 0;
  std::string registration_id;  ///< under which epoch and revision are compared
  std::string boot_id;          ///< of the boot whose containers they are
  std::string content_sha256;   ///< content_hash of `document` with its secrets
  agent_api::WorkloadPhase phase = agent_api::WorkloadPhase::accepted;
  UtcTime phase_changed_at{};
  std::optional<agent_api::WorkloadFailure> failure = {};
  std::int64_t running_revision = 0;               ///< the one in the containers' labels; 0: there are none
  bool rolled_back = false;                        ///< an upgrade failed and the old containers were started again
  std::map<std::string, std::string> images = {};  ///< service -> image id
  agent_api::DeploymentDocument document = {};

  bool has_containers() const { return running_revision != 0; }
};
BOOST_DESCRIBE_STRUCT(HeldWorkload, (),
                      (deployment_id, assignment_epoch, revision, registration_id, boot_id, content_sha256, phase,
                       phase_changed_at, failure, running_revision, rolled_back, images, document))
constexpr auto json_rules(json::For<HeldWorkload>) {
  return std::array{json::field("deployment_id").uuid(),
                    json::field("assignment_epoch").at_least(0),
                    json::field("revision").at_least(1),
                    json::field("registration_id").uuid(),
                    json::field("boot_id").uuid(),
                    json::field("content_sha256").hex(64),
                    json::field("running_revision").at_least(0),
                    json::field("images").items(0, 16)};
}

}  // namespace ee::agent
