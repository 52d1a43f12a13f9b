#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/runtime/container_runtime.h"
#include "agent/workload/document.h"
#include "common/compose/compose.h"
#include "common/compose/create_requests.h"
#include "common/deployment_document.h"
#include "common/error.h"

namespace ee::agent {

inline constexpr std::string_view kDeploymentLabel = "com.easyenclave.deployment";
inline constexpr std::string_view kEpochLabel = "com.easyenclave.epoch";
inline constexpr std::string_view kRevisionLabel = "com.easyenclave.revision";
inline constexpr std::string_view kServiceLabel = "com.easyenclave.service";
inline constexpr std::string_view kSpecLabel = "com.easyenclave.spec";

/// What of this agent and VM goes into every plan.
struct PlanPlace {
  std::string instance;  ///< value of the instance label
  std::string run_dir;
  std::string workload_address;
  compose::Ceiling ceiling = {};
  std::vector<std::uint16_t> reserved_ports = {8088, 8089, 9100};
};

struct PlannedContainer {
  std::string service;
  std::string image;          ///< pinned reference
  std::string registry_host;  ///< of `image`
  ContainerSpec spec;         ///< holds secrets for the environment, if it was planned with them
  std::string spec_hash;      ///< SHA-256 of the body without our labels and without secrets
  std::vector<compose::Dependency> depends_on;
  compose::CreateContainer::Health health = compose::CreateContainer::Health::image;
  Seconds stop_grace{0};
  bool may_complete = false;  ///< others wait for its successful end: it is then done, not exited
};

/// One revision of a deployment as engine calls.
struct WorkloadPlan {
  std::string deployment_id;
  std::int64_t revision = 0;
  std::vector<NetworkSpec> networks;
  std::vector<VolumeInfo> volumes;
  std::vector<PlannedContainer> containers;           ///< in the order of starting
  std::vector<std::vector<std::string>> stop_levels;  ///< services, first level first

  const PlannedContainer* find(std::string_view service) const;
  /// Overwrites the secrets in the bodies.
  void wipe_secrets();
};

/// Step A: the hash of the compose document, the rules, the limits of the VM. `opened` null: names of secrets are not
/// checked. Error: compose_failed, with the breaches in `fields`.
Result<compose::Workload> check_compose(const agent_api::DeploymentDocument& document, const OpenedSecrets* opened,
                                        const PlanPlace& place);

/// The calls of a document, which is checked first. `opened` null: the bodies lack the secrets (for comparing and
/// stopping only). Error: compose_failed.
Result<WorkloadPlan> make_plan(const agent_api::DeploymentDocument& document, const OpenedSecrets* opened,
                               const PlanPlace& place);

}  // namespace ee::agent
