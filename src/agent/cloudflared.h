#pragma once
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "agent/backoff.h"
#include "agent/config.h"
#include "agent/waker.h"
#include "common/agent_api.h"
#include "common/clock.h"
#include "common/http_client.h"
#include "common/random.h"
#include "common/secret.h"
#include "common/subprocess.h"

namespace ee::agent {

/// Keeps one cloudflared running while there is a tunnel token. The token travels in the child's environment, never in
/// its arguments. Trouble with the tunnel stops nothing else: it is restarted with back-off and reported.
class CloudflaredSupervisor {
 public:
  struct Options {
    std::string program = "cloudflared";
    Endpoint metrics;  ///< where the child serves its readiness
    /// Asks the control plane for the present token; nothing when there is none or it cannot be had. May block.
    std::function<std::optional<Secret>()> fresh_token = {};
    /// What the child prints, the token masked. From a thread of the child's own.
    std::function<void(std::string_view)> on_line = {};
  };

  /// All references outlive the supervisor.
  CloudflaredSupervisor(Options options, SubprocessLauncher& launcher, HttpClient& http, Clock& clock, Random& random);

  /// The token to run with, or nothing to stop. The same token again changes nothing. Thread-safe.
  void set_token(std::optional<Secret> token);
  /// What heartbeats say. Thread-safe.
  agent_api::TunnelReport report() const;

  /// Supervises until `stop`, then stops the child: SIGTERM, 15 s, SIGKILL. The child dies with the thread that calls.
  void run(const std::stop_token& stop);

  /// One pass: does what is due and answers when the next pass is. For `run` and tests.
  SteadyTime step();
  /// Ends the child, if there is one.
  void stop_child();

 private:
  void start_child(SteadyTime now);
  void child_ended(SteadyTime now);
  void poll_ready(SteadyTime now);
  void set_report(agent_api::TunnelLink state, std::int64_t ready_connections);
  std::optional<Secret> wanted() const;

  Options options_;
  SubprocessLauncher& launcher_;
  HttpClient& http_;
  Clock& clock_;
  Random& random_;
  Waker waker_;

  mutable std::mutex mutex_;
  std::optional<Secret> wanted_;    // guarded by mutex_
  agent_api::TunnelReport report_;  // guarded by mutex_

  // Of the supervising thread only.
  std::unique_ptr<Subprocess> child_;
  Secret token_;  // of the child, or of the one before it
  SteadyTime started_at_{};
  SteadyTime next_poll_{};
  std::optional<SteadyTime> ready_since_;
  SteadyTime last_ready_{};  // or the start, while never ready
  bool was_ready_ = false;
  std::optional<SteadyTime> restart_at_;
  Backoff backoff_;
  int quick_exits_ = 0;
};

}  // namespace ee::agent
