// What a user does, with the real programs over real sockets and a real container engine: publish, deploy by API key
// and from a GitHub workflow, call, upgrade, fall back, stop.
#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>
#include <thread>

#include "common/clock.h"
#include "common/json.h"
#include "tests/e2e/site.h"
#include "tests/standins/github/github.h"
#include "tests/support/event_reader.h"
#include "tests/support/raw_client.h"

namespace ee::testing {
namespace {

constexpr const char* kAudience = "https://cp.example.com";
constexpr const char* kApp = "/api/v1/apps/shop";
constexpr int kPatienceMs = 120'000;

std::string quoted(const std::string& text) { return boost::json::serialize(boost::json::string(text)); }

std::uint16_t port_of(const ControlPlaneProcess& control_plane) {
  const std::string& url = control_plane.url();
  return static_cast<std::uint16_t>(std::stoi(url.substr(url.rfind(':') + 1)));
}

class DeployTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto engine = RealEngine::start();
    if (!engine) GTEST_SKIP() << engine.error();
    image_ = (*engine)->push({.name = "shop"});
    github_.start();
    site_.emplace(std::move(*engine), 2,
                  Site::Environment{{"CP_GITHUB_OIDC_AUDIENCE", kAudience},
                                    {"CP_GITHUB_OIDC_ISSUER", github_.url()},
                                    {"CP_GITHUB_OIDC_JWKS_URL", github_.jwks_url()}});
    user_.emplace(site_->control_plane());
  }
  void TearDown() override {
    if (site_) EXPECT_TRUE(site_->stop()) << site_->logs();
  }

  /// With tags instead of digests, as people publish.
  TwoServices services(const std::string& page, bool broken = false) const {
    return {.image = image_.substr(0, image_.find('@')) + ":1",
            .port = port_,
            .page = page,
            .broken = broken,
            .secret = "token"};
  }
  /// Publishes a version and waits until it is measured; the version as the API shows it.
  boost::json::value publish(const std::string& version, const TwoServices& content) {
    (void)user_->need(202, "POST", std::string(kApp) + "/versions",
                      R"({"version":")" + version + R"(","compose":)" + quoted(content.text()) +
                          R"(,"health_path":"/","ingress":[{"path_prefix":"/","port":)" + std::to_string(port_) +
                          R"(},{"path_prefix":"/ws","port":)" + std::to_string(port_ + 1) + "}]}");
    boost::json::value found;
    (void)eventually(
        [&] {
          found = user_->need(200, "GET", std::string(kApp) + "/versions/" + version);
          const std::string status = text_at(found, "/items/0/status");
          return status == "attested" || status == "rejected";
        },
        kPatienceMs);
    EXPECT_EQ(text_at(found, "/items/0/status"), "attested") << boost::json::serialize(found);
    return found;
  }
  std::string visit(const std::string& service) { return user_->visit(service).body; }
  std::string events(const std::string& id) { return user_->call("GET", "/api/v1/deployments/" + id + "/events").body; }
  /// Waits for the page with the gates open.
  bool shows(const std::string& service, const std::string& page) {
    return eventually(
        [&] {
          site_->open_gates();
          return visit(service) == page + "\n";
        },
        kPatienceMs);
  }
  /// Waits with the gates open until what was asked is done.
  bool settles(const std::string& id, const std::string& state, std::int64_t revision) {
    boost::json::value now;
    return eventually(
        [&] {
          site_->open_gates();
          now = user_->deployment(id);
          return text_at(now, "/state") == state && now.at("revision").to_number<std::int64_t>() == revision;
        },
        kPatienceMs);
  }

  /// A WebSocket through the proxy: the handshake's proof, the server's first frame, and bytes both ways.
  void try_websocket(const std::string& service) {
    RawClient client(port_of(site_->control_plane()));
    ASSERT_TRUE(client.send("GET /proxy/" + service +
                            "/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"));
    const auto answer = client.read_response();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 101) << answer->head << answer->body;
    EXPECT_EQ(answer->header("Sec-WebSocket-Accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") << "RFC 6455 section 1.3";
    EXPECT_EQ(client.read_some(7), "\x81\x05hello");
    const std::string frame = std::string("\x82\x84\0\0\0\0", 6) + "ping";
    ASSERT_TRUE(client.send(frame));
    EXPECT_EQ(client.read_some(frame.size()), frame);
  }

  const std::uint16_t port_ = free_port();
  SystemClock clock_;
  standins::Github github_{clock_};
  std::string image_;
  std::optional<Site> site_;
  std::optional<Deployer> user_;
};

// covers: S03_DEP_002, S03_VER_001
TEST_F(DeployTest, FromPublishToUndeployByKeyAndByWorkflow) {
  (void)user_->need(201, "POST", "/api/v1/apps", R"({"name":"shop","visibility":"public"})");
  const auto first = publish("1.0.0", services("first page"));
  const std::string digest = image_.substr(image_.find('@') + 1);
  for (const char* service : {"web", "store"})
    EXPECT_EQ(text_at(first, std::string("/items/0/images/") + service + "/digest"), digest);

  // By API key. The document names what was measured; `web` waits for `store`.
  const auto accepted = user_->need(201, "POST", std::string(kApp) + "/versions/1.0.0/deploy",
                                    R"({"access":"public","service":"shop",)"
                                    R"("secrets":{"token":{"value":"open sesame 4711","as":"file"}}})");
  const std::string id = text_at(accepted, "/deployments/0/id");
  const std::string here = text_at(accepted, "/deployments/0/agent/vm_name");
  ASSERT_TRUE(eventually([&] { return site_->containers("running").size() == 1; }, kPatienceMs)) << site_->logs();
  const std::string store = site_->containers("running").front();
  EXPECT_TRUE(store.ends_with("-r1-store")) << store;
  const std::string web = store.substr(0, store.size() - 5) + "web";
  EXPECT_EQ(site_->containers("created"), std::vector<std::string>{web});
  EXPECT_EQ(user_->state(id), "deploying");
  EXPECT_TRUE(eventually([&] { return user_->visit("shop").status == 503; })) << user_->visit("shop").body;
  ASSERT_TRUE(shows("shop", "first page")) << site_->logs();
  ASSERT_TRUE(user_->reaches(id, "running")) << site_->logs();
  const auto waited_for = site_->inspect(store);
  EXPECT_EQ(text_at(waited_for, "/State/Health/Status"), "healthy");
  EXPECT_LT(text_at(waited_for, "/State/StartedAt"), text_at(site_->inspect(web), "/State/StartedAt"));
  const auto shown = user_->deployment(id);
  EXPECT_EQ(text_at(shown, "/provenance"), "attested");
  EXPECT_EQ(text_at(shown, "/images/web"), image_);
  EXPECT_EQ(text_at(shown, "/auth/method"), "api_key");
  EXPECT_EQ(site_->engine().exec(web, {"/bin/sh", "-c", "test \"$(cat /run/secrets/token)\" = 'open sesame 4711'"}), 0);
  try_websocket("shop");

  // From a workflow whose repository's owner is linked to the account, on the agent that is still free.
  (void)site_->as_admin(201, "POST", "/api/v1/accounts/" + user_->account() + "/identities",
                        R"({"github_id":9001,"kind":"org","login":"octo-org","reason":"test"})");
  auto workflow = user_->with(github_.token(github_.claims(kAudience)));
  const auto second =
      workflow.need(201, "POST", std::string(kApp) + "/versions/1.0.0/deploy",
                    R"({"access":"public","service":"shop-ci","secrets":{"token":{"value":"x","as":"file"}}})");
  const std::string ci = text_at(second, "/deployments/0/id");
  EXPECT_NE(text_at(second, "/deployments/0/agent/vm_name"), here);
  ASSERT_TRUE(shows("shop-ci", "first page")) << site_->logs();
  EXPECT_EQ(text_at(user_->deployment(ci), "/auth/method"), "github_oidc");
  EXPECT_EQ(text_at(user_->deployment(ci), "/auth/repository"), "octo-org/app");
  auto stranger_claims = github_.claims(kAudience);
  stranger_claims["repository_owner_id"] = "9002";
  EXPECT_EQ(user_->with(github_.token(stranger_claims)).call("GET", "/api/v1/deployments/" + ci).status, 403);

  const std::string lines = user_->call("GET", "/api/v1/deployments/" + id + "/logs").body;
  EXPECT_NE(lines.find("the store waits"), std::string::npos) << lines;
  EXPECT_NE(lines.find("the web server starts"), std::string::npos) << lines;
  EXPECT_EQ(lines.find("open sesame"), std::string::npos) << lines;

  EventReader follower(port_of(site_->control_plane()), "/api/v1/deployments/" + id + "/logs?follow=true",
                       user_->credential());
  EXPECT_TRUE(eventually([&] { return follower.wait_for("the web server starts"); })) << follower.text();

  // An upgrade; then one whose containers fail: the one before it answers again, under a revision of its own.
  (void)publish("2.0.0", services("second page"));
  (void)user_->need(202, "POST", "/api/v1/deployments/" + id + "/upgrade", R"({"version":"2.0.0"})");
  ASSERT_TRUE(shows("shop", "second page")) << site_->logs();
  ASSERT_TRUE(settles(id, "running", 2)) << site_->logs();
  (void)publish("3.0.0", services("third page", true));
  (void)user_->need(202, "POST", "/api/v1/deployments/" + id + "/upgrade", R"({"version":"3.0.0"})");
  ASSERT_TRUE(settles(id, "running", 4)) << boost::json::serialize(user_->deployment(id)) << events(id);
  EXPECT_TRUE(shows("shop", "second page")) << site_->logs();
  EXPECT_NE(events(id).find(R"("upgrade_failed")"), std::string::npos) << events(id);
  EXPECT_EQ(text_at(user_->deployment(id), "/app/version"), "2.0.0");
  EXPECT_EQ(visit("shop-ci"), "first page\n") << "the other one is left alone";

  // Ended by both, nothing is left; the agents are free again.
  (void)user_->need(202, "POST", "/api/v1/deployments/" + id + "/stop", "{}");
  (void)workflow.need(202, "POST", "/api/v1/deployments/" + ci + "/stop", "{}");
  for (const std::string& each : {id, ci}) ASSERT_TRUE(user_->reaches(each, "stopped", kPatienceMs)) << site_->logs();
  EXPECT_EQ(user_->visit("shop").status, 503);
  EXPECT_TRUE(eventually([&] { return follower.wait_for("event: end"); }, kPatienceMs)) << follower.text();
  EXPECT_GE(follower.count("the web server starts"), 2U) << "of the upgrade too: " << follower.text();
  EXPECT_TRUE(eventually([&] { return site_->leftovers().empty(); }, kPatienceMs)) << site_->leftovers();
  EXPECT_TRUE(eventually([&] { return site_->count_agents("status=undeployed") == 2; }, kPatienceMs)) << site_->logs();
}

}  // namespace
}  // namespace ee::testing
