#pragma once
#include <expected>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "agent/agent.h"
#include "agent/board.h"
#include "agent/control_plane_client.h"
#include "agent/evidence.h"
#include "agent/local_api.h"
#include "agent/state_file.h"
#include "agent/workloads.h"

namespace ee::agent {

/// Everything about workloads, composed: engine, reconciler, logs, stats, traffic, public evidence. Without a container
/// engine (`container_runtime=none`) only the evidence is there.
class WorkloadParts {
 public:
  struct Outer {
    const AgentConfig& config;  ///< may still get its port
    const World& world;
    StateFile& state;
    Board& board;
    const InstanceKeys& keys;
    attestation::QuoteSource& quotes;
    const std::string& vm_name;
    const std::string& boot_id;
    const agent_api::Capacity& capacity;
  };
  /// All of `outer` outlives the result. Chooses and probes the engine, which may take some seconds.
  static std::expected<std::unique_ptr<WorkloadParts>, StartFailure> make(const Outer& outer);
  ~WorkloadParts();
  WorkloadParts(const WorkloadParts&) = delete;
  WorkloadParts& operator=(const WorkloadParts&) = delete;

  Workloads& workloads();
  EvidenceMaker::WorkloadEntries log_entries() const;
  /// Sets what of the local API is about workloads.
  void fill(LocalApi::Hooks& hooks);

  /// `client` outlives the threads. Before `run_threads`.
  void connect(ControlPlaneClient& client, std::function<void()> sync,
               std::function<agent_api::HostStats()> host_stats);
  void run_threads(const std::stop_token& stop, std::vector<std::jthread>& threads);
  /// Waits until nothing runs any more, at most `patience`. After `stop_all`.
  void await_stopped(Milliseconds patience);

 private:
  struct Parts;
  explicit WorkloadParts(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace ee::agent
