#include "cp/store/nonce_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/support/test_database.h"

namespace ee::cp {
namespace {

using testing::TestDatabase;

const UtcTime kNow = from_unix_ms(1767225600000);

NonceUse use_of(const std::string& hash, UtcTime expires_at = kNow + Seconds(300)) {
  return {.nonce_hash = hash,
          .purpose = "register",
          .vm_name = "vm-1",
          .expires_at = expires_at,
          .consumed_at = kNow,
          .consumed_by = "request-1"};
}

Result<bool> consume(TestDatabase& db, const NonceUse& use) {
  return db->write<bool>([&](db::Transaction& tx) { return NonceStore().consume(tx, use); });
}

TEST(NonceStore, TakesANonceOnceAlsoAfterARestart) {
  TestDatabase db;
  EXPECT_EQ(consume(db, use_of("a")), true);
  EXPECT_EQ(consume(db, use_of("a")), false);
  EXPECT_EQ(consume(db, use_of("b")), true);
  db.restart();
  EXPECT_EQ(consume(db, use_of("a")), false);
}

// covers: S01_CON_001
TEST(NonceStore, OfHundredAtOnceExactlyOneGetsIt) {
  TestDatabase db;
  std::atomic<int> won = 0;
  std::atomic<int> lost = 0;
  std::vector<std::thread> callers;
  for (int i = 0; i < 100; ++i) {
    callers.emplace_back([&] {
      const auto fresh = consume(db, use_of("a"));
      if (fresh) ++(*fresh ? won : lost);
    });
  }
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(won, 1);
  EXPECT_EQ(lost, 99);
}

TEST(NonceStore, RefusesAnUnknownPurpose) {
  TestDatabase db;
  NonceUse use = use_of("a");
  use.purpose = "public";
  EXPECT_FALSE(consume(db, use));
}

// covers: S01_NON_007
TEST(NonceStore, CleanUpKeepsRowsForAnHourPastTheirExpiryAndWorksInSteps) {
  TestDatabase db;
  const UtcTime edge = kNow - NonceStore::kKeptAfterExpiry;
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(consume(db, use_of("old" + std::to_string(i), edge - Milliseconds(1 + i))));
  ASSERT_TRUE(consume(db, use_of("edge", edge)));
  ASSERT_TRUE(consume(db, use_of("young")));
  const auto clean = [&](std::int64_t limit) {
    return *db->write<std::int64_t>([&](db::Transaction& tx) { return NonceStore().remove_expired(tx, kNow, limit); });
  };
  EXPECT_EQ(clean(3), 3);
  EXPECT_EQ(clean(3), 2);
  EXPECT_EQ(clean(3), 0);
  EXPECT_THAT(db.values<std::string>("SELECT nonce_hash FROM attestation_nonces"),
              ::testing::UnorderedElementsAre("edge", "young"));
}

}  // namespace
}  // namespace ee::cp
