#include "cp/service/active_account.h"

#include "cp/store/account_store.h"

namespace ee::cp {

Result<void> require_active(db::Transaction& tx, bool is_admin, const AccountId& account) {
  if (is_admin) return {};
  const auto row = AccountStore().find(tx, account);
  if (!row) return std::unexpected(row.error());
  if (!*row) return fail(ErrorCode::account_not_found);
  if ((*row)->status != AccountStatus::active) return fail(ErrorCode::account_suspended);
  return {};
}

}  // namespace ee::cp
