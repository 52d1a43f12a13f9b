// Money that goes back: refunds and disputes, told by webhooks in whichever order.
#include "tests/support/stripe_fixture.h"

namespace ee::cp {
namespace {

constexpr std::int64_t kUsd = 1'000'000;

class StripeReversals : public testing::StripeFixture {
 protected:
  /// Withdraws or reinstates the funds of a dispute a minute later: the event that tells it, not delivered yet.
  boost::json::object moved_dispute(const std::string& id, const std::string& verb) {
    advance(Seconds(60));
    move_dispute(id, verb);
    return stripe.last_event(verb == "withdraw" ? "charge.dispute.funds_withdrawn" : "charge.dispute.funds_reinstated");
  }
};

// covers: S04_STR_EVT_004
TEST_F(StripeReversals, ARefundBeforeTheSuccessReadsTheIntentFirst) {
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

TEST_F(StripeReversals, ARefundWhoseIntentCannotBeReadComesAgain) {
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
TEST_F(StripeReversals, AFailedRefundIsReversed) {
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

TEST_F(StripeReversals, ARefundThatIsFirstHeardOfAsFailedPostsNothing) {
  const Deposit made = paid_deposit("25.00");
  const std::string id = refund(made, 2500, "pending");
  const auto created = stripe.last_event("refund.created");
  stripe.control("refunds/" + id, boost::json::object{{"status", "failed"}});
  EXPECT_EQ(deliver_last("refund.failed"), 200);
  EXPECT_EQ(deliver(created), 200);
  EXPECT_EQ(balance(), 25 * kUsd);
  EXPECT_EQ(groups(), 1);
}

TEST_F(StripeReversals, ARefundToldBeforeTheFailureOfAnEarlierOneIsPostedWithThatFailure) {
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

TEST_F(StripeReversals, ARefundThatWaitsAndThenFailsIsNeverPosted) {
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
TEST_F(StripeReversals, PartialRefundsAddUp) {
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
TEST_F(StripeReversals, RefundsNeverExceedWhatCameIn) {
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
TEST_F(StripeReversals, ADisputeHoldsTheAccountTakesTheMoneyAndGivesItBack) {
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
TEST_F(StripeReversals, ALostDisputeKeepsItsHoldUntilAnAdministratorLiftsIt) {
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

  const std::string resume = "/api/v1/accounts/" + kAccount + "/resume";
  ASSERT_EQ(cp().admin("POST", resume, R"({"reason":"settled with the customer"})").status, 200);
  EXPECT_EQ(hold(), 0);
  EXPECT_EQ(audits("account_resumed"), 1);
  const std::string later = dispute(made, 500);
  EXPECT_EQ(deliver_last("charge.dispute.created"), 200);
  EXPECT_EQ(hold(), 1);
  move_dispute(later, "close", "won");
  EXPECT_EQ(deliver_last("charge.dispute.closed"), 200);
  EXPECT_EQ(hold(), 0) << "the lost one was lifted";
}

TEST_F(StripeReversals, FundsThatAreWithdrawnAgainArePostedAgain) {
  const Deposit made = paid_deposit("25.00");
  const std::string id = dispute(made, 2500);
  std::vector<boost::json::object> told;
  for (const char* verb : {"withdraw", "reinstate", "withdraw"}) {
    told.push_back(moved_dispute(id, verb));
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

TEST_F(StripeReversals, AReinstatementToldAfterTheNextWithdrawalGivesNothingBack) {
  const Deposit made = paid_deposit("25.00");
  const std::string id = dispute(made, 2500);
  std::vector<boost::json::object> told;
  for (const char* verb : {"withdraw", "reinstate", "withdraw"}) {
    told.push_back(moved_dispute(id, verb));
  }
  for (const std::size_t next : {0U, 2U, 1U}) EXPECT_EQ(deliver(told[next]), 200);
  EXPECT_EQ(balance(), 0) << "the bank holds the money";
  expect_balanced();
}

TEST_F(StripeReversals, NewsOfADisputeInAnyOrderComeToTheSame) {
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

}  // namespace
}  // namespace ee::cp
