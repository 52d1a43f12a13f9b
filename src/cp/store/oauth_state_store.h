#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/id.h"
#include "db/database.h"

namespace ee::cp {

/// A sign-in through GitHub that was begun here. Holds only hashes of what the browser has.
struct OAuthStateRow {
  std::string state_hash = {};  ///< SHA-256 in hexadecimal, as is the next
  std::string nonce_hash = {};
  std::string return_to = {};
  std::optional<AccountId> link_account_id = {};  ///< the account that the GitHub user will be linked to
  UtcTime created_at = {};
  UtcTime expires_at = {};
};
BOOST_DESCRIBE_STRUCT(OAuthStateRow, (), (state_hash, nonce_hash, return_to, link_account_id, created_at, expires_at))

/// Table `oauth_states`. Stateless.
class OAuthStateStore {
 public:
  /// Sign-ins under way at once; beyond, new ones wait until others end.
  static constexpr std::int64_t kMaxRows = 10'000;

  /// Makes room by removing what has expired. Errors: overloaded (full).
  Result<void> insert(db::Transaction& tx, const OAuthStateRow& row, UtcTime now) const;
  /// Takes the row out: of any number of callers, over all replicas, one gets it.
  Result<std::optional<OAuthStateRow>> take(db::Transaction& tx, std::string_view state_hash) const;
  /// Forgets the links to the account that were begun: whoever could begin them may not be allowed to any more.
  Result<void> forget_links(db::Transaction& tx, const AccountId& account) const;
  /// Removes at most `limit` expired rows; how many.
  Result<std::int64_t> remove_expired(db::Transaction& tx, UtcTime now, std::int64_t limit) const;
};

}  // namespace ee::cp
