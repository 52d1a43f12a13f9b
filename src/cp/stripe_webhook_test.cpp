// The webhook's door: signatures, limits, what administrators see.
#include <boost/json/serialize.hpp>

#include "tests/support/stripe_fixture.h"

namespace ee::cp {
namespace {

const std::string kSecret = "whsec_standin";

class StripeDoor : public testing::StripeFixture {
 protected:
  explicit StripeDoor(const std::map<std::string, std::string>& more = {}) : StripeFixture(more) {
    made_ = deposit();
    move(made_, "succeed");
    body_ = boost::json::serialize(stripe.last_event("payment_intent.succeeded"));
  }
  std::int64_t now() { return unix_ms(cp().clock.now()) / 1000; }
  std::string signature(const std::string& secret = kSecret, std::int64_t offset = 0) {
    return standins::stripe_signature_header(body_, secret, now() + offset);
  }
  /// Over real HTTP, with these Stripe-Signature fields.
  HttpClientResponse post(const std::vector<std::string>& signatures, const std::string& body) {
    HttpClientRequest request{.method = "POST", .url = stripe.config().webhook_url, .headers = {}, .body = body};
    for (const std::string& each : signatures) request.headers.push_back({"Stripe-Signature", each});
    return client_.send(request).value();
  }
  void expect(const HttpClientResponse& answer, int wanted, const std::string& code = "") {
    EXPECT_EQ(answer.status, wanted) << answer.body;
    if (!code.empty()) {
      EXPECT_NE(answer.body.find("\"code\":\"" + code + '"'), std::string::npos) << answer.body;
    }
  }

  Deposit made_;
  std::string body_;
  net::CurlHttpClient client_;
};

/// Two secrets are in force.
class StripeDoorWithTwoSecrets : public StripeDoor {
 protected:
  StripeDoorWithTwoSecrets() : StripeDoor({{"STRIPE_WEBHOOK_SECRET", "whsec_old, " + kSecret}}) {}
};

// covers: S04_STR_SIG_001, S04_STR_SIG_003, S04_STR_SIG_004
TEST_F(StripeDoor, OpensForAGoodSignatureOnly) {
  const std::string good = signature();
  const std::string v1 = good.substr(good.find("v1=") + 3);
  expect(post({good.substr(0, good.find("v1=")) + "v0=" + v1}, body_), 400, "invalid_signature");
  expect(post({signature("whsec_wrong")}, body_), 400, "invalid_signature");
  EXPECT_EQ(balance(), 0);
  expect(post({good + ",v1=" + std::string(64, '0')}, body_), 200);
  EXPECT_EQ(balance(), 25'000'000);
}

// covers: S04_STR_SIG_002
TEST_F(StripeDoorWithTwoSecrets, OpensForEither) {
  expect(post({signature("whsec_old")}, body_), 200);
  expect(post({signature(kSecret)}, body_), 200);
  expect(post({signature("whsec_third")}, body_), 400, "invalid_signature");
}

// covers: S04_STR_SIG_005, S04_STR_SIG_006
TEST_F(StripeDoor, RefusesAnotherTimeAndAnotherBody) {
  const boost::json::array event{stripe.last_event("payment_intent.succeeded")};
  EXPECT_EQ(stripe.deliver(event, {{"t_offset", -301}}).at(0), 400);
  expect(post({signature(kSecret, 301)}, body_), 400, "signature_expired");
  EXPECT_EQ(stripe.deliver(event, {{"tamper", true}}).at(0), 400);
  EXPECT_EQ(stripe.deliver(event, {{"secret", "whsec_wrong"}}).at(0), 400);
  EXPECT_EQ(balance(), 0);
  EXPECT_EQ(one<std::int64_t>("SELECT COUNT(*) FROM stripe_events"), 0);
  EXPECT_EQ(stripe.deliver(event, {{"t_offset", -290}}).at(0), 200);
}

// covers: S04_STR_SIG_007, S04_STR_SIG_008
TEST_F(StripeDoor, RefusesAMissingOrMalformedSignature) {
  const std::string good = signature();
  for (const std::vector<std::string>& bad : std::vector<std::vector<std::string>>{
           {}, {""}, {good, good}, {"t=1"}, {good.substr(0, good.size() - 1) + "g"}, {"nonsense"}})
    expect(post(bad, body_), 400, "invalid_signature");
  // Equal refusals of one address share an audit row.
  EXPECT_EQ(audits("stripe_signature_refused"), 1);
  EXPECT_EQ(balance(), 0);
}

// covers: S04_STR_SIG_009
TEST_F(StripeDoor, RefusesABodyThatIsTooLong) {
  body_ = body_.substr(0, body_.size() - 1) + std::string(stripe::kMaxEventBytes - body_.size(), ' ') + "}";
  ASSERT_EQ(body_.size(), stripe::kMaxEventBytes);
  expect(post({signature()}, body_), 200);
  body_ += ' ';
  expect(post({signature()}, body_), 413, "body_too_large");
}

TEST_F(StripeDoor, RefusesWhatIsSignedButNoEvent) {
  body_ = R"({"id":"evt_1"})";
  expect(post({signature()}, body_), 400, "invalid_event");
  body_ = std::string(100'000, '[');
  expect(post({signature()}, body_), 400, "invalid_event");
  EXPECT_EQ(audits("stripe_event_refused"), 1);
}

TEST_F(StripeDoor, ShutsForAnAddressWithManyBadSignatures) {
  for (int i = 0; i < 60; ++i) expect(post({"t=1,v1=" + std::string(64, '0')}, body_), 400);
  const auto refused = post({signature()}, body_);
  expect(refused, 429, "rate_limited");
  EXPECT_TRUE(refused.header("Retry-After"));
  EXPECT_EQ(balance(), 0);
  cp().clock.advance(Seconds(2));
  expect(post({signature()}, body_), 200);
  EXPECT_EQ(balance(), 25'000'000);
}

TEST_F(StripeDoor, AdministratorsSeeStatusAndEventsAndNoSecret) {
  expect(post({signature()}, body_), 200);
  const auto shown = cp().admin("GET", "/api/v1/admin/stripe/status?validate=true");
  ASSERT_EQ(shown.status, 200) << shown.body;
  const auto status = json::parse(shown.body).value();
  EXPECT_TRUE(status.at("enabled").as_bool());
  EXPECT_EQ(status.at("mode").as_string(), "test");
  EXPECT_EQ(status.at("secret_key").at("source").as_string(), "environment");
  EXPECT_EQ(status.at("secret_key").at("fingerprint").as_string().size(), 8U);
  EXPECT_TRUE(status.at("webhook_secret").at("is_set").as_bool());
  EXPECT_EQ(status.at("webhook_path").as_string(), "/api/v1/webhooks/stripe");
  EXPECT_EQ(status.at("last_webhook_at").as_string(), to_rfc3339(cp().clock.now()));
  EXPECT_EQ(boost::json::serialize(status.at("validation")), R"({"attempted":true,"ok":true,"code":null})");
  for (const std::string& secret : {stripe.config().secret_key, stripe.config().webhook_secret})
    EXPECT_EQ(shown.body.find(secret), std::string::npos);

  stripe.add_fault({.path = "/v1/balance", .status = 401, .code = "api_key_expired"});
  const auto refused = cp().admin("GET", "/api/v1/admin/stripe/status?validate=true");
  EXPECT_NE(refused.body.find(R"("validation":{"attempted":true,"ok":false,"code":"api_key_expired"})"),
            std::string::npos)
      << refused.body;

  const auto events = cp().admin("GET", "/api/v1/admin/stripe/events?type=payment_intent.succeeded&outcome=processed");
  EXPECT_EQ(json::parse(events.body).value().at("items").as_array().size(), 1U) << events.body;
  EXPECT_EQ(json::parse(cp().admin("GET", "/api/v1/admin/stripe/events?outcome=ignored").body)
                .value()
                .at("items")
                .as_array()
                .size(),
            0U);
  EXPECT_EQ(cp().admin("GET", "/api/v1/admin/stripe/events?outcome=what").code(), "invalid_request");
  EXPECT_EQ(as_owner("GET", "/api/v1/admin/stripe/events").code(), "admin_required");

  const auto metrics = cp().call("GET", "/metrics", "", {}, "127.0.0.1").body;
  EXPECT_NE(metrics.find(R"(ee_stripe_events_total{outcome="processed",type="payment_intent.succeeded"} 1)"),
            std::string::npos);
  EXPECT_NE(metrics.find(R"(ee_stripe_calls_total{call="create_intent",result="200"} 1)"), std::string::npos);
}

class StripeOff : public testing::StripeFixture {
 protected:
  StripeOff() : StripeFixture({{"STRIPE_SECRET_KEY", ""}}) {}
};

TEST_F(StripeOff, WithoutAKeyThereAreNeitherDepositsNorWebhooks) {
  EXPECT_EQ(post_deposit().code(), "stripe_not_configured");
  const auto event = stripe.control(
      "events", boost::json::object{{"type", "customer.created"}, {"object", boost::json::object{{"id", "cus_1"}}}});
  EXPECT_EQ(stripe.deliver({event}).at(0), 503);
  EXPECT_TRUE(reconcile()->skipped);
  const auto shown = cp().admin("GET", "/api/v1/admin/stripe/status?validate=true");
  EXPECT_NE(shown.body.find(R"("enabled":false,"mode":"none")"), std::string::npos) << shown.body;
  EXPECT_NE(shown.body.find(R"("attempted":false)"), std::string::npos);
}

}  // namespace
}  // namespace ee::cp
