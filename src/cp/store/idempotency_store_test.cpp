#include "cp/store/idempotency_store.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/support/test_database.h"

namespace ee::cp {
namespace {

using testing::TestDatabase;

const UtcTime kNow = from_unix_ms(1767225600000);

IdempotentRequest request_of(const std::string& key, const std::string& body = "b1") {
  return {.principal = "account-1", .method = "POST", .path = "/api/v1/deploy", .key = key, .body_sha256 = body};
}

/// What a handler does: the earlier answer, or the effect (a row of `meta`) and its answer.
Result<StoredAnswer> deploy(TestDatabase& db, const IdempotentRequest& request, UtcTime now = kNow) {
  return db->write<StoredAnswer>([&](db::Transaction& tx) -> Result<StoredAnswer> {
    const IdempotencyStore store;
    auto known = store.find(tx, request, now);
    if (!known) return std::unexpected(known.error());
    if (*known) return std::move(**known);
    const auto effect =
        tx.execute("INSERT INTO meta (key, value) VALUES ('effect:' || (SELECT count(*) FROM meta), '')");
    if (!effect) return std::unexpected(effect.error());
    StoredAnswer answer{.status = 201, .body = R"({"id":"new"})"};
    if (auto kept = store.keep(tx, request, answer, now); !kept) return std::unexpected(kept.error());
    return answer;
  });
}

std::int64_t effects(TestDatabase& db) {
  return db.value<std::int64_t>("SELECT count(*) FROM meta WHERE key LIKE 'effect:%'");
}

// covers: S05_IDM_01
TEST(IdempotencyStore, TheSameKeyAndBodyAreAnsweredAgainWithoutASecondEffect) {
  TestDatabase db;
  for (int i = 0; i < 3; ++i) {
    const auto answer = deploy(db, request_of("k"));
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 201);
    EXPECT_EQ(answer->body, R"({"id":"new"})");
  }
  EXPECT_EQ(effects(db), 1);
}

// covers: S05_IDM_02
TEST(IdempotencyStore, AnotherBodyUnderTheKeyIsRefusedAndOtherPrincipalsAndPathsAreApart) {
  TestDatabase db;
  ASSERT_TRUE(deploy(db, request_of("k")));
  const auto refused = deploy(db, request_of("k", "b2"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::idempotency_key_reused);
  IdempotentRequest other = request_of("k", "b2");
  other.principal = "account-2";
  EXPECT_TRUE(deploy(db, other));
  other = request_of("k", "b2");
  other.path = "/api/v1/other";
  EXPECT_TRUE(deploy(db, other));
  EXPECT_EQ(effects(db), 3);
}

// covers: S05_IDM_03
TEST(IdempotencyStore, OfConcurrentRequestsOneHasTheEffectAndAllGetItsAnswer) {
  TestDatabase db;
  std::atomic<int> answered = 0;
  std::vector<std::thread> callers;
  for (int i = 0; i < 16; ++i) {
    callers.emplace_back([&] {
      const auto answer = deploy(db, request_of("k"));
      if (answer && answer->status == 201) ++answered;
    });
  }
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(answered, 16);
  EXPECT_EQ(effects(db), 1);
}

// covers: S05_IDM_04
TEST(IdempotencyStore, AfterACrashBetweenEffectAndAnswerTheAnswerIsThere) {
  TestDatabase db;
  ASSERT_TRUE(deploy(db, request_of("k")));  // committed; the process dies before it answers
  db.restart();
  const auto answer = deploy(db, request_of("k"));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->body, R"({"id":"new"})");
  EXPECT_EQ(effects(db), 1);
}

TEST(IdempotencyStore, AnEffectThatFailedLeavesTheKeyFree) {
  TestDatabase db;
  const auto failed = db->run_write([&](db::Transaction& tx) -> Result<void> {
    EXPECT_TRUE(IdempotencyStore().keep(tx, request_of("k"), {.status = 201, .body = "{}"}, kNow));
    return fail(ErrorCode::internal_error);
  });
  EXPECT_FALSE(failed);
  EXPECT_TRUE(deploy(db, request_of("k", "b2")));
}

TEST(IdempotencyStore, AKeyIsFreeAgainAfter24Hours) {
  TestDatabase db;
  ASSERT_TRUE(deploy(db, request_of("k")));
  ASSERT_TRUE(deploy(db, request_of("k"), kNow + IdempotencyStore::kKept - Milliseconds(1)));
  EXPECT_EQ(effects(db), 1);
  ASSERT_TRUE(deploy(db, request_of("k", "b2"), kNow + IdempotencyStore::kKept));
  EXPECT_EQ(effects(db), 2);
}

TEST(IdempotencyStore, ALongAnswerIsKeptAsANote) {
  TestDatabase db;
  const std::string body(IdempotencyStore::kMaxBody + 1, 'x');
  ASSERT_TRUE(db->run_write([&](db::Transaction& tx) {
    return IdempotencyStore().keep(tx, request_of("k"), {.status = 200, .body = body}, kNow);
  }));
  EXPECT_EQ(db.value<std::string>("SELECT response FROM idempotency_keys"), R"({"answer_too_long":true})");
}

TEST(IdempotencyStore, ExpiredRowsAreRemovedInSteps) {
  TestDatabase db;
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(deploy(db, request_of("k" + std::to_string(i))));
  ASSERT_TRUE(deploy(db, request_of("young"), kNow + Seconds(1)));
  const auto remove = [&] {
    return *db->write<std::int64_t>(
        [&](db::Transaction& tx) { return IdempotencyStore().remove_expired(tx, kNow + IdempotencyStore::kKept, 2); });
  };
  EXPECT_EQ(remove(), 2);
  EXPECT_EQ(remove(), 1);
  EXPECT_EQ(remove(), 0);
  EXPECT_EQ(db.value<std::string>("SELECT key FROM idempotency_keys"), "young");
}

TEST(IdempotencyKey, IsVisibleAsciiOfAtMost255) {
  EXPECT_TRUE(check_idempotency_key("a"));
  EXPECT_TRUE(check_idempotency_key(std::string(255, '~')));
  for (const std::string& bad : {std::string(), std::string(256, 'a'), std::string("a b"), std::string("a\x7f"),
                                 std::string("\xc3\xa9"), std::string("a\n"), std::string("a\0b", 3)}) {
    const auto refused = check_idempotency_key(bad);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::invalid_idempotency_key);
  }
}

}  // namespace
}  // namespace ee::cp
