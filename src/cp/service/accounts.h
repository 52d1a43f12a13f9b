#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "common/error.h"
#include "common/random.h"
#include "cp/domain/cursor.h"
#include "cp/service/account_call.h"
#include "cp/service/account_holds.h"
#include "cp/service/account_object.h"
#include "cp/service/authenticator.h"
#include "cp/service/failure_throttle.h"
#include "cp/service/idempotency.h"
#include "cp/store/account_store.h"
#include "cp/store/account_use_store.h"
#include "cp/store/api_key_store.h"
#include "cp/store/audit_log_store.h"
#include "db/database.h"

namespace ee::cp {

struct AccountWanted {
  std::string name = {};
  std::string description = {};
  std::string account_type = {};
  std::optional<std::string> contact_email = {};
  std::string key_name = "default";
};

/// What a PATCH changes; absent members stay. The last two are for administrators.
struct AccountPatch {
  std::optional<std::string> name = {};
  std::optional<std::string> description = {};
  std::optional<std::optional<std::string>> contact_email = {};
  std::optional<std::optional<UsdMicros>> spend_limit = {};
  std::optional<SpendLimitAction> spend_limit_action = {};
  std::optional<OidcPolicy> oidc_policy = {};
  std::optional<std::optional<std::string>> status_reason = {};
  std::optional<std::optional<std::string>> operator_account_id = {};
};

/// Accounts from sign-up to their end (04 section 5). Thread-safe; calls block on the database. Every change leaves one
/// audit row in its transaction; a suspended or closed account's keys are judged anew from the answer on.
class Accounts {
 public:
  struct Parts {
    db::Database& database;
    Authenticator& authenticator;
    Clock& clock;
    Random& random;
    AccountHolds& holds;
    std::function<SignupMode()> signup_mode;
  };
  explicit Accounts(Parts parts) : parts_(std::move(parts)), idempotency_(parts_.database, parts_.clock) {}

  /// 201 and a NewAccountAnswer. A person who signed in through GitHub is linked to it in the same transaction.
  /// Errors: signup_closed, rate_limited (sign-ups of one address), invalid_name, invalid_account_type,
  /// account_type_not_allowed, invalid_request, account_name_taken, identity_already_linked.
  Result<IdempotentAnswer> create(const AccountCall& call, const AccountWanted& wanted);
  /// All for administrators, else the linked ones.
  Result<Page<AccountObject>> list(const Principal& principal, const AccountFilter& filter, const PageRequest& page);
  /// Errors: account_not_found.
  Result<AccountObject> get(const AccountId& account);
  /// The accounts behind a principal, as `/auth/me` names them.
  Result<std::vector<AccountRow>> behind(const Principal& principal);
  /// Errors: account_not_found, account_closed, version_mismatch, account_name_taken, invalid_name, invalid_request,
  /// admin_required.
  Result<AccountObject> update(const AccountCall& call, const AccountPatch& patch,
                               const std::optional<std::int64_t>& if_match);
  /// Errors: account_not_found, account_closed.
  Result<AccountObject> suspend(const AccountCall& call, const std::string& reason, bool stop_deployments);
  /// Lifts the hold of a dispute too. Errors: account_not_found, account_closed.
  Result<AccountObject> resume(const AccountCall& call, const std::string& reason);
  /// Keys revoked, identities freed, name free again; the row stays for the ledger. Closed already is fine.
  /// Errors: account_not_found, account_has_deployments, account_has_unbilled_usage, account_has_agents,
  /// account_in_shares, balance_not_zero, account_has_pending_deposits.
  Result<void> close(const AccountCall& call);

 private:
  Result<AccountType> allowed_type(const AccountCall& call, const AccountWanted& wanted);
  Result<EffectAnswer> make(db::Transaction& tx, const AccountCall& call, const AccountWanted& wanted,
                            AccountType type);
  Result<void> apply(db::Transaction& tx, const AccountCall& call, const AccountPatch& patch, AccountRow& row) const;
  /// Whether one of the account's identities has the login that is filtered by; yes without one.
  Result<bool> has_login(db::Transaction& tx, const AccountId& account, const AccountFilter& filter) const;
  Result<void> check_closable(db::Transaction& tx, const AccountId& account) const;
  Result<AccountObject> set_status(const AccountCall& call, AccountStatus status, const std::string& reason,
                                   bool stop_deployments);

  Parts parts_;
  Idempotency idempotency_;
  AccountStore accounts_;
  AccountUseStore uses_;
  ApiKeyStore keys_;
  AuditLogStore audit_;
  FailureThrottle signups_{5, Milliseconds(720'000), 65536};  ///< of one address: 5 an hour
};

}  // namespace ee::cp
