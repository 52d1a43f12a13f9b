// Prices and charging through the whole control plane: routes, settings, jobs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "cp/domain/ledger.h"
#include "cp/domain/price.h"
#include "tests/support/test_accounts.h"
#include "tests/support/test_control_plane.h"

namespace ee::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kCard =
    R"("rates":{"vcpu_hour":"0.050000","memory_gib_hour":"0.005000","gpu_hour":"0.500000","storage_gib_month":"0.1"},)"
    R"("sla_multipliers":{"adhoc":"1","three_nines":"1.500","four_nines":"2","five_nines":"3"},)"
    R"("machine_class_multipliers":{"default":"1.000","h100":"10"},"datacenter_multipliers":{"*":"1","gcp:a":"1.25"})";

class BillingRoutesTest : public ::testing::Test {
 protected:
  BillingRoutesTest() { cp.clock.set_auto_advance(true); }

  const UtcTime ten_ = parse_rfc3339("2026-01-01T10:00:00.000Z").value();
  boost::json::value body(const TestAnswer& answer, int status = 200) {
    EXPECT_EQ(answer.status, status) << answer.body;
    return boost::json::parse(answer.body);
  }
  /// So much time passes.
  void go_to(UtcTime time) { cp.clock.advance(time - cp.clock.now()); }
  std::string text(const boost::json::value& value, std::string_view name) {
    return std::string(value.at(name).as_string());
  }
  std::string card(const std::string& effective_at, const std::string& rest = kCard) {
    return R"({"effective_at":")" + effective_at + R"(","reason":"energy",)" + rest + "}";
  }
  /// A segment that has run since ten o'clock.
  std::string add_segment(int n, const AccountId& account, const std::string& owner = "") {
    const std::string id = "01900000-0000-7000-b000-" + std::to_string(1'000'000'000'000 + n).substr(1);
    cp.execute(
        "INSERT INTO deployment_segments (id, deployment_id, seq, account_id, agent_id, agent_account_id, vcpus, "
        "memory_mib, gpu_count, sla_class, datacenter, rate_micros, rate_version, operator_bps, pool_bps, from_at, "
        "charged_to_at) VALUES (:id, :id, 1, :account, 'agent', :owner, 4, 4096, 0, 'adhoc', 'gcp:a', 180000, 1, 7000, "
        "5000, :from, :from)",
        {{"id", id},
         {"account", account},
         {"owner", owner.empty() ? std::nullopt : std::optional(owner)},
         {"from", ten_}});
    cp.execute("INSERT INTO billing_meta (id, next_hour_at) VALUES (1, :hour) ON CONFLICT (id) DO NOTHING",
               {{"hour", ten_}});
    return id;
  }

  TestControlPlane cp;
};

TEST_F(BillingRoutesTest, EverybodyMaySeeThePrices) {
  const auto rates = body(cp.call("GET", "/api/v1/billing/rates"));
  EXPECT_EQ(rates.at("version").as_int64(), 1);
  EXPECT_EQ(text(rates, "currency"), "USD");
  EXPECT_EQ(text(rates.at("rates"), "vcpu_hour"), "0.040000");
  EXPECT_EQ(text(rates.at("rates"), "storage_gib_month"), "0.100000");
  EXPECT_EQ(text(rates.at("sla_multipliers"), "three_nines"), "1.500");
  EXPECT_EQ(text(rates.at("machine_class_multipliers"), "h100"), "10.000");
  EXPECT_EQ(text(rates.at("datacenter_multipliers"), "*"), "1.000");
  EXPECT_EQ(rates.at("operator_share_bps").as_int64(), 7000);
  EXPECT_EQ(rates.at("contributor_pool_bps").as_int64(), 5000);
  EXPECT_EQ(text(rates.at("capacity_month"), "llm"), "500.000000");
  const auto& tiny = rates.at("sizes").at(0);
  EXPECT_EQ(text(tiny, "node_size"), "tiny");
  EXPECT_EQ(tiny.at("included_disk_gib").as_int64(), 80);
  EXPECT_EQ(text(tiny.at("hourly"), "adhoc"), "0.180000");
  EXPECT_EQ(text(tiny.at("hourly"), "five_nines"), "0.540000");
}

TEST_F(BillingRoutesTest, EverybodyMayAskWhatSomethingWouldCost) {
  const auto estimate = body(
      cp.call("POST", "/api/v1/billing/estimate", R"({"node_size":"tiny","sla_class":"three_nines","replicas":3})"));
  EXPECT_EQ(text(estimate, "hourly"), "0.810000");
  EXPECT_EQ(text(estimate, "daily"), "19.440000");
  EXPECT_EQ(text(estimate, "monthly"), "591.300000");
  const auto disk = body(cp.call("POST", "/api/v1/billing/estimate", R"({"node_size":"llm","extra_disk_gib":100})"));
  EXPECT_EQ(text(disk, "hourly"), "0.413699");
  const auto own = body(cp.call("POST", "/api/v1/billing/estimate",
                                R"({"vcpus":2,"memory_mib":4096,"gpu_count":1,"datacenter":"gcp:a"})"));
  EXPECT_EQ(text(own, "hourly"), "0.600000");
  for (const auto& [request, code] : std::vector<std::pair<std::string, std::string>>{
           {R"({"node_size":"huge"})", "unknown_node_size"},
           {R"({"node_size":"tiny","vcpus":1})", "invalid_request"},
           {R"({"vcpus":1})", "invalid_request"},
           {R"({})", "invalid_request"},
           {R"({"vcpus":1025,"memory_mib":1})", "invalid_request"},
           {R"({"node_size":"tiny","replicas":101})", "invalid_request"},
           {R"({"node_size":"tiny","replicas":0})", "invalid_request"},
           {R"({"node_size":"tiny","datacenter":"mars"})", "invalid_request"},
           {R"({"node_size":"tiny","sla_class":"six_nines"})", "invalid_request"}})
    EXPECT_EQ(cp.call("POST", "/api/v1/billing/estimate", request).code(), code) << request;
}

// covers: S04_BILL_CHG_010
TEST_F(BillingRoutesTest, S04_BILL_CHG_010_ANewCardTakesEffectAtItsHour) {
  go_to(ten_ + Seconds(1));
  EXPECT_EQ(cp.call("PUT", "/api/v1/admin/billing/rates", card("2026-01-01T12:00:00Z")).status, 401);
  const auto made = body(cp.admin("PUT", "/api/v1/admin/billing/rates", card("2026-01-01T12:00:00Z")));
  EXPECT_EQ(made.at("version").as_int64(), 2);
  EXPECT_EQ(text(made.at("sizes").at(0).at("hourly"), "adhoc"), "0.220000");
  EXPECT_EQ(body(cp.call("GET", "/api/v1/billing/rates")).at("version").as_int64(), 1);
  EXPECT_EQ(body(cp.call("GET", "/api/v1/billing/rates?at=2026-01-01T12:00:00Z")).at("version").as_int64(), 2);
  EXPECT_EQ(cp.call("GET", "/api/v1/billing/rates?at=noon").code(), "invalid_request");
  go_to(ten_ + Seconds(7200));
  EXPECT_EQ(body(cp.call("GET", "/api/v1/billing/rates")).at("version").as_int64(), 2);
  EXPECT_EQ(
      text(body(cp.call("POST", "/api/v1/billing/estimate", R"({"node_size":"tiny","datacenter":"gcp:a"})")), "hourly"),
      "0.275000");
  EXPECT_THAT(cp.values<std::string>("SELECT actor FROM audit_log WHERE action='rates_changed'"),
              ElementsAre(HasSubstr("admin:")));
  EXPECT_THAT(cp.values<std::string>("SELECT detail FROM audit_log WHERE action='rates_changed'"),
              ElementsAre(HasSubstr(R"("reason":"energy","before":{"vcpu_hour_micros":40000)")));
}

// covers: S04_BILL_RATE_004
TEST_F(BillingRoutesTest, S04_BILL_RATE_004_BadCardsAreRefused) {
  go_to(ten_ + Seconds(1));
  const std::string route = "/api/v1/admin/billing/rates";
  EXPECT_EQ(cp.admin("PUT", route, card("2026-01-01T10:00:00Z")).code(), "rate_effective_in_past");
  EXPECT_EQ(cp.admin("PUT", route, card("2026-01-01T12:30:00Z")).code(), "invalid_rate_card");
  const auto replaced = [](const std::string& from, const std::string& to) {
    std::string out = kCard;
    out.replace(out.find(from), from.size(), to);
    return out;
  };
  struct Case {
    std::string from;
    std::string to;
    std::string field;
  };
  for (const Case& bad : std::vector<Case>{{"\"0.050000\"", "\"-0.1\"", "rates.vcpu_hour"},
                                           {"\"0.500000\"", "\"1000.000001\"", "rates.gpu_hour"},
                                           {"\"1.500\"", "\"1.5000\"", "sla_multipliers.three_nines"},
                                           {"\"four_nines\":\"2\",", "", "sla_multipliers.four_nines"},
                                           {"\"default\"", "\"other\"", "machine_class_multipliers.default"},
                                           {"\"*\"", "\"gcp:b\"", "datacenter_multipliers.*"},
                                           {"\"0.005000\"", "\"1000\"", "rates"}}) {
    std::string rest = replaced(bad.from, bad.to);
    if (bad.field == "rates") rest.replace(rest.find("\"0.050000\""), 10, "\"999\"");
    if (bad.field == "rates") rest.replace(rest.find("\"3\""), 3, "\"100\"");
    const TestAnswer answer = cp.admin("PUT", route, card("2026-01-01T12:00:00Z", rest));
    EXPECT_EQ(answer.status, 400) << answer.body;
    EXPECT_EQ(answer.code(), "invalid_rate_card") << bad.field;
    EXPECT_THAT(answer.body, HasSubstr("\"field\":\"" + bad.field + "\""));
  }
  EXPECT_EQ(cp.admin("PUT", route, card("2026-01-01T12:00:00Z", R"("rates":{})")).code(), "invalid_request");
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM rate_cards").front(), 1);
  EXPECT_EQ(cp.admin("PUT", route, card("2026-01-01T12:00:00Z")).status, 200);
  EXPECT_EQ(cp.admin("PUT", route, card("2026-01-01T12:00:00Z")).code(), "rate_effective_in_past")
      << "no two cards of an hour, and no earlier one";
}

TEST_F(BillingRoutesTest, TheJobChargesAndTheStatusTells) {
  const AccountId payer = add_test_account(cp, 1);
  add_segment(1, payer);
  go_to(ten_ + 3 * cp::kHour + Seconds(1));
  const auto before = body(cp.admin("GET", "/api/v1/admin/billing/status"));
  EXPECT_EQ(text(before, "next_hour_at"), "2026-01-01T10:00:00.000Z");
  EXPECT_EQ(before.at("lag_seconds").as_int64(), 7201);
  const auto done = cp.app().run_job("hourly_charging");
  ASSERT_TRUE(done) << done.error().detail;
  EXPECT_EQ(done->value("hours"), 2) << "the third has not settled";
  const auto after = body(cp.admin("GET", "/api/v1/admin/billing/status"));
  EXPECT_EQ(after.at("last_hours").as_array().size(), 2U);
  EXPECT_EQ(text(after.at("last_hours").at(0), "hour_start_at"), "2026-01-01T11:00:00.000Z");
  EXPECT_EQ(text(after.at("last_hours").at(0), "gross"), "0.180000");
  EXPECT_EQ(text(after.at("last_hours").at(0), "status"), "done");
  EXPECT_FALSE(after.at("halted").as_bool());
  EXPECT_EQ(cp.values<std::int64_t>("SELECT balance_micros FROM account_balances WHERE account_id=:id", {{"id", payer}})
                .front(),
            -360'000);
  ASSERT_TRUE(cp.app().run_job("insufficient_funds"));
  EXPECT_EQ(cp.values<std::string>("SELECT billing_state FROM account_balances WHERE account_id=:id", {{"id", payer}})
                .front(),
            "grace");
  ASSERT_TRUE(cp.app().run_job("usage_rollup"));
  EXPECT_EQ(cp.call("GET", "/api/v1/admin/billing/status").status, 401);
}

TEST_F(BillingRoutesTest, HealthIsDegradedWhenChargingIsFarBehind) {
  add_segment(1, add_test_account(cp, 1));
  const auto status = [&] { return text(body(cp.call("GET", "/health")).at("checks"), "billing"); };
  ASSERT_TRUE(cp.app().run_job("write_probe"));
  go_to(ten_ + 3 * cp::kHour);
  EXPECT_EQ(status(), "ok");
  go_to(ten_ + 3 * cp::kHour + Seconds(1));
  EXPECT_EQ(status(), "degraded");
  ASSERT_TRUE(cp.app().run_job("hourly_charging"));
  EXPECT_EQ(status(), "ok");
}

TEST_F(BillingRoutesTest, AClockThatLeapsAheadChargesNothing) {
  const AccountId payer = add_test_account(cp, 1);
  add_segment(1, payer);
  go_to(ten_ + cp::kHour + Seconds(300));
  ASSERT_EQ(cp.app().run_job("hourly_charging")->value("hours"), 1);
  const auto funds = [&] {
    EXPECT_TRUE(cp.app().run_job("insufficient_funds"));
    return cp.values<std::string>("SELECT billing_state FROM account_balances WHERE account_id=:id", {{"id", payer}})
        .front();
  };
  ASSERT_EQ(funds(), "grace");
  cp.clock.set_utc(cp.clock.now() + std::chrono::hours(24));
  ASSERT_EQ(cp.app().run_job("hourly_charging")->value("hours"), 0) << "none of them has happened";
  EXPECT_EQ(funds(), "grace") << "its hour has not passed";
  cp.clock.advance(Seconds(31));
  ASSERT_TRUE(cp.app().run_job("write_probe"));
  EXPECT_EQ(text(body(cp.admin("GET", "/api/v1/admin/billing/status")), "halted_reason"), "clock_leapt");
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM audit_log WHERE action='billing_halted'").front(), 1);
  EXPECT_THAT(cp.call("GET", "/metrics", "", {}, "127.0.0.1").body, HasSubstr("ee_billing_clock_leap_seconds 86400"));
  cp.stop();
  cp.start();
  ASSERT_EQ(cp.app().run_job("hourly_charging")->value("hours"), 0) << "nor after a restart";
  // It was the truth: the machine had been asleep.
  EXPECT_EQ(cp.admin("POST", "/api/v1/admin/billing/resume", R"({"reason":"the machine was suspended"})").status, 200);
  ASSERT_EQ(cp.app().run_job("hourly_charging")->value("hours"), 24);
  EXPECT_EQ(cp.values<std::int64_t>("SELECT balance_micros FROM account_balances WHERE account_id=:id", {{"id", payer}})
                .front(),
            -25 * 180'000);
}

TEST_F(BillingRoutesTest, AnAdministratorStartsCharging) {
  cp.execute("INSERT INTO jobs (name, next_run_at) VALUES ('hourly_charging', 0) ON CONFLICT (name) DO NOTHING");
  const auto asked = body(cp.admin("POST", "/api/v1/admin/billing/run"), 202);
  EXPECT_EQ(text(asked, "name"), "hourly_charging");
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM audit_log WHERE action='billing_run'").front(), 1);
  cp.execute("UPDATE jobs SET lease_owner='other', lease_expires_at=:later WHERE name='hourly_charging'",
             {{"later", cp.clock.now() + Seconds(30)}});
  EXPECT_EQ(cp.admin("POST", "/api/v1/admin/billing/run").code(), "job_running");
}

// covers: S04_BILL_CHG_008
TEST_F(BillingRoutesTest, S04_BILL_CHG_008_AnAdministratorHasABadSegmentChargedAgain) {
  const AccountId payer = add_test_account(cp, 1);
  const std::string bad = add_segment(1, payer, test_account_id(99).str());
  go_to(ten_ + 2 * cp::kHour + Seconds(300));
  ASSERT_TRUE(cp.app().run_job("hourly_charging"));
  EXPECT_EQ(body(cp.admin("GET", "/api/v1/admin/billing/status")).at("failed_segments").as_int64(), 1);
  const std::string request = R"({"reason":"the payee is back","segment_id":")" + bad + "\"}";
  EXPECT_EQ(cp.admin("POST", "/api/v1/admin/billing/retry", request).code(), "segment_unchargeable");
  add_test_account(cp, 99);
  cp.execute("UPDATE billing_meta SET halted=1, halted_reason='test'");
  EXPECT_EQ(cp.admin("POST", "/api/v1/admin/billing/retry", request).code(), "billing_halted");
  EXPECT_EQ(text(body(cp.admin("GET", "/api/v1/admin/billing/status")), "halted_reason"), "test");
  cp.execute("UPDATE billing_meta SET halted=0, halted_reason=NULL");
  const auto done = body(cp.admin("POST", "/api/v1/admin/billing/retry", request));
  EXPECT_EQ(done.at("hours").as_int64(), 2);
  EXPECT_EQ(text(done, "amount"), "0.360000");
  const auto detail = cp.values<std::string>("SELECT detail FROM audit_log WHERE action='charge_retried'").at(0);
  EXPECT_NE(detail.find("the payee is back"), std::string::npos) << detail;
  EXPECT_EQ(cp.admin("POST", "/api/v1/admin/billing/retry", R"({"segment_id":")" + bad + "\"}").code(),
            "invalid_request")
      << "a reason is needed";
  EXPECT_EQ(cp.admin("POST", "/api/v1/admin/billing/retry", R"({"segment_id":"x"})").code(), "invalid_request");
}

TEST_F(BillingRoutesTest, SettingsOfBillingCountAtOnce) {
  EXPECT_EQ(cp.admin("PUT", "/api/v1/admin/settings/billing.operator_share_bps", R"({"value":6000})").status, 200);
  EXPECT_EQ(body(cp.call("GET", "/api/v1/billing/rates")).at("operator_share_bps").as_int64(), 6000);
  const auto overdraft = body(cp.admin("PUT", "/api/v1/admin/settings/billing.max_overdraft", R"({"value":"12.5"})"));
  EXPECT_EQ(text(overdraft, "value"), "12.500000");
  for (const char* bad : {R"({"value":12})", R"({"value":"-1"})", R"({"value":"100000.000001"})", R"({"value":"1e3"})"})
    EXPECT_EQ(cp.admin("PUT", "/api/v1/admin/settings/billing.max_overdraft", bad).code(), "setting_invalid") << bad;
  EXPECT_EQ(cp.admin("PUT", "/api/v1/admin/settings/billing.settle_delay_seconds", R"({"value":61})").status, 400)
      << "below agents.lost_after_seconds + 60";
}

TEST_F(BillingRoutesTest, ThePlatformAccountMustBeAnActiveAccountWhenItIsSet) {
  const auto put = [&](const std::string& id) {
    return cp.admin("PUT", "/api/v1/admin/settings/billing.platform_account_id", R"({"value":")" + id + "\"}");
  };
  const std::string unknown = test_account_id(99).str();
  const auto refused = put(unknown);
  EXPECT_EQ(refused.code(), "setting_invalid");
  EXPECT_NE(refused.body.find(R"("code":"not_found")"), std::string::npos) << refused.body;
  EXPECT_EQ(put("00000000-0000-7000-8000-000000000003").code(), "setting_invalid") << "one of the system's";
  const AccountId account = add_test_account(cp, 1);
  cp.execute("UPDATE accounts SET status='suspended' WHERE id=:id", {{"id", account}});
  EXPECT_EQ(put(account.str()).code(), "setting_invalid");
  cp.execute("UPDATE accounts SET status='active' WHERE id=:id", {{"id", account}});
  EXPECT_EQ(put(account.str()).status, 200);
  EXPECT_EQ(put("").status, 200) << "back to the system's own";
}

}  // namespace
}  // namespace ee::testing
