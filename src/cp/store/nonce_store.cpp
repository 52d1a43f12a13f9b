#include "cp/store/nonce_store.h"

#include <fmt/format.h>

namespace ee::cp {

Result<bool> NonceStore::consume(db::Transaction& tx, const NonceUse& use) const {
  static const std::string sql =
      fmt::format("INSERT INTO attestation_nonces ({}) VALUES ({}) ON CONFLICT (nonce_hash) DO NOTHING",
                  db::columns_of<NonceUse>(), db::placeholders_of<NonceUse>());
  const auto inserted = tx.execute(sql, db::params_of(use));
  if (!inserted) return std::unexpected(inserted.error());
  return *inserted == 1;
}

Result<std::int64_t> NonceStore::remove_expired(db::Transaction& tx, UtcTime now, std::int64_t limit) const {
  return tx.execute(
      "DELETE FROM attestation_nonces WHERE nonce_hash IN (SELECT nonce_hash FROM attestation_nonces "
      "WHERE expires_at<:before ORDER BY expires_at LIMIT :limit)",
      {{"before", now - kKeptAfterExpiry}, {"limit", limit}});
}

}  // namespace ee::cp
