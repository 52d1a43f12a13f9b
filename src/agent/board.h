#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "agent/control_plane_client.h"
#include "agent/signer_set.h"
#include "common/agent_api.h"
#include "common/clock.h"

namespace ee::agent {

enum class AgentPhase : std::uint8_t { starting, registering, active, terminating };
std::string_view to_string(AgentPhase phase);

/// One registration: lasts until the next one.
struct Session {
  AgentIdentity identity;
  SignerSet signers;  ///< whose signatures count
  std::int64_t signing_keys_version = 0;
  agent_api::TunnelState tunnel_state = agent_api::TunnelState::none;
  std::int64_t tunnel_version = 0;
  std::optional<std::string> hostname = {};
};

/// What the agent's tasks know of each other: life cycle, registration, health checks, the control plane's time.
/// Thread-safe.
class Board {
 public:
  /// `clock` outlives the board.
  explicit Board(const Clock& clock) : clock_(clock), started_(clock.steady_now()) {}

  AgentPhase phase() const;
  void set_phase(AgentPhase phase);
  Seconds uptime() const;

  /// The present registration, or null.
  std::shared_ptr<const Session> session() const;
  void begin_session(Session session);
  void end_session();
  /// Changes the session if it is still that of `registration_id`; whether it was.
  bool update_session(std::string_view registration_id, const std::function<void(Session&)>& change);

  /// A named condition that is not as it should be; cleared when it is again. At most 16 of them are told.
  void fail_check(const std::string& name, std::string_view code);
  void clear_check(const std::string& name);
  /// `degraded` while any check fails.
  agent_api::Health health() const;

  /// Takes the time of an answer that the control plane signed. The offset to it is kept on the monotonic clock, since
  /// the host controls the other one. A jump of more than 120 s between two answers fails the check `clock_jump` for 10
  /// minutes.
  void note_signed_time(UtcTime at);
  /// Takes the time of an answer that only TLS vouches for, which ends at the edge: within 10 s, and 200 ppm of the
  /// time since, of what the last signed time says. Anything else changes nothing but the check.
  void note_answered_at(UtcTime answered_at);
  /// Whether answers disagree with a signed time that is older than a minute: a new one is needed.
  bool wants_signed_time() const;
  /// The control plane's time by the last answer; the local one before the first signed one.
  UtcTime corrected_now() const;
  /// Corrected time less local time; nothing before the first signed answer.
  std::optional<Milliseconds> clock_offset() const;

  void note_attested(UtcTime at);
  std::optional<UtcTime> attested_at() const;

  struct Counters {
    std::int64_t registrations = 0;
    std::int64_t registrations_failed = 0;
    std::int64_t heartbeats = 0;
    std::int64_t heartbeats_failed = 0;
  };
  void count(std::int64_t Counters::* counter);
  Counters counters() const;

 private:
  UtcTime corrected_now_locked() const;
  void set_time_locked(UtcTime at);

  const Clock& clock_;
  const SteadyTime started_;
  mutable std::mutex mutex_;
  AgentPhase phase_ = AgentPhase::starting;
  std::shared_ptr<const Session> session_;
  std::map<std::string, std::string> failing_;  // name -> code
  std::optional<UtcTime> answered_at_;
  SteadyTime answered_steady_{};
  UtcTime signed_at_{};  // while answered_at_ is set
  SteadyTime signed_steady_{};
  bool wants_signed_time_ = false;
  std::optional<SteadyTime> jumped_at_;
  std::optional<UtcTime> attested_at_;
  Counters counters_;
};

}  // namespace ee::agent
