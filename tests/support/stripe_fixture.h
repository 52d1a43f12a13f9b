#pragma once
#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/argon2.h"
#include "common/credential.h"
#include "common/json.h"
#include "common/money.h"
#include "cp/service/stripe_webhook.h"
#include "cp/store/ledger_store.h"
#include "net/curl_http_client.h"
#include "tests/standins/stripe/stripe.h"
#include "tests/support/test_control_plane.h"

namespace ee::testing {

/// A whole control plane and the Stripe stand-in, which talk over real HTTP both ways; an account with a key.
class StripeFixture : public ::testing::Test {
 protected:
  inline static const std::string kAccount = "01900000-0000-7000-8000-0000000000aa";
  inline static const std::string kOtherAccount = "01900000-0000-7000-8000-0000000000bb";

  explicit StripeFixture(const std::map<std::string, std::string>& more = {}) {
    stripe.start();
    TestControlPlane::Options options{.environment = {{"STRIPE_SECRET_KEY", stripe.config().secret_key},
                                                      {"STRIPE_WEBHOOK_SECRET", stripe.config().webhook_secret},
                                                      {"EE_STRIPE_API_URL", stripe.url()}}};
    for (const auto& [name, value] : more) options.environment[name] = value;
    options.before_deposit_post = [this] {
      if (before_post) before_post();
    };
    cp_ = std::make_unique<TestControlPlane>(std::move(options));
    cp().clock.set_auto_advance(true);  // pauses between tries cost nothing
    cp().http.set_answer([this](const HttpClientRequest& request) {
      auto answer = http_.send(request);
      return on_answer ? on_answer(request, std::move(answer)) : answer;
    });
    stripe.set_webhook_url(cp().app().url() + std::string(cp::StripeWebhook::kPath));
    make_account(kAccount, "acme");
    make_account(kOtherAccount, "other");
  }

  TestControlPlane& cp() { return *cp_; }
  void restart() {
    cp().stop();
    cp().start();
    stripe.set_webhook_url(cp().app().url() + std::string(cp::StripeWebhook::kPath));
  }
  void advance(Milliseconds by) {
    cp().clock.advance(by);
    // Both see the same time again: the control plane's pauses have moved its own.
    stripe_clock.set_utc(cp().clock.now());
  }

  void make_account(const std::string& id, const std::string& name) {
    cp().execute(
        "INSERT INTO accounts (id, name, account_type, status, created_at, created_by, updated_at)"
        " VALUES (:id, :name, 'deployer', 'active', :now, 'test', :now)",
        {{"id", id}, {"name", name}, {"now", cp().clock.now()}});
    cp().execute("INSERT INTO account_balances (account_id, updated_at, state_since_at) VALUES (:id, :now, :now)",
                 {{"id", id}, {"now", cp().clock.now()}});
    keys_[id] = make_key(id, R"(["billing","read"])");
  }
  std::string make_key(const std::string& account, const std::string& scopes) {
    const Credential credential = new_credential(CredentialKind::live, cp().random).value();
    cp().execute(
        "INSERT INTO api_keys (id, account_id, name, lookup, secret_hash, scopes, created_at, created_by)"
        " VALUES (:id, :account, :lookup, :lookup, :hash, :scopes, :now, 'test')",
        {{"id", new_uuid_v7(cp().clock.now(), cp().random).value()},
         {"account", account},
         {"lookup", credential.lookup},
         {"hash", hash_token(credential.text, cp().random).value()},
         {"scopes", scopes},
         {"now", cp().clock.now()}});
    return credential.text.reveal();
  }

  // ---- what a customer does
  static std::string deposits_path(const std::string& account = kAccount) {
    return "/api/v1/accounts/" + account + "/deposits";
  }
  TestAnswer as_owner(const std::string& method, const std::string& path, const std::string& body = "",
                      std::vector<HttpHeader> headers = {}, const std::string& account = kAccount) {
    headers.push_back({"Authorization", "Bearer " + keys_.at(account)});
    return cp().call(method, path, body, std::move(headers));
  }
  TestAnswer post_deposit(const std::string& amount = "25.00", const std::string& key = "",
                          const std::string& account = kAccount) {
    std::vector<HttpHeader> headers;
    if (!key.empty()) headers.push_back({"Idempotency-Key", key});
    return as_owner("POST", deposits_path(account), R"({"amount":")" + amount + R"("})", std::move(headers), account);
  }
  struct Deposit {
    std::string id;
    std::string intent;
  };
  /// A deposit that waits for payment.
  Deposit deposit(const std::string& amount = "25.00", const std::string& account = kAccount) {
    const TestAnswer made = post_deposit(amount, "", account);
    if (made.status != 201) throw std::runtime_error("deposit: " + made.body);
    return {.id = text(made, "id"), .intent = text(made, "payment_intent_id")};
  }
  /// A deposit that was paid and whose news arrived.
  Deposit paid_deposit(const std::string& amount = "25.00", const std::string& account = kAccount) {
    Deposit made = deposit(amount, account);
    move(made, "succeed");
    if (deliver_last("payment_intent.succeeded") != 200) throw std::runtime_error("the news of the payment");
    return made;
  }

  /// Posts other lines under the key of a deposit: a micro-dollar.
  void post_otherwise(const Deposit& deposit) {
    ASSERT_TRUE(cp().app().database().run_write([&](db::Transaction& tx) -> Result<void> {
      const auto posted = ee::cp::LedgerStore(cp().random)
                              .post(tx,
                                    {.kind = ee::cp::LedgerKind::deposit,
                                     .idempotency_key = "stripe:pi:" + deposit.intent,
                                     .lines = {{AccountId(kAccount), 1, ee::cp::TransactionType::deposit},
                                               {ee::cp::kStripeAccount, -1, ee::cp::TransactionType::deposit}},
                                     .actor = "system:test"},
                                    cp().clock.now());
      if (!posted) return std::unexpected(posted.error());
      return {};
    }));
  }

  // ---- what happens at Stripe
  void move(const Deposit& deposit, const std::string& verb, const boost::json::object& body = {}) {
    stripe.control("intents/" + deposit.intent + "/" + verb, body);
  }
  std::string refund(const Deposit& deposit, std::int64_t cents, const std::string& status = "succeeded") {
    return std::string(
        stripe
            .control("refunds",
                     boost::json::object{{"payment_intent", deposit.intent}, {"amount", cents}, {"status", status}})
            .at("id")
            .as_string());
  }
  std::string dispute(const Deposit& deposit, std::int64_t cents) {
    return std::string(
        stripe.control("disputes", boost::json::object{{"payment_intent", deposit.intent}, {"amount", cents}})
            .at("id")
            .as_string());
  }
  void move_dispute(const std::string& id, const std::string& verb, const std::string& status = "won") {
    stripe.control("disputes/" + id + "/" + verb, boost::json::object{{"status", status}});
  }
  /// The newest event of a type, with another id: a second event about one fact.
  boost::json::object twin(std::string_view type) {
    boost::json::object event = stripe.last_event(type);
    event["id"] = "evt_twin_" + std::to_string(++twins_);
    return event;
  }
  int deliver(const boost::json::object& event, const boost::json::object& options = {}) {
    delivered_ = std::string(event.at("id").as_string());
    return stripe.deliver({event}, options).at(0);
  }
  int deliver_last(std::string_view type) { return deliver(stripe.last_event(type)); }

  // ---- what is stored
  std::int64_t balance(const std::string& account = kAccount) {
    return one<std::int64_t>("SELECT balance_micros FROM account_balances WHERE account_id=:id", {{"id", account}});
  }
  std::int64_t groups() { return one<std::int64_t>("SELECT COUNT(*) FROM ledger_groups"); }
  std::string status(const Deposit& deposit) {
    return one<std::string>("SELECT status FROM deposits WHERE id=:id", {{"id", deposit.id}});
  }
  std::int64_t hold() {
    return one<std::int64_t>("SELECT dispute_hold FROM account_balances WHERE account_id=:id", {{"id", kAccount}});
  }
  std::int64_t events(const std::string& outcome) {
    return one<std::int64_t>("SELECT COUNT(*) FROM stripe_events WHERE outcome=:o", {{"o", outcome}});
  }
  std::string last_detail() {
    return one<std::string>("SELECT COALESCE(detail, '') FROM stripe_events WHERE id=:id", {{"id", delivered_}});
  }
  std::int64_t audits(const std::string& action) {
    return one<std::int64_t>("SELECT COUNT(*) FROM audit_log WHERE action=:a", {{"a", action}});
  }
  template <class T>
  T one(std::string_view sql, const db::Params& params = {}) {
    return cp().values<T>(sql, params).at(0);
  }
  /// Lines sum to zero, and every balance is the sum of its lines.
  void expect_balanced() {
    EXPECT_EQ(one<std::int64_t>("SELECT COALESCE(SUM(amount_micros), 0) FROM transactions"), 0);
    EXPECT_EQ(
        one<std::int64_t>("SELECT COUNT(*) FROM account_balances b WHERE b.balance_micros <> (SELECT "
                          "COALESCE(SUM(t.amount_micros), 0) FROM transactions t WHERE t.account_id=b.account_id)"),
        0);
  }
  static std::string text(const TestAnswer& answer, const std::string& name) {
    const boost::json::value body = json::parse(answer.body).value();
    const auto* value = body.as_object().if_contains(name);
    return value == nullptr || !value->is_string() ? "" : std::string(value->as_string());
  }
  Result<cp::JobSummary> reconcile() { return cp().app().run_job("deposit_reconcile"); }

  FakeClock stripe_clock;
  standins::StripeStandIn stripe{stripe_clock};
  std::function<void()> before_post;
  /// What the control plane gets of a call that was made.
  std::function<std::expected<HttpClientResponse, HttpFailure>(const HttpClientRequest&,
                                                               std::expected<HttpClientResponse, HttpFailure>)>
      on_answer;

 private:
  net::CurlHttpClient http_;
  std::map<std::string, std::string> keys_;
  int twins_ = 0;
  std::string delivered_;  ///< id of the event that was delivered last
  std::unique_ptr<TestControlPlane> cp_;
};

}  // namespace ee::testing
