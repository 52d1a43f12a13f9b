#include "cp/store/ledger_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <thread>

#include "common/fake_random.h"
#include "cp/store/billing_meta_store.h"
#include "tests/support/test_accounts.h"

namespace ee::cp {
namespace {

using testing::add_test_account;
using testing::TestDatabase;

const UtcTime kNow = from_unix_ms(1767225600000);

LedgerPosting credit(const AccountId& account, std::int64_t micros, const std::string& key = "k") {
  return {.kind = LedgerKind::credit,
          .idempotency_key = key,
          .lines = {{account, micros, TransactionType::credit}, {kGrantsAccount, -micros, TransactionType::credit}},
          .actor = "admin:test"};
}

LedgerPosting payout(const AccountId& account, std::int64_t micros, const std::string& key) {
  return {.kind = LedgerKind::payout,
          .idempotency_key = key,
          .lines = {{account, -micros, TransactionType::withdrawal},
                    {kPayoutsAccount, micros, TransactionType::withdrawal}},
          .actor = "admin:test",
          .must_not_overdraw = account};
}

struct LedgerStoreTest : ::testing::Test {
  Result<PostOutcome> post(const LedgerPosting& posting) {
    return db->write<PostOutcome>([&](db::Transaction& tx) { return ledger.post(tx, posting, kNow); });
  }
  std::int64_t balance(const AccountId& account) {
    return db.value<std::int64_t>("SELECT balance_micros FROM account_balances WHERE account_id=:id",
                                  {{"id", account}});
  }
  std::int64_t count(const std::string& table) { return db.value<std::int64_t>("SELECT COUNT(*) FROM " + table); }
  std::int64_t differing_balances() {
    return db.value<std::int64_t>(
        "SELECT COUNT(*) FROM account_balances b WHERE balance_micros <> "
        "(SELECT COALESCE(SUM(amount_micros), 0) FROM transactions t WHERE t.account_id=b.account_id)");
  }
  TestDatabase db;
  SystemRandom random;
  LedgerStore ledger{random};
  AccountId account = add_test_account(db, 1);
};

TEST_F(LedgerStoreTest, PostsLinesHeaderAndBalances) {
  LedgerPosting posting = credit(account, 1'250'000);
  posting.reference_type = "invoice";
  posting.reference_id = "7";
  posting.description = "welcome";
  posting.period_start = kNow;
  const auto posted = post(posting);
  ASSERT_TRUE(posted) << posted.error().detail;
  EXPECT_FALSE(posted->duplicate);
  EXPECT_TRUE(is_uuid(posted->group_id));
  EXPECT_EQ(balance(account), 1'250'000);
  EXPECT_EQ(balance(kGrantsAccount), -1'250'000);
  EXPECT_EQ(
      db.values<std::string>("SELECT kind || line_count || description || reference_type || reference_id || actor "
                             "FROM ledger_groups"),
      std::vector<std::string>{"credit2welcomeinvoice7admin:test"});
  // Sorted by account: the system account's id is the lower one.
  EXPECT_EQ(db.values<std::string>("SELECT account_id FROM transactions ORDER BY line_no"),
            (std::vector<std::string>{kGrantsAccount.str(), account.str()}));
  EXPECT_EQ(db.values<std::int64_t>("SELECT version FROM account_balances WHERE version > 0"),
            (std::vector<std::int64_t>{1, 1}));
  EXPECT_EQ(db.values<std::int64_t>("SELECT DISTINCT period_start_at FROM transactions"),
            std::vector<std::int64_t>{unix_ms(kNow)});
}

TEST_F(LedgerStoreTest, TheCallerMayChooseTheGroupsId) {
  LedgerPosting posting = credit(account, 5);
  posting.group_id = "01900000-0000-7000-8000-00000000abcd";
  EXPECT_EQ(post(posting)->group_id, *posting.group_id);
  EXPECT_EQ(db.value<std::string>("SELECT id FROM ledger_groups"), *posting.group_id);
}

// covers: S04_LED_008
TEST_F(LedgerStoreTest, TheSameKeyIsADuplicateOrAConflict) {
  const auto first = post(credit(account, 100));
  ASSERT_TRUE(first);
  LedgerPosting again = credit(account, 100);
  std::swap(again.lines[0], again.lines[1]);  // the order of lines says nothing
  const auto second = post(again);
  ASSERT_TRUE(second);
  EXPECT_TRUE(second->duplicate);
  EXPECT_EQ(second->group_id, first->group_id);
  for (const auto& other : {credit(account, 101), credit(add_test_account(db, 2), 100), payout(account, 100, "k")}) {
    const auto refused = post(other);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::ledger_key_conflict);
  }
  EXPECT_EQ(balance(account), 100);
  EXPECT_EQ(count("ledger_groups"), 1);
  EXPECT_EQ(count("transactions"), 2);
}

TEST_F(LedgerStoreTest, AGroupThatDoesNotBalanceNeverReachesTheDatabase) {
  struct Row {
    LedgerPosting posting;
    ErrorCode expected;
  };
  std::vector<Row> rows;
  const auto with = [&](const auto& change, ErrorCode code) {
    LedgerPosting posting = credit(account, 100);
    change(posting);
    rows.push_back({posting, code});
  };
  with([](LedgerPosting& p) { p.lines[0].amount_micros = 99; }, ErrorCode::internal_error);
  with([](LedgerPosting& p) { p.lines.pop_back(); }, ErrorCode::internal_error);
  with([](LedgerPosting& p) { p.lines[0].amount_micros = p.lines[1].amount_micros = 0; }, ErrorCode::internal_error);
  with([](LedgerPosting& p) { p.idempotency_key = ""; }, ErrorCode::internal_error);
  with([](LedgerPosting& p) { p.actor = ""; }, ErrorCode::internal_error);
  with([](LedgerPosting& p) { p.group_id = "no"; }, ErrorCode::internal_error);
  with([](LedgerPosting& p) { p.description = std::string(201, 'x'); }, ErrorCode::internal_error);
  with([](LedgerPosting& p) { p.lines[0].amount_micros = kLineMicrosMax + 1; }, ErrorCode::amount_out_of_range);
  with([](LedgerPosting& p) { p.lines[0].amount_micros = std::numeric_limits<std::int64_t>::min(); },
       ErrorCode::amount_out_of_range);
  with(
      [](LedgerPosting& p) {  // 1100 x 9e15 is above 2^63 on either side
        const LedgerLine plus{p.lines[0].account, kLineMicrosMax, TransactionType::credit};
        const LedgerLine minus{kGrantsAccount, -kLineMicrosMax, TransactionType::credit};
        p.lines.clear();
        for (int i = 0; i < 1100; ++i) p.lines.insert(p.lines.end(), {plus, minus});
      },
      ErrorCode::amount_out_of_range);
  with([](LedgerPosting& p) { p.lines[0].account = AccountId("nobody"); }, ErrorCode::account_not_found);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto refused = post(rows[i].posting);
    ASSERT_FALSE(refused) << i;
    EXPECT_EQ(refused.error().code, rows[i].expected) << i << refused.error().detail;
  }
  EXPECT_EQ(count("transactions"), 0);
  EXPECT_EQ(balance(account), 0);
}

TEST_F(LedgerStoreTest, ABalanceNeverLeaves64Bits) {
  constexpr std::int64_t kHighest = std::numeric_limits<std::int64_t>::max();
  db.execute("UPDATE account_balances SET balance_micros=:high WHERE account_id=:id",
             {{"high", kHighest - 10}, {"id", account}});
  EXPECT_TRUE(post(credit(account, 10, "fits")));
  const auto refused = post(credit(account, 1, "over"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::amount_out_of_range);
  EXPECT_EQ(balance(account), kHighest);
  EXPECT_EQ(balance(kGrantsAccount), -10);
}

TEST_F(LedgerStoreTest, APostingThatMustNotOverdrawIsRefusedAsAWhole) {
  ASSERT_TRUE(post(credit(account, 100)));
  EXPECT_TRUE(post(payout(account, 60, "p1")));
  const auto refused = post(payout(account, 41, "p2"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::insufficient_funds);
  EXPECT_EQ(balance(account), 40);
  EXPECT_EQ(balance(kPayoutsAccount), 60);
  EXPECT_EQ(count("ledger_groups"), 2);
  EXPECT_TRUE(post(payout(account, 40, "p2")));  // the key is free: nothing of the refused group is there
  EXPECT_EQ(balance(account), 0);
}

TEST_F(LedgerStoreTest, TheCreditLimitMayBeUsedToTheLastMicro) {
  const AccountId trusted = add_test_account(db, 2, 1000);
  EXPECT_FALSE(post(payout(trusted, 1001, "a")));
  EXPECT_TRUE(post(payout(trusted, 1000, "b")));
  EXPECT_EQ(balance(trusted), -1000);
  EXPECT_FALSE(post(payout(trusted, 1, "c")));
  // What was used is always charged.
  LedgerPosting charge = payout(trusted, 500, "d");
  charge.must_not_overdraw.reset();
  EXPECT_TRUE(post(charge));
  EXPECT_EQ(balance(trusted), -1500);
}

TEST_F(LedgerStoreTest, ACallersOwnWorkIsRolledBackWithTheRefusedGroup) {
  const auto refused = db->run_write([&](db::Transaction& tx) -> Result<void> {
    const auto noted = tx.execute("INSERT INTO meta (key, value) VALUES ('purchase', '1')");
    if (!noted) return std::unexpected(noted.error());
    const auto posted = ledger.post(tx, payout(account, 1, "p"), kNow);
    if (!posted) return std::unexpected(posted.error());
    return {};
  });
  EXPECT_FALSE(refused);
  EXPECT_EQ(db.value<std::int64_t>("SELECT COUNT(*) FROM meta WHERE key='purchase'"), 0);
}

TEST_F(LedgerStoreTest, WithoutRandomnessNothingIsPosted) {
  FakeRandom broken;
  broken.set_failing(true);
  const LedgerStore store(broken);
  EXPECT_FALSE(db->write<PostOutcome>([&](db::Transaction& tx) { return store.post(tx, credit(account, 5), kNow); }));
  EXPECT_EQ(count("transactions"), 0);
  EXPECT_EQ(balance(account), 0);
}

// A caller that leaves lines without a header, or breaks another deferred key, fails alone: those whose writes share
// its COMMIT keep theirs.
TEST_F(LedgerStoreTest, LinesWithoutAHeaderDoNotTakeTheNeighboursOfTheCommitWithThem) {
  constexpr int kCallers = 16;
  std::vector<std::thread> callers;
  std::vector<std::uint8_t> stored(kCallers, 0);
  callers.reserve(kCallers);
  for (int i = 0; i < kCallers; ++i) {
    callers.emplace_back([&, i] {
      const auto done = db->run_write([&](db::Transaction& tx) -> Result<void> {
        if (i % 4 == 0) {
          const auto orphan = tx.execute(
              "INSERT INTO transactions (id, group_id, line_no, account_id, amount_micros, tx_type, created_at) VALUES "
              "(:id, 'no-header', :no, :account, 5, 'credit', 0)",
              {{"id", "orphan-" + std::to_string(i)}, {"no", i}, {"account", account}});
          if (!orphan) return std::unexpected(orphan.error());
          return {};
        }
        const auto posted = ledger.post(tx, credit(account, 10, std::to_string(i)), kNow);
        if (!posted) return std::unexpected(posted.error());
        return {};
      });
      stored[static_cast<std::size_t>(i)] = done.has_value() ? 1 : 0;
    });
  }
  for (auto& caller : callers) caller.join();
  for (int i = 0; i < kCallers; ++i) EXPECT_EQ(stored[static_cast<std::size_t>(i)], i % 4 == 0 ? 0 : 1) << i;
  EXPECT_EQ(balance(account), 120);
  EXPECT_EQ(count("transactions"), 24);
}

// covers: S04_LED_007
TEST_F(LedgerStoreTest, SixtyFourThreadsPostTenThousandGroups) {
  constexpr int kThreads = 64;
  // Each statement is a round trip to a server there: fewer groups show the same.
  const int groups = testing::on_postgres() ? 1'000 : 10'000;
  std::vector<AccountId> accounts;
  accounts.reserve(10);
  for (int i = 0; i < 10; ++i) accounts.push_back(add_test_account(db, 10 + i));
  std::atomic<int> next = 0;
  std::atomic<int> posted = 0;
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = next++; i < groups; i = next++) {
        const auto from = static_cast<std::size_t>(i % 10);
        const auto to = static_cast<std::size_t>((i / 10 + 1 + i) % 10);
        if (from == to) {
          if (post(credit(accounts[from], i + 1, "g" + std::to_string(i)))) ++posted;
          continue;
        }
        const LedgerPosting group{.kind = LedgerKind::usage,
                                  .idempotency_key = "g" + std::to_string(i),
                                  .lines = {{accounts[from], -(i + 1), TransactionType::charge},
                                            {accounts[to], i, TransactionType::earning},
                                            {kPlatformAccount, 1, TransactionType::platform_revenue}},
                                  .actor = "system:test"};
        LedgerPosting sound = group;
        if (i == 0)
          sound.lines = {{accounts[0], -1, TransactionType::charge},
                         {kPlatformAccount, 1, TransactionType::platform_revenue}};
        if (post(sound)) ++posted;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(posted, groups);
  EXPECT_EQ(count("ledger_groups"), groups);
  EXPECT_EQ(db.value<std::int64_t>("SELECT SUM(amount_micros) FROM transactions"), 0);
  EXPECT_EQ(db.value<std::int64_t>("SELECT SUM(balance_micros) FROM account_balances"), 0);
  EXPECT_EQ(differing_balances(), 0);
}

TEST(BillingMeta, HaltsAndResumesOnce) {
  TestDatabase db;
  const BillingMetaStore meta;
  const auto write = [&](const auto& work) { return *db->write<bool>(work); };
  EXPECT_FALSE(write([&](db::Transaction& tx) { return meta.halted(tx); }));
  EXPECT_FALSE(write([&](db::Transaction& tx) { return meta.resume(tx); }));
  EXPECT_TRUE(write([&](db::Transaction& tx) { return meta.halt(tx, "first", kNow); }));
  EXPECT_FALSE(write([&](db::Transaction& tx) { return meta.halt(tx, "second", kNow); }));
  EXPECT_EQ(db.value<std::string>("SELECT halted_reason FROM billing_meta"), "first");
  EXPECT_EQ(db.value<std::int64_t>("SELECT next_hour_at FROM billing_meta"), unix_ms(kNow) - 3'600'000);
  const auto refused = db->run_read([&](db::Transaction& tx) { return meta.require_running(tx); });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::billing_halted);
  EXPECT_TRUE(write([&](db::Transaction& tx) { return meta.resume(tx); }));
  EXPECT_TRUE(db->run_read([&](db::Transaction& tx) { return meta.require_running(tx); }));
}

}  // namespace
}  // namespace ee::cp
