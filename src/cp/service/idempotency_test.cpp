#include "cp/service/idempotency.h"

#include <gtest/gtest.h>

#include "common/fake_clock.h"
#include "tests/support/test_database.h"

namespace ee::cp {
namespace {

struct IdempotencyTest : ::testing::Test {
  static std::optional<IdempotentRequest> request(const std::string& body = "{}",
                                                  const std::optional<AccountId>& account = AccountId("a")) {
    return idempotent_request(account, "POST", "/api/v1/deploy", "key", body).value();
  }
  Result<IdempotentAnswer> run(const std::optional<IdempotentRequest>& wanted, const EffectAnswer& answer) {
    return idempotency.run(wanted, [&](db::Transaction& tx) -> Result<EffectAnswer> {
      const auto effect =
          tx.execute("INSERT INTO meta (key, value) VALUES ('effect:' || (SELECT count(*) FROM meta), '')");
      if (!effect) return std::unexpected(effect.error());
      return answer;
    });
  }
  std::int64_t effects() { return db.value<std::int64_t>("SELECT count(*) FROM meta WHERE key LIKE 'effect:%'"); }

  testing::TestDatabase db;
  FakeClock clock;
  Idempotency idempotency{db, clock};
};

TEST_F(IdempotencyTest, TheSecondTimeTheFirstAnswerComesBack) {
  const auto first = run(request(), {.status = 201, .body = R"({"id":"1"})"});
  ASSERT_TRUE(first);
  EXPECT_FALSE(first->replayed);
  const auto second = run(request(), {.status = 201, .body = R"({"id":"2"})"});
  ASSERT_TRUE(second);
  EXPECT_TRUE(second->replayed);
  EXPECT_EQ(second->status, 201);
  EXPECT_EQ(second->body, R"({"id":"1"})");
  EXPECT_EQ(effects(), 1);
}

TEST_F(IdempotencyTest, AnotherBodyIsRefusedAndAnotherAccountIsApart) {
  ASSERT_TRUE(run(request(), {.status = 201, .body = "{}"}));
  EXPECT_EQ(run(request("{ }"), {.status = 201, .body = "{}"}).error().code, ErrorCode::idempotency_key_reused);
  EXPECT_FALSE(run(request("{ }", AccountId("b")), {.status = 201, .body = "{}"})->replayed);
  EXPECT_FALSE(run(request("{ }", std::nullopt), {.status = 201, .body = "{}"})->replayed);
  EXPECT_EQ(request("{}", std::nullopt)->principal, "admin");
  EXPECT_EQ(effects(), 3);
}

TEST_F(IdempotencyTest, ASecretIsShownOnceAndNeverKept) {
  const auto first =
      run(request(), {.status = 201, .body = R"({"api_key":"s3cret"})", .kept_body = R"({"api_key":null})"});
  EXPECT_EQ(first->body, R"({"api_key":"s3cret"})");
  EXPECT_EQ(run(request(), {.status = 201, .body = "{}"})->body, R"({"api_key":null})");
  EXPECT_EQ(db.value<std::int64_t>("SELECT count(*) FROM idempotency_keys WHERE response LIKE '%s3cret%'"), 0);
}

TEST_F(IdempotencyTest, AFailureLeavesNothingAndTheKeyFree) {
  const auto failed = idempotency.run(request(), [&](db::Transaction& tx) -> Result<EffectAnswer> {
    EXPECT_TRUE(tx.execute("INSERT INTO meta (key, value) VALUES ('effect:x', '')"));
    return fail(ErrorCode::insufficient_funds);
  });
  EXPECT_EQ(failed.error().code, ErrorCode::insufficient_funds);
  EXPECT_EQ(effects(), 0);
  EXPECT_FALSE(run(request("other"), {.status = 200, .body = "{}"})->replayed);
}

TEST_F(IdempotencyTest, ARefusalAfterAnEffectIsKept) {
  ASSERT_TRUE(run(request(), {.status = 409, .body = R"({"code":"late"})"}));
  const auto again = run(request(), {.status = 201, .body = "{}"});
  EXPECT_EQ(again->status, 409);
  EXPECT_TRUE(again->replayed);
}

TEST_F(IdempotencyTest, WithoutAKeyTheEffectJustRuns) {
  for (int i = 0; i < 2; ++i) EXPECT_FALSE(run(std::nullopt, {.status = 201, .body = "{}"})->replayed);
  EXPECT_EQ(effects(), 2);
}

TEST_F(IdempotencyTest, AKeyIsVisibleAscii) {
  for (const char* bad : {"", "a b", "\xc3\xa9"})
    EXPECT_EQ(idempotent_request({}, "POST", "/p", bad, "").error().code, ErrorCode::invalid_idempotency_key);
}

}  // namespace
}  // namespace ee::cp
