// What administrators see and remove of Cloudflare: real routes and database, a fake API behind a direct client.
#include <gtest/gtest.h>

#include <set>

#include "tests/support/cloudflare_case.h"

namespace ee::testing {
namespace {

class CloudflareAdminTest : public CloudflareCase {};

// covers: S05_ADM_01
TEST_F(CloudflareAdminTest, S05_ADM_01_ListsTunnelsWithTheirOwnersAndWhatIsOrphaned) {
  const RegisteredAgent agent(cp, "tdx-agent-001");
  const std::string own = cp.values<std::string>("SELECT tunnel_id FROM agents").at(0);
  const std::string orphan = add_orphan();
  const std::string young = fake.add_tunnel(cp::tunnel_name("test", AgentId("01900000-0000-7000-8000-00000000beef")),
                                            cp.clock.now() - Seconds(60));
  const std::string control_plane = fake.add_tunnel("ee-test-control-plane", cp.clock.now() - Seconds(7200));
  const std::string kept = fake.add_tunnel("keep-me", cp.clock.now() - Seconds(7200));
  const std::string foreign = fake.add_tunnel("somebody-elses", cp.clock.now() - Seconds(7200));
  fake.set_connections(own, 4);

  const auto page = body(cp.admin("GET", std::string(kTunnels)));
  EXPECT_EQ(page.at("totals").at("all").as_int64(), 6);
  EXPECT_EQ(page.at("totals").at("orphaned").as_int64(), 1);
  EXPECT_EQ(page.at("totals").at("connected").as_int64(), 1);
  struct Row {
    std::string id;
    const char* owner;
    bool orphaned, is_protected;
  };
  for (const Row& row : {Row{own, "agent", false, false}, Row{orphan, "agent", true, false},
                         Row{young, "agent", false, false}, Row{control_plane, "control_plane", false, true},
                         Row{kept, "foreign", false, true}, Row{foreign, "foreign", false, false}}) {
    const auto found = item(kTunnels, row.id);
    EXPECT_EQ(text(found, "owner"), row.owner) << text(found, "name");
    EXPECT_EQ(found.at("orphaned").as_bool(), row.orphaned) << text(found, "name");
    EXPECT_EQ(found.at("protected").as_bool(), row.is_protected) << text(found, "name");
  }
  const auto mine = item(kTunnels, own);
  EXPECT_EQ(text(mine, "agent_id"), agent.id());
  EXPECT_EQ(text(mine, "vm_name"), "tdx-agent-001");
  EXPECT_EQ(text(mine, "agent_status"), "undeployed");
  EXPECT_EQ(mine.at("connections").as_int64(), 4);
  EXPECT_EQ(body(cp.admin("GET", std::string(kTunnels) + "?orphaned=true")).at("items").as_array().size(), 1U);
  EXPECT_EQ(body(cp.admin("GET", std::string(kTunnels) + "?orphaned=false")).at("items").as_array().size(), 5U);
}

TEST_F(CloudflareAdminTest, AListIsKeptForHalfAMinuteAndPaged) {
  for (int i = 0; i < 5; ++i) fake.add_tunnel("tunnel-" + std::to_string(i), cp.clock.now() - Seconds(100 - i));
  std::set<std::string> seen;
  std::string path = std::string(kTunnels) + "?limit=2";
  for (std::string next = path; !next.empty();) {
    const auto page = body(cp.admin("GET", next));
    for (const auto& each : page.at("items").as_array()) seen.insert(text(each, "name"));
    const std::string cursor = text(page, "next_cursor");
    next = cursor == "-" ? "" : path + "&cursor=" + cursor;
  }
  EXPECT_EQ(seen.size(), 5U);
  const int calls = fake.calls();
  ASSERT_EQ(cp.admin("GET", kRecords).status, 200);
  EXPECT_EQ(fake.calls(), calls) << "one list for both";
  cp.clock.advance(Seconds(31));
  ASSERT_EQ(cp.admin("GET", kTunnels).status, 200);
  EXPECT_GT(fake.calls(), calls);
  const int then = fake.calls();
  cp.clock.advance(Seconds(1));
  ASSERT_EQ(cp.admin("GET", std::string(kTunnels) + "?refresh=true").status, 200);
  EXPECT_GT(fake.calls(), then);
  EXPECT_EQ(cp.admin("GET", std::string(kTunnels) + "?orphaned=perhaps").code(), "invalid_request");
  EXPECT_EQ(cp.admin("GET", std::string(kTunnels) + "?cursor=abc").code(), "invalid_cursor");
}

TEST_F(CloudflareAdminTest, WhatIsRemovedIsNotListedAnyMore) {
  const std::string tunnel = add_orphan();
  const std::string record = add_orphaned_record(tunnel);
  // Somebody asks for the list while the removal is under way.
  direct.before_each = [&](const HttpClientRequest& request) {
    if (request.method == "DELETE") {
      EXPECT_EQ(cp.admin("GET", kTunnels).status, 200);
    }
  };
  ASSERT_EQ(remove(kRecords, record).status, 200);
  EXPECT_EQ(body(cp.admin("GET", kRecords)).at("totals").at("all").as_int64(), 0);
  ASSERT_EQ(remove(kTunnels, tunnel).status, 200);
  EXPECT_EQ(body(cp.admin("GET", kTunnels)).at("totals").at("all").as_int64(), 0);
}

// covers: S05_ADM_02
TEST_F(CloudflareAdminTest, S05_ADM_02_ListsRecordsOfThisInstallation) {
  const RegisteredAgent agent(cp, "tdx-agent-001");
  const std::string orphan = add_orphaned_record(add_orphan());
  fake.add_record({.id = {},
                   .type = "CNAME",
                   .name = "www.dev.example.com",
                   .content = "elsewhere.example",
                   .comment = "by hand",
                   .created_at = cp.clock.now() - Seconds(7200)});
  const auto page = body(cp.admin("GET", kRecords));
  EXPECT_EQ(page.at("totals").at("all").as_int64(), 2) << "what is not ours is not listed";
  EXPECT_EQ(page.at("totals").at("orphaned").as_int64(), 1);
  const auto own = item(kRecords, cp.values<std::string>("SELECT dns_record_id FROM agents").at(0));
  EXPECT_EQ(text(own, "agent_id"), agent.id());
  EXPECT_EQ(text(own, "tunnel_id"), cp.values<std::string>("SELECT tunnel_id FROM agents").at(0));
  EXPECT_EQ(text(own, "name"), "tdx-agent-001.dev.example.com");
  EXPECT_FALSE(own.at("orphaned").as_bool());
  EXPECT_TRUE(item(kRecords, orphan).at("orphaned").as_bool());
}

// covers: S05_ADM_03
TEST_F(CloudflareAdminTest, S05_ADM_03_RemovesOnlyWhatIsOursAndUnused) {
  const RegisteredAgent agent(cp, "tdx-agent-001");
  const std::string own = cp.values<std::string>("SELECT tunnel_id FROM agents").at(0);
  const std::string own_record = cp.values<std::string>("SELECT dns_record_id FROM agents").at(0);
  const std::string control_plane = fake.add_tunnel("ee-test-control-plane", cp.clock.now());
  const std::string kept = fake.add_tunnel("keep-me", cp.clock.now());
  const std::string foreign = fake.add_tunnel("somebody-elses", cp.clock.now());
  const std::string other_cluster = fake.add_tunnel(cp::tunnel_name("prod", kGone), cp.clock.now());
  const std::string foreign_record = fake.add_record({.id = {},
                                                      .type = "CNAME",
                                                      .name = "www.dev.example.com",
                                                      .content = "elsewhere.example",
                                                      .comment = "by hand",
                                                      .created_at = cp.clock.now()});
  const std::string orphan = add_orphan();
  const std::string orphaned_record = add_orphaned_record(orphan);
  EXPECT_EQ(remove(kTunnels, control_plane, "?force=true").code(), "tunnel_protected");
  EXPECT_EQ(remove(kTunnels, kept, "?force=true").code(), "tunnel_protected");
  EXPECT_EQ(remove(kTunnels, foreign, "?force=true").code(), "tunnel_foreign");
  EXPECT_EQ(remove(kTunnels, other_cluster, "?force=true").code(), "tunnel_foreign");
  EXPECT_EQ(remove(kTunnels, own).code(), "tunnel_in_use");
  EXPECT_EQ(remove(kRecords, own_record).code(), "dns_in_use");
  EXPECT_EQ(remove(kRecords, foreign_record, "?force=true").code(), "dns_foreign");
  EXPECT_EQ(deletions(), 0);
  EXPECT_EQ(audits("tunnel_deleted") + audits("dns_deleted"), 0);

  EXPECT_EQ(text(body(remove(kTunnels, orphan)), "tunnel_id"), orphan);
  EXPECT_TRUE(body(remove(kRecords, orphaned_record)).at("deleted").as_bool());
  EXPECT_EQ(audits("tunnel_deleted"), 1);
  EXPECT_EQ(audits("dns_deleted"), 1);
  EXPECT_FALSE(body(remove(kTunnels, orphan)).at("deleted").as_bool()) << "it is gone";
  EXPECT_FALSE(body(remove(kRecords, orphaned_record)).at("deleted").as_bool());
  EXPECT_EQ(audits("tunnel_deleted"), 1);
  EXPECT_EQ(fake.live_tunnels().size(), 5U);
  EXPECT_EQ(remove(kTunnels, "no-id").code(), "not_found");
  EXPECT_EQ(remove(kRecords, own).code(), "not_found");
}

// covers: S05_ADM_04
TEST_F(CloudflareAdminTest, S05_ADM_04_AForcedRemovalGivesALiveAgentAnotherTunnel) {
  const RegisteredAgent agent(cp, "tdx-agent-001");
  const std::string before = cp.values<std::string>("SELECT tunnel_id FROM agents").at(0);
  EXPECT_TRUE(body(remove(kTunnels, before, "?force=true")).at("deleted").as_bool());
  EXPECT_TRUE(fake.live_tunnels().empty());
  EXPECT_TRUE(fake.records().empty());
  EXPECT_EQ(cp.values<std::string>("SELECT tunnel_state FROM agents").at(0), "pending");
  ASSERT_TRUE(cp.app().run_job("tunnel_worker"));
  EXPECT_EQ(cp.values<std::string>("SELECT tunnel_state FROM agents").at(0), "ready");
  const std::string after = cp.values<std::string>("SELECT tunnel_id FROM agents").at(0);
  EXPECT_NE(after, before);
  const std::string record = cp.values<std::string>("SELECT dns_record_id FROM agents").at(0);
  EXPECT_TRUE(body(remove(kRecords, record, "?force=true")).at("deleted").as_bool());
  ASSERT_TRUE(cp.app().run_job("tunnel_worker"));
  EXPECT_NE(cp.values<std::string>("SELECT dns_record_id FROM agents").at(0), record);
  EXPECT_EQ(audits("tunnel_deleted"), 1);
  EXPECT_EQ(audits("dns_deleted"), 1);
}

// covers: S05_ADM_05
TEST_F(CloudflareAdminTest, S05_ADM_05_WhatCannotBeReadIsNotRemoved) {
  const std::string orphan = add_orphan();
  const std::string record = add_orphaned_record(orphan);
  for (const auto kind : {standins::Fault::Kind::success_false, standins::Fault::Kind::malformed}) {
    fake.inject({.kind = kind, .method = "GET", .path_contains = "", .times = 100});
    EXPECT_EQ(remove(kTunnels, orphan).code(), "cloudflare_error");
    EXPECT_EQ(remove(kRecords, record).code(), "cloudflare_error");
    fake.clear_faults();
  }
  EXPECT_EQ(deletions(), 0);
  EXPECT_EQ(fake.live_tunnels().size(), 1U);
  // A restored database does not know agents that are newer than its backup.
  cp.execute("INSERT INTO meta (key, value) VALUES ('reap_hold_until', :until)",
             {{"until", std::to_string(unix_ms(cp.clock.now() + Seconds(3600)))}});
  cp.stop();
  cp.start();
  EXPECT_EQ(remove(kTunnels, orphan).code(), "reap_hold");
  EXPECT_EQ(remove(kRecords, record).code(), "reap_hold");
  EXPECT_EQ(deletions(), 0);
}

// covers: S05_ADM_07
TEST_F(CloudflareAdminTest, S05_ADM_07_FailuresOfTheProviderAreToldByTheirCode) {
  cp.http.set_answer([](const HttpClientRequest& request) -> std::expected<HttpClientResponse, HttpFailure> {
    if (request.url.find("cfd_tunnel") != std::string::npos) return std::unexpected(HttpFailure::timeout);
    return HttpClientResponse{
        .status = 400,
        .headers = {{"Content-Type", "application/json"}},
        .body = R"({"success":false,"errors":[{"code":6003,"message":"the text of the provider"}],"result":null})"};
  });
  const auto late = cp.admin("GET", kTunnels);
  EXPECT_EQ(late.status, 504);
  EXPECT_EQ(late.code(), "upstream_timeout");
  const auto refused = remove(kRecords, std::string(32, 'a'));
  EXPECT_EQ(refused.status, 502);
  EXPECT_EQ(refused.code(), "cloudflare_error");
  EXPECT_NE(refused.body.find(R"("provider_code":"6003")"), std::string::npos) << refused.body;
  EXPECT_EQ(refused.body.find("the text of the provider"), std::string::npos);
}

TEST_F(CloudflareAdminTest, TheStatusSaysWhatMayBeCalledAndWhetherTheTokenWorks) {
  const auto quiet = body(cp.admin("GET", "/api/v1/admin/cloudflare/status"));
  EXPECT_TRUE(quiet.at("configured").as_bool());
  EXPECT_EQ(text(quiet, "domain"), "dev.example.com");
  EXPECT_TRUE(quiet.at("missing").as_array().empty());
  EXPECT_EQ(quiet.at("protected_tunnels").as_array().size(), 1U);
  EXPECT_GT(quiet.at("budget_remaining").as_int64(), 0);
  EXPECT_FALSE(quiet.at("validation").at("attempted").as_bool());
  EXPECT_EQ(fake.calls(), 0);
  EXPECT_TRUE(
      body(cp.admin("GET", "/api/v1/admin/cloudflare/status?validate=true")).at("validation").at("ok").as_bool());
  ASSERT_EQ(cp.admin("PUT", "/api/v1/admin/settings/cloudflare.api_token", R"({"value":"revoked-token"})").status, 200);
  const auto bad = body(cp.admin("GET", "/api/v1/admin/cloudflare/status?validate=true"));
  EXPECT_FALSE(bad.at("validation").at("ok").as_bool());
  EXPECT_EQ(text(bad.at("validation"), "code"), "bad_token_10000");
  EXPECT_NE(text(body(cp.admin("GET", "/api/v1/admin/cloudflare/status")), "circuit_closes_at"), "-");
}

// covers: S05_ADM_06
TEST(CloudflareAdminUnconfigured, S05_ADM_06_SaysWhatIsMissing) {
  TestControlPlane cp;
  const auto status = cp.admin("GET", "/api/v1/admin/cloudflare/status?validate=true");
  EXPECT_EQ(status.status, 200);
  EXPECT_NE(status.body.find(R"("configured":false)"), std::string::npos);
  EXPECT_NE(status.body.find(R"("missing":["cloudflare.account_id","cloudflare.zone_id","cloudflare.api_token"])"),
            std::string::npos)
      << status.body;
  EXPECT_NE(status.body.find(R"("attempted":false)"), std::string::npos);
  for (const auto& [method, path] : {std::pair<const char*, std::string>{"GET", kTunnels},
                                     {"GET", kRecords},
                                     {"DELETE", std::string(kTunnels) + "/01900000-0000-7000-8000-000000000001"},
                                     {"DELETE", std::string(kRecords) + "/" + std::string(32, 'a')}}) {
    const auto refused = cp.admin(method, path);
    EXPECT_EQ(refused.status, 409) << path;
    EXPECT_EQ(refused.code(), "cloudflare_not_configured") << path;
  }
}

}  // namespace
}  // namespace ee::testing
