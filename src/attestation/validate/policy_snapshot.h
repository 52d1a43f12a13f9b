#pragma once
#include <boost/describe/enum.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "attestation/tcb_status.h"
#include "attestation/validate/stated.h"
#include "common/error.h"

namespace ee::attestation {

/// How a policy counts: its violation rejects; is accepted with a warning; is not looked for.
enum class Enforcement : std::uint8_t { strict, warn, disabled };
BOOST_DESCRIBE_ENUM(Enforcement, strict, warn, disabled)

/// Which verifiers must succeed.
enum class VerifierMode : std::uint8_t { ita, dcap, both };
BOOST_DESCRIBE_ENUM(VerifierMode, ita, dcap, both)

/// Whether an event log is ignored, checked when sent, or demanded.
enum class EventLogMode : std::uint8_t { disabled, optional, required };
BOOST_DESCRIBE_ENUM(EventLogMode, disabled, optional, required)

/// Who asks Intel Trust Authority for the token.
enum class ItaMinter : std::uint8_t { control_plane, agent };
BOOST_DESCRIBE_ENUM(ItaMinter, control_plane, agent)

/// The policy that one decision is made by, frozen when its evaluation begins. A nonce is always required and is no
/// field. Made from settings by `freeze_policy`.
struct PolicySnapshot {
  Stated<VerifierMode> verifier_mode;
  Stated<Enforcement> tcb_mode;
  Stated<Enforcement> rtmr_mode;
  Stated<std::vector<TcbStatus>> allowed_tcb_statuses;
  Stated<std::vector<std::string>> denied_advisories;
  Stated<EventLogMode> event_log_mode;
  Stated<bool> require_sept_ve_disable;
  Stated<bool> allow_migratable;
  Stated<bool> allow_service_td;
  Stated<ItaMinter> ita_minter;
  Stated<bool> emulation_allowed;
  std::int64_t settings_version = 0;
  std::int64_t trusted_mrtd_version = 0;
  bool operator==(const PolicySnapshot&) const = default;
};

/// The settings that make a policy, as their registry has them.
struct PolicySettings {
  std::string verifier_mode;  ///< ita, dcap, both
  std::string tcb_mode;       ///< strict, warn, disabled
  std::string rtmr_mode;
  std::vector<std::string> allowed_tcb_statuses;
  std::vector<std::string> denied_advisories;
  std::string event_log_mode;  ///< disabled, optional, required
  std::string ita_minter;      ///< control_plane, agent
  Stated<bool> require_sept_ve_disable;
  Stated<bool> allow_migratable;
  Stated<bool> allow_service_td;
  Stated<bool> emulation_allowed;
  bool ita_api_key_set = false;
  bool ita_issuer_set = false;
  bool ita_jwks_url_set = false;
  std::int64_t settings_version = 0;
  std::int64_t trusted_mrtd_version = 0;
};

/// policy_invalid for a value outside its set, an empty or too lenient list of TCB statuses, or a verifier that lacks
/// its configuration; the detail names the setting.
[[nodiscard]] Result<PolicySnapshot> freeze_policy(const PolicySettings& settings);

/// The JSON text for audit row and agent. `rtmr_profile_id` is what the decision found; nothing when none matched.
std::string to_json(const PolicySnapshot& policy, const std::optional<std::string>& rtmr_profile_id);

}  // namespace ee::attestation
