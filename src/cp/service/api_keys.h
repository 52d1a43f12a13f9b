#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "common/error.h"
#include "common/random.h"
#include "common/secret.h"
#include "cp/domain/cursor.h"
#include "cp/service/account_call.h"
#include "cp/service/account_object.h"
#include "cp/service/authenticator.h"
#include "cp/service/idempotency.h"
#include "cp/store/account_store.h"
#include "cp/store/api_key_store.h"
#include "cp/store/audit_log_store.h"
#include "cp/store/oauth_state_store.h"
#include "db/database.h"

namespace ee::cp {

/// A key just made: its row, and the text that is nowhere else.
struct MadeKey {
  ApiKeyRow row;
  Secret text;
};
/// Draws a key for `row`, whose account, name, scopes and times the caller has set. Errors: internal_error.
Result<MadeKey> make_key(ApiKeyRow row, UtcTime now, Random& random);

struct KeyWanted {
  std::string name = {};
  std::optional<std::vector<std::string>> scopes = {};  ///< absent: all of the account's type
  /// Absent: no end, or that of the key that asks. Null: no end.
  std::optional<std::optional<std::int64_t>> expires_in_seconds = {};
  std::optional<std::string> reason = {};  ///< administrators must say why
};

/// API keys of accounts (04 section 5). A key makes none that may do more or lasts longer than itself. Thread-safe;
/// calls block on the database. Every change leaves one audit row, and an ended key is refused from the answer on.
class ApiKeys {
 public:
  static constexpr std::int64_t kMinLifeSeconds = 300;
  static constexpr std::int64_t kMaxLifeSeconds = 63'072'000;
  static constexpr std::int64_t kMaxOverlapSeconds = 604'800;

  struct Parts {
    db::Database& database;
    Authenticator& authenticator;
    Clock& clock;
    Random& random;
  };
  explicit ApiKeys(Parts parts) : parts_(parts), idempotency_(parts.database, parts.clock) {}

  /// Errors: account_not_found.
  Result<Page<ApiKeyView>> list(const AccountId& account, const PageRequest& page);
  /// 201 and a NewKeyAnswer. Errors: account_not_found, account_closed, invalid_name, invalid_scope, scope_missing,
  /// invalid_request, too_many_keys, key_name_taken.
  Result<IdempotentAnswer> create(const AccountCall& call, const KeyWanted& wanted);
  /// The same for the key that takes its place: name, scopes and end of the old one, which ends after the overlap.
  /// Errors: not_found, key_revoked, scope_missing, too_many_keys, invalid_request.
  Result<IdempotentAnswer> rotate(const AccountCall& call, const std::string& key_id, std::int64_t overlap_seconds);
  /// A key that has ended already is fine. Errors: not_found, last_credential.
  Result<void> revoke(const AccountCall& call, const std::string& key_id, const std::string& reason);

 private:
  /// What the caller itself may do and until when; nothing for people, whose rights are not a key's.
  Result<std::optional<ApiKeyRow>> own_key(db::Transaction& tx, const AccountCall& call) const;
  Result<ApiKeyRow> wanted_row(db::Transaction& tx, const AccountCall& call, const KeyWanted& wanted,
                               const AccountRow& account, UtcTime now) const;
  Result<EffectAnswer> keep(db::Transaction& tx, const AccountCall& call, const MadeKey& key, const AuditEntry& entry,
                            UtcTime now) const;

  Parts parts_;
  Idempotency idempotency_;
  AccountStore accounts_;
  OAuthStateStore sign_ins_;
  ApiKeyStore keys_;
  AuditLogStore audit_;
};

}  // namespace ee::cp
