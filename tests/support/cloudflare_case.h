#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <string>

#include "cp/domain/tunnel_names.h"
#include "tests/standins/cloudflare/cloudflare_fake.h"
#include "tests/support/registered_agent.h"

namespace ee::testing {

inline constexpr const char* kTunnels = "/api/v1/admin/cloudflare/tunnels";
inline constexpr const char* kRecords = "/api/v1/admin/cloudflare/dns";
inline const AgentId kGone("01900000-0000-7000-8000-00000000dead");

/// A whole control plane whose Cloudflare is a fake behind a direct client.
class CloudflareCase : public ::testing::Test {
 protected:
  CloudflareCase() {
    cp.clock.set_auto_advance(true);
    cp.http.set_answer([this](const HttpClientRequest& request) { return direct.send(request); });
  }

  static boost::json::value body(const TestAnswer& answer) {
    EXPECT_EQ(answer.status, 200) << answer.body;
    return ee::json::parse(answer.body).value_or(boost::json::object());
  }
  static std::string text(const boost::json::value& object, const char* name) {
    const auto& value = object.at(name);
    return value.is_string() ? std::string(value.as_string()) : "-";
  }
  /// The item of this id in the whole list.
  boost::json::value item(const char* path, const std::string& id) {
    for (const auto& each : body(cp.admin("GET", std::string(path) + "?refresh=true&limit=200")).at("items").as_array())
      if (text(each, "id") == id) return each;
    ADD_FAILURE() << id << " is not listed";
    return boost::json::object{{"id", ""}};
  }
  TestAnswer remove(const char* path, const std::string& id, const std::string& query = "") {
    return cp.admin("DELETE", std::string(path) + "/" + id + query);
  }
  /// A tunnel of an agent that nobody knows, made two hours ago.
  std::string add_orphan(const AgentId& agent = kGone) {
    return fake.add_tunnel(cp::tunnel_name("test", agent), cp.clock.now() - Seconds(7200));
  }
  std::string add_orphaned_record(const std::string& tunnel, const AgentId& agent = kGone) {
    return fake.add_record({.id = {},
                            .type = "CNAME",
                            .name = "old.dev.example.com",
                            .content = tunnel + ".cfargotunnel.com",
                            .proxied = true,
                            .comment = cp::dns_comment("test", agent),
                            .created_at = cp.clock.now() - Seconds(7200)});
  }
  int deletions() {
    const auto log = fake.requests();
    return static_cast<int>(std::ranges::count(log, "DELETE", &standins::LoggedRequest::method));
  }
  std::int64_t audits(const std::string& action) {
    return cp
        .values<std::int64_t>("SELECT COUNT(*) FROM audit_log WHERE action=:a AND actor LIKE 'admin:%'",
                              {{"a", action}})
        .at(0);
  }

  FakeClock api_clock;
  SystemRandom random;
  standins::CloudflareFake fake{{}, api_clock, random};
  standins::CloudflareDirectClient direct{fake};
  TestControlPlane cp{{.environment = {{"CLOUDFLARE_ACCOUNT_ID", fake.config().account_id},
                                       {"CLOUDFLARE_ZONE_ID", fake.config().zone_id},
                                       {"CLOUDFLARE_API_TOKEN", fake.config().api_token},
                                       {"CLOUDFLARE_DOMAIN", "dev.example.com"},
                                       {"EE_PROTECTED_TUNNELS", "keep-me"},
                                       {"EE_CLOUDFLARE_API_URL", std::string(direct.kUrl)}}}};
};

}  // namespace ee::testing
