#include "cp/integration/stripe/stripe_client.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "common/fake_clock.h"
#include "common/fake_http_client.h"
#include "common/fake_random.h"
#include "net/curl_http_client.h"
#include "tests/standins/stripe/stripe.h"

namespace ee::cp::stripe {
namespace {

const NewIntent kWanted{.amount_cents = 2510,
                        .account_id = "01900000-0000-7000-8000-000000000001",
                        .deposit_id = "01900000-0000-7000-8000-000000000002",
                        .instance_id = "01900000-0000-7000-8000-000000000003",
                        .idempotency_key = "ee-dep-1"};

HttpClientResponse answer(int status, std::string body) {
  return {.status = status, .headers = {}, .body = std::move(body)};
}
std::string refusal(std::string_view code) {
  return R"({"error":{"type":"invalid_request_error","code":")" + std::string(code) + R"(","message":"a text"}})";
}
constexpr std::string_view kIntent =
    R"({"id":"pi_1","amount":2510,"currency":"usd","livemode":false,"status":"requires_payment_method"})";

/// A client over answers that the test scripts.
class StripeCalls : public ::testing::Test {
 protected:
  StripeCalls() { clock.set_auto_advance(true); }
  StripeResult<PaymentIntent> create(const CallContext& context = {}) { return client.create_intent(kWanted, context); }
  void answer_with(std::vector<std::expected<HttpClientResponse, HttpFailure>> answers) {
    http.set_answer([answers = std::move(answers), next = std::make_shared<std::size_t>(0)](const HttpClientRequest&) {
      return answers[std::min((*next)++, answers.size() - 1)];
    });
  }
  FakeClock clock;
  FakeRandom random{1};
  FakeHttpClient http{[](const HttpClientRequest&) { return answer(200, std::string(kIntent)); }};
  std::map<std::string, int> counted;
  StripeClient client{http, clock, random,
                      [] { return StripeConfig{.api_url = "http://stripe", .secret_key = Secret("sk_test_x")}; },
                      [this](std::string_view call, std::string_view result) {
                        ++counted[std::string(call) + " " + std::string(result)];
                      }};
};

TEST_F(StripeCalls, AreFormsWithKeyVersionAndIdempotencyKey) {
  ASSERT_TRUE(create());

  const HttpClientRequest sent = http.calls().at(0);
  EXPECT_EQ(sent.method, "POST");
  EXPECT_EQ(sent.url, "http://stripe/v1/payment_intents");
  EXPECT_EQ(sent.body,
            "amount=2510&currency=usd&automatic_payment_methods%5Benabled%5D=true"
            "&metadata%5Baccount_id%5D=01900000-0000-7000-8000-000000000001"
            "&metadata%5Bdeposit_id%5D=01900000-0000-7000-8000-000000000002"
            "&metadata%5Binstance_id%5D=01900000-0000-7000-8000-000000000003&description=easyenclave%20deposit");
  std::map<std::string, std::string> headers;
  for (const HttpHeader& header : sent.headers) headers[header.name] = header.value;
  EXPECT_EQ(headers, (std::map<std::string, std::string>{{"Authorization", "Bearer sk_test_x"},
                                                         {"Stripe-Version", "2024-06-20"},
                                                         {"Content-Type", "application/x-www-form-urlencoded"},
                                                         {"Idempotency-Key", "ee-dep-1"}}));
  EXPECT_EQ(sent.connect_timeout, Seconds(3));
  EXPECT_EQ(sent.total_timeout, Seconds(15));
  EXPECT_EQ(counted, (std::map<std::string, int>{{"create_intent 200", 1}}));
}

TEST_F(StripeCalls, AreTriedFourTimesWithTheSameKeyWhenTheyMayPass) {
  for (const std::expected<HttpClientResponse, HttpFailure>& passing :
       std::vector<std::expected<HttpClientResponse, HttpFailure>>{
           std::unexpected(HttpFailure::connect), std::unexpected(HttpFailure::timeout), answer(500, "oops"),
           answer(429, refusal("rate_limit")), answer(409, refusal("lock_timeout")), answer(503, "")}) {
    const std::size_t before = http.calls().size();
    answer_with({passing, passing, passing, answer(200, std::string(kIntent))});
    const SteadyTime begun = clock.steady_now();
    EXPECT_TRUE(create());
    const auto calls = http.calls();
    ASSERT_EQ(calls.size() - before, 4U);
    for (std::size_t i = before; i < calls.size(); ++i) {
      EXPECT_EQ(calls[i].body, calls[before].body);
      EXPECT_EQ(calls[i].headers.back().value, "ee-dep-1");
    }
    const auto waited = clock.steady_now() - begun;
    EXPECT_GE(waited, Milliseconds(1750));
    EXPECT_LE(waited, Milliseconds(5250));
  }
  const std::size_t before = http.calls().size();
  answer_with({std::unexpected(HttpFailure::timeout)});
  const auto failed = create();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().failure, Failure::unavailable);
  EXPECT_EQ(failed.error().code, "timeout");
  EXPECT_EQ(http.calls().size() - before, 4U);
}

TEST_F(StripeCalls, ThatAreRefusedAreNotRepeated) {
  struct Row {
    int status;
    std::string body;
    Failure failure;
    std::string code;
  };
  for (const Row& row :
       std::vector<Row>{{400, refusal("amount_too_small"), Failure::refused, "amount_too_small"},
                        {401, R"({"error":{"type":"invalid_request_error","message":"x"}})", Failure::refused,
                         "invalid_request_error"},
                        {402, refusal("card_declined"), Failure::refused, "card_declined"},
                        {404, refusal("resource_missing"), Failure::refused, "resource_missing"},
                        {404, "<html>a proxy</html>", Failure::unavailable, "http_404"},
                        {400, refusal("No Word, but a text"), Failure::refused, "invalid_request_error"},
                        {302, "", Failure::unavailable, "http_302"},
                        {200, "{", Failure::unavailable, "bad_answer"},
                        {200, R"({"id":"pi_1"})", Failure::unavailable, "bad_answer"},
                        {200, R"({"id":"pi_1","amount":2511,"currency":"usd","livemode":false,"status":"processing"})",
                         Failure::unavailable, "bad_answer"}}) {
    const std::size_t before = http.calls().size();
    answer_with({answer(row.status, row.body)});
    const auto refused = create();
    ASSERT_FALSE(refused) << row.body;
    EXPECT_EQ(refused.error().failure, row.failure) << row.body;
    EXPECT_EQ(refused.error().code, row.code);
    EXPECT_EQ(http.calls().size() - before, 1U) << row.body;
  }
}

TEST_F(StripeCalls, EndWithTheCallersDeadlineOrStop) {
  answer_with({std::unexpected(HttpFailure::connect)});
  const auto late = create({.stop = {}, .deadline = clock.steady_now() + Milliseconds(200)});
  EXPECT_EQ(late.error().failure, Failure::unavailable);
  EXPECT_EQ(http.calls().size(), 1U);
  EXPECT_EQ(http.calls().back().total_timeout, Milliseconds(200));
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(create({.stop = stop.get_token()}).error().failure, Failure::cancelled);
  EXPECT_EQ(http.calls().size(), 1U);
}

/// The stand-in over real HTTP.
class StripeStandInTest : public ::testing::Test {
 protected:
  StripeStandInTest() { standin.start(); }
  FakeClock clock;
  FakeRandom random{1};
  net::CurlHttpClient http;
  standins::StripeStandIn standin{clock};
  std::string key = "sk_test_standin";
  StripeClient client{http, clock, random,
                      [this] { return StripeConfig{.api_url = standin.url(), .secret_key = Secret(key)}; }};
};

TEST_F(StripeStandInTest, ServesTheFourCalls) {
  const auto made = client.create_intent(kWanted, {});
  ASSERT_TRUE(made);
  EXPECT_EQ(made->id, "pi_test_1");
  EXPECT_TRUE(made->client_secret.reveal().starts_with("pi_test_1_secret_"));
  EXPECT_EQ(made->deposit_id, kWanted.deposit_id);
  EXPECT_EQ(client.create_intent(kWanted, {})->id, "pi_test_1") << "the same key";
  NewIntent other = kWanted;
  other.amount_cents = 9999;
  EXPECT_EQ(client.create_intent(other, {}).error().code, "idempotency_key_reused");
  other.idempotency_key = "ee-dep-2";
  other.amount_cents = 49;
  EXPECT_EQ(client.create_intent(other, {}).error().code, "amount_too_small");

  EXPECT_EQ(client.get_intent("pi_test_1", {})->status, IntentStatus::requires_payment);
  EXPECT_EQ(client.get_intent("pi_test_7", {}).error().code, "resource_missing");
  EXPECT_EQ(client.cancel_intent("pi_test_1", {})->status, IntentStatus::canceled);
  EXPECT_EQ(client.cancel_intent("pi_test_1", {}).error().code, "payment_intent_unexpected_state");
  EXPECT_TRUE(client.check_key({}));
  key = "sk_test_wrong";
  const auto refused = client.check_key({});
  EXPECT_EQ(refused.error().http_status, 401);
  EXPECT_EQ(refused.error().code, "api_key_invalid");
}

TEST_F(StripeStandInTest, LosesAnswersButNotTheIntent) {
  clock.set_auto_advance(true);
  standin.add_fault({.path = "/v1/payment_intents", .drop = "before"});
  standin.add_fault({.path = "/v1/payment_intents", .status = 500});
  standin.add_fault({.path = "/v1/payment_intents", .drop = "after"});

  const auto made = client.create_intent(kWanted, {});

  ASSERT_TRUE(made) << made.error().code;
  EXPECT_EQ(standin.intents(), 1U);
  EXPECT_EQ(standin.calls().size(), 4U);
  for (const auto& call : standin.calls()) EXPECT_EQ(call.idempotency_key, "ee-dep-1");
}

}  // namespace
}  // namespace ee::cp::stripe
