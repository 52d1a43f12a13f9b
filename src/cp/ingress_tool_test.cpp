#include "cp/ingress_tool.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "common/fake_clock.h"
#include "common/fake_random.h"
#include "tests/standins/cloudflare/cloudflare_fake.h"

namespace ee::cp {
namespace {

class IngressTool : public ::testing::Test {
 protected:
  IngressTool() { clock_.set_auto_advance(true); }
  Config config(const std::map<std::string, std::string>& more = {}) {
    ee::Environment environment = {{"EE_ENV", "dev"},
                                   {"EE_CLUSTER_ID", "test"},
                                   {"EE_PUBLIC_URL", "https://cp.example.com"},
                                   {"EE_BIND", "0.0.0.0:8080"},
                                   {"EE_DATABASE_URL", "sqlite::memory:"},
                                   {"EE_CLOUDFLARE_API_URL", std::string(standins::CloudflareDirectClient::kUrl)},
                                   {"CLOUDFLARE_ACCOUNT_ID", fake_.config().account_id},
                                   {"CLOUDFLARE_ZONE_ID", fake_.config().zone_id},
                                   {"CLOUDFLARE_API_TOKEN", fake_.config().api_token},
                                   {"CLOUDFLARE_DOMAIN", "example.com"}};
    for (const auto& [name, value] : more) {
      if (value.empty())
        environment.erase(name);
      else
        environment[name] = value;
    }
    const auto loaded = load_config(environment);
    EXPECT_TRUE(loaded) << loaded.error().front();
    return *loaded;
  }
  ToolResult ensure(const IngressCommand& command = {.json = true},
                    const std::map<std::string, std::string>& more = {}) {
    return ensure_ingress(config(more), command, http_, clock_, random_);
  }

  FakeClock clock_;
  FakeRandom random_;
  standins::CloudflareFake fake_{{}, clock_, random_};
  standins::CloudflareDirectClient http_{fake_};
};

TEST_F(IngressTool, MakesTunnelIngressAndRecordOnce) {
  const ToolResult first = ensure();
  ASSERT_EQ(first.exit_code, 0) << first.lines.front();
  const auto said = boost::json::parse(first.lines.front()).as_object();
  ASSERT_EQ(fake_.live_tunnels().size(), 1U);
  const auto tunnel = fake_.live_tunnels().front();
  EXPECT_EQ(tunnel.name, "ee-test-control-plane");
  EXPECT_EQ(said.at("tunnel_id"), tunnel.id.c_str());
  EXPECT_FALSE(said.at("token").as_string().empty());
  EXPECT_EQ(boost::json::serialize(said.at("hostnames")), R"(["cp.example.com"])");
  EXPECT_EQ(tunnel.ingress[0].hostname, "cp.example.com");
  EXPECT_EQ(tunnel.ingress[0].service, "http://127.0.0.1:8080");
  ASSERT_EQ(fake_.records().size(), 1U);
  EXPECT_EQ(fake_.records().front().content, tunnel.id + ".cfargotunnel.com");
  EXPECT_EQ(fake_.records().front().comment, "ee c=test control-plane");

  const ToolResult again = ensure();
  ASSERT_EQ(again.exit_code, 0) << again.lines.front();
  EXPECT_EQ(again.lines, first.lines);
  EXPECT_EQ(fake_.live_tunnels().size(), 1U);
  EXPECT_EQ(fake_.records().size(), 1U);
  for (const std::string& line : ensure({.json = false}).lines)
    EXPECT_EQ(line.find(said.at("token").as_string().c_str()), std::string::npos);
}

TEST_F(IngressTool, AForeignRecordStaysUnlessItIsTakenOver) {
  fake_.add_record({.id = {},
                    .type = "CNAME",
                    .name = "cp.example.com",
                    .content = "elsewhere.example.net",
                    .comment = "x",
                    .created_at = {}});
  const ToolResult refused = ensure();
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_EQ(fake_.records().front().content, "elsewhere.example.net");
  const ToolResult taken = ensure({.json = true, .takeover = true});
  ASSERT_EQ(taken.exit_code, 0) << taken.lines.front();
  ASSERT_EQ(fake_.records().size(), 1U);
  EXPECT_EQ(fake_.records().front().content, fake_.live_tunnels().front().id + ".cfargotunnel.com");
}

TEST_F(IngressTool, WithoutCloudflareOrAPublicHostNothingIsCalled) {
  EXPECT_EQ(ensure({.json = true}, {{"CLOUDFLARE_API_TOKEN", ""}}).exit_code, 3);
  EXPECT_EQ(ensure({.json = true}, {{"EE_PUBLIC_URL", "http://127.0.0.1:8080"}}).exit_code, 3);
  EXPECT_TRUE(fake_.requests().empty());
}

}  // namespace
}  // namespace ee::cp
