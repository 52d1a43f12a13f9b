#include "cp/store/collateral_store.h"

#include <gtest/gtest.h>

#include "tests/support/test_database.h"

namespace ee::cp {
namespace {

using attestation::CollateralRow;

CollateralRow row(std::int64_t eval_number, std::int64_t issue_ms, std::string body = "{}") {
  return {.cache_key = "tcb:00806f050000:standard",
          .body = std::move(body),
          .issuer_chain = "-----BEGIN CERTIFICATE-----\n",
          .issue_at = from_unix_ms(issue_ms),
          .next_update_at = from_unix_ms(issue_ms + 1000),
          .fetched_at = from_unix_ms(issue_ms + 10),
          .eval_number = eval_number};
}

class CollateralTable : public ::testing::Test {
 protected:
  testing::TestDatabase database_;
  DatabaseCollateralStore store_{database_};
};

TEST_F(CollateralTable, KeepsARowAsItIs) {
  EXPECT_EQ(store_.load("rootcrl").value(), std::nullopt);
  const CollateralRow wanted = row(17, 5000, "{\"tcbInfo\": \"exact  bytes\\n\"}");
  EXPECT_EQ(store_.save(wanted), true);
  EXPECT_EQ(store_.load(wanted.cache_key).value(), wanted);
  database_.restart();
  DatabaseCollateralStore again(database_);
  EXPECT_EQ(again.load(wanted.cache_key).value(), wanted);
}

// covers: S01_DCAP_014
TEST_F(CollateralTable, NeverGoesBack) {
  ASSERT_EQ(store_.save(row(17, 5000)), true);
  EXPECT_EQ(store_.save(row(16, 6000)), false) << "lower number";
  EXPECT_EQ(store_.save(row(18, 4999)), false) << "issued earlier";
  EXPECT_EQ(store_.load(row(0, 0).cache_key).value(), row(17, 5000));
  EXPECT_EQ(store_.save(row(17, 5000, "same age")), true);
  EXPECT_EQ(store_.save(row(18, 5001)), true);
  EXPECT_EQ(store_.load(row(0, 0).cache_key).value(), row(18, 5001));
  CollateralRow other = row(1, 1);
  other.cache_key = "tcb:00806f050000:early";
  EXPECT_EQ(store_.save(other), true) << "each key has its own history";
}

}  // namespace
}  // namespace ee::cp
