// kill -9 of the control plane while Stripe delivers: what was paid is posted once, and no more than that.
#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <random>
#include <thread>

#include "common/argon2.h"
#include "common/credential.h"
#include "common/id.h"
#include "common/json.h"
#include "db/sqlite_database.h"
#include "tests/e2e/control_plane_process.h"
#include "tests/standins/stripe/stripe.h"

namespace ee::testing {
namespace {

constexpr int kAccounts = 6;
constexpr int kDeposits = 5;  // of each: as many as may wait for payment
constexpr std::int64_t kCents = 2500;

/// The control plane's database while nobody runs.
class StoppedDatabase {
 public:
  explicit StoppedDatabase(const ControlPlaneProcess& control_plane)
      : database_(std::move(*db::SqliteDatabase::open({.path = control_plane.database(), .strict = false}, clock_))) {}
  void execute(std::string_view sql, const db::Params& params = {}) {
    const auto done = database_->write<std::int64_t>([&](db::Transaction& tx) { return tx.execute(sql, params); });
    if (!done) throw std::runtime_error(done.error().detail);
  }
  std::int64_t number(std::string_view sql, const db::Params& params = {}) {
    const auto found = database_->read<std::vector<std::int64_t>>(
        [&](db::Transaction& tx) { return tx.query<std::int64_t>(sql, params); });
    return found.value().at(0);
  }

 private:
  SystemClock clock_;
  std::unique_ptr<db::SqliteDatabase> database_;
};

struct Customer {
  std::string account;
  std::string key;
};

std::vector<Customer> make_customers(const ControlPlaneProcess& control_plane) {
  SystemRandom random;
  SystemClock clock;
  StoppedDatabase database(control_plane);
  std::vector<Customer> out;
  out.reserve(kAccounts);
  for (int i = 0; i < kAccounts; ++i) {
    const std::string id = new_uuid_v7(clock.now(), random).value();
    const Credential key = new_credential(CredentialKind::live, random).value();
    const UtcTime now = clock.now();
    database.execute(
        "INSERT INTO accounts (id, name, account_type, status, created_at, created_by, updated_at)"
        " VALUES (:id, :name, 'deployer', 'active', :now, 'test', :now)",
        {{"id", id}, {"name", "customer-" + std::to_string(i)}, {"now", now}});
    database.execute("INSERT INTO account_balances (account_id, updated_at, state_since_at) VALUES (:id, :now, :now)",
                     {{"id", id}, {"now", now}});
    database.execute(
        "INSERT INTO api_keys (id, account_id, name, lookup, secret_hash, scopes, created_at, created_by)"
        " VALUES (:key_id, :id, 'default', :lookup, :hash, '[\"billing\"]', :now, 'test')",
        {{"key_id", new_uuid_v7(now, random).value()},
         {"id", id},
         {"lookup", key.lookup},
         {"hash", hash_token(key.text, random).value()},
         {"now", now}});
    out.push_back({.account = id, .key = key.text.reveal()});
  }
  return out;
}

// covers: S04_STR_CRASH_001
TEST(StripeCrash, KillDuringDeliveriesPostsNothingOrAllAndTheRepeatCompletes) {
  SystemClock clock;
  standins::StripeStandIn stripe(clock);
  stripe.start();
  ControlPlaneProcess control_plane({{"STRIPE_SECRET_KEY", stripe.config().secret_key},
                                     {"STRIPE_WEBHOOK_SECRET", stripe.config().webhook_secret},
                                     {"EE_STRIPE_API_URL", stripe.url()}});
  stripe.set_webhook_url(control_plane.url() + "/api/v1/webhooks/stripe");
  control_plane.start();
  ASSERT_EQ(control_plane.stop(), 0);
  const std::vector<Customer> customers = make_customers(control_plane);
  control_plane.start();
  for (const Customer& customer : customers) {
    for (int i = 0; i < kDeposits; ++i) {
      const auto made = control_plane.call("POST", "/api/v1/accounts/" + customer.account + "/deposits",
                                           R"({"amount":"25.00"})", {{"Authorization", "Bearer " + customer.key}});
      ASSERT_EQ(made.status, 201) << made.body;
      const auto shown = json::parse(made.body).value();
      stripe.control("intents/" + std::string(shown.at("payment_intent_id").as_string()) + "/succeed",
                     boost::json::object());
    }
  }
  boost::json::array events;
  for (const auto& event : stripe.control("events").as_array()) events.push_back(event.at("id"));
  ASSERT_EQ(events.size(), static_cast<std::size_t>(kAccounts * kDeposits));

  std::mt19937 random(20260101);
  int cut_off = 0;
  for (int round = 0; round < 4; ++round) {
    std::vector<int> answers;
    std::jthread deliveries([&] { answers = stripe.deliver(events, {{"shuffle", true}, {"repeat", 20}}); });
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(5 + random() % 120);
    while (std::chrono::steady_clock::now() < until) breathe();
    control_plane.kill_hard();
    deliveries.join();
    for (const int answer : answers) cut_off += answer == 0 ? 1 : 0;
    control_plane.start();
  }
  EXPECT_GT(cut_off, 0) << "the kills came too late";

  for (const int answer : stripe.deliver(events)) EXPECT_EQ(answer, 200) << "as Stripe does";

  EXPECT_EQ(control_plane.stop(), 0);
  StoppedDatabase database(control_plane);
  EXPECT_EQ(database.number("SELECT COUNT(*) FROM ledger_groups"), kAccounts * kDeposits);
  EXPECT_EQ(database.number("SELECT COUNT(*) FROM stripe_events"), kAccounts * kDeposits);
  EXPECT_EQ(database.number("SELECT COUNT(*) FROM deposits WHERE status='succeeded'"), kAccounts * kDeposits);
  EXPECT_EQ(database.number("SELECT SUM(amount_micros) FROM transactions"), 0);
  EXPECT_EQ(database.number("SELECT COUNT(*) FROM account_balances b JOIN accounts a ON a.id=b.account_id"
                            " WHERE a.account_type='deployer' AND b.balance_micros=:paid",
                            {{"paid", kDeposits * kCents * 10'000}}),
            kAccounts);
}

// covers: S04_STR_DEP_003
TEST(StripeCrash, KillBeforeAnIntentIsStoredLeavesItToTheJobWhichMakesNoSecondOne) {
  SystemClock clock;
  standins::StripeStandIn stripe(clock);
  stripe.start();
  ControlPlaneProcess control_plane({{"STRIPE_SECRET_KEY", stripe.config().secret_key},
                                     {"STRIPE_WEBHOOK_SECRET", stripe.config().webhook_secret},
                                     {"EE_STRIPE_API_URL", stripe.url()}});
  control_plane.start();
  ASSERT_EQ(control_plane.stop(), 0);
  const Customer customer = make_customers(control_plane).front();
  control_plane.start();
  const std::string deposits = "/api/v1/accounts/" + customer.account + "/deposits";
  const std::vector<HttpHeader> as_customer = {{"Authorization", "Bearer " + customer.key}};

  // Stripe makes the intent; that it did so is not heard.
  stripe.add_fault({.path = "/v1/payment_intents", .drop = "after", .count = 100});
  int answered = -1;
  {
    const std::jthread request(
        [&] { answered = control_plane.call("POST", deposits, R"({"amount":"25.00"})", as_customer).status; });
    EXPECT_TRUE(eventually([&] { return stripe.intents() > 0; }));
    control_plane.kill_hard();
  }
  ASSERT_EQ(stripe.intents(), 1U);
  EXPECT_EQ(answered, 0) << "the kill came too late";
  stripe.clear_faults();
  {
    StoppedDatabase database(control_plane);
    EXPECT_EQ(database.number("SELECT COUNT(*) FROM deposits WHERE status='creating' AND payment_intent_id IS NULL"),
              1);
    // Two minutes pass.
    database.execute(
        "UPDATE deposits SET created_at=created_at-180000, updated_at=updated_at-180000, "
        "next_check_at=next_check_at-180000");
  }

  control_plane.start();
  const std::vector<HttpHeader> as_admin = {{"Authorization", "Bearer " + control_plane.sign_in()}};
  int looks = 0;
  EXPECT_TRUE(eventually([&] {
    if (looks++ % 100 == 0) control_plane.call("POST", "/api/v1/admin/jobs/deposit_reconcile/run", "", as_admin);
    return control_plane.call("GET", deposits, "", as_customer).body.find("requires_payment") != std::string::npos;
  }));
  EXPECT_EQ(stripe.intents(), 1U) << "the same intent";

  EXPECT_EQ(control_plane.stop(), 0);
  StoppedDatabase database(control_plane);
  EXPECT_EQ(database.number("SELECT COUNT(*) FROM deposits"), 1);
  EXPECT_EQ(database.number("SELECT COUNT(*) FROM deposits WHERE status='requires_payment' AND "
                            "payment_intent_id IS NOT NULL"),
            1);
}

}  // namespace
}  // namespace ee::testing
