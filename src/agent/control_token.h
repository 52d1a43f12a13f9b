#pragma once
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "agent/board.h"
#include "agent/failure_lock.h"
#include "common/clock.h"
#include "common/error.h"

namespace ee::agent {

/// What a token must have been made for.
struct ControlCall {
  std::string_view method;  ///< upper case
  std::string_view target;  ///< path as sent, with `?query` if there is one
  std::string_view body;
};

/// Checks the control plane's own calls: `Authorization: EE-Control <JWS>`, typ `ee-control+jwt`. 02 section 15.2.
/// Thread-safe.
class ControlTokens {
 public:
  static constexpr std::size_t kReplayCacheSize = 16384;

  /// Both outlive the object.
  ControlTokens(const Board& board, const Clock& clock) : board_(board), lock_(clock) {}

  /// Errors: invalid_token (401); rate_limited after 20 failures within 60 s, for 60 s, instead of invalid_token (a
  /// valid token still passes); replay_cache_full (503) when no more tokens can be remembered.
  Result<void> check(std::string_view authorization, const ControlCall& call);

 private:
  Result<void> check_token(std::string_view authorization, const ControlCall& call);
  Result<void> remember(const std::string& jti, UtcTime until);

  const Board& board_;
  FailureLock lock_;
  std::mutex mutex_;
  std::map<std::string, UtcTime, std::less<>> used_;  // jti -> when it may be forgotten, corrected time
};

}  // namespace ee::agent
