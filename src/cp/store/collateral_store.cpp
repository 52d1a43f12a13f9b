#include "cp/store/collateral_store.h"

#include <fmt/format.h>

namespace ee::cp {

using attestation::CollateralRow;

Result<std::optional<CollateralRow>> DatabaseCollateralStore::load(const std::string& cache_key) {
  static const std::string sql =
      fmt::format("SELECT {} FROM attestation_collateral WHERE cache_key=:cache_key", db::columns_of<CollateralRow>());
  return database_.read<std::optional<CollateralRow>>(
      [&](db::Transaction& tx) { return tx.query_one<CollateralRow>(sql, {{"cache_key", cache_key}}); });
}

Result<bool> DatabaseCollateralStore::save(const CollateralRow& row) {
  // The last line is the roll-back rule of attestation::is_rollback: of two replicas the newer wins, in either order.
  static const std::string sql = fmt::format(
      "INSERT INTO attestation_collateral ({}) VALUES ({}) ON CONFLICT(cache_key) DO UPDATE SET"
      " body=excluded.body, issuer_chain=excluded.issuer_chain, issue_at=excluded.issue_at,"
      " next_update_at=excluded.next_update_at, fetched_at=excluded.fetched_at, eval_number=excluded.eval_number"
      " WHERE excluded.eval_number>=attestation_collateral.eval_number"
      " AND excluded.issue_at>=attestation_collateral.issue_at",
      db::columns_of<CollateralRow>(), db::placeholders_of<CollateralRow>());
  return database_.write<bool>([&](db::Transaction& tx) -> Result<bool> {
    const auto written = tx.execute(sql, db::params_of(row));
    if (!written) return std::unexpected(written.error());
    return *written == 1;
  });
}

}  // namespace ee::cp
