#pragma once
#include <atomic>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>

#include "agent/backoff.h"
#include "agent/board.h"
#include "agent/config.h"
#include "agent/control_plane_client.h"
#include "agent/heartbeat_schedule.h"
#include "agent/registrar.h"
#include "agent/waker.h"
#include "agent/workloads.h"
#include "common/agent_api.h"
#include "common/clock.h"
#include "common/random.h"

namespace ee::agent {

/// Why the loop ended.
enum class LoopEnd : std::uint8_t {
  stopped,
  deleted,       ///< by the control plane, for good; the state is wiped
  disconnected,  ///< `disconnect_poweroff_seconds` have passed without an answer and nothing runs
};

/// Registers until it succeeds, sends heartbeats while that holds, and begins again: the life of an agent. Nothing ends
/// it but a stop, its deletion, or a configured power-off.
class ControlLoop {
 public:
  /// What the other tasks want to hear and tell. None may block for long; all are called by the loop's thread.
  struct Hooks {
    std::function<void(const Registration&)> registered = [](const Registration&) {};
    std::function<void()> unregistered = [] {};
    std::function<void(const Session&, const agent_api::HeartbeatAnswer&)> answered =
        [](const Session&, const agent_api::HeartbeatAnswer&) {};
    std::function<agent_api::TunnelReport()> tunnel = [] { return agent_api::TunnelReport{}; };
    std::function<agent_api::HostStats()> stats = [] { return agent_api::HostStats{}; };
  };

  /// All references outlive the loop.
  ControlLoop(const AgentConfig& config, std::string boot_id, Registrar& registrar, ControlPlaneClient& client,
              Board& board, StateFile& state, Workloads& workloads, Hooks hooks, Clock& clock, Random& random);

  LoopEnd run(const std::stop_token& stop);
  /// A heartbeat now (at most one a second). Thread-safe.
  void sync() { waker_.wake(); }
  /// Ends the present registration and begins again, control plane verified anew: none of its keys is trusted any more.
  /// Thread-safe.
  void register_again() {
    again_wanted_ = true;
    waker_.wake();
  }
  /// The heartbeat before the end: `draining`, within 2 s. For after `run`.
  void send_last_heartbeat();

 private:
  /// What becomes of a registration.
  enum class After : std::uint8_t { stopped, deleted, disconnected, register_now, register_later };

  std::optional<LoopEnd> register_until_done(const std::stop_token& stop);
  Milliseconds registration_delay(const CallFailure& failure);
  void note_registration_failure(const CallFailure& failure);
  void begin(const Registration& registration);

  After beat_until_done(const std::stop_token& stop);
  /// One heartbeat. Nothing: go on, and `next_beat_` says when.
  std::optional<After> beat(const std::stop_token& stop);
  void take_answer(const Session& session, const agent_api::HeartbeatRequest& told,
                   const agent_api::HeartbeatAnswer& answer);
  std::optional<After> take_failure(const CallFailure& failure);
  After deleted(const CallFailure& failure);
  agent_api::HeartbeatRequest make_heartbeat(bool draining);

  bool nothing_runs() const { return !workloads_.report().has_value(); }
  void note_contact(const CallFailure& failure);
  /// Sleeps until the deadline, or (only with `wakeable`) until `sync`. Ends the loop when it is time to power off.
  std::optional<LoopEnd> wait_until(SteadyTime deadline, bool wakeable, const std::stop_token& stop);
  std::optional<SteadyTime> power_off_at() const;

  const AgentConfig& config_;
  std::string boot_id_;
  Registrar& registrar_;
  ControlPlaneClient& client_;
  Board& board_;
  StateFile& state_;
  Workloads& workloads_;
  Hooks hooks_;
  Clock& clock_;
  Random& random_;
  Waker waker_;
  HeartbeatSchedule schedule_;
  Backoff registration_backoff_;
  Backoff again_backoff_;  // between registrations that did not hold
  Backoff beat_backoff_;
  SteadyTime last_contact_;
  SteadyTime session_began_{};
  SteadyTime last_beat_{};
  SteadyTime next_beat_{};
  Seconds interval_{5};
  std::int64_t seq_ = 0;
  bool tried_again_after_401_ = false;
  std::atomic<bool> again_wanted_ = false;
};

}  // namespace ee::agent
