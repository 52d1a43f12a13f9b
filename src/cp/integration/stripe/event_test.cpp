#include "cp/integration/stripe/event.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ee::cp::stripe {
namespace {

constexpr std::string_view kUuid = "01900000-0000-7000-8000-000000000001";

std::string intent(const std::string& more = "") {
  return R"({"id":"pi_1","amount":2500,"amount_received":2500,"currency":"usd","livemode":false,"status":"succeeded",)"
         R"("client_secret":"pi_1_secret_x","metadata":{"account_id":")" +
         std::string(kUuid) + R"(","deposit_id":"not an id","instance_id":")" + std::string(kUuid) + R"("})" + more +
         "}";
}
std::string event(const std::string& type, const std::string& object) {
  return R"({"id":"evt_1","type":")" + type + R"(","created":1767225600,"livemode":false,"data":{"object":)" + object +
         R"(,"previous_attributes":{}},"pending_webhooks":1,"tax":0.19})";
}

TEST(StripeEvent, ReadsWhatItKnowsAndPassesOverTheRest) {
  const auto read = parse_event(event("payment_intent.succeeded", intent(R"(,"new":{"members":[1,2.5,null]})")));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->id, "evt_1");
  EXPECT_EQ(read->kind, EventKind::intent_succeeded);
  EXPECT_EQ(read->created_at, UtcTime(Seconds(1767225600)));
  EXPECT_EQ(read->object_id, "pi_1");
  const auto& object = std::get<PaymentIntent>(read->object);
  EXPECT_EQ(object.amount_received, 2500);
  EXPECT_EQ(object.account_id, kUuid);
  EXPECT_EQ(object.deposit_id, "") << "only ids of our own form";
  EXPECT_EQ(object.status, IntentStatus::succeeded);
}

TEST(StripeEvent, OfAnyOtherTypeNeedsAnObjectOnly) {
  const auto read = parse_event(event("customer.created", R"({"id":"cus_1"})"));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->kind, EventKind::other);
  EXPECT_EQ(read->object_id, "cus_1");
}

TEST(StripeEvent, ReadsRefundsAndDisputes) {
  const std::string refund =
      R"({"id":"re_1","amount":100,"currency":"usd","status":"pending","payment_intent":{"id":"pi_7"}})";
  const auto read = parse_event(event("charge.refund.updated", refund));
  ASSERT_TRUE(read);
  EXPECT_EQ(std::get<Refund>(read->object).payment_intent, "pi_7") << "an expanded reference";
  const std::string dispute = R"({"id":"dp_1","amount":100,"currency":"usd","status":"lost","payment_intent":null})";
  const auto closed = parse_event(event("charge.dispute.closed", dispute));
  ASSERT_TRUE(closed);
  EXPECT_EQ(std::get<Dispute>(closed->object).payment_intent, "");
  EXPECT_EQ(closed->kind, EventKind::dispute_closed);
}

TEST(StripeEvent, RefusesWhatIsNone) {
  std::string deep = R"({"id":"x","a":)";
  for (int i = 0; i < 40; ++i) deep += "[";
  for (int i = 0; i < 40; ++i) deep += "]";
  const std::vector<std::string> bad = {
      "",
      "null",
      "[]",
      "{",
      R"({"id":"evt_1"})",
      event("payment_intent.succeeded", "null"),
      event("payment_intent.succeeded", R"({"id":"pi_1"})"),
      event("payment_intent.succeeded",
            R"({"id":"pi_1/../x","amount":1,"currency":"usd","livemode":false,"status":"succeeded"})"),
      event("payment_intent.succeeded",
            R"({"id":"pi_1","amount":-1,"currency":"usd","livemode":false,"status":"succeeded"})"),
      event(
          "payment_intent.succeeded",
          R"({"id":"pi_1","amount":1,"amount_received":1e30,"currency":"usd","livemode":false,"status":"succeeded"})"),
      event("payment_intent.succeeded",
            R"({"id":"pi_1","amount":99999999999999,"currency":"usd","livemode":false,"status":"succeeded"})"),
      event("payment_intent.succeeded",
            R"({"id":"pi_1","amount":1,"currency":"usd","livemode":false,"status":"who knows"})"),
      event("refund.created",
            R"({"id":"re_1","amount":0,"currency":"usd","status":"pending","payment_intent":"pi_1"})"),
      event("refund.created",
            R"({"id":"pi_1","amount":1,"currency":"usd","status":"pending","payment_intent":"pi_1"})"),
      event("a type", R"({"id":"x"})"),
      event("customer.created", deep + "}"),
      R"({"id":"evt_1","id":"evt_2","type":"a","created":1,"livemode":false,"data":{"object":{}}})",
      R"({"id":"cus_1","type":"a","created":1,"livemode":false,"data":{"object":{}}})",
      R"({"id":"evt_1","type":"a","created":-1,"livemode":false,"data":{"object":{}}})",
      R"({"id":"evt_1","type":"a","created":1,"livemode":"false","data":{"object":{}}})",
      R"({"id":"evt_1","type":"a","created":1,"livemode":false,"data":{"object":[]}})"};
  for (const std::string& text : bad) {
    const auto read = parse_event(text);
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().code, ErrorCode::invalid_event);
  }
}

}  // namespace
}  // namespace ee::cp::stripe
