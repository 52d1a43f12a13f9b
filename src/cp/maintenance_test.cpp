#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <variant>

#include "common/fake_log.h"
#include "cp/http/route.h"
#include "net/curl_http_client.h"
#include "tests/support/registered_agent.h"

namespace ee::testing {
namespace {

constexpr const char* kPath = "/api/v1/admin/maintenance";

// covers: S05_OPS_06
TEST(MaintenanceMode, S05_OPS_06_RefusesChangesAndNothingElse) {
  TestControlPlane cp;
  EXPECT_EQ(cp.admin("GET", kPath).body, R"({"read_only":false,"message":"","changed_at":null})");
  const auto begun = cp.admin("POST", kPath, R"({"read_only":true,"message":"until noon"})");
  ASSERT_EQ(begun.status, 200) << begun.body;
  EXPECT_NE(begun.body.find(R"("read_only":true,"message":"until noon")"), std::string::npos);
  // Each route of the table that is no GET, by anybody: refused before anything is looked at, or handled.
  const std::set<std::string> go_on = {"POST /admin/login",
                                       "POST /admin/logout",
                                       "PUT /api/v1/admin/settings/{key}",
                                       "DELETE /api/v1/admin/settings/{key}",
                                       "POST /api/v1/admin/maintenance",
                                       "POST /api/v1/billing/estimate",
                                       "POST /api/v1/deploy/preflight",
                                       "POST /api/v1/apps/{app_name}/versions/{version}/deploy/preflight",
                                       "POST /api/v1/agents/{agent_id}/heartbeat",
                                       "POST /api/v1/agents/{agent_id}/status",
                                       "POST /api/v1/agents/{agent_id}/deployed",
                                       "POST /api/v1/agents/{agent_id}/credential/rotate",
                                       "POST /api/v1/agents/{agent_id}/attestation/challenge",
                                       "POST /api/v1/agents/{agent_id}/attestation",
                                       "POST /api/v1/internal/measurement-callback"};
  std::set<std::string> went_on;
  int refused = 0;
  for (const cp::Route& route : cp.app().routes()) {
    const std::string name = std::string(route.method) + " " + std::string(route.pattern);
    std::string path(route.pattern);
    for (std::size_t at = path.find('{'); at != std::string::npos; at = path.find('{'))
      path.replace(at, path.find('}') - at + 1, "01900000-0000-7000-8000-000000000001");
    const auto answer = cp.call(std::string(route.method), path, "{}");
    if (answer.code() != "maintenance") {
      if (route.method != "GET") went_on.insert(name);
      continue;
    }
    ++refused;
    EXPECT_NE(route.method, "GET") << name;
    EXPECT_EQ(answer.status, 503) << name;
    EXPECT_EQ(answer.header("Retry-After"), "60") << name;
    EXPECT_NE(answer.body.find(R"("detail":"until noon")"), std::string::npos) << answer.body;
  }
  for (const std::string& name : went_on) EXPECT_TRUE(go_on.contains(name)) << name << " changes something";
  for (const std::string& name : go_on) EXPECT_TRUE(went_on.contains(name)) << name << " must go on";
  EXPECT_GT(refused, 40);

  cp.stop();
  cp.start();
  EXPECT_EQ(cp.call("POST", "/api/v1/accounts", "{}").code(), "maintenance") << "a restart does not end it";
  EXPECT_EQ(cp.admin("PUT", "/api/v1/admin/settings/agents.stale_hours", R"({"value":7})").status, 200);
  EXPECT_EQ(cp.admin("POST", kPath, R"({"read_only":false})").status, 200);
  EXPECT_NE(cp.call("POST", "/api/v1/accounts", "{}").code(), "maintenance");
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM audit_log WHERE action='maintenance_changed'").at(0), 2);
}

TEST(MaintenanceMode, ARunningAgentStaysAliveAndANewOneWaits) {
  TestControlPlane cp;
  RegisteredAgent agent(cp, "tdx-agent-001");
  ASSERT_EQ(cp.admin("POST", kPath, R"({"read_only":true,"message":""})").status, 200);
  EXPECT_EQ(agent.ask_challenge(cp).status, 200);
  EXPECT_EQ(cp.call("POST", "/api/v1/agents/register", "{}").code(), "maintenance");
}

TEST(MaintenanceMode, ItsRefusalsAreNoErrorsInTheLog) {
  const CaptureLogs logs;
  TestControlPlane cp;
  ASSERT_EQ(cp.admin("POST", kPath, R"({"read_only":true})").status, 200);
  HttpClientRequest request{.method = "POST", .url = cp.app().url() + "/api/v1/accounts"};
  request.headers.push_back({"Content-Type", "application/json"});
  request.body = "{}";
  ASSERT_EQ(net::CurlHttpClient().send(request).value().status, 503);
  int refusals = 0;
  for (const log::Record& record : logs->records()) {
    if (record.component != "http") continue;
    for (const auto& [name, value] : record.fields) {
      const auto* text = std::get_if<std::string>(&value);
      if (name != "code" || text == nullptr || *text != "maintenance") continue;
      ++refusals;
      EXPECT_EQ(record.level, log::Level::info);
    }
  }
  EXPECT_EQ(refusals, 1);
}

TEST(MaintenanceMode, AnotherProcessSeesItWithinSeconds) {
  TestControlPlane cp;
  cp.execute("INSERT INTO meta (key, value) VALUES ('maintenance', :value)",
             {{"value", R"({"read_only":true,"message":"elsewhere","changed_at":"2026-01-01T00:00:00.000Z"})"}});
  EXPECT_NE(cp.call("POST", "/api/v1/accounts", "{}").code(), "maintenance");
  ASSERT_TRUE(cp.app().run_job("write_probe"));
  EXPECT_EQ(cp.call("POST", "/api/v1/accounts", "{}").code(), "maintenance");
}

TEST(MaintenanceMode, EndsAlsoWhenTheClockWasPutBack) {
  TestControlPlane cp;
  ASSERT_EQ(cp.admin("POST", kPath, R"({"read_only":true})").status, 200);
  cp.clock.set_utc(cp.clock.now() - Seconds(3600));
  ASSERT_EQ(cp.admin("POST", kPath, R"({"read_only":false})").status, 200);
  EXPECT_NE(cp.call("POST", "/api/v1/accounts", "{}").code(), "maintenance");
  ASSERT_TRUE(cp.app().run_job("write_probe"));
  EXPECT_NE(cp.call("POST", "/api/v1/accounts", "{}").code(), "maintenance");
  EXPECT_NE(cp.admin("GET", kPath).body.find(R"("read_only":false)"), std::string::npos);
}

TEST(MaintenanceMode, TakesPlainTextFromAdministratorsOnly) {
  TestControlPlane cp;
  EXPECT_EQ(cp.call("POST", kPath, R"({"read_only":true})").status, 401);
  for (const char* bad :
       {"{}", R"({"read_only":"yes"})", R"({"read_only":true,"message":"a\nb"})", R"({"read_only":true,"until":1})"})
    EXPECT_EQ(cp.admin("POST", kPath, bad).code(), "invalid_request") << bad;
  EXPECT_EQ(cp.admin("POST", kPath, R"({"read_only":true,"message":")" + std::string(201, 'x') + "\"}").code(),
            "invalid_request");
}

}  // namespace
}  // namespace ee::testing
