#include "cp/store/agent_store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "cp/domain/agent_changes.h"
#include "cp/store/agent_live_store.h"
#include "cp/store/credential_store.h"
#include "tests/support/agents.h"
#include "tests/support/query_plan.h"
#include "tests/support/test_database.h"

namespace ee::cp {
namespace {

using testing::make_agent;
using testing::TestDatabase;

const UtcTime kNow = from_unix_ms(1'767'225'600'000);

using ee::testing::PlanRow;

class AgentStoreTest : public ::testing::Test {
 protected:
  template <class T>
  Result<T> write(const std::function<Result<T>(db::Transaction&)>& work) {
    return database_->write<T>(work);
  }
  void insert(const AgentRow& row) {
    const auto done = database_->run_write([&](db::Transaction& tx) { return agents_.insert(tx, row); });
    ASSERT_TRUE(done) << done.error().detail;
  }
  AgentRow get(const AgentId& id) {
    return database_->read<std::optional<AgentRow>>([&](db::Transaction& tx) { return agents_.get(tx, id); })
        .value()
        .value();
  }
  std::vector<AgentRow> list(const AgentFilter& filter, const std::optional<AgentId>& after = {}, int limit = 50) {
    return database_
        ->read<std::vector<AgentRow>>([&](db::Transaction& tx) { return agents_.list(tx, filter, after, limit); })
        .value();
  }
  std::vector<std::string> names(const AgentFilter& filter) {
    std::vector<std::string> out;
    for (const auto& row : list(filter)) out.push_back(row.vm_name);
    return out;
  }

  TestDatabase database_;
  AgentStore agents_;
};
using Names = std::vector<std::string>;

TEST_F(AgentStoreTest, EveryColumnComesBackAsItWasWritten) {
  AgentRow row = make_agent(1);
  row.status = AgentStatus::quarantined;
  row.quarantine_reason = QuarantineReason::agent_lost;
  row.health_reason = "reason";
  row.unhealthy_since_at = kNow;
  row.draining = true;
  row.drain_reason = "why";
  row.current_deployment_id = DeploymentId("d");
  row.assignment_epoch = (std::int64_t{1} << 40) + 1;
  row.deployed_app = "app";
  row.placement_scope = PlacementScope::private_;
  row.attestation_error = "mrtd_untrusted";
  row.attest_requested_at = kNow;
  row.account_id = AccountId("acct");
  row.github_owner_id = std::int64_t{1} << 41;
  row.github_owner = "acme";
  row.launch_order_id = "order";
  row.enrollment_token_id = "token";
  row.tunnel_state = TunnelState::failed;
  row.hostname = "vm-1.example.com";
  row.tunnel_name = "name";
  row.tunnel_id = "id";
  row.dns_record_id = "record";
  row.tunnel_token = Secret("secret");
  row.tunnel_attempts = 3;
  row.tunnel_next_attempt_at = kNow;
  row.tunnel_error = "error";
  row.tunnel_reachable = false;
  row.direct_url = "http://127.0.0.1:1";
  row.deleted_at = kNow;
  row.delete_reason = DeleteReason::stale;
  row.cleanup_attempts = 2;
  row.cleanup_next_attempt_at = kNow;
  insert(row);

  const AgentRow read = get(row.id);
  boost::mp11::mp_for_each<db::members_of<AgentRow>>(
      [&](auto member) { EXPECT_TRUE(read.*member.pointer == row.*member.pointer) << member.name; });
}

TEST_F(AgentStoreTest, ALiveNameIsTakenOnce) {
  insert(make_agent(1));
  AgentRow second = make_agent(2);
  second.vm_name = "vm-1";
  const auto refused = database_->run_write([&](db::Transaction& tx) { return agents_.insert(tx, second); });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::vm_name_in_use);
  database_.execute("UPDATE agents SET status='deleted'");
  insert(second);  // the name of a tombstone is free
  const auto found = database_->read<std::optional<AgentRow>>(
      [&](db::Transaction& tx) { return agents_.find_by_vm_name(tx, "vm-1"); });
  EXPECT_EQ(found.value()->id, second.id);
}

TEST_F(AgentStoreTest, UpdateIsRefusedWhenSomebodyWasFaster) {
  insert(make_agent(1));
  const AgentRow before = get(make_agent(1).id);
  AgentRow first = before;
  first.draining = true;
  AgentRow second = before;
  second.deployed_app = "late";
  const auto update = [&](AgentRow& after) {
    return database_->write<bool>(
        [&](db::Transaction& tx) { return agents_.update(tx, before, after, kNow + Seconds(1)); });
  };
  EXPECT_EQ(update(first), true);
  EXPECT_EQ(first.row_version, 2);
  EXPECT_EQ(update(second), false);
  const AgentRow now = get(before.id);
  EXPECT_TRUE(now.draining);
  EXPECT_FALSE(now.deployed_app);
  EXPECT_EQ(now.row_version, 2);
  EXPECT_EQ(now.updated_at, kNow + Seconds(1));
}

// covers: S02_AGT_ST_003
TEST_F(AgentStoreTest, OneOfSixteenParallelClaimsWins) {
  insert(make_agent(1));
  const AgentRow before = get(make_agent(1).id);
  std::atomic<int> won = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 16; ++i)
      threads.emplace_back([&, i] {
        AgentRow after = before;
        ASSERT_TRUE(change_state(after, AgentEvent::claim, facts_of(before), kNow,
                                 {.deployment = DeploymentId("d" + std::to_string(i))}));
        const auto written =
            database_->write<bool>([&](db::Transaction& tx) { return agents_.update(tx, before, after, kNow); });
        ASSERT_TRUE(written);
        if (*written) ++won;
      });
  }
  EXPECT_EQ(won, 1);
  EXPECT_EQ(get(before.id).assignment_epoch, 1);
}

TEST_F(AgentStoreTest, AHostnameIsTakenOnce) {
  AgentRow one = make_agent(1);
  one.hostname = "h.example.com";
  insert(one);
  insert(make_agent(2));
  const AgentRow before = get(make_agent(2).id);
  AgentRow after = before;
  after.hostname = "h.example.com";
  const auto refused =
      database_->write<bool>([&](db::Transaction& tx) { return agents_.update(tx, before, after, kNow); });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::in_use);
}

TEST_F(AgentStoreTest, HealthIsGuardedByWhatItLeaves) {
  insert(make_agent(1));
  const AgentId id = make_agent(1).id;
  const auto set = [&](HealthStatus from, HealthStatus to) {
    return database_->write<std::optional<DirectoryRow>>(
        [&](db::Transaction& tx) { return agents_.set_health(tx, id, from, to, "silent", kNow + Seconds(5)); });
  };
  const auto down = set(HealthStatus::healthy, HealthStatus::unhealthy);
  ASSERT_TRUE(down.value());
  EXPECT_EQ((*down)->health_status, HealthStatus::unhealthy);
  EXPECT_EQ((*down)->row_version, 2);
  EXPECT_EQ(get(id).unhealthy_since_at, kNow + Seconds(5));
  EXPECT_FALSE(set(HealthStatus::healthy, HealthStatus::unhealthy).value());
  ASSERT_TRUE(set(HealthStatus::unhealthy, HealthStatus::healthy).value());
  EXPECT_FALSE(get(id).unhealthy_since_at);
  database_.execute("UPDATE agents SET status='deleting'");
  EXPECT_FALSE(set(HealthStatus::healthy, HealthStatus::unhealthy).value());
}

TEST_F(AgentStoreTest, ListFiltersByEachField) {
  for (int i = 1; i <= 4; ++i) {
    AgentRow row = make_agent(i);
    if (i == 2) row.health_status = HealthStatus::unhealthy;
    if (i == 2) row.draining = true;
    if (i == 3) row.status = AgentStatus::deleted;
    if (i == 3) row.attestation_state = AttestationState::failed;
    if (i == 4) row.node_size = "llm";
    if (i == 4) row.datacenter = "aws:eu-1";
    if (i == 4) row.vm_name = "web-4";
    if (i == 4) row.account_id = AccountId("a");
    if (i == 1) row.github_owner_id = 9;
    insert(row);
  }
  EXPECT_EQ(names({}), (Names{"vm-1", "vm-2", "web-4"}));  // no tombstones
  EXPECT_EQ(names({.status = AgentStatus::deleted}), (Names{"vm-3"}));
  EXPECT_EQ(names({.health_status = HealthStatus::unhealthy}), (Names{"vm-2"}));
  EXPECT_EQ(names({.attestation_state = AttestationState::verified}), (Names{"vm-1", "vm-2", "web-4"}));
  EXPECT_EQ(names({.draining = true}), (Names{"vm-2"}));
  EXPECT_EQ(names({.node_size = "llm"}), (Names{"web-4"}));
  EXPECT_EQ(names({.datacenter = "aws:eu-1"}), (Names{"web-4"}));
  EXPECT_EQ(names({.vm_name_prefix = "vm-"}), (Names{"vm-1", "vm-2"}));
  EXPECT_EQ(names({.account_id = AccountId("a")}), (Names{"web-4"}));
  EXPECT_EQ(names({.github_owner_id = 9}), (Names{"vm-1"}));
  EXPECT_EQ(names({.health_status = HealthStatus::healthy, .node_size = "tiny"}), (Names{"vm-1"}));
}

// covers: S02_OWN_005
TEST_F(AgentStoreTest, PagesNeitherRepeatNorLoseWhatWasThere) {
  for (int i = 1; i <= 20; ++i) insert(make_agent(2 * i));
  std::vector<std::string> seen;
  std::optional<AgentId> after;
  int inserted = 0;
  for (;;) {
    const auto page = list({}, after, 6);
    if (page.empty()) break;
    for (const auto& row : page) seen.push_back(row.id.str());
    after = page.back().id;
    insert(make_agent(2 * inserted + 1));  // before and, later, after the cursor
    insert(make_agent(1000 + inserted));
    if (++inserted > 20) break;
  }
  EXPECT_TRUE(std::ranges::is_sorted(seen));
  EXPECT_EQ(std::ranges::adjacent_find(seen), seen.end());
  for (int i = 1; i <= 20; ++i) EXPECT_NE(std::ranges::find(seen, make_agent(2 * i).id.str()), seen.end()) << i;
}

TEST_F(AgentStoreTest, FeedTellsEveryChangeOnce) {
  for (int i = 1; i <= 5; ++i) insert(make_agent(i, kNow + Milliseconds(i / 2)));  // some share a millisecond
  std::vector<std::string> seen;
  UtcTime at = kNow - Seconds(5);
  AgentId after;
  for (;;) {
    const auto page = database_->read<std::vector<AgentChange>>(
        [&](db::Transaction& tx) { return agents_.changed_since(tx, at, after, 2); });
    if (page->empty()) break;
    for (const AgentChange& change : *page) {
      const auto row =
          database_->read<std::optional<AgentRow>>([&](db::Transaction& tx) { return agents_.get(tx, change.id); });
      ASSERT_TRUE(row && *row);
      EXPECT_EQ((*row)->updated_at, change.updated_at);
      EXPECT_EQ((*row)->row_version, change.row_version);
      seen.push_back((*row)->vm_name);
    }
    at = page->back().updated_at;
    after = page->back().id;
  }
  EXPECT_EQ(seen, (Names{"vm-1", "vm-2", "vm-3", "vm-4", "vm-5"}));
}

TEST_F(AgentStoreTest, WorkComesWhenItIsDue) {
  AgentRow pending = make_agent(1);
  pending.tunnel_state = TunnelState::pending;
  pending.tunnel_next_attempt_at = kNow;
  AgentRow later = make_agent(2);
  later.tunnel_state = TunnelState::failed;
  later.tunnel_next_attempt_at = kNow + Seconds(10);
  AgentRow deleting = make_agent(3);
  deleting.status = AgentStatus::deleting;
  deleting.tunnel_state = TunnelState::ready;
  deleting.tunnel_id = "t";
  deleting.deleted_at = kNow;
  deleting.cleanup_next_attempt_at = kNow;
  insert(pending);
  insert(later);
  insert(deleting);
  const auto work = [&](UtcTime now) {
    Names out;
    const auto rows =
        database_->read<std::vector<AgentRow>>([&](db::Transaction& tx) { return agents_.tunnel_work(tx, now, 10); });
    for (const auto& row : *rows) out.push_back(row.vm_name);
    return out;
  };
  EXPECT_EQ(work(kNow - Milliseconds(1)), Names{});
  EXPECT_EQ(work(kNow), (Names{"vm-1"}));
  EXPECT_EQ(work(kNow + Seconds(10)), (Names{"vm-1", "vm-2"}));
  const auto cleanup =
      database_->read<std::vector<AgentRow>>([&](db::Transaction& tx) { return agents_.cleanup_work(tx, kNow, 10); });
  ASSERT_EQ(cleanup->size(), 1U);
  EXPECT_EQ(cleanup->front().vm_name, "vm-3");
  const auto count = database_->read<std::int64_t>([&](db::Transaction& tx) { return agents_.count_tunnels(tx); });
  EXPECT_EQ(count, 1);
  const auto stuck = database_->read<std::int64_t>(
      [&](db::Transaction& tx) { return agents_.count_stuck_cleanups(tx, kNow + Seconds(1)); });
  EXPECT_EQ(stuck, 1);
}

TEST_F(AgentStoreTest, TombstonesGoWithEverythingOfTheirs) {
  AgentRow old = make_agent(1);
  old.status = AgentStatus::deleted;
  old.deleted_at = kNow - Seconds(31 * 86400);
  AgentRow young = make_agent(2);
  young.status = AgentStatus::deleted;
  young.deleted_at = kNow - Seconds(29 * 86400);
  insert(old);
  insert(young);
  ASSERT_TRUE(database_->run_write([&](db::Transaction& tx) {
    const AgentLiveRow live{.agent_id = old.id, .last_heartbeat_at = kNow};
    return AgentLiveStore().upsert(tx, std::span(&live, 1));
  }));
  const auto purged = database_->write<std::int64_t>(
      [&](db::Transaction& tx) { return agents_.purge_tombstones(tx, kNow - Seconds(30 * 86400), 10); });
  EXPECT_EQ(purged, 1);
  EXPECT_EQ(database_.values<std::string>("SELECT vm_name FROM agents"), (Names{"vm-2"}));
  EXPECT_EQ(database_.value<std::int64_t>("SELECT COUNT(*) FROM agent_live"), 0);
}

// Every list and queue must walk an index: no scan of the table, no sort.
TEST_F(AgentStoreTest, QueriesUseTheirIndexes) {
  EE_SKIP_ON_POSTGRES("plans");
  struct Row {
    const char* sql;
    const char* index;
  };
  const Row rows[] = {
      {"SELECT id, mrtd FROM agents WHERE id>'x' AND status<>'deleted' ORDER BY id LIMIT 50",
       "sqlite_autoindex_agents_1"},
      {"SELECT id, mrtd FROM agents WHERE id>'x' AND status='deployed' ORDER BY id LIMIT 50", "agents_status"},
      {"SELECT id, mrtd FROM agents WHERE id>'x' AND account_id='a' AND status<>'deleted' ORDER BY id LIMIT 50",
       "agents_account"},
      {"SELECT id, mrtd FROM agents WHERE id>'x' AND github_owner_id=1 AND status<>'deleted' ORDER BY id LIMIT 50",
       "agents_github_owner"},
      {"SELECT id FROM agents WHERE updated_at>=1 AND (updated_at>1 OR id>'x') ORDER BY updated_at, id LIMIT 5",
       "agents_updated"},
      {"SELECT mrtd FROM agents WHERE vm_name='x' AND status<>'deleted'", "agents_vm_name"},
      {"SELECT mrtd FROM agents WHERE hostname='x' AND hostname IS NOT NULL", "agents_hostname"},
      {"SELECT mrtd FROM agents WHERE tunnel_state IN ('pending','failed','provisioning','deleting')"
       " AND tunnel_next_attempt_at<=1 AND status NOT IN ('deleting','deleted') ORDER BY tunnel_next_attempt_at LIMIT "
       "5",
       "agents_tunnel_next"},
      {"SELECT mrtd FROM agents WHERE status='deleting' AND cleanup_next_attempt_at<=1"
       " ORDER BY cleanup_next_attempt_at LIMIT 5",
       "agents_cleanup_next"},
      {"SELECT COUNT(*) FROM agents WHERE tunnel_id IS NOT NULL", "agents_tunnel"},
      {"SELECT id FROM agents WHERE status='deleted' AND deleted_at<1 ORDER BY deleted_at LIMIT 5", "agents_deleted"},
  };
  for (const Row& row : rows) {
    std::string plan;
    for (const auto& line : database_.values<PlanRow>("EXPLAIN QUERY PLAN " + std::string(row.sql)))
      plan += line.detail + "\n";
    EXPECT_NE(plan.find(row.index), plan.npos) << row.sql << "\n" << plan;
    EXPECT_EQ(plan.find("TEMP B-TREE"), plan.npos) << row.sql << "\n" << plan;
    EXPECT_EQ(plan.find("SCAN agents\n"), plan.npos) << row.sql << "\n" << plan;
  }
}

}  // namespace
}  // namespace ee::cp
