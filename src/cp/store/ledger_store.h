#pragma once
#include <string>

#include "common/random.h"
#include "cp/domain/ledger.h"
#include "db/database.h"

namespace ee::cp {

struct PostOutcome {
  std::string group_id = {};
  bool duplicate = false;  ///< this fact had been posted before; nothing was written now
};

/// Tables `ledger_groups`, `transactions` and the balances of `account_balances` (04 section 6). Nothing else writes
/// them: balances change by `post` alone. Stateless but for the source of ids, which outlives it; thread-safe.
class LedgerStore {
 public:
  explicit LedgerStore(Random& random) : random_(random) {}

  /// Posts a group in the caller's transaction: lines, then the header that seals them, then the balances. A key that
  /// was posted before with the same lines is a duplicate and changes nothing. The caller's function must return an
  /// error that it gets, so that the whole of its work is rolled back.
  ///
  /// Errors: `ledger_key_conflict` (the key was posted with other lines; see Ledger::noted), `insufficient_funds`
  /// (only with `must_not_overdraw`), `amount_out_of_range` (also of a balance), `account_not_found`, and
  /// `internal_error` of check_posting.
  Result<PostOutcome> post(db::Transaction& tx, const LedgerPosting& posting, UtcTime now) const;

 private:
  Result<std::string> write_group(db::Transaction& tx, const LedgerPosting& posting, const std::string& content,
                                  UtcTime now) const;
  Random& random_;
};

}  // namespace ee::cp
