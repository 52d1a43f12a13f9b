#pragma once
#include <optional>
#include <string>

#include "attestation/verify/collateral_store.h"
#include "db/database.h"

namespace ee::cp {

/// Table `attestation_collateral`, shared by replicas. Thread-safe; each call is its own transaction.
class DatabaseCollateralStore final : public attestation::CollateralStore {
 public:
  /// `database` outlives the store.
  explicit DatabaseCollateralStore(db::Database& database) : database_(database) {}

  Result<std::optional<attestation::CollateralRow>> load(const std::string& cache_key) override;
  Result<bool> save(const attestation::CollateralRow& row) override;

 private:
  db::Database& database_;
};

}  // namespace ee::cp
