// Clean-up of what nobody needs any more: plans, runs, and what must never go.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "cp/service/cleanup.h"
#include "cp/service/cleanup_api.h"
#include "tests/support/cloudflare_case.h"
#include "tests/support/test_accounts.h"

namespace ee::testing {
namespace {

using cp::CleanupPlanView;
using cp::CleanupRunView;
using cp::CleanupStatus;

constexpr const char* kPath = "/api/v1/admin/cleanup";

class CleanupTest : public CloudflareCase {
 protected:
  /// Past the grace of a start.
  CleanupTest() { cp.clock.advance(Seconds(200)); }

  CleanupPlanView plan(const std::string& members = "") {
    const auto answer = cp.admin("POST", kPath, "{" + members + "}");
    EXPECT_EQ(answer.status, 200) << answer.body;
    return ee::json::read<CleanupPlanView>(answer.body).value_or(CleanupPlanView{});
  }
  TestAnswer begin(const std::string& members = "") {
    return cp.admin("POST", kPath, R"({"dry_run":false)" + (members.empty() ? "" : "," + members) + "}");
  }
  /// Begins a run and waits for its end.
  CleanupRunView run(const std::string& members = "") {
    const auto begun = begin(members);
    EXPECT_EQ(begun.status, 202) << begun.body;
    return ended(begun.header("Location"));
  }
  CleanupRunView ended(const std::string& location) {
    for (int i = 0; i < 3000; ++i) {
      const auto view = ee::json::read<CleanupRunView>(cp.admin("GET", location).body).value_or(CleanupRunView{});
      if (view.status != CleanupStatus::running) return view;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));  // a real thread does the work
    }
    ADD_FAILURE() << "the run does not end";
    return {};
  }
  static std::size_t count(const CleanupPlanView& view, const std::string& scope) {
    const auto found = view.candidates.find(scope);
    return found == view.candidates.end() ? 0 : found->second.size();
  }
  std::string status_of(const RegisteredAgent& agent) {
    return cp.values<std::string>("SELECT status FROM agents WHERE id=:id", {{"id", agent.id()}}).at(0);
  }
  void let_pass(Seconds time) { cp.clock.advance(time); }
};

// covers: S05_CLN_01
TEST_F(CleanupTest, S05_CLN_01_ADryRunChangesNothing) {
  const RegisteredAgent silent(cp, "tdx-agent-001");
  const std::string tunnel = add_orphan();
  const std::string record = add_orphaned_record(tunnel);
  let_pass(Seconds(25 * 3600));
  const auto view = plan();
  EXPECT_EQ(count(view, "stale_agents"), 1U);
  EXPECT_EQ(view.candidates.at("stale_agents")[0].id, silent.id());
  EXPECT_EQ(count(view, "tunnels"), 1U);
  EXPECT_EQ(view.candidates.at("tunnels")[0].id, tunnel);
  EXPECT_EQ(count(view, "dns"), 1U);
  EXPECT_EQ(view.candidates.at("dns")[0].id, record);
  EXPECT_EQ(view.plan.size(), 64U);
  EXPECT_FALSE(view.truncated);
  ASSERT_EQ(view.errors.size(), 1U) << "no instances are known to this release";
  EXPECT_EQ(view.errors[0].code, "gcp_not_configured");
  EXPECT_EQ(plan().plan, view.plan) << "the same as long as nothing changes";
  EXPECT_EQ(status_of(silent), "undeployed");
  EXPECT_EQ(deletions(), 0);
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM cleanup_runs").at(0), 0);
  EXPECT_EQ(audits("cleanup_planned"), 2);
  EXPECT_EQ(count(plan(R"("scopes":["dns"])"), "tunnels"), 0U);
  EXPECT_TRUE(plan(R"("max_deletes":1)").truncated);
  EXPECT_EQ(count(plan(R"("stale_hours":26)"), "stale_agents"), 0U);
}

// covers: S05_CLN_02
TEST_F(CleanupTest, S05_CLN_02_ScopesAreWorkedOnInTheirOrder) {
  const RegisteredAgent silent(cp, "tdx-agent-001");
  const std::string tunnel = add_orphan();
  add_orphaned_record(tunnel);
  let_pass(Seconds(25 * 3600));
  std::string status_at_first_deletion;
  direct.before_each = [&](const HttpClientRequest& request) {
    if (request.method == "DELETE" && status_at_first_deletion.empty()) status_at_first_deletion = status_of(silent);
  };
  const auto view = run(R"("reason":"spring")");
  EXPECT_EQ(view.status, CleanupStatus::done);
  EXPECT_EQ(view.deleted, (std::map<std::string, std::int64_t>{{"dns", 1}, {"stale_agents", 1}, {"tunnels", 1}}));
  EXPECT_TRUE(view.failed.empty());
  EXPECT_EQ(view.reason, "spring");
  EXPECT_TRUE(view.requested_by.starts_with("admin:"));
  EXPECT_TRUE(view.finished_at);
  EXPECT_EQ(status_at_first_deletion, "deleting") << "agents before tunnels";
  std::vector<std::string> order;
  for (const auto& call : fake.requests())
    if (call.method == "DELETE")
      order.emplace_back(call.path.find("dns_records") != std::string::npos ? "dns" : "tunnel");
  EXPECT_EQ(order, (std::vector<std::string>{"tunnel", "tunnel", "dns"})) << "connections, tunnel, record";
  EXPECT_EQ(audits("cleanup_run"), 1);
}

// covers: S05_CLN_03
TEST_F(CleanupTest, S05_CLN_03_AnotherPlanThanTheOneShownDoesNothing) {
  add_orphan();
  const std::string shown = plan().plan;
  add_orphan(AgentId("01900000-0000-7000-8000-00000000beef"));
  EXPECT_EQ(begin(R"("expected_plan":")" + shown + "\"").code(), "plan_changed");
  EXPECT_EQ(deletions(), 0);
  const std::string again = plan().plan;
  EXPECT_EQ(run(R"("expected_plan":")" + again + "\"").plan, again);
  EXPECT_TRUE(fake.live_tunnels().empty());
}

// covers: S05_CLN_04
TEST_F(CleanupTest, S05_CLN_04_OneAtATime) {
  add_orphan();
  std::atomic<bool> held = true;
  direct.before_each = [&](const HttpClientRequest& request) {
    while (request.method == "DELETE" && held) std::this_thread::yield();
  };
  const auto first = begin();
  ASSERT_EQ(first.status, 202);
  EXPECT_EQ(begin().code(), "cleanup_running");
  EXPECT_EQ(cp.admin("GET", first.header("Location")).status, 200);
  held = false;
  EXPECT_EQ(ended(first.header("Location")).status, CleanupStatus::done);
  EXPECT_EQ(begin().status, 202) << "the next one may";
}

// covers: S05_CLN_05
TEST_F(CleanupTest, S05_CLN_05_WhatCameAliveSinceThePlanIsLeft) {
  const RegisteredAgent agent(cp, "tdx-agent-001");
  let_pass(Seconds(7300));
  cp.execute("UPDATE agents SET status='deleted'");
  // It registers again while its tunnel is being removed.
  direct.before_each = [&](const HttpClientRequest& request) {
    if (request.method == "DELETE") cp.execute("UPDATE agents SET status='undeployed'");
  };
  const auto view = run(R"("scopes":["tunnels","dns"])");
  EXPECT_EQ(view.status, CleanupStatus::done);
  EXPECT_EQ(view.deleted, (std::map<std::string, std::int64_t>{{"tunnels", 1}}));
  ASSERT_EQ(view.skipped.size(), 1U);
  EXPECT_EQ(view.skipped[0].scope, cp::CleanupScope::dns);
  EXPECT_EQ(view.skipped[0].why, "now_in_use");
  EXPECT_EQ(fake.records().size(), 1U);
}

// covers: S05_CLN_06
TEST_F(CleanupTest, S05_CLN_06_AFailureStopsNeitherTheOthersNorIsHidden) {
  const std::string first = add_orphan();
  const std::string second = add_orphan(AgentId("01900000-0000-7000-8000-00000000beef"));
  fake.inject({.kind = standins::Fault::Kind::status,
               .method = "DELETE",
               .path_contains = first,
               .times = 100,
               .status = 400,
               .code = 1234});
  const auto view = run();
  EXPECT_EQ(view.status, CleanupStatus::partial);
  EXPECT_EQ(view.deleted.at("tunnels"), 1);
  ASSERT_EQ(view.failed.size(), 1U);
  EXPECT_EQ(view.failed[0].id, first);
  EXPECT_EQ(view.failed[0].code, "refused_1234");
  ASSERT_EQ(fake.live_tunnels().size(), 1U) << second << " went although the first stays";
  EXPECT_EQ(fake.live_tunnels().front().id, first);
  fake.clear_faults();
  // A list that cannot be made leaves out the scopes that need it, and only those.
  fake.inject({.kind = standins::Fault::Kind::status, .method = "GET", .times = 100, .status = 400, .code = 1});
  const auto partly = plan();
  EXPECT_EQ(partly.errors.size(), 3U);
  EXPECT_EQ(count(partly, "tunnels") + count(partly, "dns"), 0U);
}

// covers: S05_CLN_07
TEST_F(CleanupTest, S05_CLN_07_ACancelledRunEndsBeforeItsNextItem) {
  for (int i = 0; i < 20; ++i) add_orphan(AgentId("01900000-0000-7000-8000-0000000010" + std::to_string(10 + i)));
  std::atomic<bool> held = true;
  direct.before_each = [&](const HttpClientRequest& request) {
    while (request.method == "DELETE" && held) std::this_thread::yield();
  };
  const auto begun = begin(R"("confirm_mass":true)");
  ASSERT_EQ(begun.status, 202) << begun.body;
  EXPECT_EQ(cp.admin("POST", begun.header("Location") + "/cancel").status, 200);
  held = false;
  const auto view = ended(begun.header("Location"));
  EXPECT_EQ(view.status, CleanupStatus::cancelled);
  EXPECT_GE(fake.live_tunnels().size(), 12U) << "at most the eight that were under way";
  EXPECT_EQ(cp.admin("POST", std::string(kPath) + "/01900000-0000-7000-8000-000000000001/cancel").code(), "not_found");
  EXPECT_EQ(audits("cleanup_cancelled"), 1);
}

// covers: S05_CLN_08
TEST_F(CleanupTest, S05_CLN_08_ARunOfADeadProcessIsFailedAndMayBeRepeated) {
  add_orphan();
  cp.execute(
      "INSERT INTO cleanup_runs (id, status, plan, deleted, failed, skipped, started_at, requested_by, "
      "lease_expires_at) VALUES ('01900000-0000-7000-8000-00000000c1ea', 'running', 'p', '{}', '[]', '[]', :now, "
      "'admin:x', :lease)",
      {{"now", cp.clock.now()}, {"lease", cp.clock.now() + cp::Cleanup::kLease}});
  EXPECT_EQ(begin().code(), "cleanup_running");
  cp.stop();
  cp.start();
  if (on_postgres()) {  // it may be another replica's, until its lease has ended
    EXPECT_EQ(begin().code(), "cleanup_running");
    cp.clock.advance(cp::Cleanup::kLease + Seconds(5));  // by the server's clock, as far as it is known
    EXPECT_EQ(run(R"("scopes":["dns"])").status, CleanupStatus::done);
  }
  const auto dead = ended(std::string(kPath) + "/01900000-0000-7000-8000-00000000c1ea");
  EXPECT_EQ(dead.status, CleanupStatus::failed);
  EXPECT_TRUE(dead.finished_at);
  EXPECT_EQ(run(R"("scopes":["tunnels"])").deleted.at("tunnels"), 1);
  EXPECT_EQ(run(R"("scopes":["tunnels"])").status, CleanupStatus::done) << "nothing is left, and that is fine";
  const auto listed = ee::json::read<cp::CleanupRunPage>(cp.admin("GET", kPath).body);
  ASSERT_TRUE(listed);
  EXPECT_EQ(listed->items.size(), on_postgres() ? 4U : 3U);
}

// covers: S05_CLN_09
TEST_F(CleanupTest, S05_CLN_09_OneAgentGoesWithAllThatBelongsToIt) {
  const RegisteredAgent agent(cp, "tdx-agent-001");
  const std::string path = "/api/v1/admin/agents/" + agent.id() + "/cleanup";
  const auto shown = cp.admin("POST", path, R"({"reason":"broken disk"})");
  ASSERT_EQ(shown.status, 200) << shown.body;
  const auto steps = ee::json::read<cp::AgentCleanupView>(shown.body)->steps;
  ASSERT_EQ(steps.size(), 3U);
  EXPECT_EQ(steps[0].step, "agent");
  EXPECT_EQ(steps[1].step, "tunnel");
  EXPECT_EQ(steps[2].target, "tdx-agent-001.dev.example.com");
  EXPECT_EQ(status_of(agent), "undeployed");
  EXPECT_EQ(cp.admin("POST", path, R"({"dry_run":false,"reason":"broken disk"})").status, 202);
  EXPECT_EQ(status_of(agent), "deleting");
  ASSERT_TRUE(cp.app().run_job("tunnel_worker"));
  EXPECT_EQ(status_of(agent), "deleted");
  EXPECT_TRUE(fake.live_tunnels().empty());
  EXPECT_TRUE(fake.records().empty());
  EXPECT_EQ(cp.admin("POST", path, R"({"reason":"x"})").code(), "agent_not_found");
  EXPECT_EQ(cp.admin("POST", path, "{}").code(), "invalid_request") << "why is always said";
  EXPECT_EQ(cp.admin("POST", "/api/v1/admin/agents/x/cleanup", R"({"reason":"x"})").code(), "agent_not_found");
}

TEST_F(CleanupTest, MostOfEverythingIsRemovedOnlyWhenSomebodyConfirmsIt) {
  for (int i = 0; i < 6; ++i) add_orphan(AgentId("01900000-0000-7000-8000-00000000200" + std::to_string(i)));
  EXPECT_EQ(begin().code(), "mass_orphans");
  EXPECT_EQ(deletions(), 0);
  EXPECT_EQ(run(R"("confirm_mass":true)").deleted.at("tunnels"), 6);
}

TEST_F(CleanupTest, AfterARestoreOnlyPlansAreMade) {
  add_orphan();
  cp.execute("INSERT INTO meta (key, value) VALUES ('reap_hold_until', :until)",
             {{"until", std::to_string(unix_ms(cp.clock.now() + Seconds(3600)))}});
  cp.stop();
  cp.start();
  EXPECT_EQ(count(plan(), "tunnels"), 1U);
  EXPECT_EQ(begin().code(), "reap_hold");
  EXPECT_EQ(cp.admin("DELETE", "/api/v1/admin/cleanup/hold").status, 200);
  EXPECT_EQ(begin().status, 202);
}

TEST_F(CleanupTest, AgentsAreLeftForThreeMinutesAfterAStart) {
  const RegisteredAgent silent(cp, "tdx-agent-001");
  let_pass(Seconds(25 * 3600));
  cp.stop();
  cp.start();
  const auto view = plan(R"("scopes":["stale_agents"])");
  EXPECT_EQ(count(view, "stale_agents"), 0U);
  ASSERT_EQ(view.errors.size(), 1U);
  EXPECT_EQ(view.errors[0].code, "just_started");
}

TEST_F(CleanupTest, RequestsAreChecked) {
  for (const char* bad : {R"({"scopes":["everything"]})", R"({"scopes":[]})", R"({"stale_hours":0})",
                          R"({"max_deletes":501})", R"({"expected_plan":"abc"})", R"({"unknown":1})"})
    EXPECT_EQ(cp.admin("POST", kPath, bad).code(), "invalid_request") << bad;
  EXPECT_EQ(cp.call("POST", kPath, "{}").status, 401);
  EXPECT_EQ(cp.admin("GET", std::string(kPath) + "/01900000-0000-7000-8000-000000000001").code(), "not_found");
}

}  // namespace
}  // namespace ee::testing
