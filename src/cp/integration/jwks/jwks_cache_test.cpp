#include "cp/integration/jwks/jwks_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <latch>
#include <thread>

#include "common/fake_clock.h"
#include "common/fake_http_client.h"
#include "common/fake_random.h"
#include "tests/support/ita_tokens.h"

namespace ee::cp {
namespace {

constexpr const char* kUrl = "https://keys.example/certs";

class JwksCacheTest : public ::testing::Test {
 protected:
  void SetUp() override { clock_.set_auto_advance(true); }

  static std::expected<HttpClientResponse, HttpFailure> ok(const std::string& body) {
    return HttpClientResponse{.status = 200, .body = body};
  }
  std::string code(std::string_view kid) { return code(kid, settings_); }
  std::string code(std::string_view kid, const JwksSettings& settings) {
    const auto keys = cache_.keys_for(kid, settings, {});
    if (!keys) return std::string(slug(keys.error().code));
    return keys->stale ? "stale" : "ok";
  }
  JwksLimits limits() {
    JwksLimits limits;
    limits.on_fetch = [this](JwksFetch result) { results_.push_back(result); };
    return limits;
  }
  std::size_t fetches() const { return http_.calls().size(); }
  void publish(const std::string& body) {
    http_.set_answer([body](const HttpClientRequest&) { return ok(body); });
  }
  void fail_with(HttpFailure failure) {
    http_.set_answer([failure](const HttpClientRequest&) { return std::unexpected(failure); });
  }

  FakeClock clock_;
  FakeRandom random_;
  FakeHttpClient http_{[](const HttpClientRequest&) { return ok(testing::ita_jwks("a")); }};
  JwksSettings settings_{.url = kUrl, .issuer = "https://issuer.example", .ttl = Seconds(3600)};
  std::vector<JwksFetch> results_;  ///< written under the cache's lock
  JwksCache cache_{http_, clock_, random_, limits()};
};

TEST_F(JwksCacheTest, FetchesOnceWithinTheTtl) {
  EXPECT_FALSE(cache_.age());
  EXPECT_EQ(code("a"), "ok");
  clock_.advance(Seconds(3599));
  EXPECT_EQ(code("a"), "ok");
  EXPECT_EQ(fetches(), 1U);
  EXPECT_EQ(cache_.age(), Seconds(3599));
  clock_.advance(Seconds(1));
  EXPECT_EQ(code("a"), "ok");
  EXPECT_EQ(fetches(), 2U);
  const auto request = http_.calls().front();
  EXPECT_EQ(request.url, kUrl);
  EXPECT_EQ(request.method, "GET");
  EXPECT_EQ(request.total_timeout, Seconds(10));
  EXPECT_EQ(request.max_response_bytes, 1024U * 1024U);
  ASSERT_EQ(request.headers.size(), 1U);
  EXPECT_EQ(request.headers[0].name + ": " + request.headers[0].value, "Accept: application/json");
}

// covers: S01_ITA_003
TEST_F(JwksCacheTest, AnUnknownKidForcesOneFetchInSixtySeconds) {
  EXPECT_EQ(code("a"), "ok");
  EXPECT_EQ(code("b"), "ita_key_unknown");
  EXPECT_EQ(fetches(), 2U);
  clock_.advance(Seconds(59));
  EXPECT_EQ(code("b"), "ita_key_unknown");
  EXPECT_EQ(code("c"), "ita_key_unknown");
  EXPECT_EQ(fetches(), 2U);
  clock_.advance(Seconds(1));
  EXPECT_EQ(code("b"), "ita_key_unknown");
  EXPECT_EQ(fetches(), 3U);
}

TEST_F(JwksCacheTest, ASetThatWasJustFetchedIsNotFetchedAgain) {
  EXPECT_EQ(code("b"), "ita_key_unknown");
  EXPECT_EQ(fetches(), 1U);
}

// covers: S01_ITA_004
TEST_F(JwksCacheTest, ARotatedKeyIsFoundByTheForcedFetch) {
  EXPECT_EQ(code("a"), "ok");
  publish(testing::ita_jwks("b"));
  EXPECT_EQ(code("a"), "ok");
  EXPECT_EQ(fetches(), 1U);
  EXPECT_EQ(code("b"), "ok");
  EXPECT_EQ(fetches(), 2U);
  EXPECT_EQ(code("a"), "ita_key_unknown");  // no longer published
  EXPECT_EQ(fetches(), 2U);
}

TEST_F(JwksCacheTest, AForcedFetchThatFailsIsNoVerdictAboutTheKey) {
  EXPECT_EQ(code("a"), "ok");
  fail_with(HttpFailure::connect);
  EXPECT_EQ(code("b"), "verifier_unavailable");
  const std::size_t before = fetches();
  clock_.advance(Seconds(30));
  EXPECT_EQ(code("b"), "verifier_unavailable");
  EXPECT_EQ(fetches(), before);
  EXPECT_EQ(code("a"), "ok");
}

// covers: S01_ITA_008
TEST_F(JwksCacheTest, ExpiredAndNotToBeHadIsUnavailable) {
  EXPECT_EQ(code("a"), "ok");
  clock_.advance(Seconds(3600));
  fail_with(HttpFailure::timeout);
  EXPECT_EQ(code("a"), "verifier_unavailable");
}

// covers: S01_ITA_008
TEST_F(JwksCacheTest, StaleKeysCountOnlyWithinMaxStaleAndSaySo) {
  settings_.max_stale = Seconds(1000);
  EXPECT_EQ(code("a"), "ok");
  clock_.advance(Seconds(3600));
  fail_with(HttpFailure::connect);
  EXPECT_EQ(code("a"), "stale");
  EXPECT_EQ(code("b"), "verifier_unavailable");
  clock_.advance(Seconds(990));
  EXPECT_EQ(code("a"), "stale");
  clock_.advance(Seconds(10));
  EXPECT_EQ(code("a"), "verifier_unavailable");
  publish(testing::ita_jwks("a"));
  clock_.advance(Seconds(5));
  EXPECT_EQ(code("a"), "ok");
}

TEST_F(JwksCacheTest, AFailureIsRememberedForFiveSeconds) {
  fail_with(HttpFailure::tls);
  EXPECT_EQ(code("a"), "verifier_unavailable");
  EXPECT_EQ(fetches(), 2U);  // with its one retry
  clock_.advance(Milliseconds(4999));
  publish(testing::ita_jwks("a"));
  EXPECT_EQ(code("a"), "verifier_unavailable");
  EXPECT_EQ(fetches(), 2U);
  clock_.advance(Milliseconds(1));
  EXPECT_EQ(code("a"), "ok");
}

TEST_F(JwksCacheTest, RetriesOnceWhenThatCanHelp) {
  std::atomic<int> calls = 0;
  for (const int status : {429, 500, 503}) {
    calls = 0;
    http_.set_answer([&](const HttpClientRequest&) -> std::expected<HttpClientResponse, HttpFailure> {
      if (calls++ == 0) return HttpClientResponse{.status = status};
      return ok(testing::ita_jwks("a"));
    });
    JwksCache cache(http_, clock_, random_);
    EXPECT_TRUE(cache.keys_for("a", settings_, {})) << status;
    EXPECT_EQ(calls, 2);
  }
}

TEST_F(JwksCacheTest, AnswersThatAreNoKeySet) {
  std::string many = R"({"keys":[)";
  for (int i = 0; i < 65; ++i)
    many += (i == 0 ? "" : ",") + testing::ita_signing_key().public_jwk("k" + std::to_string(i));
  many += "]}";
  for (const std::string& body :
       {std::string(), std::string("{}"), std::string("<html>"), std::string(R"({"keys":[]})"), many}) {
    JwksCache cache(http_, clock_, random_, limits());
    publish(body);
    const auto keys = cache.keys_for("k1", settings_, {});
    ASSERT_FALSE(keys) << body.substr(0, 20);
    EXPECT_EQ(keys.error().code, ErrorCode::verifier_unavailable);
    EXPECT_EQ(results_.back(), JwksFetch::bad_answer);
  }
  for (const int status : {204, 301, 302, 404}) {
    JwksCache cache(http_, clock_, random_);
    http_.set_answer([&](const HttpClientRequest&) {
      return HttpClientResponse{.status = status, .headers = {{"Location", kUrl}}, .body = testing::ita_jwks("a")};
    });
    EXPECT_FALSE(cache.keys_for("a", settings_, {})) << status;
  }
}

TEST_F(JwksCacheTest, AnotherUrlOrIssuerDropsTheKeys) {
  EXPECT_EQ(code("a"), "ok");
  JwksSettings other = settings_;
  other.issuer = "https://other.example";
  publish(testing::ita_jwks("b"));
  EXPECT_EQ(code("a", other), "ita_key_unknown");
  EXPECT_EQ(code("b", other), "ok");
  EXPECT_EQ(fetches(), 2U);
  other.url = "https://elsewhere.example/certs";
  EXPECT_EQ(code("b", other), "ok");
  EXPECT_EQ(fetches(), 3U);
  EXPECT_EQ(http_.calls().back().url, other.url);
}

TEST_F(JwksCacheTest, TheJobRefreshesAndKeepsTheKeysWhenItCannot) {
  EXPECT_TRUE(cache_.refresh(settings_, {}));
  clock_.advance(Seconds(1800));
  EXPECT_TRUE(cache_.refresh(settings_, {}));
  clock_.advance(Seconds(1800));
  EXPECT_EQ(code("a"), "ok");
  EXPECT_EQ(fetches(), 2U);
  fail_with(HttpFailure::connect);
  EXPECT_FALSE(cache_.refresh(settings_, {}));
  EXPECT_EQ(code("a"), "ok");
  EXPECT_EQ(results_, (std::vector{JwksFetch::ok, JwksFetch::ok, JwksFetch::unreachable}));
}

// covers: S01_CON_002
TEST_F(JwksCacheTest, ManyAskersOneFetch) {
  constexpr int kAskers = 16;
  std::latch all_here(kAskers);
  http_.set_answer([&](const HttpClientRequest&) {
    all_here.wait();  // the fetch is on its way until everybody has asked
    return ok(testing::ita_jwks("a"));
  });
  std::atomic<int> good = 0;
  {
    std::deque<std::jthread> askers;
    for (int i = 0; i < kAskers; ++i)
      askers.emplace_back([&] {
        all_here.count_down();
        if (cache_.keys_for("a", settings_, {})) ++good;
      });
  }
  EXPECT_EQ(good, kAskers);
  EXPECT_EQ(fetches(), 1U);
}

TEST_F(JwksCacheTest, WhoeverIsStoppedLetsTheNextOneFetch) {
  std::stop_source stop;
  std::latch waiting(1);
  std::atomic<int> calls = 0;
  http_.set_answer([&](const HttpClientRequest& request) -> std::expected<HttpClientResponse, HttpFailure> {
    if (calls++ > 0) return ok(testing::ita_jwks("a"));
    std::mutex mutex;
    std::unique_lock lock(mutex);
    std::condition_variable_any wake;
    waiting.count_down();
    wake.wait(lock, request.stop, [] { return false; });
    return std::unexpected(HttpFailure::cancelled);
  });
  std::string first, second;
  {
    std::jthread leader([&] {
      const auto keys = cache_.keys_for("a", settings_, stop.get_token());
      first = keys ? "ok" : std::string(slug(keys.error().code));
    });
    waiting.wait();
    std::jthread follower([&] { second = code("a"); });
    stop.request_stop();
  }
  EXPECT_EQ(first, "verifier_unavailable");
  EXPECT_EQ(second, "ok");  // not spoilt by the other one's end, and not by the memory of failures
  EXPECT_EQ(results_, (std::vector{JwksFetch::stopped, JwksFetch::ok}));
}

TEST_F(JwksCacheTest, AWaiterThatIsStoppedLeaves) {
  std::latch fetching(1);
  std::latch go_on(1);
  http_.set_answer([&](const HttpClientRequest&) {
    fetching.count_down();
    go_on.wait();
    return ok(testing::ita_jwks("a"));
  });
  std::jthread leader([&] { EXPECT_EQ(code("a"), "ok"); });
  fetching.wait();
  std::stop_source stop;
  stop.request_stop();
  EXPECT_FALSE(cache_.keys_for("a", settings_, stop.get_token()));
  go_on.count_down();
}

TEST_F(JwksCacheTest, KeysThatAreUsedAreFetchedAnewBeforeTheyExpire) {
  JwksLimits limits;
  int woken = 0;
  limits.refresh_percent = 80;
  limits.wake_refresh = [&] { ++woken; };
  JwksCache cache(http_, clock_, random_, limits);
  EXPECT_EQ(cache.refresh_due(settings_, {}), false);  // nobody has needed them yet
  ASSERT_TRUE(cache.keys_for("a", settings_, {}));
  clock_.advance(Seconds(2879));
  ASSERT_TRUE(cache.keys_for("a", settings_, {}));
  EXPECT_EQ(cache.refresh_due(settings_, {}), false);
  EXPECT_EQ(woken, 0);
  EXPECT_EQ(fetches(), 1U);

  clock_.advance(Seconds(1));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(cache.keys_for("a", settings_, {}));
  EXPECT_EQ(woken, 1);  // one flight, however many notice
  EXPECT_EQ(fetches(), 1U) << "nobody who asks waits for it";
  EXPECT_EQ(cache.refresh_due(settings_, {}), true);
  EXPECT_EQ(fetches(), 2U);
  EXPECT_EQ(cache.refresh_due(settings_, {}), false);
  clock_.advance(Seconds(2000));
  ASSERT_TRUE(cache.keys_for("a", settings_, {}));
  EXPECT_EQ(fetches(), 2U);
}

TEST_F(JwksCacheTest, ASlowServiceHoldsSoManyCallersAndNoMore) {
  JwksLimits limits;
  limits.max_waiting = 0;
  JwksCache cache(http_, clock_, random_, limits);
  std::latch fetching(1);
  std::latch go_on(1);
  http_.set_answer([&](const HttpClientRequest&) {
    fetching.count_down();
    go_on.wait();
    return ok(testing::ita_jwks("a"));
  });
  std::jthread leader([&] { EXPECT_TRUE(cache.keys_for("a", settings_, {})); });
  fetching.wait();
  const auto turned_away = cache.keys_for("a", settings_, {});
  ASSERT_FALSE(turned_away);
  EXPECT_EQ(turned_away.error().code, ErrorCode::verifier_unavailable);
  go_on.count_down();
}

}  // namespace
}  // namespace ee::cp
