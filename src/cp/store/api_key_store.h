#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cp/domain/account.h"
#include "cp/domain/cursor.h"
#include "db/database.h"

namespace ee::cp {

/// What a request needs to know of the account behind a key.
struct KeyAccount {
  AccountType account_type = AccountType::deployer;
  AccountStatus status = AccountStatus::closed;
};
BOOST_DESCRIBE_STRUCT(KeyAccount, (), (account_type, status))

struct KnownKey {
  ApiKeyRow key;
  KeyAccount account;
};

/// That a key was used: noted at most once a minute.
struct KeyUse {
  std::string key_id = {};
  UtcTime at = {};
  std::string client_address = {};
};

/// Neither revoked nor expired.
bool is_live(const ApiKeyRow& key, UtcTime now);

/// Table `api_keys`. Stateless.
class ApiKeyStore {
 public:
  static constexpr std::int64_t kMaxLive = 50;  ///< of one account
  static constexpr Seconds kNoteUseEvery{60};
  static constexpr Seconds kKeepRevoked{400LL * 86400};

  /// Errors: key_name_taken (by a key that is not revoked).
  Result<void> insert(db::Transaction& tx, const ApiKeyRow& row) const;
  Result<std::optional<ApiKeyRow>> find(db::Transaction& tx, const AccountId& account, std::string_view key_id) const;
  /// The key and its account, in the state that they are in.
  Result<std::optional<KnownKey>> find_by_lookup(db::Transaction& tx, std::string_view lookup) const;
  /// Oldest first, ended ones too.
  Result<Page<ApiKeyRow>> list(db::Transaction& tx, const AccountId& account, const PageRequest& page) const;
  Result<std::int64_t> count_live(db::Transaction& tx, const AccountId& account, UtcTime now) const;

  /// Whether it was not revoked before.
  Result<bool> revoke(db::Transaction& tx, std::string_view key_id, std::string_view reason, UtcTime now) const;
  /// The ids of all keys of the account that were not revoked before.
  Result<std::vector<std::string>> revoke_all(db::Transaction& tx, const AccountId& account, std::string_view reason,
                                              UtcTime now) const;
  /// Marks expired keys of the account as revoked, so that their names are free again.
  Result<void> retire_expired(db::Transaction& tx, const AccountId& account, UtcTime now) const;
  /// A key that was rotated: another name, and an end.
  Result<void> phase_out(db::Transaction& tx, std::string_view key_id, std::string_view name, UtcTime expires_at) const;

  /// Rows that changed.
  Result<std::int64_t> note_uses(db::Transaction& tx, const std::vector<KeyUse>& uses) const;
  /// Deletes at most `limit` keys that ended longer ago than kKeepRevoked; how many.
  Result<std::int64_t> remove_ended(db::Transaction& tx, UtcTime now, std::int64_t limit) const;
};

}  // namespace ee::cp
