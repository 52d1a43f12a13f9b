#pragma once
#include <functional>
#include <optional>
#include <stop_token>
#include <string>

#include "agent/board.h"
#include "agent/control_plane_client.h"
#include "agent/errands.h"
#include "agent/evidence.h"
#include "agent/registrar.h"
#include "agent/state_file.h"
#include "common/clock.h"
#include "common/random.h"
#include "common/secret.h"

namespace ee::agent {

/// What a registered agent does beside heartbeats: fetches its tunnel token and the control plane's keys, rotates its
/// credential, refreshes its attestation. Each is asked for by a heartbeat's answer and tried until it succeeds or the
/// registration ends. None can delay a heartbeat: there are two threads of their own, one for fetching and one for
/// evidence, which may take many seconds. Thread-safe.
class Duties {
 public:
  struct Hooks {
    std::function<void(std::optional<Secret>)> set_tunnel_token = [](const std::optional<Secret>&) {};
    /// None of the control plane's keys is trusted any more: it must be verified again.
    std::function<void()> keys_untrusted = [] {};
  };
  /// All references outlive the duties.
  Duties(Board& board, ControlPlaneClient& client, const InstanceKeys& keys, EvidenceMaker& evidence, StateFile& state,
         Hooks hooks, Clock& clock, Random& random);

  void registered(const Registration& registration);
  void unregistered();
  void answered(const Session& session, const agent_api::HeartbeatAnswer& answer);
  /// Evidence now. False within 60 s of the last such request.
  bool refresh_now();
  /// The control plane's present tunnel token, by a call that blocks. For a tunnel whose token does not work.
  std::optional<Secret> fetch_tunnel_token();

  /// The two threads' work.
  ErrandRunner& fetcher() { return fetcher_; }
  ErrandRunner& refresher() { return refresher_; }

  /// Names of errands, for tests and the status page.
  static constexpr const char* kTunnel = "tunnel";
  static constexpr const char* kSigningKeys = "signing_keys";
  static constexpr const char* kRotate = "rotate";
  static constexpr const char* kRefresh = "refresh";
  static constexpr const char* kTime = "time";

 private:
  ErrandResult fetch_tunnel(const std::stop_token& stop);
  ErrandResult fetch_signing_keys(const std::stop_token& stop);
  ErrandResult rotate(const std::stop_token& stop);
  ErrandResult refresh(const std::stop_token& stop);
  ErrandResult fetch_time(const std::stop_token& stop);
  CallResult<std::optional<Secret>> tunnel_token_of(const Session& session, const std::stop_token& stop);
  CallResult<Secret> rotated_credential(const Session& session, const std::stop_token& stop);
  /// A challenge over a nonce of our own: fresh and signed, so it also tells the time.
  CallResult<agent_api::ChallengeAnswer> signed_challenge(const Session& session, const std::stop_token& stop);
  CallResult<agent_api::RefreshAnswer> refreshed(const Session& session, const std::stop_token& stop);
  SteadyTime in(Milliseconds delay) const { return clock_.steady_now() + delay; }
  /// A steady time for one of the control plane's, by its own clock.
  SteadyTime steady_of(UtcTime at) const;

  Board& board_;
  ControlPlaneClient& client_;
  const InstanceKeys& keys_;
  EvidenceMaker& evidence_;
  StateFile& state_;
  Hooks hooks_;
  Clock& clock_;
  Random& random_;
  ErrandRunner fetcher_;
  ErrandRunner refresher_;
  std::mutex mutex_;
  std::optional<SteadyTime> refresh_asked_;  // by refresh_now
};

}  // namespace ee::agent
