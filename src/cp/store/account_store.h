#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cp/domain/account.h"
#include "cp/domain/cursor.h"
#include "cp/domain/principal.h"
#include "db/database.h"

namespace ee::cp {

struct AccountFilter {
  std::optional<std::string> name_prefix = {};  ///< characters of DNS labels only
  std::optional<AccountType> account_type = {};
  std::optional<AccountStatus> status = {};
  std::optional<std::string> github_login = {};  ///< lower-case; of a linked identity
};

/// What the account's materialised balance says; the ledger keeps it.
struct AccountBalance {
  AccountId account_id = {};
  UsdMicros balance_micros = {};
  BillingState billing_state = BillingState::ok;
};
BOOST_DESCRIBE_STRUCT(AccountBalance, (), (account_id, balance_micros, billing_state))

/// Tables `accounts`, `account_identities` and `oidc_rules`. Stateless.
class AccountStore {
 public:
  static constexpr std::int64_t kMaxIdentities = 20;
  static constexpr std::int64_t kMaxRules = 50;

  /// The account and its balance row, at zero. Errors: account_name_taken.
  Result<void> create(db::Transaction& tx, const AccountRow& row) const;
  /// Any account, those of the system and closed ones too.
  Result<std::optional<AccountRow>> find(db::Transaction& tx, const AccountId& id) const;
  /// The account of a request: no such one, or one of the system, is account_not_found.
  Result<AccountRow> named(db::Transaction& tx, const AccountId& id) const;
  /// Oldest first, without the system's.
  Result<Page<AccountRow>> list(db::Transaction& tx, const AccountFilter& filter, const PageRequest& page) const;
  /// Writes every changeable column if the row still has `row.version`; then `row.version` is one higher. False: it has
  /// not. Errors: account_name_taken.
  Result<bool> update(db::Transaction& tx, AccountRow& row, UtcTime now) const;
  Result<AccountBalance> money(db::Transaction& tx, const AccountId& id) const;

  /// Errors: identity_already_linked.
  Result<void> link(db::Transaction& tx, const IdentityRow& row) const;
  /// Whether there was such a link.
  Result<bool> unlink(db::Transaction& tx, const AccountId& account, std::int64_t github_id) const;
  Result<std::int64_t> unlink_all(db::Transaction& tx, const AccountId& account) const;
  /// By GitHub id.
  Result<std::vector<IdentityRow>> identities(db::Transaction& tx, const AccountId& account) const;
  Result<std::optional<IdentityRow>> identity(db::Transaction& tx, std::int64_t github_id) const;
  /// The account that a GitHub owner stands behind.
  Result<std::optional<LinkedAccount>> linked(db::Transaction& tx, std::int64_t github_id) const;

  Result<std::vector<OidcRuleRow>> rules(db::Transaction& tx, const AccountId& account) const;
  /// These in place of all.
  Result<void> replace_rules(db::Transaction& tx, const AccountId& account,
                             const std::vector<OidcRuleRow>& rules) const;
};

/// Lower-case ASCII, as `login_norm` holds it.
std::string normal_login(std::string_view login);

}  // namespace ee::cp
