#pragma once
#include <optional>

#include "common/agent_api.h"
#include "common/log.h"

namespace ee::agent {

/// What runs on this VM for users, as the control loop sees it. Thread-safe; calls do not wait for the engine.
class Workloads {
 public:
  virtual ~Workloads() = default;
  /// The block of registrations and heartbeats; nothing when nothing runs.
  virtual std::optional<agent_api::WorkloadReport> report() const = 0;
  /// What the control plane wants now.
  virtual void apply(const agent_api::Desired& desired) = 0;
  /// Stops everything: this agent may not run workloads any more.
  virtual void stop_all() = 0;
};

/// Without a container engine (`container_runtime=none`): there is never a workload, and one that is wanted is refused.
class NoWorkloads final : public Workloads {
 public:
  std::optional<agent_api::WorkloadReport> report() const override { return std::nullopt; }
  void apply(const agent_api::Desired& desired) override {
    if (desired.action == agent_api::DesiredAction::run)
      log::error("workloads", "a deployment is wanted, but this agent has no container engine",
                 {{"deployment_id", desired.deployment_id}});
  }
  void stop_all() override {}
};

}  // namespace ee::agent
