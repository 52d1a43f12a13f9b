#include "cp/service/account_money.h"

#include <gmock/gmock.h>

#include "cp/service/ledger_fixture.h"
#include "cp/store/segment_store.h"
#include "tests/support/query_plan.h"

namespace ee::cp {
namespace {

using ee::testing::PlanRow;

UtcTime at(const char* text) { return parse_rfc3339(text).value(); }

struct AccountMoneyTest : ledger_tests::LedgerFixture {
  AccountMoneyTest() { account = testing::add_test_account(db, 7, 0, "active", at("2025-11-15T00:00:00Z")); }

  void segment(const std::string& id, std::int64_t rate, UtcTime from, std::optional<UtcTime> to, UtcTime charged_to,
               int settled = 0) {
    db.execute(
        "INSERT INTO deployment_segments (id, deployment_id, seq, account_id, agent_id, vcpus, memory_mib, gpu_count, "
        "sla_class, datacenter, rate_micros, rate_version, operator_bps, pool_bps, from_at, to_at, charged_to_at, "
        "settled) VALUES (:id, :id, 1, :account, 'a', 1, 1, 0, 'adhoc', 'gcp:z', :rate, 1, 0, 0, :from, :to, :charged, "
        ":settled)",
        {{"id", id},
         {"account", account},
         {"rate", rate},
         {"from", from},
         {"to", to},
         {"charged", charged_to},
         {"settled", settled}});
  }
  void used(UtcTime hour, const std::string& segment, const std::string& app, std::int64_t ms, std::int64_t micros) {
    db.execute(
        "INSERT INTO usage_charges (account_id, hour_start_at, segment_id, deployment_id, app_id, billed_ms, "
        "gross_micros, operator_micros, pool_micros, group_id) VALUES (:account, :hour, :segment, :segment, :app, :ms, "
        ":micros, 0, 0, 'g')",
        {{"account", account},
         {"hour", hour},
         {"segment", segment},
         {"app", app.empty() ? std::optional<std::string>() : std::optional(app)},
         {"ms", ms},
         {"micros", micros}});
  }
  void move_at(const char* time, std::int64_t micros, TransactionType type = TransactionType::credit,
               const std::string& description = "") {
    clock.set_utc(at(time));
    move(account, micros, type, description);
  }
  std::string statement(const std::string& month, StatementFormat format = StatementFormat::json) {
    auto reader = money.statement(account, month, format);
    if (!reader) return std::string(slug(reader.error().code));
    std::string text;
    pieces = 0;
    while (!reader->ended()) {
      text += reader->next().value();
      ++pieces;
    }
    return text;
  }

  int pieces = 0;  ///< of the last statement
  CursorCodec cursors{bytes_of("secret")};
  AccountMoney money{db, clock, cursors};
};

TEST_F(AccountMoneyTest, TheBalanceCountsWhatIsUsedButNotCharged) {
  const UtcTime now = clock.now();
  move(account, 1'000'000);
  segment("open", 180'000, now - Seconds(5400), std::nullopt, now - Seconds(5400));           // 1.5 h: 270000
  segment("closed", 360'000, now - Seconds(7200), now - Seconds(3600), now - Seconds(5400));  // 0.5 h: 180000
  segment("aside", 100, now - Seconds(3600), now, now - Seconds(3600), 2);                    // set aside, still owed
  segment("settled", 999'999, now - Seconds(7200), now, now - Seconds(7200), 1);
  segment("ahead", 50, now + Seconds(60), std::nullopt, now + Seconds(60));  // the clock stepped back
  const auto view = money.balance(account);
  ASSERT_TRUE(view) << view.error().detail;
  EXPECT_EQ(view->balance.value, 1'000'000);
  EXPECT_EQ(view->accrued.value, 270'000 + 180'000 + 100);
  EXPECT_EQ(view->available.value, 549'900);
  EXPECT_EQ(view->burn_per_hour.value, 180'050);
  EXPECT_EQ(view->runway_hours, 3);
  EXPECT_EQ(view->billing_state, "ok");
  EXPECT_EQ(view->computed_at, now);
}

TEST_F(AccountMoneyTest, ABalanceLooksAtNoSegmentThatWasChargedLongAgo) {
  EE_SKIP_ON_POSTGRES("it is SQLite's plan");
  int seeks = 0;
  for (const PlanRow& step : db.values<PlanRow>("EXPLAIN QUERY PLAN " + SegmentStore::use_sql(),
                                                {{"account", account}, {"now", clock.now()}})) {
    if (step.detail.find("deployment_segments") == std::string::npos) continue;
    ++seeks;
    const bool by_account = step.detail.find("deployment_segments_live (account_id=?)") != std::string::npos;
    const bool of_the_few_aside = step.detail.find("deployment_segments_failed") != std::string::npos;
    EXPECT_TRUE(by_account || of_the_few_aside) << step.detail;
  }
  EXPECT_EQ(seeks, 2);
}

TEST_F(AccountMoneyTest, WithoutWorkThereIsNoRunwayAndWithoutMoneyItIsZero) {
  EXPECT_EQ(money.balance(account)->runway_hours, std::nullopt);
  // A year without charging at the highest rate: 876,000,000 dollars, within 64 bits on the way.
  segment("old", 100'000'000'000, clock.now() - std::chrono::days(365), std::nullopt,
          clock.now() - std::chrono::days(365));
  const auto view = money.balance(account);
  EXPECT_EQ(view->accrued.value, 876'000'000'000'000);
  EXPECT_EQ(view->available.value, -876'000'000'000'000);
  EXPECT_EQ(view->runway_hours, 0);
}

TEST_F(AccountMoneyTest, TheCreditLimitIsAvailable) {
  const AccountId trusted = testing::add_test_account(db, 8, 5'000'000);
  EXPECT_EQ(money.balance(trusted)->available.value, 5'000'000);
  EXPECT_EQ(money.balance(trusted)->credit_limit.value, 5'000'000);
}

TEST_F(AccountMoneyTest, AccountsOfTheSystemAndUnknownOnesAreNotFound) {
  for (const AccountId& id : {kPlatformAccount, AccountId("nobody")}) {
    EXPECT_EQ(money.balance(id).error().code, ErrorCode::account_not_found);
    EXPECT_EQ(money.transactions(id, {}, {}).error().code, ErrorCode::account_not_found);
    EXPECT_EQ(money.usage(id, {}, {}, UsageGroup::day).error().code, ErrorCode::account_not_found);
    EXPECT_EQ(money.statements(id, {}).error().code, ErrorCode::account_not_found);
    EXPECT_EQ(money.statement(id, "2026-01", StatementFormat::json).error().code, ErrorCode::account_not_found);
  }
}

TEST_F(AccountMoneyTest, TransactionsAreNewestFirstInPages) {
  for (int i = 1; i <= 5; ++i) {
    clock.advance(Seconds(60));
    move(account, i, i == 3 ? TransactionType::deposit : TransactionType::credit);
  }
  std::vector<std::int64_t> seen;
  PageRequest page{.limit = 2};
  for (bool more = true; more;) {
    const auto got = money.transactions(account, {}, page);
    ASSERT_TRUE(got);
    for (const TransactionView& line : got->items) seen.push_back(line.amount.value);
    more = got->next_cursor.has_value();
    if (more) page.after = cursors.decode("transactions", *got->next_cursor).value();
  }
  EXPECT_EQ(seen, (std::vector<std::int64_t>{5, 4, 3, 2, 1}));
  const auto deposits = money.transactions(account, {.type = TransactionType::deposit}, {});
  ASSERT_EQ(deposits->items.size(), 1U);
  EXPECT_EQ(deposits->items[0].amount.value, 3);
  const UtcTime last = clock.now();
  EXPECT_EQ(money.transactions(account, {.from = last - Seconds(60), .to = last}, {})->items.at(0).amount.value, 4);
}

TEST_F(AccountMoneyTest, UsageIsSummedByHourDayDeploymentOrApp) {
  const UtcTime day = at("2026-01-10T00:00:00Z");
  clock.set_utc(at("2026-01-12T00:00:00Z"));
  used(day, "d1", "app", 3'600'000, 100);
  used(day + Seconds(3600), "d1", "app", 1'800'000, 50);
  used(day + Seconds(3600), "d2", "", 500, 7);
  used(day + std::chrono::days(1), "d2", "", 1'500, 9);
  db.execute(
      "INSERT INTO usage_daily (account_id, day_start_at, deployment_id, app_id, billed_ms, gross_micros) VALUES "
      "(:account, :day, 'd3', 'app', 60000, 1000)",
      {{"account", account}, {"day", day - std::chrono::days(1)}});
  const auto usage = [&](UsageGroup group, std::optional<UtcTime> from = {}) {
    std::vector<std::string> text;
    const auto view = money.usage(account, from, {}, group);
    if (!view) return std::vector<std::string>{std::string(slug(view.error().code))};
    for (const UsageItem& item : view->items)
      text.push_back((item.period_start_at ? to_rfc3339(*item.period_start_at) : "") + item.deployment_id.value_or("") +
                     item.app_id.value_or("") + " " + std::to_string(item.billed_seconds) + " " +
                     std::to_string(item.amount.value));
    text.push_back("total " + std::to_string(view->total.value));
    return text;
  };
  using Lines = std::vector<std::string>;
  EXPECT_EQ(usage(UsageGroup::hour, day),
            (Lines{"2026-01-10T00:00:00.000Z 3600 100", "2026-01-10T01:00:00.000Z 1800 57",
                   "2026-01-11T00:00:00.000Z 1 9", "total 166"}));
  EXPECT_EQ(usage(UsageGroup::day), (Lines{"2026-01-09T00:00:00.000Z 60 1000", "2026-01-10T00:00:00.000Z 5400 157",
                                           "2026-01-11T00:00:00.000Z 1 9", "total 1166"}));
  EXPECT_EQ(usage(UsageGroup::deployment), (Lines{"d1 5400 150", "d2 2 16", "d3 60 1000", "total 1166"}));
  EXPECT_EQ(usage(UsageGroup::app), (Lines{" 2 16", "app 5460 1150", "total 1166"}));
}

TEST_F(AccountMoneyTest, UsageIsBoundedInTimeAndGroups) {
  const UtcTime now = at("2026-06-01T00:00:00Z");
  clock.set_utc(now);
  EXPECT_TRUE(money.usage(account, now - std::chrono::days(92), now, UsageGroup::day));
  EXPECT_EQ(money.usage(account, now - std::chrono::days(92) - Milliseconds(1), now, UsageGroup::day).error().code,
            ErrorCode::range_too_large);
  EXPECT_EQ(money.usage(account, now + Seconds(1), now, UsageGroup::day).error().code, ErrorCode::invalid_request);
  db.execute(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5001) INSERT INTO usage_charges "
      "(account_id, hour_start_at, segment_id, deployment_id, billed_ms, gross_micros, operator_micros, pool_micros, "
      "group_id) SELECT :account, :hour, i, i, 1, 1, 0, 0, 'g' FROM n",
      {{"account", account}, {"hour", now - Seconds(3600)}});
  EXPECT_EQ(money.usage(account, {}, {}, UsageGroup::deployment).error().code, ErrorCode::range_too_large);
  db.execute("DELETE FROM usage_charges WHERE segment_id='5001'");
  EXPECT_EQ(money.usage(account, {}, {}, UsageGroup::deployment)->items.size(), 5000U);
}

// covers: S04_STMT_001
TEST_F(AccountMoneyTest, AStatementRunsFromItsOpeningToItsClosingBalance) {
  move_at("2025-12-20T00:00:00Z", 10'000'000);
  move_at("2026-01-05T10:00:00Z", 500'000, TransactionType::deposit);
  move_at("2026-01-06T10:00:00Z", -2'000'000, TransactionType::charge, "hour");
  move_at("2026-01-06T11:00:00Z", -1'000'001, TransactionType::charge);
  move_at("2026-02-01T10:00:00Z", 9, TransactionType::credit);
  const auto read = json::read<StatementView>(statement("2026-01"));
  ASSERT_TRUE(read) << read.error().detail;
  EXPECT_EQ(read->account_id, account.str());
  EXPECT_EQ(read->month, "2026-01");
  EXPECT_TRUE(read->complete);
  EXPECT_EQ(read->opening_balance.value, 10'000'000);
  std::vector<std::int64_t> running;
  for (const StatementLine& line : read->lines) running.push_back(line.balance.value);
  EXPECT_EQ(running, (std::vector<std::int64_t>{10'500'000, 8'500'000, 7'499'999}));
  EXPECT_EQ(read->lines.at(1).description, "hour");
  EXPECT_EQ(read->totals, (std::map<std::string, UsdMicros>{{"charge", {-3'000'001}}, {"deposit", {500'000}}}));
  EXPECT_EQ(read->closing_balance.value, 7'499'999);
  const auto empty = json::read<StatementView>(statement("2025-11"));
  ASSERT_TRUE(empty);
  EXPECT_TRUE(empty->lines.empty());
  EXPECT_EQ(empty->closing_balance.value, 0);
  EXPECT_FALSE(json::read<StatementView>(statement("2026-02"))->complete);
}

// covers: S04_STMT_002
TEST_F(AccountMoneyTest, AMonthBeginsAndEndsAtMidnightUtc) {
  move_at("2025-12-31T23:59:59.999Z", 1);
  move_at("2026-01-01T00:00:00.000Z", 10);
  move_at("2026-01-31T23:59:59.999Z", 100);
  move_at("2026-02-01T00:00:00.000Z", 1000);
  struct Row {
    const char* month;
    std::int64_t opening, closing;
    std::size_t lines;
  };
  for (const Row& row : {Row{"2025-12", 0, 1, 1}, Row{"2026-01", 1, 111, 2}, Row{"2026-02", 111, 1111, 1}}) {
    const auto read = json::read<StatementView>(statement(row.month));
    ASSERT_TRUE(read) << row.month;
    EXPECT_EQ(read->opening_balance.value, row.opening) << row.month;
    EXPECT_EQ(read->closing_balance.value, row.closing) << row.month;
    EXPECT_EQ(read->lines.size(), row.lines) << row.month;
  }
  for (const char* unknown : {"2026-03", "2025-10", "2026-1", "january", "2026-13", ""})
    EXPECT_EQ(statement(unknown), "statement_not_found") << unknown;
}

TEST_F(AccountMoneyTest, AStatementOpensWithoutLookingAtEarlierLines) {
  EE_SKIP_ON_POSTGRES("it is SQLite's plan");
  const auto plan = db.values<PlanRow>("EXPLAIN QUERY PLAN " + std::string(LedgerQueryStore::sum_of_months_sql()),
                                       {{"account", account}, {"from", UtcTime::min()}, {"before", clock.now()}});
  ASSERT_EQ(plan.size(), 1U);
  EXPECT_THAT(plan[0].detail, ::testing::HasSubstr("SEARCH account_months USING PRIMARY KEY (account_id=? AND month"));
}

TEST_F(AccountMoneyTest, ALineThatAClockPutIntoAnEarlierMonthCountsThere) {
  move_at("2026-01-10T00:00:00Z", 1);
  move_at("2026-02-10T00:00:00Z", 10);
  move_at("2026-01-31T23:00:00Z", 100);  // the clock went back
  move_at("2026-03-01T00:00:00Z", 1000);
  struct Row {
    const char* month;
    std::int64_t opening, closing;
  };
  for (const Row& row : {Row{"2026-01", 0, 101}, Row{"2026-02", 101, 111}, Row{"2026-03", 111, 1111}}) {
    const auto read = json::read<StatementView>(statement(row.month));
    ASSERT_TRUE(read) << row.month;
    EXPECT_EQ(read->opening_balance.value, row.opening) << row.month;
    EXPECT_EQ(read->closing_balance.value, row.closing) << row.month;
  }
}

// covers: S04_STMT_003
TEST_F(AccountMoneyTest, TheCsvQuotesAndDisarmsFreeText) {
  clock.set_utc(at("2026-01-05T10:00:00Z"));
  const auto posted = post(
      {.kind = LedgerKind::credit,
       .idempotency_key = "k",
       .lines = {{account, 1'000'000, TransactionType::credit}, {kGrantsAccount, -1'000'000, TransactionType::credit}},
       .reference_type = "external",
       .reference_id = "@ref",
       .description = "=HYPERLINK(\"http://x\",\"a\nb\")",
       .actor = "admin:a"});
  ASSERT_TRUE(posted);
  clock.advance(Seconds(1));
  move(account, -5, TransactionType::charge, "plain, with a comma");
  const auto ids =
      db.values<std::string>("SELECT id FROM transactions WHERE account_id=:a ORDER BY created_at", {{"a", account}});
  const auto groups = db.values<std::string>(
      "SELECT group_id FROM transactions WHERE account_id=:a ORDER BY created_at", {{"a", account}});
  const std::string expected =
      "row,created_at,id,group_id,tx_type,amount,balance,period_start_at,reference_type,reference_id,description\r\n"
      "opening,,,,,,0.000000,,,,\r\n"
      "line,2026-01-05T10:00:00.000Z," +
      ids.at(0) + "," + groups.at(0) +
      ",credit,1.000000,1.000000,,external,'@ref,\"'=HYPERLINK(\"\"http://x\"\",\"\"a\nb\"\")\"\r\n"
      "line,2026-01-05T10:00:01.000Z," +
      ids.at(1) + "," + groups.at(1) +
      ",charge,-0.000005,0.999995,,,,\"plain, with a comma\"\r\n"
      "total,,,,charge,-0.000005,,,,,\r\n"
      "total,,,,credit,1.000000,,,,,\r\n"
      "closing,,,,,,0.999995,,,,\r\n";
  EXPECT_EQ(statement("2026-01", StatementFormat::csv), expected);
}

TEST_F(AccountMoneyTest, AStatementOfManyPagesLosesNoLine) {
  clock.set_utc(at("2026-01-05T10:00:00Z"));
  // 2,500 lines, many in one millisecond, as a busy hour makes them.
  ASSERT_TRUE(db->run_write([&](db::Transaction& tx) -> Result<void> {
    const LedgerStore store(random);
    for (int i = 0; i < 2500; ++i) {
      const auto posted = store.post(
          tx,
          {.kind = LedgerKind::usage,
           .idempotency_key = "usage:" + std::to_string(i),
           .lines = {{account, -1, TransactionType::charge}, {kPlatformAccount, 1, TransactionType::platform_revenue}},
           .actor = "system:hourly_charging"},
          clock.now() + Milliseconds(i / 700));
      if (!posted) return std::unexpected(posted.error());
    }
    return {};
  }));
  const auto read = json::read<StatementView>(statement("2026-01"));
  ASSERT_TRUE(read);
  EXPECT_EQ(pieces, 3) << "no more than 1,000 lines are held at once";
  EXPECT_EQ(read->lines.size(), 2500U);
  EXPECT_EQ(read->closing_balance.value, -2500);
  for (std::size_t i = 0; i < read->lines.size(); ++i)
    ASSERT_EQ(read->lines[i].balance.value, -static_cast<std::int64_t>(i) - 1);
}

TEST_F(AccountMoneyTest, StatementsAreListedFromThisMonthBackToTheFirst) {
  move_at("2025-12-31T10:00:00Z", 5);
  move_at("2026-02-10T10:00:00Z", 7);
  std::vector<std::string> seen;
  PageRequest page{.limit = 3};
  for (bool more = true; more;) {
    const auto got = money.statements(account, page);
    ASSERT_TRUE(got);
    for (const StatementSummary& item : got->items)
      seen.push_back(item.month + " " + std::to_string(item.opening_balance.value) + " " +
                     std::to_string(item.closing_balance.value) + (item.complete ? "" : " open"));
    more = got->next_cursor.has_value();
    if (more) page.after = cursors.decode("statements", *got->next_cursor).value();
  }
  EXPECT_EQ(seen, (std::vector<std::string>{"2026-02 5 12 open", "2026-01 5 5", "2025-12 0 5", "2025-11 0 0"}));
}

}  // namespace
}  // namespace ee::cp
