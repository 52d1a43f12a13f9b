#pragma once
#include <cstdint>

#include "common/error.h"
#include "common/time.h"
#include "db/database.h"

namespace ee::cp {

/// Deletes what sign-ins leave behind once its time is over: rows of `oauth_states` and `oidc_token_uses`, at most
/// `limit` of each; how many. For job `session_cleanup`.
Result<std::int64_t> remove_sign_in_leftovers(db::Transaction& tx, UtcTime now, std::int64_t limit);

}  // namespace ee::cp
