#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/error.h"
#include "common/random.h"
#include "cp/service/account_call.h"
#include "cp/service/account_holds.h"
#include "cp/service/account_object.h"
#include "cp/store/account_store.h"
#include "cp/store/account_use_store.h"
#include "cp/store/audit_log_store.h"
#include "db/database.h"

namespace ee::cp {

struct IdentityWanted {
  std::int64_t github_id = 0;
  // Of administrators, who vouch for the owner themselves.
  std::optional<IdentityKind> kind = {};
  std::optional<std::string> login = {};
  std::optional<std::string> reason = {};
};

/// Which GitHub owners stand behind an account, and which of their workflows may act for it (04 section 5). Nobody
/// links an owner by naming it: a fresh sign-in proves it, or an administrator vouches. Thread-safe; calls block on the
/// database; every change leaves one audit row.
class AccountIdentities {
 public:
  static constexpr Seconds kFreshLogin{600};

  struct Parts {
    db::Database& database;
    Clock& clock;
    Random& random;
    AccountHolds& holds;
  };
  explicit AccountIdentities(Parts parts) : parts_(parts) {}

  /// Errors: account_not_found.
  Result<std::vector<IdentityView>> list(const AccountId& account);
  /// Errors: account_not_found, account_closed, identity_not_proven, identity_already_linked, invalid_request.
  Result<IdentityView> link(const AccountCall& call, const IdentityWanted& wanted);
  /// Errors: account_not_found, not_found, identity_in_use.
  Result<void> unlink(const AccountCall& call, std::int64_t github_id);

  /// Errors: account_not_found.
  Result<OidcRules> rules(const AccountId& account);
  /// These in place of all. Errors: account_not_found, account_closed, invalid_rule.
  Result<OidcRules> set_rules(const AccountCall& call, const OidcRules& wanted);

 private:
  Result<IdentityRow> proven(const AccountCall& call, const IdentityWanted& wanted) const;

  Parts parts_;
  AccountStore accounts_;
  AccountUseStore uses_;
  AuditLogStore audit_;
};

}  // namespace ee::cp
