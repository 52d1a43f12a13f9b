#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/credential_cache.h"
#include "cp/domain/agent_changes.h"
#include "cp/domain/cursor.h"
#include "cp/service/actor.h"
#include "cp/service/agent_object.h"
#include "cp/service/agent_scope.h"
#include "cp/service/deployment_hooks.h"
#include "cp/service/directory.h"
#include "cp/service/live_map.h"
#include "cp/service/tunnel_service.h"
#include "cp/store/account_store.h"
#include "cp/store/agent_store.h"
#include "cp/store/credential_store.h"
#include "db/database.h"

namespace ee::cp {

/// What of an agent's owner is to change. Absent: as it is; an inner nothing takes it away.
struct OwnerChange {
  std::optional<std::optional<AccountId>> account_id = {};
  std::optional<std::optional<std::int64_t>> github_owner_id = {};
  std::optional<std::string> github_owner = {};  ///< login, for display; administrators only
  std::optional<PlacementScope> placement_scope = {};
  std::optional<std::int64_t> if_version = {};  ///< only if this is still the agent's `row_version`
};

struct DrainRequest {
  bool draining = true;
  std::string reason = {};
  bool migrate = false;  ///< ask that its deployment is placed elsewhere
};

/// What owners and admins do with agents. Thread-safe.
class AgentService {
 public:
  struct Parts {
    db::Database& database;
    Directory& directory;
    LiveMap& live;
    DeploymentHooks& deployments;
    TunnelService& tunnels;
    CredentialCache& credentials;
    Clock& clock;
    Random& random;
  };
  explicit AgentService(Parts parts) : parts_(parts) {}

  /// By id. The position of a page is the last id alone.
  Result<Page<AdminAgentObject>> list(const AgentScope& scope, const AgentFilter& filter, const PageRequest& page);
  /// Errors: `agent_not_found` (also a tombstone and what is not in the scope).
  Result<AdminAgentObject> get(const AgentScope& scope, const AgentId& id);

  /// Asked for twice it is answered like once. Errors: `agent_not_found`, `agent_has_deployment` without `force`,
  /// `identity_not_proven` (only a workflow or an administrator may, see AgentScope).
  Result<void> remove(const AgentScope& scope, const AgentId& id, bool force, DeleteReason reason, const Actor& actor);
  /// Back to a clean state: deployment gone, streaks and back-off forgotten, tunnel tried again, fresh evidence asked
  /// for. Never makes a bad attestation good. Without `stop_workload` an agent that runs something keeps it.
  /// Errors: `agent_not_found`, `agent_deleting`, `identity_not_proven`.
  Result<AdminAgentObject> reset(const AgentScope& scope, const AgentId& id, bool stop_workload, const Actor& actor);
  /// Ends the agent's deployment. False: it runs none.
  Result<bool> undeploy(const AgentScope& scope, const AgentId& id, const std::string& reason, const Actor& actor);
  /// No new assignments from now on, or again. Idempotent. Errors: `agent_not_found`, `agent_deleting`.
  Result<AdminAgentObject> set_draining(const AgentScope& scope, const AgentId& id, const DrainRequest& wanted,
                                        const Actor& actor);
  /// Administrators change anything; others the placement scope, and the GitHub owner to nobody or to an identity that
  /// is linked to an account of theirs. Errors: `agent_not_found`, `agent_deleting`, `admin_required`,
  /// `github_owner_not_linked`, `unknown_account`, `agent_has_deployment` (the account would change under another
  /// account's deployment), `version_mismatch`.
  Result<AdminAgentObject> set_owner(const AgentScope& scope, const AgentId& id, const OwnerChange& wanted,
                                     const Actor& actor);
  /// Asks for fresh evidence with the next heartbeat. Errors: `agent_not_found`, `agent_deleting`.
  Result<AdminAgentObject> request_attestation(const AgentScope& scope, const AgentId& id, const Actor& actor);

  /// The agent's attestation has failed for good: quarantine, deployment moved, tunnel removed, all in the caller's
  /// transaction. The row as it is then; the caller calls `published` after the COMMIT.
  Result<AgentRow> fail_attestation(db::Transaction& tx, const AgentRow& agent, const std::string& reason_code,
                                    const Actor& actor);
  /// After a COMMIT: memory follows, workers are woken.
  void published(const AgentRow& row);

 private:
  using Change = std::function<Result<bool>(db::Transaction&, const AgentRow& before, AgentRow& after)>;
  /// Reads, lets `change` change (false: nothing to write), writes guarded, again when somebody was faster.
  Result<AgentRow> change(const AgentScope& scope, const AgentId& id, const Change& change);
  Result<void> audit(db::Transaction& tx, const Actor& actor, const std::string& action, const AgentId& id,
                     std::optional<std::string> reason_code, std::string detail);
  Result<std::vector<AgentRow>> read_page(db::Transaction& tx, const AgentScope& scope, const AgentFilter& filter,
                                          const std::optional<AgentId>& after, std::int64_t limit);
  Result<AdminAgentObject> view(const AgentRow& row);
  Result<void> compute_placement(db::Transaction& tx, AgentRow& row);
  Result<void> apply_owner(db::Transaction& tx, const AgentScope& scope, const OwnerChange& wanted, AgentRow& after);
  Result<void> check_new_account(db::Transaction& tx, const AgentRow& before, const AgentRow& after);

  Parts parts_;
  AgentStore agents_;
  AccountStore accounts_;
  CredentialStore credential_rows_;
};

}  // namespace ee::cp
