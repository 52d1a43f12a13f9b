#include "cp/store/observed_store.h"

#include <gtest/gtest.h>

#include "tests/support/test_database.h"

namespace ee::cp {
namespace {

class ObservedStoreTest : public ::testing::Test {
 protected:
  void record(int number, int at) {
    const ObservedRow row{.id = "id-" + std::to_string(100000 + number),
                          .fingerprint = "f" + std::to_string(number),
                          .mrtd = "m",
                          .node_size = "tiny",
                          .vm_name = "vm",
                          .reason_code = "mrtd_untrusted",
                          .first_seen_at = from_unix_ms(at),
                          .last_seen_at = from_unix_ms(at)};
    ASSERT_TRUE(db_->run_write([&](db::Transaction& tx) { return store_.record(tx, row); }));
  }
  std::int64_t rows() { return db_.value<std::int64_t>("SELECT COUNT(*) FROM observed_measurements"); }

  testing::TestDatabase db_;
  ObservedStore store_;
};

TEST_F(ObservedStoreTest, CountsByFingerprint) {
  record(1, 10);
  record(1, 20);
  EXPECT_EQ(rows(), 1);
  EXPECT_EQ(db_.value<std::string>("SELECT count || ' ' || first_seen_at || ' ' || last_seen_at "
                                   "FROM observed_measurements"),
            "2 10 20");
}

// covers: S01_API_006
TEST_F(ObservedStoreTest, KeepsAThousandThatWereSeenLast) {
  for (int i = 0; i < ObservedStore::kMaxRows + 3; ++i) record(i, i);
  EXPECT_EQ(rows(), ObservedStore::kMaxRows);
  EXPECT_EQ(db_.value<std::int64_t>("SELECT MIN(last_seen_at) FROM observed_measurements"), 3);
}

TEST_F(ObservedStoreTest, ForgetsWhatWasNotSeenForLong) {
  for (int i = 0; i < 10; ++i) record(i, i);
  const auto removed =
      db_->write<std::int64_t>([&](db::Transaction& tx) { return store_.remove_unseen(tx, from_unix_ms(7), 5); });
  EXPECT_EQ(removed.value(), 5);
  EXPECT_EQ(rows(), 5);
}

}  // namespace
}  // namespace ee::cp
