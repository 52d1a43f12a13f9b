// Whatever is posted, in whatever order and however often: the ledger sums to zero, balances are the sums of their
// lines, and each key has counted once.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <set>

#include "cp/store/ledger_store.h"
#include "tests/support/test_accounts.h"

namespace ee::cp {
namespace {

constexpr int kAccounts = 5;
const UtcTime kNow = from_unix_ms(1767225600000);

/// One posting as drawn: some amounts and what balances them.
struct Draw {
  int key = 0;
  std::vector<std::pair<int, std::int64_t>> lines;
  int balancing = 0;
  bool guarded = false;
};

Draw draw() {
  return {.key = *rc::gen::inRange(0, 12),
          .lines = *rc::gen::container<std::vector<std::pair<int, std::int64_t>>>(
              rc::gen::pair(rc::gen::inRange(0, kAccounts), rc::gen::inRange<std::int64_t>(-1000, 1000))),
          .balancing = *rc::gen::inRange(0, kAccounts),
          .guarded = *rc::gen::arbitrary<bool>()};
}

LedgerPosting posting_of(const Draw& draw) {
  LedgerPosting posting{.kind = LedgerKind::adjustment,
                        .idempotency_key = "key-" + std::to_string(draw.key),
                        .lines = {},
                        .actor = "system:test"};
  std::int64_t sum = 0;
  for (const auto& [account, amount] : draw.lines) {
    if (amount == 0) continue;
    posting.lines.push_back({testing::test_account_id(account), amount, TransactionType::adjustment});
    sum += amount;
  }
  if (sum != 0) posting.lines.push_back({testing::test_account_id(draw.balancing), -sum, TransactionType::adjustment});
  if (draw.guarded) posting.must_not_overdraw = testing::test_account_id(draw.balancing);
  return posting;
}

RC_GTEST_PROP(LedgerProperty, PostingKeepsEveryInvariant, ()) {
  testing::TestDatabase db;
  SystemRandom random;
  const LedgerStore ledger(random);
  for (int i = 0; i < kAccounts; ++i) testing::add_test_account(db, i);
  std::map<AccountId, std::int64_t> balances;             // the model
  std::map<std::string, std::vector<LedgerLine>> posted;  // by key
  const auto count = *rc::gen::inRange(1, 25);
  for (int i = 0; i < count; ++i) {
    const LedgerPosting posting = posting_of(draw());
    const auto outcome = db->write<PostOutcome>([&](db::Transaction& tx) { return ledger.post(tx, posting, kNow); });
    if (posting.lines.size() < 2) {
      RC_ASSERT(!outcome && outcome.error().code == ErrorCode::internal_error);
      continue;
    }
    if (const auto known = posted.find(posting.idempotency_key); known != posted.end()) {
      const bool same = sorted_lines(known->second) == sorted_lines(posting.lines);
      RC_ASSERT(outcome.has_value() == same);
      if (same) RC_ASSERT(outcome->duplicate);
      if (!same) RC_ASSERT(outcome.error().code == ErrorCode::ledger_key_conflict);
      continue;
    }
    const auto changes = balance_changes(posting.lines);
    const bool refused = posting.must_not_overdraw && changes.contains(*posting.must_not_overdraw) &&
                         changes.at(*posting.must_not_overdraw) < 0 &&
                         balances[*posting.must_not_overdraw] + changes.at(*posting.must_not_overdraw) < 0;
    RC_ASSERT(outcome.has_value() == !refused);
    if (refused) {
      RC_ASSERT(outcome.error().code == ErrorCode::insufficient_funds);
      continue;
    }
    RC_ASSERT(!outcome->duplicate);
    for (const auto& [account, change] : changes) balances[account] += change;
    posted[posting.idempotency_key] = posting.lines;
  }
  for (int i = 0; i < kAccounts; ++i) {
    const AccountId id = testing::test_account_id(i);
    RC_ASSERT(db.value<std::int64_t>("SELECT balance_micros FROM account_balances WHERE account_id=:id",
                                     {{"id", id}}) == balances[id]);
    RC_ASSERT(db.value<std::int64_t>("SELECT COALESCE(SUM(amount_micros), 0) FROM transactions WHERE account_id=:id",
                                     {{"id", id}}) == balances[id]);
  }
  RC_ASSERT(db.value<std::int64_t>("SELECT COUNT(*) FROM ledger_groups") == static_cast<std::int64_t>(posted.size()));
  RC_ASSERT(db.value<std::int64_t>("SELECT COALESCE(SUM(amount_micros), 0) FROM transactions") == 0);
}

}  // namespace
}  // namespace ee::cp
