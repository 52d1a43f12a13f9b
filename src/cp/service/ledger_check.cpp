#include "cp/service/ledger_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "common/json.h"
#include "common/log.h"
#include "cp/store/audit_log_store.h"
#include "cp/store/meta_store.h"

namespace ee::cp {

namespace {

constexpr std::int64_t kAccountsAtOnce = 500;
constexpr std::int64_t kGroupsAtOnce = 500;
constexpr std::int64_t kLinesAtOnce = 5000;
constexpr std::size_t kFindingsAudited = 20;  // of one run; the rest is counted in the last row
constexpr std::string_view kHaltReason = "ledger_invariant_failed";
constexpr std::string_view kLastFullPass = "ledger_full_pass_at";
/// How far back the usage of a first pass is compared: usage is kept for at least 35 days before it is rolled up.
constexpr std::chrono::days kUsageBack{34};
/// Charging may lag; hours before the last pass are compared again for so long.
constexpr std::chrono::days kUsageOverlap{2};

struct AccountsStep {
  std::vector<LedgerFinding> findings = {};
  std::vector<KeptBalance> verified = {};
  AccountId last = {};
  std::int64_t seen = 0;
};

std::string detail_of(const LedgerFinding& finding, std::size_t more) {
  return fmt::format(R"({{"what":{},"account_id":{},"group_id":{},"expected":"{}","found":"{}","more_findings":{}}})",
                     json::quote(finding.what), json::quote(finding.account_id), json::quote(finding.group_id),
                     to_usd_text({finding.expected}), to_usd_text({finding.found}), more);
}

}  // namespace

Result<void> LedgerCheck::load() {
  const auto halted = database_.read<bool>([&](db::Transaction& tx) { return meta_.halted(tx); });
  if (!halted) return std::unexpected(halted.error());
  if (*halted) alarm_.raise();
  halted_ = *halted;
  return {};
}

Result<void> LedgerCheck::look() {
  const auto reason =
      database_.read<std::optional<std::string>>([&](db::Transaction& tx) { return meta_.halted_reason(tx); });
  if (!reason) return std::unexpected(reason.error());
  if (*reason == kHaltReason) {
    halted_ = true;
    alarm_.raise();
  } else if (!*reason && halted_.exchange(false)) {
    alarm_.clear();  // not one that is not stored yet: see report
  }
  return {};
}

Result<std::optional<UtcTime>> LedgerCheck::last_full_pass() {
  const auto at =
      database_.read<std::int64_t>([&](db::Transaction& tx) { return MetaStore().number(tx, kLastFullPass); });
  if (!at) return std::unexpected(at.error());
  if (*at == 0) return std::optional<UtcTime>{};
  return std::optional(from_unix_ms(*at));
}

Result<JobSummary> LedgerCheck::run(const std::stop_token& stop) {
  JobSummary summary;
  const auto last = last_full_pass();
  if (!last) return std::unexpected(last.error());
  const bool full = !*last || clock_.now() - **last >= kFullPeriod;
  const auto findings = full ? full_pass(stop, summary) : changed_accounts(stop, summary);
  if (!findings) return std::unexpected(findings.error());
  summary.count("findings", static_cast<std::int64_t>(findings->size()));
  if (!findings->empty()) summary.notes.emplace_back("ledger_invariant_failed");
  return summary;
}

Result<void> LedgerCheck::ask_full_pass() {
  return database_.run_write([](db::Transaction& tx) { return MetaStore().remove(tx, kLastFullPass); });
}

Result<std::vector<LedgerFinding>> LedgerCheck::changed_accounts(const std::stop_token& stop, JobSummary& summary) {
  auto findings = check_accounts(true, std::nullopt, stop, summary);
  if (!findings) return findings;
  if (auto told = report(*findings); !told) return std::unexpected(told.error());
  return findings;
}

Result<std::vector<LedgerFinding>> LedgerCheck::full_pass(const std::stop_token& stop, JobSummary& summary) {
  const UtcTime started = clock_.now();
  const auto last = last_full_pass();
  if (!last) return std::unexpected(last.error());
  const UtcTime usage_from = std::max(started - kUsageBack, last->value_or(UtcTime{}) - kUsageOverlap);
  auto findings = check_accounts(false, std::chrono::floor<std::chrono::hours>(usage_from), stop, summary);
  if (!findings) return findings;
  auto groups = check_groups(stop, summary);
  if (!groups) return groups;
  findings->insert(findings->end(), groups->begin(), groups->end());
  // Of one moment, so that postings between the pages above do not matter.
  const auto sum = database_.read<std::optional<std::int64_t>>([](db::Transaction& tx) {
    return tx.query_one<std::int64_t>("SELECT COALESCE(SUM(balance_micros), 0) FROM account_balances");
  });
  if (!sum) return std::unexpected(sum.error());
  if (sum->value_or(0) != 0)
    findings->push_back({.what = "balances_sum", .account_id = {}, .group_id = {}, .expected = 0, .found = **sum});
  if (auto told = report(*findings); !told) return std::unexpected(told.error());
  if (summary.stopped) return findings;
  const auto noted = database_.run_write(
      [&](db::Transaction& tx) { return MetaStore().set(tx, kLastFullPass, std::to_string(unix_ms(started))); });
  if (!noted) return std::unexpected(noted.error());
  summary.count("full_pass", 1);
  return findings;
}

Result<std::vector<LedgerFinding>> LedgerCheck::check_accounts(bool changed_only, std::optional<UtcTime> usage_from,
                                                               const std::stop_token& stop, JobSummary& summary) {
  std::vector<LedgerFinding> findings;
  std::int64_t checked = 0;
  const UtcTime now = clock_.now();
  const auto check = [&](db::Transaction& tx, const KeptBalance& kept, AccountsStep& step) -> Result<void> {
    const auto sum = store_.sum_of_lines(tx, kept.account_id);
    if (!sum) return std::unexpected(sum.error());
    if (sum->total == kept.balance_micros && sum->month) {
      step.findings.push_back({.what = "month",
                               .account_id = kept.account_id.str(),
                               .group_id = {},
                               .expected = sum->month->lines.value,
                               .found = sum->month->kept.value});
    } else if (sum->total == kept.balance_micros) {
      if (kept.version != kept.verified_version) step.verified.push_back(kept);
    } else {
      step.findings.push_back({.what = "balance",
                               .account_id = kept.account_id.str(),
                               .group_id = {},
                               .expected = sum->total.value,
                               .found = kept.balance_micros.value});
    }
    if (!usage_from) return {};
    const auto usage = store_.usage(tx, kept.account_id, *usage_from, now);
    if (!usage) return std::unexpected(usage.error());
    for (const UsageDifference& difference : *usage)
      step.findings.push_back({.what = "usage",
                               .account_id = kept.account_id.str(),
                               .group_id = difference.group_id,
                               .expected = difference.charged.value,
                               .found = difference.usage.value});
    return {};
  };
  for (AccountId after; !stop.stop_requested();) {
    // A balance and its lines in one read: no posting can come between them.
    const auto step = database_.read<AccountsStep>([&](db::Transaction& tx) -> Result<AccountsStep> {
      const auto rows = store_.balances(tx, after, changed_only, kAccountsAtOnce);
      if (!rows) return std::unexpected(rows.error());
      AccountsStep out;
      for (const KeptBalance& kept : *rows) {
        if (stop.stop_requested()) break;
        if (auto done = check(tx, kept, out); !done) return std::unexpected(done.error());
        out.last = kept.account_id;
        ++out.seen;
      }
      return out;
    });
    if (!step) return std::unexpected(step.error());
    if (!step->verified.empty()) {
      const auto marked = database_.run_write([&](db::Transaction& tx) -> Result<void> {
        for (const KeptBalance& kept : step->verified)
          if (auto done = store_.mark_verified(tx, kept.account_id, kept.version); !done) return done;
        return {};
      });
      if (!marked) return std::unexpected(marked.error());
    }
    findings.insert(findings.end(), step->findings.begin(), step->findings.end());
    checked += step->seen;
    after = step->last;
    if (step->seen < kAccountsAtOnce) break;
  }
  summary.stopped = stop.stop_requested();
  summary.count("accounts", checked);
  return findings;
}

Result<std::vector<LedgerFinding>> LedgerCheck::check_groups(const std::stop_token& stop, JobSummary& summary) {
  std::vector<LedgerFinding> findings;
  using Pages = CheckedPage<BrokenGroup>;
  const auto walk = [&](std::string_view what, const auto& page_after) -> Result<std::int64_t> {
    std::int64_t seen = 0;
    for (std::optional<std::string> after = ""; after && !stop.stop_requested();) {
      const auto page =
          database_.read<Pages>([&](db::Transaction& tx) -> Result<Pages> { return page_after(tx, *after); });
      if (!page) return std::unexpected(page.error());
      for (const BrokenGroup& group : page->broken)
        findings.push_back(
            {.what = what, .account_id = {}, .group_id = group.id, .expected = 0, .found = group.sum.value});
      seen += page->seen;
      after = page->next;
    }
    return seen;
  };
  const auto groups = walk(
      "group", [&](db::Transaction& tx, const std::string& after) { return store_.groups(tx, after, kGroupsAtOnce); });
  if (!groups) return std::unexpected(groups.error());
  const auto lines = walk("line_without_group", [&](db::Transaction& tx, const std::string& after) {
    return store_.orphans(tx, after, kLinesAtOnce);
  });
  if (!lines) return std::unexpected(lines.error());
  summary.stopped = stop.stop_requested();
  summary.count("groups", *groups);
  summary.count("lines", *lines);
  return findings;
}

Result<void> LedgerCheck::report(const std::vector<LedgerFinding>& findings) {
  if (findings.empty()) return {};
  alarm_.raise();
  for (const LedgerFinding& finding : findings)
    log::error("billing", "the ledger is not sound",
               {{"what", finding.what},
                {"account_id", finding.account_id},
                {"group_id", finding.group_id},
                {"expected_micros", finding.expected},
                {"found_micros", finding.found}});
  const UtcTime now = clock_.now();
  auto stored = database_.run_write([&](db::Transaction& tx) -> Result<void> {
    const AuditLogStore audit;
    const std::size_t audited = std::min(findings.size(), kFindingsAudited);
    for (std::size_t i = 0; i < audited; ++i) {
      const LedgerFinding& finding = findings[i];
      const bool of_account = !finding.account_id.empty();
      const auto written =
          audit.append(tx,
                       {.actor = "system:ledger_verify",
                        .action = "ledger_invariant_failed",
                        .object_type = of_account ? "account" : "ledger_group",
                        .object_id = of_account ? finding.account_id : finding.group_id,
                        .result = AuditResult::failed,
                        .reason_code = std::string(finding.what),
                        .detail = detail_of(finding, i + 1 == audited ? findings.size() - audited : 0)},
                       now, random_);
      if (!written) return std::unexpected(written.error());
    }
    const auto halted = meta_.halt(tx, kHaltReason, now);
    if (!halted) return std::unexpected(halted.error());
    if (!*halted) return {};
    const auto written = audit.append(tx,
                                      {.actor = "system:ledger_verify",
                                       .action = "billing_halted",
                                       .object_type = "billing",
                                       .reason_code = std::string(kHaltReason),
                                       .detail = fmt::format(R"({{"findings":{}}})", findings.size())},
                                      now, random_);
    if (!written) return std::unexpected(written.error());
    return {};
  });
  if (stored) halted_ = true;
  return stored;
}

Result<std::vector<RebuiltBalance>> rebuild_balances(db::Database& database, const Clock& clock, Random& random) {
  using Rebuilt = std::vector<RebuiltBalance>;
  const UtcTime now = clock.now();
  return database.write<Rebuilt>([&](db::Transaction& tx) -> Result<Rebuilt> {
    const LedgerCheckStore store;
    Rebuilt rebuilt;
    for (AccountId after;;) {
      const auto rows = store.balances(tx, after, false, kAccountsAtOnce);
      if (!rows) return std::unexpected(rows.error());
      for (const KeptBalance& kept : *rows) {
        after = kept.account_id;
        const auto sum = store.sum_of_lines(tx, kept.account_id);
        if (!sum) return std::unexpected(sum.error());
        if (sum->month)
          if (auto done = store.set_months(tx, kept.account_id); !done) return std::unexpected(done.error());
        if (sum->total == kept.balance_micros && !sum->month) continue;
        if (auto done = store.set_balance(tx, kept.account_id, sum->total, now); !done)
          return std::unexpected(done.error());
        rebuilt.push_back({.account_id = kept.account_id, .before = kept.balance_micros, .after = sum->total});
        const auto written =
            AuditLogStore().append(tx,
                                   {.actor = "system:ledger_rebuild",
                                    .action = "balances_rebuilt",
                                    .object_type = "account",
                                    .object_id = kept.account_id.str(),
                                    .detail = fmt::format(R"({{"balance_before":"{}","balance_after":"{}"}})",
                                                          to_usd_text(kept.balance_micros), to_usd_text(sum->total))},
                                   now, random);
        if (!written) return std::unexpected(written.error());
      }
      if (static_cast<std::int64_t>(rows->size()) < kAccountsAtOnce) break;
    }
    return rebuilt;
  });
}

}  // namespace ee::cp
