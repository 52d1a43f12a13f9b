#include "cp/service/ledger_check.h"

#include <gmock/gmock.h>

#include "cp/service/ledger_fixture.h"
#include "cp/store/schema.h"
#include "db/sqlite_connection.h"

namespace ee::cp {
namespace {

using Findings = std::vector<LedgerFinding>;

struct LedgerCheckTest : ledger_tests::LedgerFixture {
  LedgerCheckTest() {
    move(account, 1000);
    move(other, 500);
  }
  Findings full() {
    JobSummary summary;
    return check.full_pass({}, summary).value();
  }
  Findings changed() {
    JobSummary summary;
    return check.changed_accounts({}, summary).value();
  }
  JobSummary run() { return check.run({}).value(); }
  bool halted() {
    return db->write<bool>([](db::Transaction& tx) { return BillingMetaStore().halted(tx); }).value();
  }
  void tamper(const AccountId& id, std::int64_t micros) {
    db.execute("UPDATE account_balances SET balance_micros=:micros WHERE account_id=:id",
               {{"micros", micros}, {"id", id}});
  }
  /// As somebody would who owns the file: the guards go first.
  void without_guards(const std::string& sql) {
    if (testing::on_postgres()) {
      db.execute("ALTER TABLE transactions DISABLE TRIGGER USER");
      db.execute("ALTER TABLE ledger_groups DISABLE TRIGGER USER");
      db.execute(sql);
      return;
    }
    for (const auto& guard : db.values<std::string>(
             "SELECT name FROM sqlite_master WHERE type='trigger' AND tbl_name IN ('transactions', 'ledger_groups')"))
      db.execute("DROP TRIGGER " + guard);
    db.execute(sql);
  }
  void use(const std::string& segment, UtcTime hour, std::int64_t micros, const std::string& group) {
    db.execute(
        "INSERT INTO usage_charges (account_id, hour_start_at, segment_id, deployment_id, billed_ms, gross_micros, "
        "operator_micros, pool_micros, group_id) VALUES (:account, :hour, :segment, 'd', 1000, :micros, 0, 0, :group)",
        {{"account", account}, {"hour", hour}, {"segment", segment}, {"micros", micros}, {"group", group}});
  }

  AccountId other = testing::add_test_account(db, 2);
  LedgerCheck check{db, clock, random, alarm};
};

TEST_F(LedgerCheckTest, ASoundLedgerHasNoFindings) {
  EXPECT_TRUE(full().empty());
  EXPECT_FALSE(alarm.raised());
  EXPECT_FALSE(halted());
  EXPECT_EQ(db.value<std::int64_t>("SELECT COUNT(*) FROM account_balances WHERE version<>verified_version"), 0);
}

// covers: S04_LED_009
TEST_F(LedgerCheckTest, ATamperedBalanceHaltsBilling) {
  ASSERT_TRUE(full().empty());
  tamper(account, 999'999);
  EXPECT_TRUE(changed().empty());  // its version says that nothing happened: the full pass is there for that
  const Findings expected = {
      {.what = "balance", .account_id = account.str(), .group_id = {}, .expected = 1000, .found = 999'999},
      {.what = "balances_sum", .account_id = {}, .group_id = {}, .expected = 0, .found = 998'999}};
  EXPECT_EQ(full(), expected);
  EXPECT_TRUE(halted());
  EXPECT_TRUE(alarm.raised());
  EXPECT_THAT(metrics.text(), ::testing::HasSubstr("ee_ledger_invariant_failed 1"));
  EXPECT_EQ(audits("ledger_invariant_failed"), 2);
  EXPECT_EQ(audits("billing_halted"), 1);
  EXPECT_THAT(db.value<std::string>("SELECT detail FROM audit_log WHERE reason_code='balance'"),
              ::testing::AllOf(::testing::HasSubstr("0.001000"), ::testing::HasSubstr("0.999999")));
  EXPECT_EQ(balance(account), 999'999);  // nothing is repaired silently
  full();
  EXPECT_EQ(audits("billing_halted"), 1);  // it was halted already
}

TEST_F(LedgerCheckTest, TheHourlyRunLooksAtChangedAccountsAndTheDailyOneAtAll) {
  EXPECT_EQ(run().value("full_pass"), 1);
  clock.advance(Seconds(3600));
  move(account, 5);
  JobSummary hourly = run();
  EXPECT_EQ(hourly.value("full_pass"), 0);
  EXPECT_EQ(hourly.value("accounts"), 2);  // the account and the grants
  EXPECT_EQ(run().value("accounts"), 0);
  move(account, 5);
  tamper(account, 7);
  hourly = run();
  EXPECT_EQ(hourly.value("findings"), 1);
  EXPECT_EQ(hourly.notes, std::vector<std::string>{"ledger_invariant_failed"});
  EXPECT_TRUE(halted());
  clock.advance(Seconds(23 * 3600));
  EXPECT_EQ(run().value("full_pass"), 1);
}

TEST_F(LedgerCheckTest, LinesThatWereChangedOrRemovedAreFound) {
  const std::string group = db.value<std::string>("SELECT group_id FROM transactions WHERE amount_micros=1000");
  without_guards("UPDATE transactions SET amount_micros=1001 WHERE amount_micros=1000");
  EXPECT_THAT(full(),
              ::testing::UnorderedElementsAre(
                  LedgerFinding{
                      .what = "balance", .account_id = account.str(), .group_id = {}, .expected = 1001, .found = 1000},
                  LedgerFinding{.what = "group", .account_id = {}, .group_id = group, .expected = 0, .found = 1}));
}

TEST_F(LedgerCheckTest, ALineWithoutItsHeaderIsFound) {
  EE_SKIP_ON_POSTGRES("its foreign keys can be switched off");
  const std::string group = db.value<std::string>("SELECT group_id FROM transactions WHERE amount_micros=500");
  // Foreign keys are checked at the end of the write, so the lines are moved to a group that is then made and removed.
  without_guards("UPDATE transactions SET amount_micros=amount_micros WHERE 0");
  db.sqlite().with_maintenance([&](db::SqliteConnection& connection) {
    ASSERT_TRUE(connection.script("PRAGMA foreign_keys=OFF; DELETE FROM ledger_groups WHERE id='" + group +
                                  "'; PRAGMA foreign_keys=ON;"));
  });
  const Findings found = full();
  ASSERT_EQ(found.size(), 2U);
  for (const LedgerFinding& finding : found) EXPECT_EQ(finding.what, "line_without_group");
  EXPECT_TRUE(halted());
}

TEST_F(LedgerCheckTest, UsageThatIsNotWhatWasChargedIsFound) {
  const UtcTime hour = clock.now();
  clock.advance(Seconds(4000));
  const auto posted = post(
      {.kind = LedgerKind::usage,
       .idempotency_key = "usage:1",
       .lines = {{account, -30, TransactionType::charge}, {kPlatformAccount, 30, TransactionType::platform_revenue}},
       .period_start = hour,
       .actor = "system:hourly_charging"});
  ASSERT_TRUE(posted);
  use("s1", hour, 10, posted->group_id);
  use("s2", hour, 20, posted->group_id);
  EXPECT_TRUE(full().empty());
  use("s3", hour, 7, posted->group_id);
  const Findings expected = {
      {.what = "usage", .account_id = account.str(), .group_id = posted->group_id, .expected = 30, .found = 37}};
  EXPECT_EQ(full(), expected);
  db.execute("DELETE FROM usage_charges");
  EXPECT_EQ(full().at(0).found, 0);
}

TEST_F(LedgerCheckTest, AStopLeavesTheFullPassUndone) {
  std::stop_source stop;
  stop.request_stop();
  JobSummary summary;
  ASSERT_TRUE(check.full_pass(stop.get_token(), summary));
  EXPECT_TRUE(summary.stopped);
  EXPECT_EQ(run().value("full_pass"), 1);
}

TEST_F(LedgerCheckTest, AHaltIsKnownAfterARestart) {
  tamper(account, 1);
  full();
  LedgerAlarm fresh(metrics);
  LedgerCheck restarted(db, clock, random, fresh);
  EXPECT_FALSE(fresh.raised());
  ASSERT_TRUE(restarted.load());
  EXPECT_TRUE(fresh.raised());
}

TEST_F(LedgerCheckTest, AHaltAndItsEndReachTheOtherReplica) {
  LedgerAlarm elsewhere(metrics);
  LedgerCheck other(db, clock, random, elsewhere);
  ASSERT_TRUE(other.look());
  EXPECT_FALSE(elsewhere.raised());
  tamper(account, 1);
  full();
  ASSERT_TRUE(other.look());
  EXPECT_TRUE(elsewhere.raised());
  ASSERT_TRUE(check.look());
  EXPECT_TRUE(alarm.raised());
  const auto resumed = db->write<bool>([](db::Transaction& tx) { return BillingMetaStore().resume(tx); });
  ASSERT_TRUE(resumed && *resumed);
  ASSERT_TRUE(other.look());
  EXPECT_FALSE(elsewhere.raised());
  ASSERT_TRUE(check.look());
  EXPECT_FALSE(alarm.raised()) << "also where it was found";
  ASSERT_TRUE(db->run_write([](db::Transaction& tx) -> Result<void> {
    if (auto halted = BillingMetaStore().halt(tx, "clock_leapt", from_unix_ms(0)); !halted)
      return std::unexpected(halted.error());
    return {};
  }));
  ASSERT_TRUE(other.look());
  EXPECT_FALSE(elsewhere.raised()) << "another reason says nothing of the ledger";
}

TEST_F(LedgerCheckTest, RebuildingTakesTheBalancesFromTheLines) {
  tamper(account, 999'999);
  tamper(kGrantsAccount, 0);
  const auto rebuilt = rebuild_balances(db, clock, random);
  ASSERT_TRUE(rebuilt);
  ASSERT_EQ(rebuilt->size(), 2U);
  EXPECT_EQ(balance(account), 1000);
  EXPECT_EQ(balance(kGrantsAccount), -1500);
  EXPECT_EQ(audits("balances_rebuilt"), 2);
  EXPECT_TRUE(full().empty());
  EXPECT_TRUE(rebuild_balances(db, clock, random)->empty());
}

TEST_F(LedgerCheckTest, AMonthThatIsNotTheSumOfItsLinesIsFoundAndRebuilt) {
  clock.advance(std::chrono::days(40));
  move(account, 7);
  ASSERT_TRUE(full().empty());
  db.execute("UPDATE account_months SET amount_micros=amount_micros+1 WHERE account_id=:id AND amount_micros=1000",
             {{"id", account}});
  const Findings wrong = {
      {.what = "month", .account_id = account.str(), .group_id = {}, .expected = 1000, .found = 1001}};
  EXPECT_EQ(full(), wrong);
  EXPECT_TRUE(halted());
  EXPECT_EQ(rebuild_balances(db, clock, random)->size(), 1U);
  EXPECT_EQ(balance(account), 1007);
  EXPECT_TRUE(full().empty());

  db.execute("DELETE FROM account_months WHERE account_id=:id AND amount_micros=7", {{"id", account}});
  db.execute("INSERT INTO account_months (account_id, month_start_at, amount_micros) VALUES (:id, 0, 7)",
             {{"id", account}});
  EXPECT_EQ(full().at(0).what, "month") << "neither one that is missing nor one without lines passes";
  EXPECT_EQ(rebuild_balances(db, clock, random)->size(), 1U);
  EXPECT_TRUE(full().empty());
}

TEST_F(LedgerCheckTest, ALongHistoryIsSummedInParts) {
  for (int month = 0; month < 30; ++month) {
    clock.advance(std::chrono::days(20));
    move(account, 3);
  }
  EXPECT_TRUE(full().empty());
  EXPECT_EQ(balance(account), 1090);
}

}  // namespace
}  // namespace ee::cp
