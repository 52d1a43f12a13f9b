// The authorisation matrix of 04 section 4, route by route: the real route table, router and authenticator, with
// handlers that do nothing.
#include <algorithm>
#include <map>

#include "common/metrics.h"
#include "common/sealed_box.h"
#include "cp/account_fixture.h"
#include "cp/http/api.h"

namespace ee::testing {
namespace {

using cp::AccountType;
using cp::Scope;

/// What the spec says of a route. `columns` are those of the matrix, P K A U G O: `y` yes, `-` no, `o` what is their
/// own by the path, `s` with the scope (the handler looks only at what is theirs).
struct Expected {
  std::string_view route;
  std::string_view columns;
  Scope scope = Scope::read;
  bool when_suspended = false;
};

// Written from the spec (04 sections 4 and 5, 05 section 16), not from the code. Routes that are not built yet may
// stand here; a route that is built and does not stand here fails the test.
constexpr Expected kExpected[] = {
    {"GET /health", "yyyyyy"},
    {"GET /ready", "yyyyyy"},
    {"GET /metrics", "yyyyyy"},
    {"GET /openapi.json", "yyyyyy"},
    {"GET /auth/methods", "yyyyyy"},
    {"GET /auth/github", "yyyyyy"},
    {"GET /auth/github/callback", "yyyyyy"},
    {"POST /admin/login", "yyyyyy"},
    {"POST /admin/logout", "yyyyyy"},
    {"GET /api/v1/attestation", "yyyyyy"},
    {"GET /api/v1/trusted-mrtds", "yyyyyy"},
    {"GET /api/v1/billing/rates", "yyyyyy"},
    {"GET /api/v1/proxy", "yyyyyy"},
    {"GET /api/v1/services/{name}/evidence", "yyyyyy"},
    {"POST /api/v1/billing/estimate", "yyyyyy"},
    {"POST /api/v1/agents/challenge", "yyyyyy"},
    {"POST /api/v1/agents/register", "yyyyyy"},
    {"GET /api/v1/apps", "yyyyyy"},
    {"GET /api/v1/apps/{name}", "yyyyyy"},
    {"GET /api/v1/apps/{name}/versions", "yyyyyy"},
    {"GET /api/v1/apps/{name}/versions/{version}", "yyyyyy"},
    {"POST /api/v1/internal/measurement-callback", "yyyyyy"},
    {"POST /api/v1/apps", "-syy-y", Scope::apps},
    {"PATCH /api/v1/apps/{name}", "-syy--", Scope::apps},
    {"DELETE /api/v1/apps/{name}", "-syy--", Scope::apps},
    {"POST /api/v1/apps/{name}/versions", "-syy-y", Scope::apps},
    {"POST /api/v1/apps/{name}/versions/{version}/yank", "-syy-y", Scope::apps},
    {"POST /api/v1/apps/{name}/versions/{version}/unyank", "-syy-y", Scope::apps},
    {"POST /api/v1/apps/{name}/versions/{version}/remeasure", "-syy--", Scope::apps},
    {"POST /api/v1/apps/{name}/versions/{version}/attest", "--y---"},
    {"GET /api/v1/apps/{name}/revenue-shares", "-syy--", Scope::read},
    {"PUT /api/v1/apps/{name}/revenue-shares", "-syy--", Scope::apps},
    {"POST /api/v1/apps/{name}/revenue-shares", "-syy--", Scope::apps},
    {"DELETE /api/v1/apps/{name}/revenue-shares/{share_id}", "-syy--", Scope::apps},
    {"POST /api/v1/webhooks/stripe", "yyyyyy"},
    {"POST /api/v1/stripe/webhook", "yyyyyy"},

    {"GET /auth/me", "-yyyyy"},
    {"POST /auth/rotate", "--yy--"},
    {"GET /auth/sessions", "--yy--"},
    {"DELETE /auth/sessions/{session_id}", "--yy--"},

    {"POST /api/v1/accounts", "y-yy--"},
    {"GET /api/v1/accounts", "--yy--"},
    {"GET /api/v1/accounts/{account_id}", "-oyo--", Scope::read, true},
    {"GET /api/v1/accounts/{account_id}/balance", "-oyo--", Scope::read, true},
    {"GET /api/v1/accounts/{account_id}/transactions", "-oyo--", Scope::read, true},
    {"GET /api/v1/accounts/{account_id}/usage", "-oyo--", Scope::read, true},
    {"GET /api/v1/accounts/{account_id}/statements", "-oyo--", Scope::read, true},
    {"GET /api/v1/accounts/{account_id}/statements/{month}", "-oyo--", Scope::read, true},
    {"PATCH /api/v1/accounts/{account_id}", "-oyo--", Scope::account},
    {"DELETE /api/v1/accounts/{account_id}", "-oyo--", Scope::account},
    {"GET /api/v1/accounts/{account_id}/oidc-rules", "-oyo--", Scope::account},
    {"PUT /api/v1/accounts/{account_id}/oidc-rules", "-oyo--", Scope::account},
    {"GET /api/v1/accounts/{account_id}/identities", "-oyo--", Scope::account},
    {"POST /api/v1/accounts/{account_id}/identities", "-oyo--", Scope::account},
    {"DELETE /api/v1/accounts/{account_id}/identities/{github_id}", "-oyo--", Scope::account},
    {"GET /api/v1/accounts/{account_id}/api-keys", "-oyo--", Scope::account},
    {"POST /api/v1/accounts/{account_id}/api-keys", "-oyo--", Scope::account},
    {"DELETE /api/v1/accounts/{account_id}/api-keys/{key_id}", "-oyo--", Scope::account},
    {"POST /api/v1/accounts/{account_id}/api-keys/{key_id}/rotate", "-o-o--", Scope::account},
    {"GET /api/v1/accounts/{account_id}/deposits", "-oyo--", Scope::billing, true},
    {"POST /api/v1/accounts/{account_id}/deposits", "-o-o--", Scope::billing},
    {"GET /api/v1/accounts/{account_id}/deposits/{deposit_id}", "-oyo--", Scope::billing, true},
    {"POST /api/v1/accounts/{account_id}/deposits/{deposit_id}/cancel", "-o-o--", Scope::billing},
    {"POST /api/v1/accounts/{account_id}/suspend", "--y---"},
    {"POST /api/v1/accounts/{account_id}/resume", "--y---"},
    {"POST /api/v1/accounts/{account_id}/credit", "--y---"},
    {"POST /api/v1/accounts/{account_id}/adjust", "--y---"},
    {"POST /api/v1/accounts/{account_id}/payout", "--y---"},
    {"PUT /api/v1/accounts/{account_id}/limits", "--y---"},

    {"POST /api/v1/agents/{agent_id}/heartbeat", "----o-"},
    {"POST /api/v1/agents/{agent_id}/status", "----o-"},
    {"POST /api/v1/agents/{agent_id}/deployed", "----o-"},
    {"GET /api/v1/agents/{agent_id}/desired-deployment", "----o-"},
    {"POST /api/v1/agents/{agent_id}/credential/rotate", "----o-"},
    {"GET /api/v1/agents/{agent_id}/signing-keys", "----o-"},
    {"GET /api/v1/agents/{agent_id}/tunnel", "----o-"},
    {"POST /api/v1/agents/{agent_id}/attestation/challenge", "----o-"},
    {"POST /api/v1/agents/{agent_id}/attestation", "----o-"},
    {"GET /api/v1/services", "-syy-y", Scope::read},
    {"GET /api/v1/services/{name}", "-syy-y", Scope::read},
    {"PATCH /api/v1/services/{name}", "-syy-y", Scope::deploy},
    {"DELETE /api/v1/services/{name}", "-syy-y", Scope::deploy},
    {"GET /api/v1/services/{name}/tokens", "-syy-y", Scope::read},
    {"POST /api/v1/services/{name}/tokens", "-syy-y", Scope::deploy},
    {"DELETE /api/v1/services/{name}/tokens/{token_id}", "-syy-y", Scope::deploy},
    {"POST /api/v1/deploy", "-syy-y", Scope::deploy},
    {"POST /api/v1/deploy/preflight", "-syy-y", Scope::deploy},
    {"POST /api/v1/apps/{app_name}/versions/{version}/deploy", "-syy-y", Scope::deploy},
    {"POST /api/v1/apps/{app_name}/versions/{version}/deploy/preflight", "-syy-y", Scope::deploy},
    {"GET /api/v1/deployments", "-syy-y"},
    {"GET /api/v1/me/deployments", "-syy-y"},
    {"GET /api/v1/deployments/{deployment_id}", "-syy-y"},
    {"GET /api/v1/deployments/{deployment_id}/revisions", "-syy-y"},
    {"GET /api/v1/deployments/{deployment_id}/events", "-syy-y"},
    {"GET /api/v1/deployments/{deployment_id}/logs", "-syy-y"},
    {"GET /api/v1/deployments/{deployment_id}/logs/export", "-syy-y"},
    {"GET /api/v1/logs/containers", "-syy-y"},
    {"GET /api/v1/logs/control-plane", "--y---"},
    {"GET /api/v1/logs/export", "--y---"},
    {"PATCH /api/v1/deployments/{deployment_id}", "-syy-y", Scope::deploy},
    {"POST /api/v1/deployments/{deployment_id}/stop", "-syy-y", Scope::deploy},
    {"POST /api/v1/deployments/{deployment_id}/upgrade", "-syy-y", Scope::deploy},
    {"POST /api/v1/deployments/{deployment_id}/rollback", "-syy-y", Scope::deploy},
    {"POST /api/v1/deployments/{deployment_id}/redeploy", "-syy-y", Scope::deploy},
    {"GET /api/v1/agents", "-syy-y"},
    {"GET /api/v1/agents/{agent_id}", "-syyoy"},
    {"DELETE /api/v1/agents/{agent_id}", "-syy-y", Scope::agents},
    {"POST /api/v1/agents/{agent_id}/reset", "-syy-y", Scope::agents},
    {"POST /api/v1/agents/{agent_id}/undeploy", "-syy-y", Scope::agents},
    {"POST /api/v1/agents/{agent_id}/drain", "-syy-y", Scope::agents},
    {"POST /api/v1/agents/{agent_id}/undrain", "-syy-y", Scope::agents},
    {"PATCH /api/v1/agents/{agent_id}/owner", "-syy-y", Scope::agents},
    {"POST /api/v1/agents/{agent_id}/attest", "-syy-y", Scope::agents},
    {"GET /api/v1/agents/{agent_id}/logs", "-syy-y"},
    {"GET /api/v1/agents/{agent_id}/stats", "-syy-y"},
    {"GET /api/v1/agents/{agent_id}/attestation", "-syy-y"},
    {"POST /api/v1/agents/{agent_id}/console-access", "-syy-y", Scope::agents},
    {"GET /api/v1/me/agents", "-syy-y"},
    {"GET /api/v1/me/agents/{agent_id}", "-syy-y"},
    {"DELETE /api/v1/me/agents/{agent_id}", "-syy-y", Scope::agents},
    {"POST /api/v1/me/agents/{agent_id}/reset", "-syy-y", Scope::agents},
    {"POST /api/v1/me/agents/{agent_id}/undeploy", "-syy-y", Scope::agents},
    {"POST /api/v1/me/agents/{agent_id}/drain", "-syy-y", Scope::agents},
    {"POST /api/v1/me/agents/{agent_id}/undrain", "-syy-y", Scope::agents},
    {"GET /api/v1/me/agents/{agent_id}/logs", "-syy-y"},
    {"GET /api/v1/me/agents/{agent_id}/stats", "-syy-y"},
    {"GET /api/v1/me/agents/{agent_id}/attestation", "-syy-y"},
    {"POST /api/v1/me/agents/{agent_id}/console-access", "-syy-y", Scope::agents},
    {"GET /api/v1/me/agents/enrollment-tokens", "-syy--"},
    {"POST /api/v1/me/agents/enrollment-tokens", "-syy--", Scope::agents},
    {"DELETE /api/v1/me/agents/enrollment-tokens/{token_id}", "-syy--", Scope::agents},
};

/// The row of a route; every route under /api/v1/admin/ is for administrators.
const Expected* expected_of(const std::string& route, Expected& admin) {
  const auto* row = std::ranges::find(kExpected, route, &Expected::route);
  if (row != std::end(kExpected)) return row;
  if (route.find(" /api/v1/admin/") == std::string::npos) return nullptr;
  admin = {.route = route, .columns = "--y---"};
  return &admin;
}

class AccessMatrixTest : public AccountFixture {
 protected:
  static constexpr const char* kJwt = "eyJhbGciOiJSUzI1NiJ9.e30.c2ln";
  static constexpr int kLetIn = 299;

  AccessMatrixTest() {
    std::vector<cp::Route> table = cp.app().routes();
    for (cp::Route& route : table) {
      route.handle = [](const cp::Call&) { return net::Response{.status = kLetIn}; };
      route.fast = {};
      route.rate = cp::RateClass::none;
    }
    authenticator_.set_workflow_verifier(
        [this](std::string_view jwt, const auto& /*credentials*/) -> Result<cp::Principal> {
          if (jwt != kJwt) return fail(ErrorCode::invalid_credential);
          return cp::Principal{.kind = cp::PrincipalKind::oidc,
                               .account_id = AccountId(workflow_account_),
                               .account_type = workflow_type_,
                               .oidc_claims = std::make_shared<cp::OidcClaims>()};
        });
    api_ = std::make_unique<cp::Api>(std::move(table), authenticator_, limits_, cp::ApiHooks{});
  }

  /// `ok`, or the code of the refusal.
  std::string outcome(const cp::Route& route, const std::string& token, const std::string& account,
                      const std::string& agent) {
    net::Request request{.method = std::string(route.method)};
    request.path = std::string(route.pattern);
    for (const auto& [name, value] :
         std::map<std::string, std::string>{{"{account_id}", account}, {"{agent_id}", agent}})
      if (const std::size_t at = request.path.find(name); at != std::string::npos)
        request.path.replace(at, name.size(), value);
    for (std::size_t at = request.path.find('{'); at != std::string::npos; at = request.path.find('{'))
      request.path.replace(at, request.path.find('}') - at + 1, "some-thing");
    request.headers = {{"Content-Type", "application/json"}};
    if (!token.empty()) request.headers.push_back({"Authorization", "Bearer " + token});
    request.client_address = "192.0.2.1";
    const net::RequestHead head{.method = request.method,
                                .path = request.path,
                                .query = "",
                                .fields = {},
                                .content_length = 0,
                                .peer_address = "192.0.2.1",
                                .client_address = "192.0.2.1",
                                .request_id = "r"};
    net::Admission admission = api_->admit(head);
    if (admission.answer) return "not admitted: " + admission.answer->body;
    request.route = admission.route_index;
    request.params = std::move(admission.params);
    const net::Response response = api_->handle(std::move(request));
    if (response.status == kLetIn) return "ok";
    return TestAnswer{.status = response.status, .body = response.body, .headers = {}}.code();
  }
  std::string register_one(const std::string& name, std::string& credential) {
    SystemRandom random;
    const EmulatedAgent agent(name, random);
    const auto registration = cp.prepare(agent);
    const auto admitted = json::read<agent_api::RegisterAnswer>(cp.send(agent, registration).body).value();
    const std::string secrets =
        open_sealed("easyenclave.seal.1:registration:" + admitted.agent_id + ":" + registration.challenge.challenge_id,
                    from_base64(admitted.sealed.ciphertext).value(), agent.sealing_key())
            ->reveal();
    credential = secrets.substr(21, secrets.find('"', 21) - 21);
    return admitted.agent_id;
  }

  std::string workflow_account_;
  AccountType workflow_type_ = AccountType::deployer;
  metrics::Registry metrics_;
  std::unique_ptr<CredentialCache> cache_ = CredentialCache::create(1024, Milliseconds(5000), cp.random);
  cp::Authenticator authenticator_{cp.app().database(), *cache_, cp.clock,
                                   [] {
                                     cp::AuthSettings settings;
                                     settings.public_origin = TestControlPlane::kOrigin;
                                     return settings;
                                   },
                                   metrics_};
  cp::RateLimits limits_{cp.clock, [] { return 100; }};
  std::unique_ptr<cp::Api> api_;
};

// covers: S04_AUTH_MATRIX_001
TEST_F(AccessMatrixTest, EveryRouteForEveryPrincipal) {
  const std::map<AccountType, Made> accounts = {{AccountType::deployer, make("dep")},
                                                {AccountType::agent, make("nodes", "agent")},
                                                {AccountType::contributor, make("writer", "contributor")},
                                                {AccountType::launcher, make("launch", "launcher")}};
  const Made& deployer = accounts.at(AccountType::deployer);
  const Made other = make("other");
  const Made suspended = make("suspended");
  ASSERT_EQ(cp.admin("POST", suspended.path() + "/suspend", R"({"reason":"x"})").status, 200);
  const Made reader = new_key(deployer, deployer.key, R"({"name":"reader","scopes":["read"]})");
  const Made scopeless = new_key(deployer, deployer.key, R"({"name":"scopeless","scopes":["capacity"]})");
  const std::string identity = R"({"kind":"user","github_id":7,"login":"ada","reason":"r"})";
  ASSERT_EQ(cp.admin("POST", deployer.path() + "/identities", identity).status, 201);
  const std::string admin = cp.admin_token();
  const std::string user = sign_in(7, "ada");
  std::string agent_credential;
  std::string other_credential;
  const std::string agent = register_one("tdx-agent-001", agent_credential);
  register_one("tdx-agent-002", other_credential);

  std::size_t checked = 0;
  for (const cp::Route& route : cp.app().routes()) {
    const std::string name = std::string(route.method) + " " + std::string(route.pattern);
    Expected admin_row{};
    const Expected* row = expected_of(name, admin_row);
    if (row == nullptr) {
      ADD_FAILURE() << name << " has no row: add it here, from the matrix of the spec";
      continue;
    }
    const auto may = [&](std::size_t column) { return row->columns[column]; };
    const auto refused = [&](const std::string& outcome) {
      return outcome == "admin_required" || outcome == "agent_mismatch" || outcome == "agent_not_found" ||
             outcome == "account_type_not_allowed" || outcome == "oidc_not_allowed";
    };
    const auto try_as = [&](const std::string& token, const std::string& account) {
      ++checked;
      return outcome(route, token, account, agent);
    };
    /// A principal for whom the column says `-`.
    const auto expect_no = [&](const std::string& token, const char* who) {
      const std::string found = try_as(token, deployer.id);
      EXPECT_TRUE(refused(found)) << name << " as " << who << ": " << found;
    };

    EXPECT_EQ(try_as("", deployer.id), may(0) == 'y' ? "ok" : "unauthenticated") << name;

    for (const auto& [type, account] : accounts) {
      const bool has_scope = cp::scopes_of(type).has(row->scope);
      const std::string own = try_as(account.key, account.id);
      const std::string what = name + " with a key of " + account.id;
      switch (may(1)) {
        case 'y': EXPECT_EQ(own, "ok") << what; break;
        case 's': EXPECT_EQ(own, has_scope ? "ok" : "account_type_not_allowed") << what; break;
        case 'o':
          EXPECT_EQ(own, has_scope ? "ok" : "account_type_not_allowed") << what;
          EXPECT_EQ(try_as(account.key, other.id), "account_not_found") << what;
          break;
        default: EXPECT_TRUE(refused(own)) << what << ": " << own;
      }
    }
    if (may(1) == 'o' || may(1) == 's') {
      EXPECT_EQ(try_as(reader.key, deployer.id), row->scope == Scope::read ? "ok" : "scope_missing") << name;
      EXPECT_EQ(try_as(scopeless.key, deployer.id), row->scope == Scope::capacity ? "ok" : "scope_missing") << name;
      EXPECT_EQ(try_as(suspended.key, suspended.id), row->when_suspended ? "ok" : "account_suspended") << name;
    }

    if (may(2) == 'y') {
      EXPECT_EQ(try_as(admin, deployer.id), "ok") << name;
    } else {
      expect_no(admin, "an administrator");
    }

    switch (may(3)) {
      case 's':
      case 'y': EXPECT_EQ(try_as(user, deployer.id), "ok") << name; break;
      case 'o':
        EXPECT_EQ(try_as(user, deployer.id), "ok") << name;
        EXPECT_EQ(try_as(user, other.id), "account_not_found") << name;
        break;
      default: expect_no(user, "a user");
    }

    switch (may(4)) {
      case 'y': EXPECT_EQ(try_as(agent_credential, deployer.id), "ok") << name; break;
      case 'o':
        EXPECT_EQ(try_as(agent_credential, deployer.id), "ok") << name;
        EXPECT_EQ(try_as(other_credential, deployer.id), "agent_mismatch") << name;
        break;
      default: expect_no(agent_credential, "an agent");
    }

    for (const auto& [type, account] : accounts) {
      workflow_account_ = account.id;
      workflow_type_ = type;
      if (may(5) != 'y') {
        expect_no(kJwt, "a workflow");
        continue;
      }
      const bool may_do = may(0) == 'y' || cp::scopes_of(type).has(row->scope);
      EXPECT_EQ(try_as(kJwt, deployer.id), may_do ? "ok" : "account_type_not_allowed") << name << " for " << account.id;
    }
  }
  EXPECT_GE(checked, cp.app().routes().size() * 9);
}

TEST(AccessTable, ARuleThatLacksItsPathParameterDoesNotStand) {
  const auto problem = [](cp::Access access, std::string_view pattern, Scope scope = Scope::read) {
    return cp::access_problem({.access = access, .scope = scope}, pattern);
  };
  EXPECT_EQ(problem(cp::Access::own_account, "/api/v1/accounts/{account_id}"), "");
  EXPECT_NE(problem(cp::Access::own_account, "/api/v1/accounts/{id}"), "");
  EXPECT_NE(problem(cp::Access::own_account_only, "/api/v1/things"), "");
  EXPECT_NE(problem(cp::Access::own_agent, "/api/v1/agents/{id}"), "");
  EXPECT_NE(problem(cp::Access::agent_admin_or_owner, "/api/v1/agents"), "");
  EXPECT_NE(problem(cp::Access::owner, "/api/v1/accounts/{account_id}/x"), "") << "nobody would compare the account";
  EXPECT_NE(problem(cp::Access::launcher, "/api/v1/launchers/x"), "");
  EXPECT_EQ(problem(cp::Access::launcher, "/api/v1/launchers/x", Scope::launcher), "");
  EXPECT_EQ(problem(cp::Access::admin, "/api/v1/accounts/{account_id}/suspend"), "");
}

}  // namespace
}  // namespace ee::testing
