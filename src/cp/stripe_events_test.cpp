// Webhooks of Stripe: the stand-in posts them over real HTTP, the ledger shows what they did.
#include "tests/support/stripe_fixture.h"

namespace ee::cp {
namespace {

constexpr std::int64_t kUsd = 1'000'000;

class StripeEvents : public testing::StripeFixture {};

// covers: S04_STR_EVT_001
TEST_F(StripeEvents, ASuccessPostsTheMoneyAndSaysSo) {
  const Deposit made = deposit("25.00");
  EXPECT_EQ(balance(), 0);
  move(made, "succeed");

  EXPECT_EQ(deliver_last("payment_intent.succeeded"), 200);

  EXPECT_EQ(balance(), 25 * kUsd);
  EXPECT_EQ(status(made), "succeeded");
  EXPECT_EQ(events("processed"), 1);
  EXPECT_EQ(audits("deposit_succeeded"), 1);
  EXPECT_EQ(one<std::string>("SELECT idempotency_key FROM ledger_groups"), "stripe:pi:" + made.intent);
  EXPECT_EQ(one<std::int64_t>("SELECT balance_micros FROM account_balances WHERE account_id="
                              "'00000000-0000-7000-8000-000000000002'"),
            -25 * kUsd);
  expect_balanced();
  const auto shown = as_owner("GET", deposits_path() + "/" + made.id);
  EXPECT_EQ(text(shown, "received"), "25.000000");
  EXPECT_EQ(text(shown, "status"), "succeeded");
}

// covers: S04_STR_EVT_002
TEST_F(StripeEvents, TheSameEventTwiceIsOne) {
  const Deposit made = deposit();
  move(made, "succeed");
  const auto event = stripe.last_event("payment_intent.succeeded");

  EXPECT_EQ(stripe.deliver({event}, {{"repeat", 5}}), std::vector<int>(5, 200));

  EXPECT_EQ(balance(), 25 * kUsd);
  EXPECT_EQ(groups(), 1);
  EXPECT_EQ(audits("deposit_succeeded"), 1);
  const auto answers = stripe.control("deliver", boost::json::object{{"events", boost::json::array{event}}});
  EXPECT_EQ(answers.at("answers").at(0).at("body").as_string(), R"({"received":true,"duplicate":true})");
}

TEST_F(StripeEvents, AreKnownForAsLongAsTheyCouldComeAgain) {
  const Deposit made = paid_deposit();
  const auto event = stripe.last_event("payment_intent.succeeded");
  const auto known = [&] { return one<std::int64_t>("SELECT COUNT(*) FROM stripe_events"); };
  const auto forgotten = [&] {
    const auto done = cp().app().run_job("stripe_event_retention");
    return done ? done->value("deleted") : -1;
  };
  advance(std::chrono::days(398));
  EXPECT_EQ(forgotten(), 0);
  EXPECT_EQ(deliver(event), 200);
  EXPECT_EQ(known(), 1);

  advance(std::chrono::days(3));
  EXPECT_EQ(forgotten(), 1);
  EXPECT_EQ(known(), 0);
  const auto answers = stripe.control("deliver", boost::json::object{{"events", boost::json::array{event}}});
  EXPECT_EQ(answers.at("answers").at(0).at("body").as_string(), R"({"received":true,"duplicate":true})");
  EXPECT_EQ(known(), 0) << "it is not taken for a new one";
  EXPECT_EQ(groups(), 1);
  EXPECT_EQ(balance(), 25 * kUsd);

  // What is new of an old deposit is handled.
  dispute(made, 2500);
  EXPECT_EQ(deliver_last("charge.dispute.created"), 200);
  EXPECT_EQ(hold(), 1);
  EXPECT_EQ(events("processed"), 1);
}

// covers: S04_STR_EVT_003
TEST_F(StripeEvents, TwoEventsAboutOneFactPostOnce) {
  const Deposit made = deposit();
  move(made, "succeed");
  EXPECT_EQ(deliver_last("payment_intent.succeeded"), 200);
  EXPECT_EQ(deliver(twin("payment_intent.succeeded")), 200);

  EXPECT_EQ(events("processed"), 2);
  EXPECT_EQ(groups(), 1);
  EXPECT_EQ(balance(), 25 * kUsd);
}

TEST_F(StripeEvents, OlderNewsUndoesNothing) {
  const Deposit made = deposit();
  move(made, "fail");
  EXPECT_EQ(deliver_last("payment_intent.payment_failed"), 200);
  EXPECT_EQ(status(made), "requires_payment");
  EXPECT_EQ(one<std::string>("SELECT last_error FROM deposits"), "card_declined");
  move(made, "process");
  move(made, "succeed");
  EXPECT_EQ(deliver_last("payment_intent.succeeded"), 200);
  EXPECT_EQ(deliver_last("payment_intent.processing"), 200);
  EXPECT_EQ(deliver(twin("payment_intent.payment_failed")), 200);
  EXPECT_EQ(status(made), "succeeded");
  EXPECT_EQ(balance(), 25 * kUsd);
}

TEST_F(StripeEvents, MoneyThatComesLateStillCounts) {
  const Deposit made = deposit();
  move(made, "cancel");
  EXPECT_EQ(deliver_last("payment_intent.canceled"), 200);
  EXPECT_EQ(status(made), "canceled");
  move(made, "succeed", {{"amount_received", 2400}});
  EXPECT_EQ(deliver_last("payment_intent.succeeded"), 200);
  EXPECT_EQ(status(made), "succeeded");
  EXPECT_EQ(balance(), 24 * kUsd) << "what was received, not what was asked for";
  EXPECT_EQ(audits("deposit_late_success"), 1);
  EXPECT_EQ(audits("deposit_amount_differs"), 1);
}

// covers: S04_STR_EVT_009
TEST_F(StripeEvents, AboutAnIntentThatNobodyKnowsPostNothing) {
  const Deposit made = paid_deposit("25.00");
  auto event = twin("payment_intent.succeeded");
  auto& intent = event["data"].as_object()["object"].as_object();
  intent["id"] = "pi_unknown";
  intent["metadata"].as_object()["deposit_id"] = "01900000-0000-7000-8000-00000000dead";
  EXPECT_EQ(deliver(event), 200);
  EXPECT_EQ(last_detail(), "deposit_unknown");

  stripe.control("refunds", boost::json::object{{"payment_intent", "pi_unknown"}, {"amount", 100}});
  EXPECT_EQ(deliver_last("refund.created"), 200);
  EXPECT_EQ(last_detail(), "intent_unknown");
  EXPECT_EQ(events("unmatched"), 2);
  EXPECT_EQ(audits("stripe_event_unmatched"), 2);

  // Somebody else's intent of the same Stripe account, and events of no interest.
  auto foreign = twin("payment_intent.succeeded");
  foreign["data"].as_object()["object"].as_object()["metadata"] = boost::json::object();
  EXPECT_EQ(deliver(foreign), 200);
  EXPECT_EQ(deliver(stripe
                        .control("events", boost::json::object{{"type", "customer.created"},
                                                               {"object", boost::json::object{{"id", "cus_1"}}}})
                        .as_object()),
            200);
  EXPECT_EQ(events("ignored"), 2);
  EXPECT_EQ(balance(), 25 * kUsd);
  EXPECT_EQ(status(made), "succeeded");
}

// covers: S04_STR_EVT_010
TEST_F(StripeEvents, ForAnotherAccountPostNothing) {
  const Deposit made = deposit();
  move(made, "succeed");
  auto event = twin("payment_intent.succeeded");
  event["data"].as_object()["object"].as_object()["metadata"].as_object()["account_id"] = kOtherAccount;
  EXPECT_EQ(deliver(event), 200);
  EXPECT_EQ(last_detail(), "account_mismatch");
  EXPECT_EQ(audits("stripe_event_unmatched"), 1);
  EXPECT_EQ(balance(), 0);
  EXPECT_EQ(balance(kOtherAccount), 0);
  EXPECT_EQ(status(made), "requires_payment");
  // Nor does another intent that names this deposit.
  auto second = twin("payment_intent.succeeded");
  second["data"].as_object()["object"].as_object()["id"] = "pi_second";
  EXPECT_EQ(deliver(second), 200);
  EXPECT_EQ(last_detail(), "intent_mismatch");
  EXPECT_EQ(groups(), 0);
}

// covers: S04_STR_EVT_011
TEST_F(StripeEvents, InAnotherCurrencyPostNothing) {
  const Deposit made = deposit();
  move(made, "succeed");
  auto event = twin("payment_intent.succeeded");
  event["data"].as_object()["object"].as_object()["currency"] = "eur";
  EXPECT_EQ(deliver(event), 200);
  EXPECT_EQ(last_detail(), "currency_mismatch");
  EXPECT_EQ(events("unmatched"), 1);
  auto nothing = twin("payment_intent.succeeded");
  nothing["data"].as_object()["object"].as_object()["amount_received"] = 0;
  EXPECT_EQ(deliver(nothing), 200);
  EXPECT_EQ(last_detail(), "nothing_received");
  EXPECT_EQ(groups(), 0);
}

// covers: S04_STR_EVT_012
TEST_F(StripeEvents, OfTheOtherModeAreRefused) {
  const Deposit made = deposit();
  move(made, "succeed");
  auto event = stripe.last_event("payment_intent.succeeded");
  event["livemode"] = true;
  const auto answered = stripe.control("deliver", boost::json::object{{"events", boost::json::array{event}}});
  EXPECT_EQ(answered.at("answers").at(0).at("status").as_int64(), 400);
  EXPECT_NE(answered.at("answers").at(0).at("body").as_string().find("livemode_mismatch"), std::string::npos);
  EXPECT_EQ(one<std::int64_t>("SELECT COUNT(*) FROM stripe_events"), 0);
  EXPECT_EQ(one<std::string>("SELECT reason_code FROM audit_log WHERE action='stripe_event_refused'"),
            "livemode_mismatch");
  EXPECT_EQ(balance(), 0);
}

// covers: S04_LED_008
TEST_F(StripeEvents, AKeyThatWasPostedWithOtherLinesIsAuditedAndPostsNothing) {
  const Deposit made = deposit();
  move(made, "succeed");
  post_otherwise(made);
  EXPECT_EQ(deliver_last("payment_intent.succeeded"), 500);
  EXPECT_EQ(audits("ledger_key_conflict"), 1);
  EXPECT_EQ(balance(), 1) << "what was posted first stands";
  EXPECT_EQ(status(made), "requires_payment");
  expect_balanced();
}

// covers: S04_STR_CRASH_001
TEST_F(StripeEvents, AFaultBetweenEventAndPostingLeavesNothingAndTheRepeatCompletes) {
  const Deposit made = deposit();
  move(made, "succeed");
  before_post = [] { throw std::runtime_error("a fault between the event row and the posting"); };

  EXPECT_EQ(deliver_last("payment_intent.succeeded"), 500);

  EXPECT_EQ(one<std::int64_t>("SELECT COUNT(*) FROM stripe_events"), 0);
  EXPECT_EQ(groups(), 0);
  EXPECT_EQ(audits("deposit_succeeded"), 0);
  EXPECT_EQ(status(made), "requires_payment");
  before_post = nullptr;
  EXPECT_EQ(deliver_last("payment_intent.succeeded"), 200) << "as Stripe does";
  EXPECT_EQ(balance(), 25 * kUsd);
  expect_balanced();
}

}  // namespace
}  // namespace ee::cp
