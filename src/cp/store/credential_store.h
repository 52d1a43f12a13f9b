#pragma once
#include <optional>
#include <string>
#include <vector>

#include "cp/domain/agent.h"
#include "cp/store/api_key_store.h"
#include "db/database.h"

namespace ee::cp {

/// Table `agent_control_credentials`: at most one active and one retiring credential per agent. Stateless.
class CredentialStore {
 public:
  /// How long a retiring credential still works after a rotation.
  static constexpr Seconds kRetiring{600};
  static constexpr Seconds kNoteUseEvery{86400};

  Result<void> insert(db::Transaction& tx, const CredentialRow& row) const;
  /// The row of the public part of a credential's text, whatever its state: the caller checks hash, state and expiry.
  Result<std::optional<CredentialRow>> find(db::Transaction& tx, std::string_view lookup) const;
  /// Newest first.
  /// Whether there is a credential of this id, in whatever state.
  Result<bool> exists(db::Transaction& tx, std::string_view id) const;
  Result<std::vector<CredentialRow>> of_agent(db::Transaction& tx, const AgentId& agent) const;

  /// A registration: everything old is revoked, `fresh` is the only usable one. Answers the lookups that were revoked
  /// (for the cache of verified credentials).
  Result<std::vector<std::string>> replace_all(db::Transaction& tx, const CredentialRow& fresh, UtcTime now) const;
  /// A rotation: an older retiring one is revoked, the active one retires until now + kRetiring, `fresh` is active.
  /// Answers the lookups that were revoked.
  Result<std::vector<std::string>> rotate(db::Transaction& tx, const CredentialRow& fresh, UtcTime now) const;
  /// The first use of the active credential revokes the retiring one. Answers the lookups that were revoked.
  Result<std::vector<std::string>> revoke_retiring(db::Transaction& tx, const AgentId& agent, UtcTime now) const;
  /// Deletion of the agent. Answers the lookups that were revoked.
  Result<std::vector<std::string>> revoke_all(db::Transaction& tx, const AgentId& agent, UtcTime now) const;

  /// Whether a retiring credential of the agent is still there for the first use of its successor to end.
  Result<bool> has_retiring(db::Transaction& tx, const AgentId& agent) const;
  /// Notes uses, `key_id` being the lookup; at most once per kNoteUseEvery for each. Answers how many rows changed.
  Result<std::int64_t> note_uses(db::Transaction& tx, const std::vector<KeyUse>& uses) const;
  /// Removes at most `limit` revoked rows that ended before `revoked_before`.
  Result<std::int64_t> purge_revoked(db::Transaction& tx, UtcTime revoked_before, std::int64_t limit) const;
};

/// Whether a credential opens anything at `now`: active, or retiring and not over; and not expired.
bool is_usable(const CredentialRow& credential, UtcTime now);

}  // namespace ee::cp
