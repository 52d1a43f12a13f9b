// The routes of money through the whole control plane.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cp/database_tools.h"
#include "cp/service/ledger_api.h"
#include "tests/support/test_accounts.h"
#include "tests/support/test_control_plane.h"
#include "tests/support/test_trigger.h"

namespace ee::cp {
namespace {

using ::testing::HasSubstr;
using testing::TestAnswer;
using testing::TestControlPlane;

struct LedgerRoutesTest : ::testing::Test {
  LedgerRoutesTest() : account(testing::add_test_account(cp, 1)), token(cp.admin_token()) {}

  std::string path(const std::string& rest) const { return "/api/v1/accounts/" + account.str() + rest; }
  TestAnswer send(const std::string& method, const std::string& url, const std::string& body = "",
                  const std::string& key = "", std::vector<HttpHeader> more = {}) {
    std::vector<HttpHeader> headers = {{"Authorization", "Bearer " + token}};
    if (!key.empty()) headers.push_back({"Idempotency-Key", key});
    headers.insert(headers.end(), more.begin(), more.end());
    return cp.call(method, url, body, headers);
  }
  TestAnswer move(const std::string& what, const std::string& amount, const std::string& key) {
    return send("POST", path("/" + what), R"({"amount":")" + amount + R"(","reason":"because"})", key);
  }
  std::int64_t balance(const AccountId& id) {
    return cp.values<std::int64_t>("SELECT balance_micros FROM account_balances WHERE account_id=:id", {{"id", id}})
        .at(0);
  }
  std::vector<std::string> audit(const std::string& action) {
    return cp.values<std::string>("SELECT detail FROM audit_log WHERE action=:action ORDER BY at, id",
                                  {{"action", action}});
  }
  std::string health() { return cp.call("GET", "/health").body; }
  void tamper() {
    cp.execute("UPDATE account_balances SET balance_micros=balance_micros+77 WHERE account_id=:id", {{"id", account}});
  }

  TestControlPlane cp;
  AccountId account;
  std::string token;
};

TEST_F(LedgerRoutesTest, ACreditPostsOnceAndIsAuditedWithItsAmounts) {
  const TestAnswer first = move("credit", "12.5", "key-1");
  ASSERT_EQ(first.status, 201) << first.body;
  const auto line = json::read<TransactionView>(first.body);
  ASSERT_TRUE(line) << first.body;
  EXPECT_EQ(line->amount.value, 12'500'000);
  EXPECT_EQ(line->tx_type, TransactionType::credit);
  EXPECT_EQ(line->description, "because");
  EXPECT_EQ(first.header("Idempotent-Replayed"), "");
  const TestAnswer again = move("credit", "12.5", "key-1");
  EXPECT_EQ(again.status, 201);
  EXPECT_EQ(again.body, first.body);
  EXPECT_EQ(again.header("Idempotent-Replayed"), "true");
  EXPECT_EQ(balance(account), 12'500'000);
  EXPECT_EQ(balance(kGrantsAccount), -12'500'000);
  const auto rows = audit("credit_posted");
  ASSERT_EQ(rows.size(), 1U);
  for (const char* part : {R"("amount":"12.500000")", R"("balance_before":"0.000000")",
                           R"("balance_after":"12.500000")", R"("reason":"because")"})
    EXPECT_THAT(rows[0], HasSubstr(part));
}

TEST_F(LedgerRoutesTest, AKeyStandsForOneActForEver) {
  ASSERT_EQ(move("credit", "1", "key-1").status, 201);
  EXPECT_EQ(move("credit", "2", "key-1").code(), "idempotency_key_reused");
  EXPECT_EQ(move("adjust", "1", "key-1").code(), "idempotency_key_reused");  // another path, the same ledger key
  cp.clock.advance(std::chrono::hours(25));                                  // the answer is forgotten, the fact is not
  token = cp.admin_token();
  const TestAnswer late = move("credit", "1", "key-1");
  EXPECT_EQ(late.status, 201);
  EXPECT_EQ(move("credit", "3", "key-1").code(), "idempotency_key_reused");
  EXPECT_EQ(balance(account), 1'000'000);
  EXPECT_EQ(audit("credit_posted").size(), 1U);
  EXPECT_EQ(audit("ledger_key_conflict").size(), 0U);
}

TEST_F(LedgerRoutesTest, EachMoveNeedsAKeyAReasonAndAnAmount) {
  for (const std::string what : {"credit", "adjust", "payout"}) {
    EXPECT_EQ(move(what, "1", "").code(), "idempotency_key_required") << what;
    EXPECT_EQ(move(what, "1", "not visible").code(), "invalid_idempotency_key") << what;
    EXPECT_EQ(send("POST", path("/" + what), R"({"amount":"1","reason":"x"})", "k", {{"Idempotency-Key", "k2"}}).code(),
              "invalid_idempotency_key");
    EXPECT_EQ(send("POST", path("/" + what), R"({"amount":"1"})", "k").code(), "invalid_request") << what;
    EXPECT_EQ(send("POST", path("/" + what), R"({"amount":"1","reason":""})", "k").code(), "invalid_request") << what;
    EXPECT_EQ(send("POST", path("/" + what), R"({"reason":"x"})", "k").code(), "invalid_request") << what;
    EXPECT_EQ(send("POST", path("/" + what), R"({"amount":"1","reason":"x","extra":1})", "k").code(),
              "invalid_request");
    EXPECT_EQ(send("POST", path("/" + what), R"({"amount":1,"reason":"x"})", "k").code(), "invalid_amount") << what;
    EXPECT_EQ(send("POST", path("/" + what), R"({"amount":null,"reason":"x"})", "k").status, 400) << what;
    for (const char* bad : {"1e9", "0.0000001", "0", "-0", "01", "", "9000000000.000001"})
      EXPECT_EQ(move(what, bad, "k").code(), "invalid_amount") << what << " " << bad;
  }
  EXPECT_EQ(move("credit", "-5", "k").code(), "invalid_amount");
  EXPECT_EQ(move("payout", "-5", "k").code(), "invalid_amount");
  EXPECT_EQ(move("credit", "100000.000001", "k").code(), "invalid_amount");
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM ledger_groups").at(0), 0);
  EXPECT_EQ(move("credit", "100000", "k").status, 201);
}

TEST_F(LedgerRoutesTest, AdjustmentsGoEitherWayAndPayoutsDoNotOverdraw) {
  EXPECT_EQ(move("adjust", "-3.25", "a").status, 201);
  EXPECT_EQ(balance(account), -3'250'000);
  EXPECT_EQ(balance(kAdjustmentsAccount), 3'250'000);
  EXPECT_EQ(move("adjust", "10", "b").status, 201);
  EXPECT_EQ(move("payout", "6.750001", "c").code(), "insufficient_funds");
  EXPECT_EQ(move("payout", "6.750001", "c").status, 402);
  const TestAnswer paid =
      send("POST", path("/payout"), R"({"amount":"6.75","reason":"invoice","external_reference":"wire 5"})", "c");
  ASSERT_EQ(paid.status, 201) << paid.body;
  EXPECT_THAT(paid.body, HasSubstr(R"("reference_type":"external","reference_id":"wire 5")"));
  EXPECT_THAT(paid.body, HasSubstr(R"("amount":"-6.750000")"));
  EXPECT_EQ(balance(account), 0);
  EXPECT_EQ(balance(kPayoutsAccount), 6'750'000);
  EXPECT_EQ(audit("adjustment_posted").size(), 2U);
  ASSERT_EQ(audit("payout_posted").size(), 1U);
  EXPECT_THAT(audit("payout_posted")[0], HasSubstr(R"("external_reference":"wire 5")"));
}

TEST_F(LedgerRoutesTest, LimitsAreSetWithAReasonAndUsedByPayouts) {
  const std::string url = path("/limits");
  for (const char* bad : {"-1", "9000000.000001", "x"})
    EXPECT_EQ(send("PUT", url, std::string(R"({"reason":"r","credit_limit":")") + bad + "\"}").code(),
              "invalid_amount");
  EXPECT_EQ(send("PUT", url, R"({"credit_limit":5,"reason":"r"})").code(), "invalid_amount");
  EXPECT_EQ(send("PUT", url, R"({"credit_limit":"5"})").code(), "invalid_request");
  const TestAnswer set = send("PUT", url, R"({"credit_limit":"5","reason":"good customer"})");
  EXPECT_EQ(set.status, 200) << set.body;
  EXPECT_THAT(set.body, HasSubstr(R"("credit_limit":"5.000000")"));
  ASSERT_EQ(audit("limits_changed").size(), 1U);
  EXPECT_THAT(audit("limits_changed")[0],
              HasSubstr(R"("credit_limit_before":"0.000000","credit_limit_after":"5.000000")"));
  EXPECT_EQ(move("payout", "5", "p").status, 201);
  EXPECT_EQ(balance(account), -5'000'000);
  EXPECT_THAT(send("GET", path("/balance")).body, HasSubstr(R"("available":"0.000000")"));
  EXPECT_EQ(send("PUT", url, R"({"credit_limit":"0","reason":"no more"})").status, 200);
}

TEST_F(LedgerRoutesTest, OnlyAdministratorsMoveMoney) {
  for (const std::string what : {"credit", "adjust", "payout"}) {
    const TestAnswer answer = cp.call("POST", path("/" + what), R"({"amount":"1","reason":"x"})");
    EXPECT_EQ(answer.status, 401) << what;
  }
  EXPECT_EQ(cp.call("PUT", path("/limits"), R"({"credit_limit":"1","reason":"x"})").status, 401);
  EXPECT_EQ(cp.call("POST", "/api/v1/admin/billing/resume", R"({"reason":"x"})").status, 401);
  EXPECT_EQ(cp.call("GET", path("/balance")).status, 401);
  EXPECT_EQ(balance(account), 0);
}

TEST_F(LedgerRoutesTest, UnknownAccountsAndThoseOfTheSystemAreNotFound) {
  for (const std::string& id : {std::string("nobody"), kPlatformAccount.str(), testing::test_account_id(99).str()}) {
    const std::string base = "/api/v1/accounts/" + id;
    for (const char* read : {"/balance", "/transactions", "/usage", "/statements", "/statements/2026-01"})
      EXPECT_EQ(send("GET", base + read).code(), "account_not_found") << id << read;
    for (const char* what : {"/credit", "/adjust", "/payout"})
      EXPECT_EQ(send("POST", base + what, R"({"amount":"1","reason":"x"})", "k").code(), "account_not_found");
    EXPECT_EQ(send("PUT", base + "/limits", R"({"credit_limit":"1","reason":"x"})").code(), "account_not_found");
  }
}

TEST_F(LedgerRoutesTest, AClosedAccountTakesNoCreditButACorrection) {
  cp.execute("UPDATE accounts SET status='closed' WHERE id=:id", {{"id", account}});
  EXPECT_EQ(move("credit", "1", "k").code(), "account_closed");
  EXPECT_EQ(move("adjust", "1", "k").status, 201);
}

TEST_F(LedgerRoutesTest, AccountsReadTheirMoney) {
  cp.clock.set_utc(parse_rfc3339("2026-03-05T00:00:00Z").value());
  token = cp.admin_token();
  ASSERT_EQ(move("credit", "2", "a").status, 201);
  ASSERT_EQ(move("adjust", "-0.5", "b").status, 201);
  const TestAnswer money = send("GET", path("/balance"));
  ASSERT_EQ(money.status, 200);
  EXPECT_THAT(money.body, HasSubstr(R"("balance":"1.500000","accrued":"0.000000","available":"1.500000",)"
                                    R"("burn_per_hour":"0.000000","runway_hours":null,"billing_state":"ok")"));
  const TestAnswer page = send("GET", path("/transactions?limit=1"));
  ASSERT_EQ(page.status, 200);
  const auto first = json::read<TransactionPage>(page.body);
  ASSERT_TRUE(first);
  ASSERT_EQ(first->items.size(), 1U);
  ASSERT_TRUE(first->next_cursor);
  const TestAnswer next = send("GET", path("/transactions?limit=1&cursor=" + *first->next_cursor));
  EXPECT_EQ(json::read<TransactionPage>(next.body)->items.size(), 1U);
  EXPECT_EQ(json::read<TransactionPage>(next.body)->next_cursor, std::nullopt);
  EXPECT_EQ(json::read<TransactionPage>(send("GET", path("/transactions?type=credit")).body)->items.size(), 1U);
  EXPECT_EQ(send("GET", path("/transactions?type=gift")).code(), "invalid_request");
  EXPECT_EQ(send("GET", path("/transactions?from=yesterday")).code(), "invalid_request");
  EXPECT_EQ(send("GET", path("/transactions?cursor=abc")).code(), "invalid_cursor");
  EXPECT_EQ(send("GET", path("/usage")).body, R"({"items":[],"total":"0.000000"})");
  EXPECT_EQ(send("GET", path("/usage?group_by=minute")).code(), "invalid_request");
  EXPECT_EQ(send("GET", path("/usage?from=2025-01-01T00:00:00Z")).code(), "range_too_large");
  EXPECT_EQ(json::read<StatementPage>(send("GET", path("/statements")).body)->items.size(), 3U);
}

TEST_F(LedgerRoutesTest, AStatementIsJsonOrCsv) {
  ASSERT_EQ(send("POST", path("/adjust"), R"({"amount":"1","reason":"=cmd"})", "a").status, 201);
  const std::string url = path("/statements/2026-01");
  const TestAnswer json = send("GET", url);
  ASSERT_EQ(json.status, 200) << json.body;
  EXPECT_EQ(json.header("Content-Type"), "application/json");
  EXPECT_THAT(json.body, HasSubstr(R"("closing_balance":"1.000000"})"));
  const TestAnswer by_query = send("GET", url + "?format=csv");
  EXPECT_EQ(by_query.header("Content-Type"), "text/csv; charset=utf-8");
  EXPECT_EQ(by_query.header("Content-Disposition"), "attachment; filename=\"statement-2026-01.csv\"");
  EXPECT_THAT(by_query.body, HasSubstr(",'=cmd\r\n"));
  const TestAnswer by_accept = send("GET", url, "", "", {{"Accept", "text/csv"}});
  EXPECT_EQ(by_accept.status, 200);
  EXPECT_EQ(by_accept.body, by_query.body);
  EXPECT_EQ(send("GET", url, "", "", {{"Accept", "application/json, text/csv;q=0.5"}}).body, json.body);
  EXPECT_EQ(send("GET", url, "", "", {{"Accept", "image/png"}}).code(), "not_acceptable");
  EXPECT_EQ(send("GET", path("/balance"), "", "", {{"Accept", "text/csv"}}).code(), "not_acceptable");
  EXPECT_EQ(send("GET", url + "?format=xml").code(), "invalid_request");
  EXPECT_EQ(send("GET", path("/statements/2026-02")).code(), "statement_not_found");
}

// covers: S04_LED_009
TEST_F(LedgerRoutesTest, ATamperedBalanceHaltsBillingUntilItIsResumed) {
  ASSERT_EQ(move("credit", "5", "a").status, 201);
  EXPECT_THAT(health(), HasSubstr(R"("status":"ok")"));
  tamper();
  const auto verified = cp.app().run_job("ledger_verify");
  ASSERT_TRUE(verified);
  EXPECT_EQ(verified->value("findings"), 2);
  EXPECT_THAT(health(), ::testing::AllOf(HasSubstr(R"("status":"degraded")"), HasSubstr(R"("ledger":"degraded")")));
  const TestAnswer refused = move("credit", "1", "b");
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.code(), "billing_halted");
  EXPECT_EQ(move("payout", "1", "c").code(), "billing_halted");
  EXPECT_EQ(move("adjust", "1", "d").status, 201);  // the way to put things right
  cp.stop();
  cp.start();
  EXPECT_THAT(health(), HasSubstr(R"("status":"degraded")"));  // a restart forgets nothing

  EXPECT_EQ(send("POST", "/api/v1/admin/billing/resume", "{}").code(), "invalid_request");
  const TestAnswer resumed = send("POST", "/api/v1/admin/billing/resume", R"({"reason":"looked at it"})");
  ASSERT_EQ(resumed.status, 200) << resumed.body;
  EXPECT_EQ(resumed.body, R"({"halted":false,"was_halted":true})");
  EXPECT_THAT(health(), HasSubstr(R"("status":"ok")"));
  EXPECT_EQ(move("credit", "1", "b").status, 201);
  ASSERT_EQ(audit("billing_resumed").size(), 1U);
  EXPECT_THAT(audit("billing_resumed")[0], HasSubstr("looked at it"));
}

TEST_F(LedgerRoutesTest, ACheckCanBeAskedFor) {
  const TestAnswer asked = send("POST", "/api/v1/admin/billing/verify");
  EXPECT_EQ(asked.status, 202) << asked.body;
  EXPECT_THAT(asked.body, HasSubstr(R"("name":"ledger_verify")"));
  EXPECT_EQ(audit("job_run_requested").size(), 1U);
  const auto full_passes = [&] {
    return cp.values<std::int64_t>("SELECT COUNT(*) FROM meta WHERE key='ledger_full_pass_at'").front();
  };
  ASSERT_TRUE(cp.app().run_job("ledger_verify"));
  EXPECT_EQ(full_passes(), 1);
  EXPECT_EQ(send("POST", "/api/v1/admin/billing/verify").status, 202);
  EXPECT_EQ(full_passes(), 0) << "the next run looks at everything, though a whole pass has just been";
  const auto ran = cp.app().run_job("ledger_verify");
  ASSERT_TRUE(ran);
  EXPECT_EQ(full_passes(), 1);
  EXPECT_EQ(cp.call("POST", "/api/v1/admin/billing/verify").status, 401);
  tamper();
  ASSERT_TRUE(cp.app().run_job("db_check"));  // looks at the ledger as well
  EXPECT_THAT(health(), HasSubstr(R"("ledger":"degraded")"));
}

TEST_F(LedgerRoutesTest, BalancesAreRebuiltWhileTheServerIsStopped) {
  ASSERT_EQ(move("credit", "5", "a").status, 201);
  tamper();
  if (!testing::on_postgres()) {  // there it works beside running replicas
    const auto refused = rebuild_ledger_balances(cp.config(), cp.clock, cp.random);
    EXPECT_EQ(refused.exit_code, 4);
    EXPECT_THAT(refused.lines.at(0), HasSubstr("database_in_use"));
  }
  EXPECT_EQ(balance(account), 5'000'077);
  cp.stop();
  const auto rebuilt = rebuild_ledger_balances(cp.config(), cp.clock, cp.random);
  EXPECT_EQ(rebuilt.exit_code, 0);
  EXPECT_EQ(rebuilt.lines, (std::vector<std::string>{account.str() + ": 5.000077 -> 5.000000", "1 balances changed"}));
  cp.start();
  EXPECT_EQ(balance(account), 5'000'000);
  EXPECT_EQ(cp.app().run_job("ledger_verify")->value("findings"), 0);
  EXPECT_EQ(audit("balances_rebuilt").size(), 1U);
}

TEST_F(LedgerRoutesTest, AMissingGuardIsSetAgainAndAudited) {
  drop_trigger(cp, "transactions_no_delete", "transactions");
  drop_trigger(cp, "audit_log_no_update", "audit_log");
  cp.stop();
  cp.start();
  const auto guards = [&](const std::string& action) {
    return cp.values<std::string>("SELECT object_id FROM audit_log WHERE action=:action", {{"action", action}});
  };
  EXPECT_EQ(guards("ledger_guard_missing"), std::vector<std::string>{"transactions_no_delete"});
  EXPECT_EQ(guards("audit_guard_missing"), std::vector<std::string>{"audit_log_no_update"});
  ASSERT_EQ(move("credit", "1", "a").status, 201);
  EXPECT_THROW(cp.execute("DELETE FROM transactions"), std::runtime_error);
}

}  // namespace
}  // namespace ee::cp
