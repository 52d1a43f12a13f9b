#pragma once
#include <expected>
#include <functional>
#include <map>
#include <stop_token>
#include <string>
#include <vector>

#include "agent/runtime/container_runtime.h"
#include "agent/workload/health_probe.h"
#include "agent/workload/plan.h"
#include "common/clock.h"

namespace ee::agent {

/// Why a step ended without success. `cancelled`: by its stop token; nothing is to be reported.
struct StepFailure {
  bool cancelled = false;
  ErrorCode code = ErrorCode::internal;
  std::string detail = {};
  bool engine_away = false;  ///< it says nothing of the workload: the engine did not answer
};
template <class T>
using StepResult = std::expected<T, StepFailure>;

StepFailure step_failure(const RuntimeError& error);

/// Where and how a workload is asked for its health.
struct HealthTarget {
  std::string address;
  std::uint16_t port = 0;  ///< 0: nothing is published; running containers are enough
  std::string path;        ///< empty: a TCP connection is enough
};
HealthTarget health_target(const agent_api::DeploymentDocument& document, const std::string& workload_address);

/// The engine's part of deploying and stopping: steps C to E of 02 section 14, and the stop. Blocks; ends soon after
/// the stop token fires. Keeps nothing: what it made is found by labels. One thread at a time.
class DeploySteps {
 public:
  /// All outlive the object.
  DeploySteps(ContainerRuntime& runtime, HealthProbe& probe, Clock& clock)
      : runtime_(runtime), probe_(probe), clock_(clock) {}

  using OnProgress = std::function<void(std::int64_t percent, const std::string& text)>;
  /// C: every image by its digest, each with three tries. Service -> image.
  StepResult<std::map<std::string, ImageInfo>> pull(const WorkloadPlan& plan, const OpenedSecrets& opened,
                                                    const OnProgress& on_progress, const std::stop_token& stop);
  /// D: networks, volumes, containers. A network that exists is kept, so that stopped containers of an older revision
  /// stay in it.
  StepResult<void> create(const WorkloadPlan& plan, const OpenedSecrets& opened, const std::stop_token& stop);
  using OnStarted = std::function<void(const PlannedContainer&)>;
  /// D: starts in order, each when its conditions hold. `until` bounds the waits for conditions.
  StepResult<void> start(const WorkloadPlan& plan, const std::map<std::string, ImageInfo>& images,
                         const OnStarted& on_started, SteadyTime until, const std::stop_token& stop);
  /// E: until two good answers in a row.
  StepResult<void> await_health(const WorkloadPlan& plan, const HealthTarget& target, const OnStarted& on_started,
                                SteadyTime until, const std::stop_token& stop);
  bool healthy(const HealthTarget& target, const std::stop_token& stop);

  /// Containers of the deployment, by the labels; `revision` 0: of all revisions.
  RuntimeResult<std::vector<ContainerSummary>> containers_of(std::string_view deployment_id, std::int64_t revision,
                                                             const std::stop_token& stop);
  /// Stops a plan's containers level by level, members of a level at once.
  RuntimeResult<void> stop_containers(const WorkloadPlan& plan, const std::stop_token& stop);
  RuntimeResult<void> remove_containers(std::string_view deployment_id, std::int64_t revision,
                                        const std::stop_token& stop);
  RuntimeResult<void> remove_networks(std::string_view deployment_id, const std::stop_token& stop);
  RuntimeResult<void> remove_volumes(std::string_view deployment_id, const std::stop_token& stop);

 private:
  StepResult<ImageInfo> pull_one(const PlannedContainer& container, const OpenedSecrets& opened,
                                 const OnPullProgress& on_progress, const std::stop_token& stop);
  StepResult<void> await(const PlannedContainer& waiting, const WorkloadPlan& plan,
                         const std::map<std::string, ImageInfo>& images, SteadyTime until, const std::stop_token& stop);
  StepResult<void> await_healthy(const PlannedContainer& awaited, const std::map<std::string, ImageInfo>& images,
                                 SteadyTime until, const std::stop_token& stop);
  StepResult<void> await_completed(const PlannedContainer& awaited, SteadyTime until, const std::stop_token& stop);
  StepResult<void> check_still_running(const WorkloadPlan& plan, const std::stop_token& stop);

  ContainerRuntime& runtime_;
  HealthProbe& probe_;
  Clock& clock_;
};

/// The failure of a container that ended by itself.
StepFailure exited(const PlannedContainer& container, const ContainerState& state);

}  // namespace ee::agent
