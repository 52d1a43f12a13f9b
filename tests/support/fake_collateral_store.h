#pragma once
#include <map>
#include <mutex>

#include "attestation/verify/collateral_store.h"

namespace ee::testing {

/// The table in memory, with the same rule against roll-back. Thread-safe.
class FakeCollateralStore final : public attestation::CollateralStore {
 public:
  Result<std::optional<attestation::CollateralRow>> load(const std::string& cache_key) override {
    const std::lock_guard lock(mutex_);
    if (failure) return fail(*failure);
    ++loads;
    const auto found = rows.find(cache_key);
    if (found == rows.end()) return std::optional<attestation::CollateralRow>{};
    return std::optional(found->second);
  }
  Result<bool> save(const attestation::CollateralRow& row) override {
    const std::lock_guard lock(mutex_);
    if (failure) return fail(*failure);
    const auto found = rows.find(row.cache_key);
    if (found != rows.end() && attestation::is_rollback(row, found->second)) return false;
    rows[row.cache_key] = row;
    return true;
  }

  std::map<std::string, attestation::CollateralRow> rows;
  std::optional<ErrorCode> failure;
  int loads = 0;

 private:
  std::mutex mutex_;
};

}  // namespace ee::testing
