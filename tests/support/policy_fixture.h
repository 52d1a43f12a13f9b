#pragma once
#include <string>
#include <utility>

#include "attestation/validate/policy.h"
#include "common/fake_clock.h"

/// The good case that each policy test takes one thing away from. For tests only.
namespace ee::attestation::policy_test {

inline const UtcTime kNow = FakeClock().now();

inline Measurement filled(std::uint8_t value) {
  Measurement out{};
  out.fill(value);
  return out;
}

inline PolicySnapshot strict_policy() {
  return {.verifier_mode = VerifierMode::dcap,
          .tcb_mode = Enforcement::strict,
          .rtmr_mode = Enforcement::strict,
          .allowed_tcb_statuses = std::vector{TcbStatus::UpToDate},
          .denied_advisories = std::vector<std::string>{},
          .event_log_mode = EventLogMode::optional,
          .require_sept_ve_disable = true,
          .allow_migratable = false,
          .allow_service_td = false,
          .ita_minter = ItaMinter::control_plane,
          .emulation_allowed = false};
}

inline Facts good_facts() {
  return {.evaluated_at = kNow,
          .wanted_kind = MrtdKind::agent,
          .mrtd = filled(1),
          .rtmrs = {filled(10), filled(11), filled(12), filled(13)},
          .td_attributes = std::uint64_t{1} << 28,
          .has_service_td = false,
          .emulated = false,
          .node_size = "tiny",
          .tcb_status = TcbStatus::UpToDate};
}

inline RtmrProfile good_profile() {
  return {.id = "profile-1",
          .mrtd = filled(1),
          .name = "image 1, tiny",
          .node_size = "tiny",
          .rtmrs = {filled(10), filled(11), filled(12), std::nullopt},
          .version = 7};
}

inline TrustStore good_trust() {
  return {.mrtds = {{.mrtd = filled(1), .kind = MrtdKind::agent, .version = 3}}, .profiles = {good_profile()}};
}

inline std::string reason_of(const std::optional<ErrorCode>& reason) {
  return reason ? std::string(slug(*reason)) : "ok";
}

inline std::string texts_of(const std::vector<Warning>& warnings) {
  std::string out;
  for (const Warning warning : warnings) out += (out.empty() ? "" : ",") + std::string(to_string(warning));
  return out;
}

}  // namespace ee::attestation::policy_test
