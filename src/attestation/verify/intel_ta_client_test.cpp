#include "attestation/verify/intel_ta_client.h"

#include <gtest/gtest.h>

#include "common/fake_clock.h"
#include "common/fake_http_client.h"
#include "common/fake_log.h"
#include "common/fake_random.h"

namespace ee::attestation {
namespace {

using Answer = std::expected<HttpClientResponse, HttpFailure>;

class IntelTaClientTest : public ::testing::Test {
 protected:
  void SetUp() override { clock_.set_auto_advance(true); }

  IntelTaSettings settings() const { return {.api_url = "https://api.example", .api_key = Secret("key-123")}; }
  Result<std::string> attest(const IntelTaSettings& settings, const std::stop_token& stop = {}) {
    return IntelTaClient(http_, clock_, random_, metrics_)
        .attest(settings, bytes_of("quote"), bytes_of("preimage"), "req-1", stop);
  }
  std::string code() {
    const auto result = attest(settings());
    return result ? "ok" : std::string(slug(result.error().code));
  }
  static Answer status(int status, std::vector<HttpHeader> headers = {}) {
    return HttpClientResponse{.status = status, .headers = std::move(headers), .body = "{}"};
  }
  static Answer token() { return HttpClientResponse{.status = 200, .body = R"({"token":"a.b.c","more":1})"}; }

  FakeClock clock_;
  FakeRandom random_;
  metrics::Registry metrics_;
  FakeHttpClient http_{[](const HttpClientRequest&) { return token(); }};
};

// covers: S01_ITA_015
TEST_F(IntelTaClientTest, RequestBodiesAreByteExact) {
  IntelTaSettings v2 = settings();
  EXPECT_EQ(intel_ta_attest_body(v2, bytes_of("quote"), bytes_of("preimage")),
            R"({"tdx":{"quote":"cXVvdGU=","runtime_data":"cHJlaW1hZ2U="},"token_signing_alg":"PS384"})");
  v2.policy_ids = {"11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"};
  v2.policy_must_match = true;
  EXPECT_EQ(
      intel_ta_attest_body(v2, bytes_of("quote"), bytes_of("preimage")),
      R"({"tdx":{"quote":"cXVvdGU=","runtime_data":"cHJlaW1hZ2U="},"policy_ids":["11111111-1111-4111-8111-111111111111",)"
      R"("22222222-2222-4222-8222-222222222222"],"policy_must_match":true,"token_signing_alg":"PS384"})");
  IntelTaSettings v1 = v2;
  v1.version = IntelTaVersion::v1;
  v1.policy_ids.pop_back();
  EXPECT_EQ(
      intel_ta_attest_body(v1, bytes_of("quote"), bytes_of("preimage")),
      R"({"quote":"cXVvdGU=","runtime_data":"cHJlaW1hZ2U=","policy_ids":["11111111-1111-4111-8111-111111111111"],)"
      R"("token_signing_alg":"PS384"})");
  v1.policy_ids.clear();
  EXPECT_EQ(intel_ta_attest_body(v1, bytes_of("quote"), bytes_of("preimage")),
            R"({"quote":"cXVvdGU=","runtime_data":"cHJlaW1hZ2U=","token_signing_alg":"PS384"})");
}

// covers: S01_ITA_015
TEST_F(IntelTaClientTest, TheApiKeyIsInOneHeaderAndNowhereElse) {
  const CaptureLogs logs;
  ASSERT_EQ(attest(settings()), "a.b.c");
  const auto calls = http_.calls();
  ASSERT_EQ(calls.size(), 1U);
  const HttpClientRequest& call = calls[0];
  EXPECT_EQ(call.method, "POST");
  EXPECT_EQ(call.url, "https://api.example/appraisal/v2/attest");
  EXPECT_EQ(call.connect_timeout, Seconds(5));
  EXPECT_EQ(call.total_timeout, Seconds(15));
  EXPECT_EQ(call.max_response_bytes, 65536U);
  std::string headers;
  for (const auto& header : call.headers) headers += header.name + ": " + header.value + "\n";
  EXPECT_EQ(headers,
            "x-api-key: key-123\nAccept: application/json\nContent-Type: application/json\nrequest-id: req-1\n");
  EXPECT_EQ(call.body.find("key-123"), std::string::npos);
  for (const int refused : {400, 401, 404, 500, 302}) {
    http_.set_answer(
        [&](const HttpClientRequest&) { return HttpClientResponse{.status = refused, .body = "key-123"}; });
    EXPECT_EQ(attest(settings()).error().detail.find("key-123"), std::string::npos);
  }
  EXPECT_FALSE(logs->records().empty());
  EXPECT_FALSE(logs->contains("key-123"));
  EXPECT_FALSE(logs->contains("a.b.c"));
}

TEST_F(IntelTaClientTest, PathsAreAddedToTheBaseUrl) {
  IntelTaSettings v1 = settings();
  v1.version = IntelTaVersion::v1;
  v1.api_url = "https://api.example/prefix/";
  ASSERT_TRUE(attest(v1));
  EXPECT_EQ(http_.calls().back().url, "https://api.example/prefix/appraisal/v1/attest");
}

TEST_F(IntelTaClientTest, BaseUrlsThatWouldBeCutAreRefused) {
  for (const std::string url :
       {"https://api.example/appraisal/v2", "https://api.example/appraisal/v1/attest",
        "https://api.example/appraisal/v2/attest/", "https://api.example/?a=b", "https://api.example/#x",
        "https://user@api.example", "ftp://api.example", "", "api.example"}) {
    const auto usable = check_intel_ta_url(url);
    ASSERT_FALSE(usable) << url;
    EXPECT_EQ(usable.error().code, ErrorCode::setting_invalid);
    IntelTaSettings bad = settings();
    bad.api_url = url;
    EXPECT_EQ(attest(bad).error().code, ErrorCode::verifier_unavailable) << url;
  }
  EXPECT_TRUE(check_intel_ta_url("https://api.trustauthority.intel.com"));
  EXPECT_TRUE(check_intel_ta_url("http://127.0.0.1:8080/prefix"));
  EXPECT_TRUE(http_.calls().empty());
}

TEST_F(IntelTaClientTest, AnswersMapToReasons) {
  const std::pair<int, const char*> expected[] = {{400, "ita_quote_rejected"},   {422, "ita_quote_rejected"},
                                                  {401, "ita_auth_failed"},      {403, "ita_auth_failed"},
                                                  {404, "verifier_unavailable"}, {302, "verifier_unavailable"},
                                                  {201, "verifier_unavailable"}, {409, "verifier_unavailable"}};
  for (const auto& [answered, reason] : expected) {
    http_.set_answer([&](const HttpClientRequest&) { return status(answered); });
    const std::size_t before = http_.calls().size();
    EXPECT_EQ(code(), reason) << answered;
    EXPECT_EQ(http_.calls().size(), before + 1) << answered;
  }
}

TEST_F(IntelTaClientTest, AnswersWithoutAToken) {
  for (const std::string body :
       {"", "{}", "[]", R"({"token":""})", R"({"token":1})", R"({"token":"a","token":"b"})", "a.b.c"}) {
    http_.set_answer([&](const HttpClientRequest&) { return HttpClientResponse{.status = 200, .body = body}; });
    EXPECT_EQ(code(), "verifier_unavailable") << body;
  }
}

TEST_F(IntelTaClientTest, RetriesTwiceWithJitterThenGivesUp) {
  for (const Answer& failing :
       {status(408), status(429), status(500), status(503), Answer(std::unexpected(HttpFailure::connect)),
        Answer(std::unexpected(HttpFailure::timeout)), Answer(std::unexpected(HttpFailure::tls)),
        Answer(std::unexpected(HttpFailure::protocol)), Answer(std::unexpected(HttpFailure::resolve))}) {
    http_.set_answer([&](const HttpClientRequest&) { return failing; });
    const std::size_t before = http_.calls().size();
    const SteadyTime start = clock_.steady_now();
    EXPECT_EQ(code(), "verifier_unavailable");
    EXPECT_EQ(http_.calls().size(), before + 3);
    EXPECT_LE(clock_.steady_now() - start, Milliseconds(2500));
  }
  for (const HttpFailure failure : {HttpFailure::bad_url, HttpFailure::answer_too_large}) {
    http_.set_answer([&](const HttpClientRequest&) { return std::unexpected(failure); });
    const std::size_t before = http_.calls().size();
    EXPECT_EQ(code(), "verifier_unavailable");
    EXPECT_EQ(http_.calls().size(), before + 1);
  }
}

TEST_F(IntelTaClientTest, CountsRequestsByResult) {
  EXPECT_EQ(code(), "ok");
  http_.set_answer([&](const HttpClientRequest&) { return status(400); });
  EXPECT_EQ(code(), "ita_quote_rejected");
  const std::string text = metrics_.text();
  EXPECT_NE(text.find("ee_ita_requests_total{result=\"ok\"} 1"), std::string::npos) << text;
  EXPECT_NE(text.find("ee_ita_requests_total{result=\"ita_quote_rejected\"} 1"), std::string::npos) << text;
}

TEST_F(IntelTaClientTest, LogsTheTraceId) {
  const CaptureLogs logs;
  http_.set_answer([&](const HttpClientRequest&) { return status(400, {{"trace-id", "trace-77"}}); });
  EXPECT_EQ(code(), "ita_quote_rejected");
  EXPECT_TRUE(logs->contains("trace-77"));
}

TEST_F(IntelTaClientTest, ARetryCanSucceed) {
  std::size_t calls = 0;
  http_.set_answer([&](const HttpClientRequest&) { return ++calls < 3 ? status(503) : token(); });
  EXPECT_EQ(code(), "ok");
  EXPECT_EQ(calls, 3U);
}

TEST_F(IntelTaClientTest, HonoursRetryAfterUpToFiveSeconds) {
  std::size_t calls = 0;
  http_.set_answer(
      [&](const HttpClientRequest&) { return ++calls < 2 ? status(429, {{"Retry-After", "5"}}) : token(); });
  const SteadyTime start = clock_.steady_now();
  EXPECT_EQ(code(), "ok");
  EXPECT_EQ(clock_.steady_now() - start, Seconds(5));

  calls = 0;
  http_.set_answer(
      [&](const HttpClientRequest&) { return ++calls < 2 ? status(503, {{"retry-after", "6"}}) : token(); });
  const auto refused = attest(settings());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::verifier_unavailable);
  EXPECT_EQ(refused.error().retry_after, Seconds(6));
  EXPECT_EQ(calls, 1U);
}

TEST_F(IntelTaClientTest, AStopRequestEndsIt) {
  std::stop_source stop;
  http_.set_answer([&](const HttpClientRequest& request) {
    EXPECT_TRUE(request.stop.stop_possible());
    stop.request_stop();
    return status(503);
  });
  EXPECT_EQ(attest(settings(), stop.get_token()).error().code, ErrorCode::verifier_timeout);
  EXPECT_EQ(http_.calls().size(), 1U);
  EXPECT_EQ(attest(settings(), stop.get_token()).error().code, ErrorCode::verifier_timeout);
  EXPECT_EQ(http_.calls().size(), 1U);
  http_.set_answer([](const HttpClientRequest&) { return std::unexpected(HttpFailure::cancelled); });
  EXPECT_EQ(code(), "verifier_timeout");
}

}  // namespace
}  // namespace ee::attestation
