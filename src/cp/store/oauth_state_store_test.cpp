#include "cp/store/oauth_state_store.h"

#include <gtest/gtest.h>

#include "cp/store/github_owner_store.h"
#include "tests/support/test_database.h"

namespace ee::cp {
namespace {

const UtcTime kNow = from_unix_ms(1767225600000);

// covers: S04_AUTH_OAUTH_003
TEST(OAuthStateStore, GivesAStateToOneOfTwoReplicas) {
  testing::TestDatabase database;
  const OAuthStateStore first, second;
  const OAuthStateRow row{.state_hash = "state",
                          .nonce_hash = "nonce",
                          .return_to = "/",
                          .created_at = kNow,
                          .expires_at = kNow + Seconds(600)};
  ASSERT_TRUE(database->run_write([&](db::Transaction& tx) { return first.insert(tx, row, kNow); }));
  using Row = std::optional<OAuthStateRow>;
  const auto take = [&](const OAuthStateStore& store) {
    return database->write<Row>([&](db::Transaction& tx) { return store.take(tx, "state"); }).value();
  };
  const Row taken = take(first);
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->nonce_hash, "nonce");
  EXPECT_FALSE(taken->link_account_id);
  EXPECT_FALSE(take(second));
}

TEST(GithubOwnerStore, CountsUsesUpToTheirLimit) {
  testing::TestDatabase database;
  const GithubOwnerStore store;
  const auto use = [&](const char* token, std::int64_t limit) {
    return database->write<bool>([&](db::Transaction& tx) { return store.count_use(tx, token, limit, kNow); }).value();
  };
  EXPECT_TRUE(use("a", 2));
  EXPECT_TRUE(use("a", 2));
  EXPECT_FALSE(use("a", 2));
  EXPECT_FALSE(use("a", 1)) << "a limit that was lowered counts at once";
  EXPECT_TRUE(use("b", 2));
  EXPECT_TRUE(use("a", 3));
}

}  // namespace
}  // namespace ee::cp
