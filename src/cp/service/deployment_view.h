#pragma once
#include <string>

#include "cp/domain/agent.h"
#include "cp/service/deployment_api.h"
#include "cp/service/deployment_settings.h"
#include "cp/store/agent_store.h"
#include "cp/store/revision_store.h"
#include "cp/store/segment_store.h"
#include "cp/store/service_store.h"

namespace ee::cp {

/// Rows as the API shows them. Thread-safe.
class DeploymentViews {
 public:
  explicit DeploymentViews(DeploymentSettingsSource settings) : settings_(std::move(settings)) {}

  Result<DeploymentObject> object(db::Transaction& tx, const DeploymentRow& row) const;
  Result<ReducedDeployment> reduced(db::Transaction& tx, const DeploymentRow& row) const;
  Result<RevisionObject> revision(db::Transaction& tx, const RevisionRow& row) const;
  /// Where a service is reached.
  std::string url_of(const std::string& service) const;

 private:
  DeploymentSettingsSource settings_;
  AgentStore agents_;
  RevisionStore revisions_;
  SegmentStore segments_;
  ServiceStore services_;
};

std::optional<DeploymentAgent> agent_view(const std::optional<AgentRow>& agent);

}  // namespace ee::cp
