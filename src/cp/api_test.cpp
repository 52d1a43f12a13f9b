// The route table as a whole: the OpenAPI document, and who is refused where.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cstdio>
#include <fstream>

#include "common/credential.h"
#include "common/sealed_box.h"
#include "tests/support/registered_agent.h"
#include "tests/support/test_control_plane.h"

namespace ee::testing {
namespace {

struct Endpoint {
  std::string method;
  std::string path;  ///< parameters filled with something that does not exist
  bool has_body = false;
  bool is_admin_path = false;
};

std::vector<Endpoint> endpoints_of(const boost::json::value& document, bool admins_only) {
  std::vector<Endpoint> out;
  for (const auto& [pattern, item] : document.at("paths").as_object()) {
    for (const auto& [method, operation] : item.as_object()) {
      std::string path(pattern);
      for (std::size_t at = path.find('{'); at != std::string::npos; at = path.find('{'))
        path.replace(at, path.find('}') - at + 1, "00000000-0000-7000-8000-0000000000ff");
      std::string upper(method);
      for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
      const bool admin = path.starts_with("/api/v1/admin/");
      if (admins_only && !admin) continue;
      out.push_back({upper, path, operation.as_object().contains("requestBody"), admin});
    }
  }
  return out;
}

class ApiTable : public ::testing::Test {
 protected:
  struct Registered {
    std::string id;
    std::string credential;
  };
  Registered registered_agent() {
    const EmulatedAgent agent("tdx-agent-001", random);
    const auto registration = cp.prepare(agent);
    const auto admitted = json::read<agent_api::RegisterAnswer>(cp.send(agent, registration).body).value();
    const std::string secrets =
        open_sealed("easyenclave.seal.1:registration:" + admitted.agent_id + ":" + registration.challenge.challenge_id,
                    from_base64(admitted.sealed.ciphertext).value(), agent.sealing_key())
            ->reveal();
    return {.id = admitted.agent_id, .credential = secrets.substr(21, secrets.find('"', 21) - 21)};
  }
  boost::json::value document() { return boost::json::parse(cp.call("GET", "/openapi.json").body); }
  TestAnswer try_it(const Endpoint& endpoint, std::vector<HttpHeader> headers) {
    return cp.call(endpoint.method, endpoint.path, endpoint.has_body ? "{}" : "", std::move(headers));
  }
  SystemRandom random;
  TestControlPlane cp;
};

TEST_F(ApiTable, OpenApiDocumentFitsTheOpenApi31Schema) {
  const TempDir dir;
  const auto file = dir / "openapi.json";
  std::ofstream(file) << cp.call("GET", "/openapi.json").body;
  const std::string command = "/usr/bin/python3 tests/openapi/validate.py < " + file.string() + " 2>&1";
  FILE* pipe = ::popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string output(4096, '\0');
  output.resize(std::fread(output.data(), 1, output.size(), pipe));
  EXPECT_EQ(::pclose(pipe), 0) << output;
  EXPECT_NE(output.find("OpenAPI: valid"), std::string::npos) << output;
  const auto problem = document().at("components").at("schemas").at("Problem").at("properties");
  EXPECT_EQ(problem.at("reasons").at("oneOf").as_array().size(), 2U) << "counts, or one agent's reasons";
}

// covers: S05_SEC_01
TEST_F(ApiTable, EveryAdminRouteWithoutCredentialIs401) {
  const auto endpoints = endpoints_of(document(), true);
  ASSERT_GE(endpoints.size(), 14U);
  for (const Endpoint& endpoint : endpoints) {
    const TestAnswer answer = try_it(endpoint, {});
    EXPECT_EQ(answer.status, 401) << endpoint.method << " " << endpoint.path;
    EXPECT_EQ(answer.code(), "unauthenticated");
    EXPECT_EQ(answer.header("WWW-Authenticate"), "Bearer realm=\"easyenclave\"");
    const TestAnswer bad = try_it(endpoint, {{"Authorization", "Bearer nonsense"}});
    EXPECT_EQ(bad.code(), "invalid_credential") << endpoint.method << " " << endpoint.path;
  }
}

// covers: S05_SEC_02 (agents)
TEST_F(ApiTable, EveryAdminRouteWithAnAgentsCredentialIs403) {
  const std::string credential = registered_agent().credential;
  for (const Endpoint& endpoint : endpoints_of(document(), true)) {
    const TestAnswer answer = try_it(endpoint, {{"Authorization", "Bearer " + credential}});
    EXPECT_EQ(answer.status, 403) << endpoint.method << " " << endpoint.path << answer.body;
    EXPECT_EQ(answer.code(), "admin_required");
  }
  // covers: S02_AGT_HB_003
  const TestAnswer other = cp.call("POST", "/api/v1/agents/00000000-0000-7000-8000-0000000000ff/heartbeat", "{}",
                                   {{"Authorization", "Bearer " + credential}});
  EXPECT_EQ(other.code(), "agent_mismatch");
}

// A known caller that is not allowed is written down, equal refusals once a minute (04 section 12).
TEST_F(ApiTable, RefusedCallsOfAKnownCallerAreAuditedAndFolded) {
  const Registered agent = registered_agent();
  const std::vector<HttpHeader> headers = {{"Authorization", "Bearer " + agent.credential}};
  const auto rows = [&](const std::string& column) {
    return cp.values<std::string>("SELECT " + column +
                                  " FROM audit_log WHERE action='authorization_refused' ORDER BY at, id");
  };
  for (int i = 0; i < 5; ++i)
    EXPECT_EQ(cp.call("GET", "/api/v1/admin/settings/agents.stale_hours", "", headers, "192.0.2.9").status, 403);
  EXPECT_EQ(rows("actor"), std::vector<std::string>{"agent:" + agent.id});
  EXPECT_EQ(rows("result"), std::vector<std::string>{"refused"});
  EXPECT_EQ(rows("reason_code"), std::vector<std::string>{"admin_required"});
  EXPECT_EQ(rows("object_id"), std::vector<std::string>{"GET /api/v1/admin/settings/{key}"});
  EXPECT_EQ(rows("client_address"), std::vector<std::string>{"192.0.2.9"});
  EXPECT_EQ(rows("detail"), std::vector<std::string>{R"({"folded":0})"});

  EXPECT_EQ(cp.call("GET", "/api/v1/admin/jobs", "", headers).status, 403);
  EXPECT_EQ(rows("actor").size(), 2U) << "another route is another refusal";
  cp.clock.advance(Seconds(60));
  EXPECT_EQ(cp.call("GET", "/api/v1/admin/settings/agents.tick", "", headers).status, 403);
  ASSERT_EQ(rows("detail").size(), 3U);
  EXPECT_EQ(rows("detail").back(), R"({"folded":4})");

  // Not about what the caller may do: no row.
  EXPECT_EQ(cp.call("GET", "/api/v1/admin/jobs").code(), "unauthenticated");
  EXPECT_EQ(cp.call("GET", "/api/v1/admin/jobs", "", {{"Authorization", "Bearer nonsense"}}).code(),
            "invalid_credential");
  EXPECT_EQ(cp.admin("GET", "/api/v1/admin/settings/agents.nothing").status, 404);
  EXPECT_EQ(rows("actor").size(), 3U);
}

// covers: S05_SEC_03, S04_AUTH_SESS_009
TEST_F(ApiTable, EveryChangeByCookieNeedsTheCsrfToken) {
  const TestAnswer login = cp.call("POST", "/admin/login", R"({"password":"correct horse battery staple"})");
  ASSERT_EQ(login.status, 200) << login.body;
  const std::string cookie = login.header("Set-Cookie").substr(0, login.header("Set-Cookie").find(';'));
  ASSERT_TRUE(cookie.starts_with("ee_session=ee_sess_"));
  for (const Endpoint& endpoint : endpoints_of(document(), true)) {
    const TestAnswer answer = try_it(endpoint, {{"Cookie", cookie}, {"Origin", TestControlPlane::kOrigin}});
    if (endpoint.method == "GET")
      EXPECT_NE(answer.status, 403) << endpoint.path;
    else
      EXPECT_EQ(answer.code(), "csrf_failed") << endpoint.method << " " << endpoint.path;
  }
}

TEST_F(ApiTable, UnknownPathsAndMethodsAreNamed) {
  EXPECT_EQ(cp.call("GET", "/api/v1/nothing").code(), "not_found");
  const TestAnswer method = cp.call("DELETE", "/health");
  EXPECT_EQ(method.code(), "method_not_allowed");
  EXPECT_NE(method.header("Allow").find("GET"), std::string::npos);
  EXPECT_EQ(cp.call("GET", "/api/v1/agents/%2e%2e").code(), "bad_path");
  EXPECT_EQ(cp.admin("PUT", "/api/v1/admin/settings/agents.stale_hours", R"({"value":25})").status, 200);
  EXPECT_EQ(cp.admin("GET", "/api/v1/admin/settings/agents.nothing").code(), "setting_unknown");
}

// covers: S05_RATE_01 (challenge and register)
TEST_F(ApiTable, ChallengesAndRegistrationsAreLimitedByAddress) {
  const std::string body = R"({"vm_name":"a","purpose":"register","client_nonce":")" + std::string(64, 'c') + "\"}";
  for (int i = 0; i < 30; ++i)
    EXPECT_EQ(cp.call("POST", "/api/v1/agents/challenge", body, {}, "192.0.2.1").status, 200);
  const TestAnswer refused = cp.call("POST", "/api/v1/agents/challenge", body, {}, "192.0.2.1");
  EXPECT_EQ(refused.code(), "rate_limited");
  EXPECT_EQ(refused.header("Retry-After"), "1");
  EXPECT_EQ(cp.call("POST", "/api/v1/agents/challenge", body, {}, "192.0.2.2").status, 200);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(cp.call("POST", "/api/v1/agents/register", "{}", {}, "192.0.2.3").status, 400);
  EXPECT_EQ(cp.call("POST", "/api/v1/agents/register", "{}", {}, "192.0.2.3").code(), "rate_limited");
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM attestation_audit").front(), 0);
}

// covers: S01_CPQ_001, S01_CPQ_002
TEST_F(ApiTable, TheControlPlaneQuotesItself) {
  const std::string nonce(64, 'a');
  const auto live = boost::json::parse(cp.call("GET", "/api/v1/attestation?nonce=" + nonce).body);
  EXPECT_EQ(live.at("nonce").as_string(), nonce);
  const auto keys =
      from_base64(std::string(live.at("signing_keys").at("keys").at(0).at("public_key").as_string())).value();
  ByteArray<32> key{};
  std::copy(keys.begin(), keys.end(), key.begin());
  const auto binding = attestation::control_plane_binding({key});
  const auto expected = attestation::build_report_data(
      attestation::Purpose::control_plane, from_hex_exact<32>(nonce).value(), binding, TestControlPlane::kOrigin);
  const auto quote =
      attestation::parse_quote_base64(std::string(live.at("quote").as_string()), attestation::TrailingPolicy::zeros);
  ASSERT_TRUE(quote);
  EXPECT_EQ(to_hex(quote->report_data()), to_hex(expected.value));
  const TestAnswer first = cp.call("GET", "/api/v1/attestation");
  EXPECT_EQ(first.status, 200);
  EXPECT_EQ(cp.call("GET", "/api/v1/attestation").body, first.body) << "the cached one";
  EXPECT_EQ(cp.call("GET", "/api/v1/attestation?nonce=ABC").code(), "invalid_request");
}

// covers: S01_API_003 (create, change, remove)
TEST_F(ApiTable, TrustIsAddedChangedAndRemoved) {
  const std::string mrtd(96, 'a');
  const std::string path = "/api/v1/admin/trusted-mrtds";
  const TestAnswer added =
      cp.admin("POST", path,
               R"({"mrtd":")" + mrtd + R"(","kind":"agent","note":"n","profiles":[{"name":"p","rtmr1":")" +
                   std::string(96, 'b') + "\"}]}");
  ASSERT_EQ(added.status, 201) << added.body;
  EXPECT_EQ(cp.admin("POST", path, R"({"mrtd":")" + mrtd + R"(","kind":"agent"})").code(), "mrtd_exists");
  EXPECT_EQ(cp.admin("POST", path, R"({"mrtd":")" + std::string(96, '0') + R"(","kind":"agent"})").status, 400);
  EXPECT_NE(cp.call("GET", "/api/v1/trusted-mrtds").body.find(mrtd), std::string::npos);
  EXPECT_EQ(cp.admin("PATCH", path + "/" + mrtd, R"({"enabled":false})").status, 200);
  EXPECT_EQ(cp.call("GET", "/api/v1/trusted-mrtds").body.find(mrtd), std::string::npos);
  EXPECT_EQ(cp.admin("DELETE", path + "/" + mrtd).body, R"({"affected_agents":0})");
  EXPECT_EQ(cp.admin("DELETE", path + "/" + mrtd).code(), "mrtd_not_found");
  EXPECT_EQ(cp.values<std::string>("SELECT event FROM attestation_audit ORDER BY event"),
            (std::vector<std::string>{"trust_entry_added", "trust_entry_changed", "trust_entry_removed"}));
}

// covers: S02_OWN_006 (without deployments), S02_AGT_HB_011
TEST_F(ApiTable, ADeletedAgentIsGoneAndItsCredentialSaysSo) {
  const EmulatedAgent agent("tdx-agent-001", random);
  const auto admitted = json::read<agent_api::RegisterAnswer>(cp.register_agent(agent).body).value();
  const std::string path = "/api/v1/agents/" + admitted.agent_id;
  EXPECT_EQ(cp.admin("GET", path).status, 200);
  EXPECT_EQ(cp.admin("POST", path + "/reset", "{}").status, 202);
  EXPECT_EQ(cp.admin("POST", path + "/undeploy", "{}").body, R"({"changed":false})");
  EXPECT_EQ(cp.admin("DELETE", path).status, 202);
  ASSERT_TRUE(cp.app().run_job("tunnel_worker"));
  EXPECT_EQ(cp.admin("GET", path).code(), "agent_not_found");
  EXPECT_EQ(cp.values<std::string>("SELECT status FROM agents"), std::vector<std::string>{"deleted"});
  EXPECT_EQ(cp.register_agent(EmulatedAgent("tdx-agent-001", random)).status, 201) << "the name is free";
}

// covers: S02_AGT_HB_011
TEST_F(ApiTable, TheCredentialOfADeletedAgentIsToldSoAndAnyOtherIsNot) {
  const RegisteredAgent agent(cp, "tdx-agent-001");
  const auto beat = [&](const std::string& credential) {
    return cp.call("POST", agent.path("/heartbeat"), "{}", {{"Authorization", "Bearer " + credential}});
  };
  ASSERT_EQ(cp.admin("DELETE", agent.path("")).status, 202);
  for (const char* when : {"while it is being deleted", "afterwards"}) {
    const TestAnswer told = beat(agent.credential());
    EXPECT_EQ(told.status, 410) << when << told.body;
    EXPECT_EQ(told.code(), "agent_deleted");
    EXPECT_NE(told.body.find("admin"), std::string::npos) << "why: " << told.body;
    ASSERT_TRUE(cp.app().run_job("tunnel_worker"));
  }
  EXPECT_EQ(beat(new_credential(CredentialKind::agent, random).value().text.reveal()).code(), "invalid_credential");

  // One that was only replaced is no more than invalid.
  RegisteredAgent other(cp, "tdx-agent-002");
  const std::string before = other.credential();
  cp.clock.advance(Seconds(200));
  other.register_at(cp);
  EXPECT_EQ(cp.call("POST", other.path("/heartbeat"), "{}", {{"Authorization", "Bearer " + before}}).code(),
            "invalid_credential");
}

// covers: S05_OPS_02 (text and closed labels)
TEST_F(ApiTable, MetricsAreTextWithRouteTemplates) {
  cp.call("GET", "/health");
  const TestAnswer answer = cp.call("GET", "/metrics");
  EXPECT_EQ(answer.status, 200);
  for (const char* name : {"ee_build_info", "ee_db_write_seconds", "process_"})
    EXPECT_NE(answer.body.find(name), std::string::npos) << name;
}

}  // namespace
}  // namespace ee::testing
