#pragma once
#include <array>
#include <boost/describe.hpp>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/json.h"
#include "common/random.h"
#include "cp/domain/cursor.h"
#include "cp/service/actor.h"
#include "cp/service/idempotency.h"
#include "cp/store/account_store.h"
#include "cp/store/audit_log_store.h"
#include "cp/store/enrollment_token_store.h"

namespace ee::cp {

/// What an owner asks for.
struct EnrollmentTokenRequest {
  std::optional<std::string> account_id;  ///< needed by who acts for several accounts
  std::int64_t max_agents = 1;
  std::int64_t ttl_seconds = 86400;
  std::optional<std::string> node_size;
  std::optional<std::string> datacenter;
  std::optional<std::int64_t> github_owner_id;
};
BOOST_DESCRIBE_STRUCT(EnrollmentTokenRequest, (),
                      (account_id, max_agents, ttl_seconds, node_size, datacenter, github_owner_id))
constexpr auto json_rules(json::For<EnrollmentTokenRequest> /*type*/) {
  return std::array{json::field("account_id").uuid(),
                    json::field("max_agents").between(1, 1000).defaulted(),
                    json::field("ttl_seconds").between(300, 2592000).defaulted(),
                    json::field("node_size").length(1, 32),
                    json::field("datacenter").length(1, 128),
                    json::field("github_owner_id").at_least(1)};
}
constexpr std::string_view json_name(json::For<EnrollmentTokenRequest> /*type*/) { return "EnrollmentTokenRequest"; }

/// The one answer that holds the token's text; a replay has none.
struct NewEnrollmentToken {
  std::string id;
  std::optional<std::string> token;
  UtcTime expires_at = {};
  bool secret_shown = false;  ///< in a replay: the token was shown before
};
BOOST_DESCRIBE_STRUCT(NewEnrollmentToken, (), (id, token, expires_at, secret_shown))
constexpr std::string_view json_name(json::For<NewEnrollmentToken> /*type*/) { return "NewEnrollmentToken"; }

struct EnrollmentTokenView {
  std::string id;
  std::string account_id;
  bool live = false;  ///< it can still make a new agent
  std::int64_t max_agents = 1;
  std::int64_t used_agents = 0;
  std::optional<std::string> node_size;
  std::optional<std::string> datacenter;
  std::optional<std::int64_t> github_owner_id;
  std::optional<std::string> github_owner;
  UtcTime created_at = {};
  UtcTime expires_at = {};
  std::optional<UtcTime> revoked_at;
};
BOOST_DESCRIBE_STRUCT(EnrollmentTokenView, (),
                      (id, account_id, live, max_agents, used_agents, node_size, datacenter, github_owner_id,
                       github_owner, created_at, expires_at, revoked_at))
constexpr std::string_view json_name(json::For<EnrollmentTokenView> /*type*/) { return "EnrollmentToken"; }

/// Tokens that an account's owner hands to machines of its own (02 sections 2.4 and 8). Thread-safe.
class EnrollmentTokens {
 public:
  /// All outlive it.
  EnrollmentTokens(db::Database& database, Clock& clock, Random& random)
      : database_(database), clock_(clock), random_(random), idempotency_(database, clock) {}

  /// By id, ended ones too, of all these accounts.
  Result<Page<EnrollmentTokenView>> list(const std::vector<AccountId>& accounts, const PageRequest& page);
  /// 201 and a NewEnrollmentToken. Errors: `unknown_node_size`, `invalid_request`, `github_owner_not_linked`,
  /// `too_many_tokens`, those of idempotency.
  Result<IdempotentAnswer> create(const AccountId& account, const EnrollmentTokenRequest& wanted, const Actor& actor,
                                  const std::optional<IdempotentRequest>& request);
  /// Agents that it made stay. One that is revoked already is fine. Errors: `not_found` (also another account's).
  Result<void> revoke(const std::vector<AccountId>& accounts, const std::string& id, const Actor& actor);

 private:
  Result<EffectAnswer> make(db::Transaction& tx, const AccountId& account, const EnrollmentTokenRequest& wanted,
                            const Actor& actor);
  Result<void> audit(db::Transaction& tx, const Actor& actor, std::string action, const EnrollmentTokenRow& token);

  db::Database& database_;
  Clock& clock_;
  Random& random_;
  Idempotency idempotency_;
  EnrollmentTokenStore tokens_;
  AccountStore accounts_;
  AuditLogStore audit_;
};

}  // namespace ee::cp
