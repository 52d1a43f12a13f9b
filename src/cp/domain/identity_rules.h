#pragma once
#include <optional>
#include <string>

#include "common/error.h"
#include "cp/domain/agent.h"

namespace ee::cp {

/// Who owns an agent, and by which order or token.
struct AgentOwner {
  std::optional<AccountId> account_id = {};
  std::optional<std::int64_t> github_owner_id = {};
  std::optional<std::string> github_owner = {};  ///< display only, never compared
  std::optional<std::string> launch_order_id = {};
  std::optional<std::string> enrollment_token_id = {};
};

/// What became of the bootstrap or enrolment token of a registration. Redeeming is not done here.
struct TokenOutcome {
  enum class Kind : std::uint8_t { absent, refused, redeemed };
  Kind kind = Kind::absent;
  AgentOwner owner = {};  ///< of a redeemed one
};

/// A registration whose evidence was accepted, as far as identity is concerned.
struct IdentityClaim {
  std::string node_size = {};
  std::string datacenter = {};
  std::string mrtd = {};
  bool previous_credential_valid = false;  ///< verified for the existing agent, active or retiring
  TokenOutcome token = {};                 ///< not redeemed (absent) when the previous credential is valid
};

struct IdentitySettings {
  bool require_bootstrap_token = true;  ///< `agents.require_bootstrap_token`
  Seconds takeover_after{120};          ///< `agents.takeover_after_seconds`
};

enum class IdentityRule : std::uint8_t { new_agent, previous_credential, same_owner_token, takeover };
BOOST_DESCRIBE_ENUM(IdentityRule, new_agent, previous_credential, same_owner_token, takeover)

/// Whether a request to register may have the name it asks for. `existing` is the row with this `vm_name` that is not
/// deleted; `last_heartbeat_at` is that agent's, memory and table. Pure: the caller applies it in its transaction.
///
/// The rules, in order: being deleted (R1) refuses; a previous credential (R2), a token of the same owner and order
/// (R3), or silence of an agent nobody owns where tokens are not required (R4) re-register; anything else (R5) refuses.
/// After R2..R4: node size, datacenter and owner must be as before, and the MRTD too, unless attestation had failed.
///
/// Errors: `vm_name_in_use` (R1 with Retry-After 10; R5), `bootstrap_token_required`, `invalid_bootstrap_token`,
/// `agent_identity_mismatch`, `mrtd_changed`.
Result<IdentityRule> decide_identity(const AgentRow* existing, std::optional<UtcTime> last_heartbeat_at,
                                     const IdentityClaim& claim, const IdentitySettings& settings, UtcTime now);

/// More accepted registrations of one agent than this within the window: `registration_flapping`.
constexpr int kMaxRegistrationsInWindow = 6;
constexpr Seconds kRegistrationWindow{600};

}  // namespace ee::cp
