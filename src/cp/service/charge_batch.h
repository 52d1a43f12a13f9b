#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "common/clock.h"
#include "common/random.h"
#include "cp/domain/ledger.h"
#include "cp/service/billing_hooks.h"
#include "cp/store/charge_store.h"

namespace ee::cp {

/// Places inside the transaction of a batch at which a test may end the process or the transaction.
enum class ChargeStep : std::uint8_t { begun, charged, noted, posted, cursor_moved, finished };

/// What charging a range for an hour needs to know.
struct ChargeWork {
  SegmentRange range = {};
  UtcTime hour = {};
  AccountId platform = kPlatformAccount;  ///< who receives the platform's part
  std::string actor;                      ///< of the ledger group and of audit rows
};

/// What it did.
struct ChargeTotals {
  std::int64_t rows = 0;
  std::int64_t gross_micros = 0;
};

/// Charges ranges of segments inside a transaction: rows of `usage_charges`, the segments, one ledger group (04 section
/// 7.4, steps 2 to 5). Thread-safe; what it refers to outlives it.
class ChargeBatch {
 public:
  struct Parts {
    const ShareSource& shares;
    const Clock& clock;
    Random& random;
    /// Tests; an error of it is the transaction's.
    std::function<Result<void>(ChargeStep)> before_step = {};
  };
  explicit ChargeBatch(Parts parts) : parts_(std::move(parts)) {}

  /// Everything of the range that has not been charged for the hour. Errors: of the database, of LedgerStore::post;
  /// `internal_error` when the parts do not sum to the whole.
  Result<ChargeTotals> charge(db::Transaction& tx, const ChargeWork& work) const;
  /// For the tests of who calls `charge`.
  Result<void> step(ChargeStep step) const {
    if (!parts_.before_step) return {};
    return parts_.before_step(step);
  }

 private:
  struct Sums;
  Result<void> add_contributors(db::Transaction& tx, const ChargeWork& work, const std::vector<ChargedRow>& rows,
                                Sums& sums) const;
  Result<void> note_invalid_set(db::Transaction& tx, const ChargeWork& work, const std::string& app_id) const;
  Result<void> post(db::Transaction& tx, const ChargeWork& work, const std::string& group_id, const Sums& sums) const;

  Parts parts_;
};

}  // namespace ee::cp
