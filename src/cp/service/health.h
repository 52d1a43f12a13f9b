#pragma once
#include <atomic>
#include <boost/describe.hpp>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "common/clock.h"

namespace ee::cp {

/// `GET /health`. No configuration, counts or addresses.
struct HealthView {
  std::string status;  ///< ok, degraded, draining
  std::string version;
  std::string git_sha;
  std::string env;
  std::string boot_id;
  std::int64_t uptime_seconds = 0;
  UtcTime answered_at;
  std::map<std::string, std::string> checks;
};
BOOST_DESCRIBE_STRUCT(HealthView, (), (status, version, git_sha, env, boot_id, uptime_seconds, answered_at, checks))

/// `GET /ready`.
struct ReadyView {
  bool ready = false;
  /// `attestation_sweep_held`, `policy_invalid` and `clock_differs` also when it is ready.
  std::vector<std::string> reasons;
};
BOOST_DESCRIBE_STRUCT(ReadyView, (), (ready, reasons))

/// Facts that health is judged by; each is asked on every call and must not wait for anything.
struct HealthSources {
  std::function<bool()> writer_alive;                ///< the database's writer thread lives
  std::function<Milliseconds()> since_write_probe;   ///< since the last successful write probe
  std::function<Milliseconds()> settings_stale_for;  ///< how long reloads of settings have failed; 0: fine
  std::function<bool()> jobs_ok;                     ///< the runner lives, no job is stuck or fails again and again
  /// No check of the ledger has found a difference.
  std::function<bool()> ledger_ok = [] { return true; };
  /// Hourly charging is not far behind.
  std::function<bool()> billing_in_time = [] { return true; };
  /// A sweep of the fleet's evidence waits for an administrator.
  std::function<bool()> sweep_held = [] { return false; };
  /// The settings of attestation fit together: with those that do not every evidence is refused.
  std::function<bool()> policy_valid = [] { return true; };
  /// The services that attestation asks say the same time as this machine.
  std::function<bool()> clock_agrees = [] { return true; };
  std::function<bool()> attestation_on;                          ///< this machine makes quotes
  std::function<bool()> attestation_fresh;                       ///< own quote not older than 3 refreshes
  std::function<Milliseconds()> loop_lag;                        ///< of the HTTP server's io threads
  std::function<Milliseconds()> shedding_for;                    ///< how long load is being shed; 0: not
  std::function<std::optional<std::int64_t>()> disk_free_bytes;  ///< at the database; nothing when not known here
  bool attestation_required = false;                             ///< staging and production
};

struct ProgramIdentity {
  std::string version;
  std::string git_sha;
  std::string env;
  std::string boot_id;  ///< of this process
};

/// Liveness and readiness (05 section 13.1). Thread-safe; never waits.
class Health {
 public:
  Health(ProgramIdentity identity, HealthSources sources, Clock& clock)
      : identity_(std::move(identity)), sources_(std::move(sources)), clock_(clock), started_(clock.steady_now()) {}

  /// From start-up's end until `drain`.
  void set_started() { started_up_ = true; }
  void drain() { draining_ = true; }
  bool draining() const { return draining_; }

  HealthView health() const;
  /// False: 503, since the process does not work any more (its event loop stands still or its writer has died).
  bool alive() const;
  ReadyView ready() const;

 private:
  ProgramIdentity identity_;
  HealthSources sources_;
  Clock& clock_;
  SteadyTime started_;
  std::atomic<bool> started_up_ = false;
  std::atomic<bool> draining_ = false;
};

}  // namespace ee::cp
