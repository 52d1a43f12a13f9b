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

// covers: S04_STR_EVT_004
TEST_F(StripeEvents, ARefundBeforeTheSuccessReadsTheIntentFirst) {
  const Deposit made = deposit("25.00");
  move(made, "succeed");
  refund(made, 1000);

  EXPECT_EQ(deliver_last("refund.created"), 200);

  EXPECT_EQ(status(made), "succeeded");
  EXPECT_EQ(balance(), 15 * kUsd);
  EXPECT_EQ(groups(), 2);
  EXPECT_EQ(deliver_last("payment_intent.succeeded"), 200);
  EXPECT_EQ(groups(), 2) << "the late success is older news";
  EXPECT_EQ(balance(), 15 * kUsd);
  expect_balanced();
}

TEST_F(StripeEvents, ARefundWhoseIntentCannotBeReadComesAgain) {
  const Deposit made = deposit("25.00");
  move(made, "succeed");
  refund(made, 1000);
  stripe.add_fault({.path = "/v1/payment_intents/" + made.intent, .status = 500, .count = 100});

  EXPECT_EQ(deliver_last("refund.created"), 503);
  EXPECT_EQ(one<std::int64_t>("SELECT COUNT(*) FROM stripe_events"), 0);
  EXPECT_EQ(groups(), 0);

  stripe.clear_faults();
  EXPECT_EQ(deliver_last("refund.created"), 200);
  EXPECT_EQ(balance(), 15 * kUsd);
}

// covers: S04_STR_EVT_005
TEST_F(StripeEvents, AFailedRefundIsReversed) {
  const Deposit made = paid_deposit("25.00");
  const std::string id = refund(made, 2500, "pending");
  EXPECT_EQ(deliver_last("refund.created"), 200);
  EXPECT_EQ(balance(), 0);
  stripe.control("refunds/" + id, boost::json::object{{"status", "failed"}});

  EXPECT_EQ(deliver_last("refund.failed"), 200);

  EXPECT_EQ(balance(), 25 * kUsd);
  EXPECT_EQ(one<std::int64_t>("SELECT refunded_micros FROM deposits"), 0);
  EXPECT_EQ(one<std::int64_t>("SELECT COUNT(*) FROM ledger_groups WHERE idempotency_key=:key",
                              {{"key", "stripe:re:" + id + ":rev"}}),
            1);
  // What failed stays failed, in whichever order its news come.
  EXPECT_EQ(deliver(twin("refund.failed")), 200);
  EXPECT_EQ(deliver(twin("refund.created")), 200);
  EXPECT_EQ(balance(), 25 * kUsd);
  EXPECT_EQ(groups(), 3);
  EXPECT_EQ(audits("refund_posted"), 1);
  EXPECT_EQ(audits("refund_reversed"), 1);
  expect_balanced();
}

TEST_F(StripeEvents, ARefundThatIsFirstHeardOfAsFailedPostsNothing) {
  const Deposit made = paid_deposit("25.00");
  const std::string id = refund(made, 2500, "pending");
  const auto created = stripe.last_event("refund.created");
  stripe.control("refunds/" + id, boost::json::object{{"status", "failed"}});
  EXPECT_EQ(deliver_last("refund.failed"), 200);
  EXPECT_EQ(deliver(created), 200);
  EXPECT_EQ(balance(), 25 * kUsd);
  EXPECT_EQ(groups(), 1);
}

TEST_F(StripeEvents, ARefundToldBeforeTheFailureOfAnEarlierOneIsPostedWithThatFailure) {
  const Deposit made = paid_deposit("25.00");
  const std::string first = refund(made, 2500, "pending");
  EXPECT_EQ(deliver_last("refund.created"), 200);
  stripe.control("refunds/" + first, boost::json::object{{"status", "failed"}});
  const auto failure = stripe.last_event("refund.failed");
  refund(made, 2000, "succeeded");
  EXPECT_EQ(deliver_last("refund.created"), 200);
  EXPECT_EQ(last_detail(), "refund_exceeds_deposit");
  EXPECT_EQ(balance(), 0) << "two refunds exceed what came in as far as is known";

  EXPECT_EQ(deliver(failure), 200);

  EXPECT_EQ(balance(), 5 * kUsd) << "the first was given back, the second taken";
  EXPECT_EQ(one<std::int64_t>("SELECT refunded_micros FROM deposits"), 20 * kUsd);
  EXPECT_EQ(audits("refund_posted"), 2);
  EXPECT_EQ(deliver(twin("refund.created")), 200);
  EXPECT_EQ(deliver(twin("refund.failed")), 200);
  EXPECT_EQ(balance(), 5 * kUsd) << "each once";
  EXPECT_EQ(groups(), 4);
  expect_balanced();
}

TEST_F(StripeEvents, ARefundThatWaitsAndThenFailsIsNeverPosted) {
  const Deposit made = paid_deposit("25.00");
  const std::string first = refund(made, 2500, "pending");
  EXPECT_EQ(deliver_last("refund.created"), 200);
  const std::string second = refund(made, 2000, "pending");
  EXPECT_EQ(deliver_last("refund.created"), 200);
  stripe.control("refunds/" + second, boost::json::object{{"status", "canceled"}});
  EXPECT_EQ(deliver_last("refund.updated"), 200);
  stripe.control("refunds/" + first, boost::json::object{{"status", "failed"}});
  EXPECT_EQ(deliver_last("refund.failed"), 200);
  EXPECT_EQ(balance(), 25 * kUsd);
  EXPECT_EQ(audits("refund_posted"), 1);
  expect_balanced();
}

// covers: S04_STR_EVT_006
TEST_F(StripeEvents, PartialRefundsAddUp) {
  const Deposit made = paid_deposit("25.00");
  for (const std::int64_t cents : {1000, 500}) {
    const std::string id = refund(made, cents, "pending");
    EXPECT_EQ(deliver_last("refund.created"), 200);
    stripe.control("refunds/" + id, boost::json::object{{"status", "succeeded"}});
    EXPECT_EQ(deliver_last("refund.updated"), 200) << "one fact, told twice";
  }
  EXPECT_EQ(balance(), 10 * kUsd);
  EXPECT_EQ(one<std::int64_t>("SELECT refunded_micros FROM deposits"), 15 * kUsd);
  EXPECT_EQ(groups(), 3);
  expect_balanced();
}

// covers: S04_STR_EVT_007
TEST_F(StripeEvents, RefundsNeverExceedWhatCameIn) {
  const Deposit made = paid_deposit("25.00");
  refund(made, 2000);
  EXPECT_EQ(deliver_last("refund.created"), 200);
  refund(made, 501);
  EXPECT_EQ(deliver_last("refund.created"), 200);

  EXPECT_EQ(balance(), 5 * kUsd);
  EXPECT_EQ(events("unmatched"), 1);
  EXPECT_EQ(last_detail(), "refund_exceeds_deposit");
  EXPECT_EQ(audits("refund_exceeds_deposit"), 1);
  refund(made, 500);
  EXPECT_EQ(deliver_last("refund.created"), 200);
  EXPECT_EQ(balance(), 0);
}

// covers: S04_STR_EVT_008
TEST_F(StripeEvents, ADisputeHoldsTheAccountTakesTheMoneyAndGivesItBack) {
  const Deposit made = paid_deposit("25.00");
  const std::string id = dispute(made, 2500);
  EXPECT_EQ(deliver_last("charge.dispute.created"), 200);
  EXPECT_EQ(hold(), 1);
  EXPECT_EQ(balance(), 25 * kUsd) << "no money moves yet";

  move_dispute(id, "withdraw");
  EXPECT_EQ(deliver_last("charge.dispute.funds_withdrawn"), 200);
  EXPECT_EQ(deliver(twin("charge.dispute.funds_withdrawn")), 200);
  EXPECT_EQ(balance(), 0);
  EXPECT_EQ(hold(), 1);
  EXPECT_EQ(one<std::int64_t>("SELECT balance_micros FROM account_balances WHERE account_id="
                              "'00000000-0000-7000-8000-000000000006'"),
            25 * kUsd);

  move_dispute(id, "reinstate");
  EXPECT_EQ(deliver_last("charge.dispute.funds_reinstated"), 200);
  EXPECT_EQ(balance(), 25 * kUsd);
  EXPECT_EQ(hold(), 1) << "until it is closed";
  move_dispute(id, "close", "won");
  EXPECT_EQ(deliver_last("charge.dispute.closed"), 200);
  EXPECT_EQ(hold(), 0);
  for (const char* action :
       {"dispute_created", "dispute_funds_withdrawn", "dispute_funds_reinstated", "dispute_closed"})
    EXPECT_EQ(audits(action), 1) << action;
  expect_balanced();
}

// covers: S04_STR_EVT_008
TEST_F(StripeEvents, ALostDisputeKeepsItsHoldUntilAnAdministratorLiftsIt) {
  const Deposit made = paid_deposit("25.00");
  const std::string lost = dispute(made, 1000);
  EXPECT_EQ(deliver_last("charge.dispute.created"), 200);
  move_dispute(lost, "withdraw");
  EXPECT_EQ(deliver_last("charge.dispute.funds_withdrawn"), 200);
  move_dispute(lost, "close", "lost");
  EXPECT_EQ(deliver_last("charge.dispute.closed"), 200);
  EXPECT_EQ(hold(), 1);
  EXPECT_EQ(balance(), 15 * kUsd);

  const std::string won = dispute(made, 500);
  EXPECT_EQ(deliver_last("charge.dispute.created"), 200);
  move_dispute(won, "close", "warning_closed");
  EXPECT_EQ(deliver_last("charge.dispute.closed"), 200);
  EXPECT_EQ(hold(), 1) << "the lost one still holds";

  cp().execute("UPDATE account_balances SET dispute_hold=0 WHERE account_id=:id", {{"id", kAccount}});
  const std::string later = dispute(made, 500);
  EXPECT_EQ(deliver_last("charge.dispute.created"), 200);
  EXPECT_EQ(hold(), 1);
  move_dispute(later, "close", "won");
  EXPECT_EQ(deliver_last("charge.dispute.closed"), 200);
  EXPECT_EQ(hold(), 0) << "the lost one was lifted";
}

TEST_F(StripeEvents, FundsThatAreWithdrawnAgainArePostedAgain) {
  const Deposit made = paid_deposit("25.00");
  const std::string id = dispute(made, 2500);
  std::vector<boost::json::object> told;
  for (const char* verb : {"withdraw", "reinstate", "withdraw"}) {
    advance(Seconds(60));
    move_dispute(id, verb);
    told.push_back(stripe.last_event(verb == std::string_view("withdraw") ? "charge.dispute.funds_withdrawn"
                                                                          : "charge.dispute.funds_reinstated"));
    EXPECT_EQ(deliver(told.back()), 200);
  }
  EXPECT_EQ(balance(), 0);
  EXPECT_EQ(hold(), 1);
  EXPECT_EQ(one<std::int64_t>("SELECT COUNT(*) FROM ledger_groups WHERE idempotency_key=:key",
                              {{"key", "stripe:dp:" + id + ":out:2"}}),
            1);
  for (boost::json::object late : told) {
    late["id"] = "evt_late_" + std::string(late.at("id").as_string());
    EXPECT_EQ(deliver(late), 200);
  }
  EXPECT_EQ(balance(), 0) << "old news, told once more";
  EXPECT_EQ(groups(), 4);
  advance(Seconds(60));
  move_dispute(id, "reinstate");
  EXPECT_EQ(deliver_last("charge.dispute.funds_reinstated"), 200);
  EXPECT_EQ(balance(), 25 * kUsd);
  EXPECT_EQ(one<std::int64_t>("SELECT COUNT(*) FROM ledger_groups WHERE idempotency_key=:key",
                              {{"key", "stripe:dp:" + id + ":in:2"}}),
            1);
  EXPECT_EQ(one<std::int64_t>("SELECT disputed_micros FROM deposits"), 0);
  expect_balanced();
}

TEST_F(StripeEvents, AReinstatementToldAfterTheNextWithdrawalGivesNothingBack) {
  const Deposit made = paid_deposit("25.00");
  const std::string id = dispute(made, 2500);
  std::vector<boost::json::object> told;
  for (const char* verb : {"withdraw", "reinstate", "withdraw"}) {
    advance(Seconds(60));
    move_dispute(id, verb);
    told.push_back(stripe.last_event(verb == std::string_view("withdraw") ? "charge.dispute.funds_withdrawn"
                                                                          : "charge.dispute.funds_reinstated"));
  }
  for (const std::size_t next : {0U, 2U, 1U}) EXPECT_EQ(deliver(told[next]), 200);
  EXPECT_EQ(balance(), 0) << "the bank holds the money";
  expect_balanced();
}

TEST_F(StripeEvents, NewsOfADisputeInAnyOrderComeToTheSame) {
  const Deposit made = paid_deposit("25.00");
  const std::string id = dispute(made, 2500);
  move_dispute(id, "withdraw");
  move_dispute(id, "reinstate");
  move_dispute(id, "close", "won");
  boost::json::array all;
  for (const char* type : {"charge.dispute.funds_reinstated", "charge.dispute.closed", "charge.dispute.funds_withdrawn",
                           "charge.dispute.created"})
    all.push_back(stripe.last_event(type));

  EXPECT_EQ(stripe.deliver(all, {{"repeat", 3}, {"shuffle", true}}), std::vector<int>(12, 200));

  EXPECT_EQ(balance(), 25 * kUsd);
  EXPECT_EQ(hold(), 0);
  EXPECT_EQ(groups(), 3);
  expect_balanced();
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
