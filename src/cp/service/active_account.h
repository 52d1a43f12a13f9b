#pragma once
#include "common/error.h"
#include "common/id.h"
#include "db/database.h"

namespace ee::cp {

/// The access rules know an account as it was when its credential was verified, up to `auth.cache_ttl_ms` ago: another
/// replica may have suspended or closed it since. Whoever changes something for an account asks again in the
/// transaction of the change; administrators may change what belongs to any account. Errors: `account_suspended` when
/// it is not active, `account_not_found`.
Result<void> require_active(db::Transaction& tx, bool is_admin, const AccountId& account);

}  // namespace ee::cp
