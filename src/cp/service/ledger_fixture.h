#pragma once
#include <gtest/gtest.h>

#include <string>

#include "common/fake_clock.h"
#include "common/metrics.h"
#include "cp/service/ledger.h"
#include "tests/support/test_accounts.h"

namespace ee::cp::ledger_tests {

/// A ledger on a real database, with one account.
struct LedgerFixture : ::testing::Test {
  LedgerFixture() = default;

  Result<PostOutcome> post(const LedgerPosting& posting) {
    return ledger.noted(db->write<PostOutcome>([&](db::Transaction& tx) { return ledger.post(tx, posting); }));
  }
  /// Moves money from grants (or to them) under a key of its own.
  void move(const AccountId& to, std::int64_t micros, TransactionType type = TransactionType::credit,
            const std::string& description = "") {
    const auto posted = post({.kind = LedgerKind::credit,
                              .idempotency_key = "move-" + std::to_string(++moves),
                              .lines = {{to, micros, type}, {kGrantsAccount, -micros, type}},
                              .description = description,
                              .actor = "system:test"});
    ASSERT_TRUE(posted) << posted.error().detail;
  }
  std::int64_t balance(const AccountId& id) {
    return db.value<std::int64_t>("SELECT balance_micros FROM account_balances WHERE account_id=:id", {{"id", id}});
  }
  std::int64_t audits(const std::string& action) {
    return db.value<std::int64_t>("SELECT COUNT(*) FROM audit_log WHERE action=:action", {{"action", action}});
  }

  testing::TestDatabase db;
  FakeClock clock;
  SystemRandom random;
  metrics::Registry metrics;
  LedgerAlarm alarm{metrics};
  std::string platform_setting;
  Ledger ledger{{.database = db, .clock = clock, .random = random, .alarm = alarm, .platform_account_id = [this] {
                   return platform_setting;
                 }}};
  AccountId account = testing::add_test_account(db, 1);
  int moves = 0;
};

}  // namespace ee::cp::ledger_tests
