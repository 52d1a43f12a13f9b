#pragma once
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "agent/board.h"
#include "agent/control_plane_client.h"
#include "agent/errands.h"
#include "agent/workload/reconciler.h"
#include "common/clock.h"
#include "common/random.h"

namespace ee::agent {

/// Talks to the control plane about the workload, on a thread of its own: fetches the wanted document, tells each
/// change. What is told is always the present state, so a change that was lost heals with the next. Thread-safe.
class WorkloadChannel {
 public:
  struct Hooks {
    std::function<std::string()> log_tail = [] { return std::string(); };  ///< at most 16 KiB
    std::function<void()> sync = [] {};                                    ///< a heartbeat now
  };
  /// All references outlive the channel; `reconciler` may come later, but before `runner` runs.
  WorkloadChannel(Board& board, ControlPlaneClient& client, Hooks hooks, Clock& clock, Random& random);
  void serve(Reconciler& reconciler) { reconciler_ = &reconciler; }

  void fetch();
  void changed();
  ErrandRunner& runner() { return runner_; }

  static constexpr const char* kFetch = "document";
  static constexpr const char* kReport = "report";

 private:
  ErrandResult fetch_document(const std::stop_token& stop);
  ErrandResult send_report(const std::stop_token& stop);
  CallResult<agent_api::StatusAnswer> send(const Session& session, const agent_api::WorkloadReport& report,
                                           const std::stop_token& stop);

  Board& board_;
  ControlPlaneClient& client_;
  Hooks hooks_;
  Clock& clock_;
  Reconciler* reconciler_ = nullptr;
  ErrandRunner runner_;
  std::optional<agent_api::WorkloadReport> told_;  // the runner's own
  std::string told_in_;                            // registration id
};

}  // namespace ee::agent
