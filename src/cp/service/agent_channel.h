#pragma once
#include <functional>
#include <string>

#include "common/agent_api.h"
#include "common/clock.h"
#include "cp/service/deployment_hooks.h"
#include "cp/service/directory.h"
#include "cp/service/signing_keys.h"
#include "cp/store/agent_store.h"
#include "db/database.h"

namespace ee::cp {

/// A body and the signature over it.
struct SignedBody {
  std::string body;
  BodySignature signature;
};

/// The agent, if it may use its routes. Errors: `agent_not_found`, `agent_deleted`, `agent_attestation_failed`, those
/// of the database.
Result<DirectoryEntryPtr> admit_agent(Directory& directory, const AgentId& agent);

/// What a registered agent asks for beside its heartbeat: its tunnel's token, the published keys, a report at once.
/// Thread-safe; calls block on the database.
class AgentChannel {
 public:
  AgentChannel(db::Database& database, Directory& directory, DeploymentHooks& deployments,
               const SigningKeys& signing_keys, std::function<std::int64_t()> signing_keys_version, Clock& clock)
      : database_(database),
        directory_(directory),
        deployments_(deployments),
        signing_keys_(signing_keys),
        signing_keys_version_(std::move(signing_keys_version)),
        clock_(clock) {}

  /// The agent's tunnel; its token sealed to the keys of its present registration.
  /// Errors: `agent_not_found`, `agent_deleted`, `agent_attestation_failed`, those of the database.
  Result<SignedBody> tunnel(const AgentId& agent);
  /// Errors: the same.
  Result<SignedBody> signing_keys(const AgentId& agent);
  /// A change of the workload, told at once. Errors: the same, and `stale_assignment`.
  Result<agent_api::StatusAnswer> report(const AgentId& agent, const agent_api::StatusRequest& request);

 private:
  Result<DirectoryEntryPtr> admit(const AgentId& agent) { return admit_agent(directory_, agent); }

  db::Database& database_;
  Directory& directory_;
  DeploymentHooks& deployments_;
  const SigningKeys& signing_keys_;
  std::function<std::int64_t()> signing_keys_version_;
  Clock& clock_;
  AgentStore agents_;
};

}  // namespace ee::cp
