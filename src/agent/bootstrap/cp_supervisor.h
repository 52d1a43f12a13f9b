#pragma once
#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "agent/backoff.h"
#include "agent/board.h"
#include "agent/bootstrap/cp_environment.h"
#include "agent/waker.h"
#include "common/clock.h"
#include "common/http_client.h"
#include "common/random.h"
#include "common/subprocess.h"

namespace ee::agent {

/// Keeps one `ee-cp serve` running, watches its health, and lets `ee-cp ingress ensure` make its tunnel (agent
/// contract, section 18, steps 5 to 7). Trouble with the tunnel never stops the program.
///
/// Checks on the board: `control_plane` while it is not ready, `crash_loop` after ten restarts within ten minutes until
/// it has been ready for as long, `ingress` while the tunnel could not be made.
///
/// Order of use: `run`, then `stop_child`, both from the thread that lives longest: a child dies with it.
class CpSupervisor {
 public:
  struct Options {
    std::vector<std::string> serve;
    std::vector<std::string> ingress;  ///< prints one JSON object with the tunnel's token; exit code 3: no Cloudflare
    CpEnvironment environment;
    std::function<void(Secret)> set_tunnel_token = [](const Secret&) {};
  };
  /// All references outlive the supervisor.
  CpSupervisor(Options options, SubprocessLauncher& launcher, HttpClient& http, Clock& clock, Random& random,
               Board& board);

  /// Supervises until `stop`. The child still runs then.
  void run(const std::stop_token& stop);
  /// SIGTERM, 30 s, SIGKILL.
  void stop_child();
  /// Makes the tunnel again, for a fresh token. Thread-safe.
  void ensure_ingress();

  /// One pass: does what is due and answers when the next one is. For `run` and tests.
  SteadyTime step();

 private:
  struct IngressRun {
    std::unique_ptr<Subprocess> child;
    std::shared_ptr<std::string> output;  ///< its thread writes it until the child is destroyed
    SteadyTime deadline;
  };

  void start_child(SteadyTime now);
  void child_ended(SteadyTime now, std::string_view why);
  void wait_for_ready(SteadyTime now);
  void watch_health(SteadyTime now);
  bool asks_well(const char* path) const;
  void step_ingress(SteadyTime now);
  void start_ingress(SteadyTime now);
  void ingress_ended(SteadyTime now, const ExitStatus& status);
  void ingress_failed(SteadyTime now, std::string_view why);

  Options options_;
  SubprocessLauncher& launcher_;
  HttpClient& http_;
  Clock& clock_;
  Random& random_;
  Board& board_;
  Waker waker_;
  std::atomic<bool> ingress_wanted_ = true;

  // Of the supervising thread only.
  std::unique_ptr<Subprocess> child_;
  SteadyTime started_at_{};
  SteadyTime next_ask_{};
  std::optional<SteadyTime> ready_since_;
  int failures_ = 0;
  std::deque<SteadyTime> restarts_;  // of the last ten minutes
  bool crash_loop_ = false;
  std::optional<SteadyTime> restart_at_;
  Backoff backoff_;
  std::optional<IngressRun> ingress_;
  SteadyTime next_ingress_{};
  Backoff ingress_backoff_;
};

}  // namespace ee::agent
