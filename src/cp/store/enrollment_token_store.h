#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/id.h"
#include "common/time.h"
#include "db/database.h"

namespace ee::cp {

/// A row of `agent_enrollment_tokens`: a secret by which up to `max_agents` new agents become an account's.
struct EnrollmentTokenRow {
  std::string id = {};
  AccountId account_id = {};
  std::string lookup = {};       ///< public part of the token's text
  std::string secret_hash = {};  ///< Argon2id PHC string of the whole text
  std::optional<std::int64_t> github_owner_id = {};
  std::optional<std::string> github_owner = {};  ///< for display only
  std::optional<std::string> node_size = {};     ///< what the registration must say, if set
  std::optional<std::string> datacenter = {};
  std::int64_t max_agents = 1;
  std::int64_t used_agents = 0;  ///< new agents only
  UtcTime expires_at = {};
  std::optional<UtcTime> revoked_at = {};
  UtcTime created_at = {};
  std::string created_by = {};  ///< an audit actor
};
BOOST_DESCRIBE_STRUCT(EnrollmentTokenRow, (),
                      (id, account_id, lookup, secret_hash, github_owner_id, github_owner, node_size, datacenter,
                       max_agents, used_agents, expires_at, revoked_at, created_at, created_by))

/// Whether the token can still make a new agent.
bool is_live(const EnrollmentTokenRow& token, UtcTime now);

/// Table `agent_enrollment_tokens`. Stateless.
class EnrollmentTokenStore {
 public:
  static constexpr std::int64_t kMaxLive = 50;  ///< of one account

  Result<void> insert(db::Transaction& tx, const EnrollmentTokenRow& row) const;
  Result<std::optional<EnrollmentTokenRow>> find(db::Transaction& tx, std::string_view id) const;
  /// By the public part of its text, whatever its state: the caller checks the hash.
  Result<std::optional<EnrollmentTokenRow>> find_by_lookup(db::Transaction& tx, std::string_view lookup) const;
  /// At most `limit` of the account's after the id `after`, ended ones too, by id.
  Result<std::vector<EnrollmentTokenRow>> list(db::Transaction& tx, const AccountId& account, std::string_view after,
                                               std::int64_t limit) const;
  Result<std::int64_t> count_live(db::Transaction& tx, const AccountId& account, UtcTime now) const;
  /// Whether it was not revoked before.
  Result<bool> revoke(db::Transaction& tx, std::string_view id, UtcTime now) const;
  /// Counts one new agent, if the token is live and has room: this one statement decides. False: it has not.
  Result<bool> count_agent(db::Transaction& tx, std::string_view id, UtcTime now) const;
  /// Deletes at most `limit` tokens that expired or were revoked before that time; how many.
  Result<std::int64_t> purge_dead(db::Transaction& tx, UtcTime before, std::int64_t limit) const;
};

}  // namespace ee::cp
