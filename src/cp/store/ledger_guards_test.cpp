// The database itself keeps the ledger (04 section 6.1): each attack is tried by a statement of the program's own
// connection and by the engine's own shell, which knows nothing of the program's settings.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/fake_random.h"
#include "cp/store/ledger_store.h"
#include "cp/store/schema.h"
#include "tests/support/child_process.h"
#include "tests/support/test_accounts.h"

namespace ee::cp {
namespace {

using ::testing::HasSubstr;

const UtcTime kNow = from_unix_ms(1767225600000);
constexpr const char* kGroup = "01900000-0000-7000-8000-0000000000aa";

struct LedgerGuards : ::testing::Test {
  LedgerGuards() {
    account = testing::add_test_account(db, 1);
    const auto posted = db->write<PostOutcome>([&](db::Transaction& tx) {
      return LedgerStore(random).post(
          tx,
          {.kind = LedgerKind::credit,
           .idempotency_key = "k",
           .lines = {{account, 100, TransactionType::credit}, {kGrantsAccount, -100, TransactionType::credit}},
           .actor = "admin:test",
           .group_id = kGroup},
          kNow);
    });
    EXPECT_TRUE(posted);
    before = content();
  }

  /// What the engine's shell says to `sql`. `safe`: with the pragmas of the program (SQLite).
  std::string shell(const std::string& sql, bool safe = false) {
    const auto output = dir / "output";
    if (testing::on_postgres()) {
      testing::ChildProcess process({"/usr/bin/psql", db.url(), "-q", "-v", "ON_ERROR_STOP=1", "-c", sql}, {}, output);
      const auto code = process.wait(20000);
      return (code == 0 ? "ok " : "failed ") + process.output();
    }
    const std::string pragmas = safe ? "PRAGMA foreign_keys=ON; PRAGMA recursive_triggers=ON; " : "";
    testing::ChildProcess process({"/usr/bin/sqlite3", db.path().string(), pragmas + sql}, {}, output);
    const auto code = process.wait(20000);
    return (code == 0 ? "ok " : "failed ") + process.output();
  }
  std::string statement(const std::string& sql) {
    const auto done = db->write<std::int64_t>([&](db::Transaction& tx) { return tx.execute(sql); });
    return done ? "ok" : done.error().detail;
  }
  std::vector<std::string> content() {
    auto all = db.values<std::string>(
        "SELECT id || group_id || line_no || account_id || amount_micros || tx_type || created_at FROM transactions "
        "ORDER BY id");
    const auto groups = db.values<std::string>(
        "SELECT id || kind || idempotency_key || content_sha256 || line_count || actor FROM ledger_groups ORDER BY id");
    all.insert(all.end(), groups.begin(), groups.end());
    return all;
  }
  /// `sql` is refused with this word by both, and nothing has changed.
  void expect_refused(const std::string& sql, const std::string& word) {
    EXPECT_THAT(statement(sql), HasSubstr(word)) << sql;
    EXPECT_THAT(shell(sql), HasSubstr(word)) << sql;
    EXPECT_THAT(shell(sql, true), HasSubstr(word)) << sql;
    EXPECT_EQ(content(), before) << sql;
  }
  std::string line(const std::string& id, const std::string& group, int line_no, int amount) {
    return "INSERT INTO transactions (id, group_id, line_no, account_id, amount_micros, tx_type, created_at) VALUES "
           "('" +
           id + "', '" + group + "', " + std::to_string(line_no) + ", '" + account.str() + "', " +
           std::to_string(amount) + ", 'credit', 0)";
  }
  std::string old_line() { return db.value<std::string>("SELECT id FROM transactions WHERE line_no = 1"); }
  static std::string header(const std::string& verb, const std::string& id, const std::string& key, int lines) {
    return verb +
           " INTO ledger_groups (id, kind, idempotency_key, content_sha256, line_count, actor, created_at) VALUES ('" +
           id + "', 'credit', '" + key + "', 'x', " + std::to_string(lines) + ", 'me', 0)";
  }

  testing::TempDir dir;
  testing::TestDatabase db;
  SystemRandom random;
  AccountId account;
  std::vector<std::string> before;
};

// covers: S04_LED_001
TEST_F(LedgerGuards, AnUpdateIsRefused) {
  expect_refused("UPDATE transactions SET amount_micros = amount_micros + 1", "ledger_append_only");
  if (!testing::on_postgres())
    expect_refused("UPDATE OR IGNORE transactions SET account_id = 'x'", "ledger_append_only");
  expect_refused("UPDATE ledger_groups SET description = 'other'", "ledger_append_only");
}

// covers: S04_LED_002
TEST_F(LedgerGuards, ADeleteIsRefused) {
  expect_refused("DELETE FROM transactions WHERE line_no = 1", "ledger_append_only");
  expect_refused("DELETE FROM ledger_groups WHERE line_count = 2", "ledger_append_only");
}

TEST_F(LedgerGuards, AReplaceDoesNotDeleteOnTheWay) {
  if (testing::on_postgres()) {
    expect_refused(line(old_line(), "other", 1, 5) + " ON CONFLICT (id) DO UPDATE SET amount_micros = 5", "ledger_");
    expect_refused(header("INSERT", kGroup, "k2", 2) + " ON CONFLICT (id) DO UPDATE SET line_count = 1", "ledger_");
    return;
  }
  const std::string old = old_line();
  expect_refused("INSERT OR REPLACE INTO transactions SELECT * FROM transactions", "ledger_");
  // Into a group of its own, taking the id, the place or the row of a sealed line.
  std::string replace = line(old, "other", 1, 5);
  replace.replace(0, 6, "REPLACE");
  expect_refused(replace, "ledger_append_only");
  const auto rowid = db.value<std::int64_t>("SELECT rowid FROM transactions WHERE line_no = 1");
  expect_refused(
      "REPLACE INTO transactions (rowid, id, group_id, line_no, account_id, amount_micros, tx_type, created_at) VALUES "
      "(" +
          std::to_string(rowid) + ", 'n', 'other', 1, '" + account.str() + "', 5, 'credit', 0)",
      "ledger_append_only");
  expect_refused(header("REPLACE", kGroup, "k2", 2), "ledger_append_only");
  expect_refused(header("REPLACE", "g2", "k", 2), "ledger_append_only");
}

// covers: S04_LED_003
TEST_F(LedgerGuards, EmptyingATableIsRefused) {
  expect_refused("DELETE FROM transactions", "ledger_append_only");  // SQLite's truncation
  expect_refused("DELETE FROM ledger_groups", "ledger_append_only");
  if (testing::on_postgres()) expect_refused("TRUNCATE ledger_groups, transactions CASCADE", "ledger_append_only");
}

// covers: S04_LED_004
TEST_F(LedgerGuards, ASealedGroupTakesNoLine) {
  expect_refused(line("n", kGroup, 3, 5), "ledger_group_sealed");
  expect_refused(line("n", kGroup, 1, 5), "ledger_");
}

// covers: S04_LED_005
TEST_F(LedgerGuards, AHeaderNeedsAllItsLinesAndTheirSumIsZero) {
  const auto both = [&](const std::string& lines, int count) {
    const std::string said = shell("BEGIN; " + lines + header("INSERT", "g2", "k2", count) + "; COMMIT;");
    EXPECT_THAT(said, HasSubstr("ledger_unbalanced"));
    EXPECT_EQ(content(), before);
    // The program's own connection, in one write.
    const auto done = db->run_write([&](db::Transaction& tx) -> Result<void> {
      std::string_view rest = lines;
      while (!rest.empty()) {
        const std::size_t end = rest.find("; ");
        if (auto written = tx.execute(rest.substr(0, end)); !written) return std::unexpected(written.error());
        rest.remove_prefix(end + 2);
      }
      const auto sealed = tx.execute(header("INSERT", "g2", "k2", count));
      if (!sealed) return std::unexpected(sealed.error());
      return {};
    });
    ASSERT_FALSE(done);
    EXPECT_THAT(done.error().detail, HasSubstr("ledger_unbalanced"));
    EXPECT_EQ(content(), before);
  };
  both(line("a", "g2", 1, 5) + "; " + line("b", "g2", 2, -4) + "; ", 2);  // not zero
  both(line("a", "g2", 1, 5) + "; " + line("b", "g2", 2, -5) + "; ", 3);  // a line is missing
  both(line("a", "g2", 1, 5) + "; " + line("b", "g2", 2, -5) + "; " + line("c", "g2", 3, 5) + "; " +
           line("d", "g2", 4, -5) + "; ",
       2);      // more lines than it says
  both("", 2);  // none at all
}

TEST_F(LedgerGuards, WhatIsBalancedIsTakenAlsoFromTheShell) {
  const std::string said = shell("BEGIN; " + line("a", "g2", 1, 5) + "; " + line("b", "g2", 2, -5) + "; " +
                                     header("INSERT", "g2", "k2", 2) + "; COMMIT;",
                                 true);
  EXPECT_EQ(said, "ok ");
  EXPECT_EQ(content().size(), before.size() + 3);
}

// covers: S04_LED_006
TEST_F(LedgerGuards, ALineWithoutAHeaderIsRefused) {
  EXPECT_THAT(statement(line("n", "nowhere", 1, 5)), HasSubstr("foreign key"));
  EXPECT_THAT(shell(line("n", "nowhere", 1, 5), true),
              HasSubstr(testing::on_postgres() ? "foreign key" : "FOREIGN KEY"));
  EXPECT_EQ(content(), before);
}

TEST_F(LedgerGuards, ARemovedGuardIsBackAtTheNextStart) {
  const std::string lines = testing::on_postgres() ? " ON transactions" : "";
  const std::string groups = testing::on_postgres() ? " ON ledger_groups" : "";
  EXPECT_EQ(shell("DROP TRIGGER transactions_no_update" + lines + "; DROP TRIGGER ledger_groups_balanced" + groups +
                  "; UPDATE transactions SET tx_type = 'deposit';"),
            "ok ");
  before = content();
  const SystemClock clock;
  const auto report = prepare_schema(*db, testing::test_identity(), clock, random);
  ASSERT_TRUE(report);
  EXPECT_THAT(report->restored_guards, ::testing::ElementsAre("ledger_groups_balanced", "transactions_no_update"));
  for (const std::string& guard : report->restored_guards) EXPECT_TRUE(is_ledger_guard(guard));
  EXPECT_FALSE(is_ledger_guard("audit_log_no_update"));
  expect_refused("UPDATE transactions SET tx_type = 'credit'", "ledger_append_only");
}

}  // namespace
}  // namespace ee::cp
