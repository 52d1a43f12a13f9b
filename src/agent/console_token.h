#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/board.h"
#include "agent/failure_lock.h"
#include "common/clock.h"
#include "common/error.h"

namespace ee::agent {

/// What a console token opens.
struct ConsoleGrant {
  std::string subject = {};   ///< `account:<id>`, `admin:<session>`, `github:<id>`: for the log
  std::string token_id = {};  ///< `jti`
  std::vector<std::string> scopes = {};
  std::optional<std::string> deployment_id = {};  ///< logs of this deployment only
};

/// Checks the tokens that the control plane gives to browsers: `Authorization: Bearer <JWS>`, typ `ee-console+jwt`
/// (02 sections 9 and 15.2). They may be used any number of times until they expire or the agent registers again. Only
/// the header counts: a caller never passes a token from a query or a cookie. Thread-safe.
class ConsoleTokens {
 public:
  /// `issuer`: the origin of the control plane's URL. The references outlive the object.
  ConsoleTokens(const Board& board, const Clock& clock, std::string issuer)
      : board_(board), lock_(clock), issuer_(std::move(issuer)) {}

  /// `scope`: what the route needs (`logs`, `stats`, `status`, `reattest`). Errors: invalid_token (401),
  /// insufficient_scope (403); rate_limited instead of invalid_token, see FailureLock.
  Result<ConsoleGrant> check(std::string_view authorization, std::string_view scope);

 private:
  Result<ConsoleGrant> check_token(std::string_view authorization) const;

  const Board& board_;
  FailureLock lock_;
  std::string issuer_;
};

}  // namespace ee::agent
