#pragma once
#include <optional>
#include <string>

#include "common/clock.h"
#include "cp/domain/agent.h"
#include "cp/service/agent_channel.h"
#include "cp/service/deployment_settings.h"
#include "cp/service/revisions.h"
#include "cp/service/signing_keys.h"
#include "cp/store/deployment_store.h"
#include "cp/store/service_store.h"

namespace ee::cp {

/// Whether an agent in this state is to run the deployment's target revision.
constexpr bool is_to_run(DeploymentState state) {
  return state == DeploymentState::assigned || state == DeploymentState::deploying ||
         state == DeploymentState::running || state == DeploymentState::updating;
}

/// Builds and signs what an agent is to run (02 section 6.1): the same bytes for pull and push, but for what is sealed
/// and `issued_at`. Thread-safe.
class DeploymentDocuments {
 public:
  struct Parts {
    const Revisions& revisions;
    const SigningKeys& signing_keys;
    const Clock& clock;
    DeploymentSettingsSource settings;
  };
  explicit DeploymentDocuments(Parts parts) : parts_(std::move(parts)) {}

  /// Of the target revision, sealed to the keys of the agent's present registration. Errors: `secrets_unavailable`,
  /// `internal_error` for rows that do not fit together.
  Result<SignedBody> build(db::Transaction& tx, const DeploymentRow& deployment, const AgentRow& agent) const;

 private:
  Parts parts_;
  RevisionStore revision_rows_;
  ServiceStore services_;
};

}  // namespace ee::cp
