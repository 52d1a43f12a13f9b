#pragma once
#include <atomic>
#include <stop_token>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/random.h"
#include "cp/service/job_summary.h"
#include "cp/service/ledger.h"
#include "cp/store/ledger_check_store.h"
#include "db/database.h"

namespace ee::cp {

/// A way in which the ledger is not what it must be. Amounts in micro-dollars.
struct LedgerFinding {
  /// `balance`, `month` (its sum is wrong, the balance is right), `group`, `line_without_group`, `balances_sum`,
  /// `usage`
  std::string_view what = {};
  std::string account_id = {};  ///< empty when no account is concerned
  std::string group_id = {};    ///< a group, or the line that has none; empty when none is concerned
  std::int64_t expected = 0;    ///< what the lines say
  std::int64_t found = 0;       ///< what stands there
  bool operator==(const LedgerFinding&) const = default;
};

/// A balance that was recomputed, or the sums of whose months were.
struct RebuiltBalance {
  AccountId account_id = {};
  UsdMicros before = {};
  UsdMicros after = {};
};

/// Sums every account's lines and sets the balances, and the sums of months, that differ, with an audit row
/// `balances_rebuilt`; those that were changed. In one transaction: only while nothing else uses the database. Does not
/// lift a halt.
Result<std::vector<RebuiltBalance>> rebuild_balances(db::Database& database, const Clock& clock, Random& random);

/// The check of the ledger (04 section 6.3). A finding halts billing, raises the alarm and is audited; nothing is
/// repaired. Thread-safe; the references outlive it.
class LedgerCheck {
 public:
  static constexpr Seconds kFullPeriod{24 * 3600};

  LedgerCheck(db::Database& database, const Clock& clock, Random& random, LedgerAlarm& alarm)
      : database_(database), clock_(clock), random_(random), alarm_(alarm) {}

  /// Raises the alarm if billing was left halted. Once, at the start.
  Result<void> load();
  /// Raises the alarm if another replica has halted billing for a finding, and clears it if another one resumed. Now
  /// and then, where there are replicas. Errors: of the database.
  Result<void> look();
  /// One run of the job `ledger_verify`: accounts that changed, and everything when the last full pass is a day old.
  Result<JobSummary> run(const std::stop_token& stop);
  /// The next run, on whichever replica it is, looks at everything.
  Result<void> ask_full_pass();
  /// All balances, groups, lines and the usage since the last full pass; what it found. A stop leaves the pass undone.
  Result<std::vector<LedgerFinding>> full_pass(const std::stop_token& stop, JobSummary& summary);
  /// The balances that changed since they were verified; what it found.
  Result<std::vector<LedgerFinding>> changed_accounts(const std::stop_token& stop, JobSummary& summary);

 private:
  Result<std::optional<UtcTime>> last_full_pass();
  Result<std::vector<LedgerFinding>> check_accounts(bool changed_only, std::optional<UtcTime> usage_from,
                                                    const std::stop_token& stop, JobSummary& summary);
  Result<std::vector<LedgerFinding>> check_groups(const std::stop_token& stop, JobSummary& summary);
  Result<void> report(const std::vector<LedgerFinding>& findings);

  db::Database& database_;
  const Clock& clock_;
  Random& random_;
  LedgerAlarm& alarm_;
  std::atomic<bool> halted_ = false;  // as this process last saw it
  LedgerCheckStore store_;
  BillingMetaStore meta_;
};

}  // namespace ee::cp
