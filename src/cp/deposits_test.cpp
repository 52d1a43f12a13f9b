// Deposits from the request to the end, through the whole control plane and the Stripe stand-in.
#include "tests/support/stripe_fixture.h"

namespace ee::cp {
namespace {

constexpr std::int64_t kUsd = 1'000'000;

class DepositRoutesTest : public testing::StripeFixture {
 protected:
  std::vector<std::string> statuses() { return cp().values<std::string>("SELECT status FROM deposits ORDER BY id"); }
  std::size_t calls(const std::string& method, const std::string& path) {
    std::size_t count = 0;
    for (const auto& call : stripe.calls())
      if (call.method == method && call.path == path) ++count;
    return count;
  }
};

// covers: S04_STR_DEP_001
TEST_F(DepositRoutesTest, ANewDepositIsAnIntentOfThatAmountAndKey) {
  const auto made = post_deposit("25.10");
  ASSERT_EQ(made.status, 201) << made.body;

  EXPECT_EQ(text(made, "amount"), "25.100000");
  EXPECT_EQ(text(made, "status"), "requires_payment");
  const std::string intent = text(made, "payment_intent_id");
  EXPECT_TRUE(text(made, "client_secret").starts_with(intent + "_secret_"));
  const auto sent = stripe.calls().at(0);
  EXPECT_EQ(sent.idempotency_key, "ee-dep-" + text(made, "id"));
  EXPECT_EQ(sent.api_version, "2024-06-20");
  EXPECT_NE(sent.body.find("amount=2510&currency=usd"), std::string::npos);
  EXPECT_NE(sent.body.find("%5D=" + one<std::string>("SELECT value FROM meta WHERE key='instance_id'")),
            std::string::npos);
  EXPECT_EQ(audits("deposit_created"), 1);
  EXPECT_EQ(balance(), 0);
  // The secret is nowhere in the database: neither with the deposit nor in the audit log.
  EXPECT_EQ(one<std::int64_t>("SELECT COUNT(*) FROM audit_log WHERE detail LIKE '%_secret_%'"), 0);
  const auto shown = as_owner("GET", deposits_path() + "/" + text(made, "id"));
  EXPECT_EQ(shown.body.find("client_secret"), std::string::npos);
  const auto list = as_owner("GET", deposits_path());
  EXPECT_EQ(list.body.find("client_secret"), std::string::npos);
  EXPECT_NE(list.body.find(intent), std::string::npos);
}

// covers: S04_STR_DEP_002
TEST_F(DepositRoutesTest, AFailureOfStripeThatPassesMakesOneIntent) {
  stripe.add_fault({.path = "/v1/payment_intents", .status = 500, .count = 2});
  const auto made = post_deposit();
  EXPECT_EQ(made.status, 201) << made.body;
  EXPECT_EQ(stripe.calls().size(), 3U);

  // One that does not pass leaves the deposit; the same request goes on with it.
  stripe.add_fault({.path = "/v1/payment_intents", .status = 500, .count = 4});
  const auto failed = post_deposit("30.00", "again");
  EXPECT_EQ(failed.code(), "stripe_unavailable");
  EXPECT_EQ(statuses(), (std::vector<std::string>{"requires_payment", "creating"}));
  const auto again = post_deposit("30.00", "again");
  EXPECT_EQ(again.status, 201) << again.body;
  EXPECT_EQ(stripe.intents(), 2U);
  EXPECT_EQ(statuses(), (std::vector<std::string>{"requires_payment", "requires_payment"}));
}

TEST_F(DepositRoutesTest, ARefusalOfStripeFailsTheDeposit) {
  stripe.add_fault({.path = "/v1/payment_intents", .status = 402, .code = "account_closed_x"});
  EXPECT_EQ(post_deposit().code(), "stripe_error");
  EXPECT_EQ(statuses(), (std::vector<std::string>{"failed"}));
  EXPECT_EQ(one<std::string>("SELECT last_error FROM deposits"), "account_closed_x");
  EXPECT_EQ(audits("deposit_failed"), 1);
}

// covers: S04_STR_DEP_003
TEST_F(DepositRoutesTest, ACrashAfterTheCallIsTakenUpByTheJob) {
  on_answer = [](const HttpClientRequest&, auto) -> std::expected<HttpClientResponse, HttpFailure> {
    throw std::runtime_error("the process ends here");
  };
  EXPECT_THROW(post_deposit(), std::runtime_error);
  EXPECT_EQ(stripe.intents(), 1U);
  EXPECT_EQ(statuses(), (std::vector<std::string>{"creating"}));
  on_answer = nullptr;
  restart();

  EXPECT_EQ(reconcile()->value("checked"), 0) << "not before two minutes";
  advance(Seconds(121));
  EXPECT_EQ(reconcile()->value("checked"), 1);

  EXPECT_EQ(statuses(), (std::vector<std::string>{"requires_payment"}));
  EXPECT_EQ(stripe.intents(), 1U) << "the same intent";
  EXPECT_EQ(one<std::string>("SELECT payment_intent_id FROM deposits"), "pi_test_1");
}

// covers: S04_STR_DEP_004
TEST_F(DepositRoutesTest, ATimeOutLeavesTheDepositToTheJob) {
  on_answer = [](const HttpClientRequest&, auto) -> std::expected<HttpClientResponse, HttpFailure> {
    return std::unexpected(HttpFailure::timeout);
  };
  EXPECT_EQ(post_deposit().code(), "stripe_unavailable");
  EXPECT_EQ(stripe.calls().size(), 4U);
  EXPECT_EQ(statuses(), (std::vector<std::string>{"creating"}));
  advance(Seconds(121));
  EXPECT_TRUE(reconcile());
  EXPECT_EQ(statuses(), (std::vector<std::string>{"creating"})) << "Stripe is still away";
  on_answer = nullptr;
  advance(Seconds(301));
  EXPECT_TRUE(reconcile());
  EXPECT_EQ(statuses(), (std::vector<std::string>{"requires_payment"}));
  EXPECT_EQ(stripe.intents(), 1U);
}

// covers: S04_STR_DEP_005
TEST_F(DepositRoutesTest, ALostWebhookIsMadeUpForByTheJob) {
  const Deposit made = deposit();
  move(made, "succeed");
  advance(Seconds(29 * 60));
  EXPECT_EQ(reconcile()->value("checked"), 0);
  advance(Seconds(61));
  EXPECT_EQ(reconcile()->value("settled"), 1);

  EXPECT_EQ(status(made), "succeeded");
  EXPECT_EQ(balance(), 25 * kUsd);
  // The webhook comes after all.
  EXPECT_EQ(deliver_last("payment_intent.succeeded"), 200);
  EXPECT_EQ(balance(), 25 * kUsd);
  EXPECT_EQ(groups(), 1);
  EXPECT_EQ(reconcile()->value("checked"), 0) << "nothing more to look for";
}

TEST_F(DepositRoutesTest, OneThatCannotBeSettledDoesNotKeepTheOthersFromTheirMoney) {
  const Deposit stuck = deposit();
  advance(Seconds(1));
  const Deposit paid = deposit("30.00", kOtherAccount);
  move(stuck, "succeed");
  move(paid, "succeed");
  post_otherwise(stuck);
  advance(Seconds(31 * 60));
  const auto first = reconcile();
  ASSERT_FALSE(first) << "the job says that something is wrong";
  EXPECT_EQ(first.error().code, ErrorCode::ledger_key_conflict);
  EXPECT_EQ(status(paid), "succeeded");
  EXPECT_EQ(balance(kOtherAccount), 30 * kUsd);
  EXPECT_EQ(status(stuck), "requires_payment");
  EXPECT_EQ(balance(), 1);
  EXPECT_EQ(reconcile()->value("checked"), 0) << "not before some minutes";
  advance(Seconds(301));
  EXPECT_FALSE(reconcile());
}

// covers: S04_STR_DEP_006
TEST_F(DepositRoutesTest, AnUnpaidDepositIsCancelledAfterThreeDays) {
  const Deposit made = deposit();
  for (int passed = 0; passed < 12; ++passed) {
    advance(Seconds(6 * 3600));
    EXPECT_EQ(reconcile()->value("checked"), 1) << passed;
    EXPECT_EQ(status(made), "requires_payment") << passed;
  }
  advance(Seconds(6 * 3600 + 60));
  EXPECT_EQ(reconcile()->value("settled"), 1);
  EXPECT_EQ(status(made), "canceled");
  EXPECT_EQ(calls("POST", "/v1/payment_intents/" + made.intent + "/cancel"), 1U);
  EXPECT_EQ(stripe.control("intents/" + made.intent + "/fail", boost::json::object()).at("id").as_string(),
            made.intent);
  EXPECT_EQ(audits("deposit_canceled"), 1);
}

// covers: S04_STR_DEP_007
TEST_F(DepositRoutesTest, AReplayAnswersFromTheDepositAsItIsThen) {
  const auto first = post_deposit("25.00", "key-1");
  const auto replay = post_deposit("25.00", "key-1");
  EXPECT_EQ(replay.status, 201);
  EXPECT_EQ(replay.header("Idempotent-Replayed"), "true");
  EXPECT_EQ(first.header("Idempotent-Replayed"), "");
  EXPECT_EQ(replay.body, first.body) << "the secret was read from Stripe again";
  EXPECT_EQ(one<std::int64_t>("SELECT COUNT(*) FROM idempotency_keys WHERE response LIKE '%secret%'"), 0);
  EXPECT_EQ(post_deposit("26.00", "key-1").code(), "idempotency_key_reused");
  EXPECT_EQ(post_deposit("25.00", "bad key").code(), "invalid_idempotency_key");
  EXPECT_EQ(stripe.intents(), 1U);

  const Deposit made{.id = text(first, "id"), .intent = text(first, "payment_intent_id")};
  const auto shown = as_owner("GET", deposits_path() + "/" + made.id + "?client_secret=true");
  EXPECT_EQ(text(shown, "client_secret"), text(first, "client_secret"));
  move(made, "succeed");
  EXPECT_EQ(deliver_last("payment_intent.succeeded"), 200);
  const auto paid = post_deposit("25.00", "key-1");
  EXPECT_EQ(text(paid, "status"), "succeeded");
  EXPECT_NE(paid.body.find(R"("client_secret":null)"), std::string::npos);
  EXPECT_EQ(balance(), 25 * kUsd);
}

// covers: S04_STR_DEP_008
TEST_F(DepositRoutesTest, AmountsOutsideTheBoundsAreRefused) {
  for (const char* bad : {"4.99", "10000.01", "-5", "1e9", "0.0000001", "5.001", "05.00", ""})
    EXPECT_EQ(post_deposit(bad).code(), "invalid_amount") << bad;
  EXPECT_EQ(as_owner("POST", deposits_path(), R"({"amount":25})").code(), "invalid_amount");
  EXPECT_EQ(as_owner("POST", deposits_path(), R"({})").code(), "invalid_request");
  EXPECT_EQ(as_owner("POST", deposits_path(), R"({"amount":"25.00","more":1})").code(), "invalid_request");
  EXPECT_TRUE(statuses().empty());
  EXPECT_TRUE(stripe.calls().empty());
}

// covers: S04_STR_DEP_008
TEST_F(DepositRoutesTest, FiveMayWaitForPaymentAndTenMayBeginInAnHour) {
  std::vector<Deposit> made;
  for (int i = 0; i < 5; ++i) made.push_back(deposit());
  EXPECT_EQ(post_deposit().code(), "too_many_pending_deposits");
  EXPECT_EQ(post_deposit("25.00", "", kOtherAccount).status, 201) << "each account for itself";
  for (const Deposit& each : made) EXPECT_EQ(as_owner("POST", deposits_path() + "/" + each.id + "/cancel").status, 200);
  for (int i = 0; i < 5; ++i) deposit();
  const auto eleventh = post_deposit();
  EXPECT_EQ(eleventh.status, 429);
  EXPECT_EQ(eleventh.code(), "rate_limited");
  const int wait = std::stoi(eleventh.header("Retry-After"));
  EXPECT_GT(wait, 3000);
  EXPECT_LE(wait, 3600);
  advance(Seconds(wait));
  EXPECT_EQ(post_deposit().code(), "too_many_pending_deposits") << "the hour is over, the five still wait";
}

TEST_F(DepositRoutesTest, IsCancelledOnlyBeforeItIsPaid) {
  const Deposit made = deposit();
  const auto canceled = as_owner("POST", deposits_path() + "/" + made.id + "/cancel");
  EXPECT_EQ(text(canceled, "status"), "canceled") << canceled.body;
  EXPECT_EQ(as_owner("POST", deposits_path() + "/" + made.id + "/cancel").status, 200) << "a repetition";
  EXPECT_EQ(audits("deposit_canceled"), 1);

  // Paid a moment ago, and nobody knows yet: Stripe does.
  const Deposit paid = deposit();
  move(paid, "succeed");
  EXPECT_EQ(as_owner("POST", deposits_path() + "/" + paid.id + "/cancel").code(), "deposit_not_cancelable");
  EXPECT_EQ(status(paid), "succeeded");
  EXPECT_EQ(balance(), 25 * kUsd);
  EXPECT_EQ(as_owner("POST", deposits_path() + "/" + paid.id + "/cancel").code(), "deposit_not_cancelable");
}

TEST_F(DepositRoutesTest, BelongsToItsAccount) {
  const Deposit made = deposit();
  const std::string foreign = deposits_path(kOtherAccount) + "/" + made.id;
  EXPECT_EQ(as_owner("GET", foreign, "", {}, kOtherAccount).code(), "not_found");
  EXPECT_EQ(as_owner("GET", foreign + "?client_secret=true", "", {}, kOtherAccount).code(), "not_found");
  EXPECT_EQ(as_owner("POST", foreign + "/cancel", "", {}, kOtherAccount).code(), "not_found");
  EXPECT_EQ(as_owner("GET", deposits_path(kOtherAccount)).code(), "account_not_found");
  EXPECT_EQ(cp().call("GET", deposits_path()).code(), "unauthenticated");
  const std::string reader = make_key(kAccount, R"(["read"])");
  EXPECT_EQ(cp().call("GET", deposits_path(), "", {{"Authorization", "Bearer " + reader}}).code(), "scope_missing");

  // Administrators read, and neither deposit for others nor see what pays.
  EXPECT_EQ(cp().admin("GET", deposits_path() + "/" + made.id).status, 200);
  EXPECT_EQ(cp().admin("GET", deposits_path() + "/" + made.id + "?client_secret=true").body.find("_secret_"),
            std::string::npos);
  EXPECT_NE(cp().admin("POST", deposits_path(), R"({"amount":"25.00"})").status, 201);
}

TEST_F(DepositRoutesTest, AreListedNewestFirstPageByPage) {
  std::vector<std::string> ids;
  for (int i = 0; i < 3; ++i) {
    ids.push_back(deposit().id);
    advance(Seconds(1));
  }
  const auto first = json::parse(as_owner("GET", deposits_path() + "?limit=2").body).value();
  ASSERT_EQ(first.at("items").as_array().size(), 2U);
  EXPECT_EQ(first.at("items").at(0).at("id").as_string(), ids[2]);
  const std::string cursor(first.at("next_cursor").as_string());
  const auto second = json::parse(as_owner("GET", deposits_path() + "?limit=2&cursor=" + cursor).body).value();
  ASSERT_EQ(second.at("items").as_array().size(), 1U);
  EXPECT_EQ(second.at("items").at(0).at("id").as_string(), ids[0]);
  EXPECT_TRUE(second.at("next_cursor").is_null());
}

}  // namespace
}  // namespace ee::cp
