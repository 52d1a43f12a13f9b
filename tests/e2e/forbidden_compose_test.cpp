// Every forbidden compose key is refused twice: by the control plane when somebody asks for it, and by the agent when
// it stands in a document that the control plane's own key has signed.
#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>
#include <fstream>
#include <set>

#include "common/clock.h"
#include "common/crypto.h"
#include "common/deployment_document.h"
#include "common/json.h"
#include "cp/service/agent_client.h"
#include "net/curl_http_client.h"
#include "tests/e2e/agent_process.h"
#include "tests/e2e/deployer.h"
#include "tests/support/agents.h"
#include "tests/support/compose_cases.h"

namespace ee::testing {
namespace {

using boost::json::object;
using boost::json::value;

constexpr std::size_t kPerAccount = 25;  // an account may ask thirty times a minute

/// A key that is refused wherever it stands: `services.web.<key>`, or a top-level one.
struct Forbidden {
  std::string path;
  std::string code;
  std::string text;  ///< a compose document with it
};

/// One document for each key of the shared cases that are refused for one key alone.
std::vector<Forbidden> forbidden_keys() {
  std::vector<Forbidden> out;
  std::set<std::string> seen;
  for (const auto& each : compose::testing::refused_key_cases()) {
    if (each.breaches.size() != 1) continue;
    const std::string& breach = each.breaches.front();
    const std::string path = breach.substr(0, breach.find(' '));
    if (seen.insert(path).second) out.push_back({path, breach.substr(breach.find(' ') + 1), each.text});
  }
  return out;
}

class ForbiddenComposeTest : public ::testing::Test {
 protected:
  ForbiddenComposeTest()
      : key_(*Ed25519PrivateKey::from_seed(ByteVector(32, 0x42))),
        keys_(key_, {}),
        control_plane_({{"EE_CP_SIGNING_KEY", key_.to_pkcs8_pem()}}),
        agent_(control_plane_, 1) {}
  void SetUp() override {
    control_plane_.start();
    admin_ = control_plane_.sign_in();
    agent_.start();
    ASSERT_TRUE(eventually([&] { return undeployed(); }, 60'000)) << agent_.output();
  }
  void TearDown() override {
    EXPECT_EQ(agent_.stop(), 0) << agent_.output();
    EXPECT_EQ(control_plane_.stop(), 0) << control_plane_.process()->output();
  }
  bool undeployed() {
    return control_plane_.agents(admin_, "&status=undeployed&health_status=healthy").contains("\"vm_name\"");
  }

  /// The agent as the control plane knows it.
  cp::AgentRow row() const {
    std::ifstream in(agent_.folder() / "state.json");
    const std::string text((std::istreambuf_iterator<char>(in)), {});
    const auto state = json::parse(text).value();
    cp::AgentRow out = make_agent(1);
    out.id = AgentId(text_at(state, "/agent_id"));
    out.registration_id = RegistrationId(text_at(state, "/registration_id"));
    out.direct_url = agent_.url();
    return out;
  }
  /// A resolved document as the control plane makes it, less what `change` does to it.
  template <class Change>
  static std::string resolved(const Change& change) {
    compose::CheckOptions options = compose::testing::options();
    const auto checked =
        compose::check(compose::testing::service_file("ports: ['" + std::to_string(kPort) + ":80']"), options);
    const auto made = compose::resolve(checked.value(), compose::own_digests(*checked).value());
    value document = json::parse(made.value().compose).value();
    change(document.as_object());
    return json::canonical(document).value();
  }
  /// Signed and sent as by the control plane.
  cp::AgentAnswer push(const std::string& compose) {
    const cp::AgentRow agent = row();
    const agent_api::DeploymentDocument document{.deployment_id = "01900000-0000-7000-8000-000000000001",
                                                 .assignment_epoch = 1,
                                                 .revision = 1,
                                                 .service = "web",
                                                 .compose = compose,
                                                 .compose_sha256 = to_hex(sha256(bytes_of(compose))),
                                                 .ingress = {{.path_prefix = "/", .port = kPort}},
                                                 .health_path = "/",
                                                 .access = agent_api::WorkloadAccess::public_,
                                                 .deploy_timeout_seconds = 60,
                                                 .stop_grace_seconds = 10,
                                                 .issued_at = clock_.now()};
    const std::string body = json::write(document);
    const auto signature =
        keys_.sign_body(agent_api::kDeploymentKind, agent.id.str(), agent.registration_id.str(), body);
    const auto answer = client_.put_deployment(agent, body, signature);
    EXPECT_TRUE(answer) << answer.error().detail;
    return answer.value_or(cp::AgentAnswer{});
  }

  static constexpr int kPort = 18'099;
  SystemClock clock_;
  SystemRandom random_;
  Ed25519PrivateKey key_;
  cp::SigningKeys keys_;
  ControlPlaneProcess control_plane_;
  AgentProcess agent_;
  std::string admin_;
  net::CurlHttpClient http_;
  cp::AgentEndpoint endpoint_{
      [] { return cp::EndpointSettings{.dev = true, .direct_url_cidrs = {"127.0.0.0/8"}, .domain = {}}; }};
  cp::AgentClient client_{
      {.endpoint = endpoint_, .signing_keys = keys_, .http = http_, .clock = clock_, .random = random_}};
};

TEST_F(ForbiddenComposeTest, EachForbiddenKeyIsRefusedByTheControlPlaneAndAgainByTheAgent) {
  const auto all = forbidden_keys();
  ASSERT_GT(all.size(), 60U);
  std::optional<Deployer> user;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Forbidden& each = all[i];
    SCOPED_TRACE(each.path);
    if (i % kPerAccount == 0) user.emplace(control_plane_, "user-" + std::to_string(i), admin_);
    const auto refused =
        user->call("POST", "/api/v1/deploy", Deployer::request(each.text, kPort, R"(,"service":"web")"));
    EXPECT_EQ(refused.status, 400) << refused.body;
    EXPECT_NE(refused.body.find(R"("code":"compose_forbidden")"), std::string::npos) << refused.body;
    EXPECT_NE(refused.body.find(R"({"field":"compose.)" + each.path + R"(","code":")" + each.code + "\""),
              std::string::npos)
        << refused.body;

    const auto answer = push(resolved([&](object& document) {
      constexpr std::string_view kOfWeb = "services.web.";
      object& there = each.path.starts_with(kOfWeb) ? document["services"].at("web").as_object() : document;
      there[each.path.starts_with(kOfWeb) ? each.path.substr(kOfWeb.size()) : each.path] = "x";
    }));
    EXPECT_EQ(answer.status, 422) << answer.body;
    EXPECT_NE(answer.body.find(R"("compose_failed")"), std::string::npos) << answer.body;
    EXPECT_NE(answer.body.find(each.path + ": "), std::string::npos) << answer.body;
  }
  EXPECT_TRUE(undeployed()) << "nothing was taken";

  // The same document without any of them is taken: it was refused for the key alone.
  const auto taken = push(resolved([](object&) {}));
  EXPECT_EQ(taken.status, 202) << taken.body;
  ASSERT_TRUE(client_.delete_deployment(row(), DeploymentId("01900000-0000-7000-8000-000000000001"), 1));
  EXPECT_TRUE(
      eventually([&] { return client_.get_deployment(row()).value_or(cp::AgentAnswer{}).status == 204; }, 60'000));
}

}  // namespace
}  // namespace ee::testing
