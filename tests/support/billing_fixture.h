#pragma once
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/fake_clock.h"
#include "common/metrics.h"
#include "common/random.h"
#include "cp/service/billing.h"
#include "cp/service/charging.h"
#include "cp/service/funds.h"
#include "tests/support/test_accounts.h"

namespace ee::testing {

/// Deployments as billing sees them: what runs, what was asked to stop.
class FakeDeployments final : public cp::BillableDeployments {
 public:
  Result<UsdMicros> pending_burn(db::Transaction&, const AccountId& account) const override {
    const auto found = pending.find(account);
    return found == pending.end() ? UsdMicros{} : found->second;
  }
  Result<std::vector<DeploymentId>> running(db::Transaction&, const AccountId& account,
                                            std::int64_t limit) const override {
    std::vector<DeploymentId> out;
    const auto found = live.find(account);
    if (found == live.end()) return out;
    for (auto id = found->second.rbegin(); id != found->second.rend() && std::ssize(out) < limit; ++id)
      out.push_back(*id);
    return out;
  }
  Result<void> request_stop(const DeploymentId& deployment, std::string_view reason, std::string_view actor) override {
    if (stops_until_crash == 0) return fail(ErrorCode::internal_error, "crash");
    if (stuck == deployment) return fail(ErrorCode::internal_error, "stuck");
    if (stops_until_crash > 0) --stops_until_crash;
    asked.push_back(deployment);
    why.push_back(std::string(reason) + " " + std::string(actor));
    for (auto& [account, ids] : live) std::erase(ids, deployment);
    return {};
  }

  std::map<AccountId, UsdMicros> pending;
  std::map<AccountId, std::vector<DeploymentId>> live;  ///< oldest first
  std::vector<DeploymentId> asked;
  std::vector<std::string> why;
  int stops_until_crash = -1;
  std::optional<DeploymentId> stuck;  ///< one that cannot be stopped
};

/// Shares by app, from a time on.
class FakeShares final : public cp::ShareSource {
 public:
  Result<std::map<std::string, cp::ShareSet>> shares_at(db::Transaction&, const std::vector<std::string>& app_ids,
                                                        UtcTime hour) const override {
    std::map<std::string, cp::ShareSet> out;
    for (const std::string& app : app_ids) {
      const auto sets = by_app.find(app);
      if (sets == by_app.end()) continue;
      const auto after = sets->second.upper_bound(hour);
      if (after != sets->second.begin()) out[app] = std::prev(after)->second;
    }
    return out;
  }
  std::map<std::string, std::map<UtcTime, cp::ShareSet>> by_app;
};

/// Billing over a real database, with a clock that the test moves. Deployments and shares are fakes.
class BillingTest : public ::testing::Test {
 protected:
  static constexpr std::int64_t kUsd = 1'000'000;

  BillingTest() { clock_.set_auto_advance(true); }

  AccountId add_account(int n, std::int64_t balance = 0) {
    const AccountId id = add_test_account(db_, n);
    if (balance != 0)
      db_.execute("UPDATE account_balances SET balance_micros=:balance WHERE account_id=:id",
                  {{"balance", balance}, {"id", id}});
    return id;
  }
  static DeploymentId deployment_id(int n) {
    const std::string digits = std::to_string(100000 + n).substr(1);
    return DeploymentId("01900000-0000-7000-9000-0000000" + digits);
  }
  cp::RunningDeployment deployment(int n, const AccountId& account) const {
    return {.deployment_id = deployment_id(n),
            .account_id = account,
            .agent_id = AgentId("01900000-0000-7000-a000-000000000001"),
            .resources = {.vcpus = 4, .memory_mib = 4096, .datacenter = "gcp:a"}};
  }
  void open(const cp::RunningDeployment& deployment, std::optional<UtcTime> at = {}) {
    const auto done = db_->run_write(
        [&](db::Transaction& tx) { return billing_.open_segment(tx, deployment, at.value_or(clock_.now())); });
    ASSERT_TRUE(done) << slug(done.error().code) << ": " << done.error().detail;
  }
  void close(int n, std::optional<UtcTime> at = {}) {
    const auto done = db_->run_write(
        [&](db::Transaction& tx) { return billing_.close_segment(tx, deployment_id(n), at.value_or(clock_.now())); });
    ASSERT_TRUE(done) << slug(done.error().code) << ": " << done.error().detail;
  }
  /// A segment as it lies in the table; for what open_segment would not make.
  struct Raw {
    AccountId account;
    std::int64_t rate = 180'000;
    UtcTime from = {};
    std::optional<UtcTime> to = {};
    std::optional<AccountId> owner = {};
    std::optional<std::string> app = {};
    std::int64_t operator_bps = 7000;
    std::int64_t pool_bps = 5000;
  };
  std::string insert(int n, const Raw& raw) {
    const std::string id = "01900000-0000-7000-b000-0000000" + std::to_string(100000 + n).substr(1);
    const auto done = db_->run_write([&](db::Transaction& tx) -> Result<void> {
      if (auto begun = cp::ChargeStore().begin_at(tx, cp::hour_of(raw.from)); !begun) return begun;
      return cp::SegmentStore().open(tx, {.id = id,
                                          .deployment_id = deployment_id(n),
                                          .seq = 1,
                                          .account_id = raw.account,
                                          .agent_id = AgentId("01900000-0000-7000-a000-000000000001"),
                                          .agent_account_id = raw.owner,
                                          .app_id = raw.app,
                                          .vcpus = 4,
                                          .memory_mib = 4096,
                                          .machine_class = "default",
                                          .datacenter = "gcp:a",
                                          .rate_micros = {raw.rate},
                                          .rate_version = 1,
                                          .operator_bps = raw.operator_bps,
                                          .pool_bps = raw.pool_bps,
                                          .from_at = raw.from,
                                          .to_at = raw.to,
                                          .charged_to_at = raw.from});
    });
    EXPECT_TRUE(done) << done.error().detail;
    return id;
  }

  cp::Charging charging(std::function<Result<void>(cp::ChargeStep)> before_step = {}) {
    return cp::Charging({.database = *db_,
                         .shares = shares_,
                         .clock = clock_,
                         .random = random_,
                         .settings = [this] { return settings_; },
                         .metrics = metrics_,
                         .before_step = std::move(before_step)});
  }
  cp::JobSummary charge() {
    cp::Charging pass = charging();
    const auto done = pass.run({}, {});
    EXPECT_TRUE(done) << slug(done.error().code) << ": " << done.error().detail;
    return done.value_or(cp::JobSummary{});
  }
  /// Batches of exactly `rows`.
  void set_batch(std::int64_t rows) {
    settings_.batch_rows = settings_.batch_rows_min = settings_.batch_rows_max = rows;
  }
  std::int64_t balance(const AccountId& account) {
    return db_.value<std::int64_t>("SELECT balance_micros FROM account_balances WHERE account_id=:id",
                                   {{"id", account}});
  }
  std::int64_t number(std::string_view sql, const db::Params& params = {}) {
    return db_.value<std::int64_t>(sql, params);
  }
  std::int64_t audit_rows(const std::string& action) {
    return number("SELECT COUNT(*) FROM audit_log WHERE action=:action", {{"action", action}});
  }
  /// `account type amount` of every ledger line, summed over groups.
  std::vector<std::string> totals() {
    return db_.values<std::string>(
        "SELECT account_id || ' ' || tx_type || ' ' || SUM(amount_micros) FROM transactions "
        "GROUP BY account_id, tx_type ORDER BY 1");
  }
  /// What must hold after every charge: each group sums to zero, balances are sums, usage is what was charged, parts
  /// are within the whole.
  void expect_sound() {
    EXPECT_EQ(number("SELECT COUNT(*) FROM (SELECT group_id FROM transactions GROUP BY group_id "
                     "HAVING SUM(amount_micros)<>0) AS unbalanced"),
              0);
    EXPECT_EQ(number("SELECT COUNT(*) FROM account_balances b WHERE version>0 AND balance_micros<>(SELECT "
                     "COALESCE(SUM(amount_micros), 0) FROM transactions t WHERE t.account_id=b.account_id)"),
              0);
    EXPECT_EQ(number("SELECT COALESCE(SUM(gross_micros), 0) FROM usage_charges"),
              number("SELECT COALESCE(-SUM(amount_micros), 0) FROM transactions WHERE tx_type='charge'"));
    EXPECT_EQ(number("SELECT COALESCE(SUM(gross_micros), 0) FROM usage_charges"),
              number("SELECT COALESCE(SUM(charged_micros), 0) FROM deployment_segments"));
    EXPECT_EQ(number("SELECT COALESCE(SUM(gross_micros), 0) FROM usage_charges"),
              number("SELECT COALESCE(SUM(gross_micros), 0) FROM billing_hours"));
    EXPECT_EQ(number("SELECT COUNT(*) FROM usage_charges WHERE operator_micros+pool_micros>gross_micros"), 0);
  }

  FakeClock clock_;
  SystemRandom random_;
  TestDatabase db_;
  metrics::Registry registry_;
  cp::BillingMetrics metrics_{registry_, clock_};
  cp::BillingSettings settings_;
  FakeShares shares_;
  FakeDeployments deployments_;
  cp::RateCards rates_{clock_};
  cp::Billing billing_{
      {.rates = rates_, .deployments = deployments_, .clock = clock_, .random = random_, .settings = [this] {
         return settings_;
       }}};
};

}  // namespace ee::testing
