#include "cp/store/sign_in_leftovers.h"

namespace ee::cp {

Result<std::int64_t> remove_sign_in_leftovers(db::Transaction& tx, UtcTime now, std::int64_t limit) {
  const auto states = tx.execute(
      "DELETE FROM oauth_states WHERE state_hash IN (SELECT state_hash FROM oauth_states WHERE expires_at<=:now"
      " LIMIT :limit)",
      {{"now", now}, {"limit", limit}});
  if (!states) return states;
  const auto uses = tx.execute(
      "DELETE FROM oidc_token_uses WHERE jti IN (SELECT jti FROM oidc_token_uses WHERE expires_at<=:now LIMIT :limit)",
      {{"now", now}, {"limit", limit}});
  if (!uses) return uses;
  return *states + *uses;
}

}  // namespace ee::cp
