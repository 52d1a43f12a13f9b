#include "cp/service/placer.h"

#include <gtest/gtest.h>

#include <set>

#include "cp/store/placement_store.h"
#include "cp/store/reservation_store.h"
#include "tests/support/agents.h"
#include "tests/support/query_plan.h"
#include "tests/support/test_database.h"
#include "tests/support/test_trigger.h"

namespace ee::cp {
namespace {

using testing::TestDatabase;

using ee::testing::PlanRow;

class PlacerTest : public ::testing::Test {
 protected:
  AgentRow add(int number, const std::string& key, const std::string& datacenter, std::int64_t idle_since) {
    AgentRow row = testing::make_agent(number);
    row.hostname = "h" + std::to_string(number);
    row.placement_key = key;
    if (key.starts_with("g:")) row.github_owner_id = 4711;
    row.datacenter = datacenter;
    row.idle_since_at = from_unix_ms(idle_since);
    const auto done = db_->run_write([&](db::Transaction& tx) { return AgentStore().insert(tx, row); });
    EXPECT_TRUE(done) << done.error().detail;
    return row;
  }
  /// The vm_name of the agent that is claimed; empty: none.
  std::string claim(const PlacementRules& rules = {}) {
    const PlacementQuestion question{.wants = {.rules = rules}};
    const DeploymentId id("0190a000-0000-7000-9000-00000000000" + std::to_string(++claims_));
    const auto won = db_->write<std::optional<AgentRow>>([&](db::Transaction& tx) {
      return placer_.claim(tx, question, caller_, {"tiny"}, id, {}, from_unix_ms(5000));
    });
    EXPECT_TRUE(won) << won.error().detail;
    return won && *won ? (*won)->vm_name : "";
  }

  TestDatabase db_;
  SystemRandom random_;
  metrics::Registry metrics_;
  DeploymentCounters counters_{metrics_};
  AgentSlots slots_{random_, counters_};
  Placer placer_{slots_, counters_};
  PlacementCaller caller_{.account = AccountId("A"), .github_owners = {4711}};
  int claims_ = 0;
};

// covers: S03_ASG_001
TEST_F(PlacerTest, OwnAgentsBeforePublicOnesAndTheLongestIdleFirst) {
  const auto x = add(1, "p", "gcp:us-a", 100);
  const auto y = add(2, "p", "gcp:us-a", 50);
  const auto z = add(3, "g:4711", "gcp:us-b", 900);
  EXPECT_EQ(claim(), z.vm_name);
  EXPECT_EQ(claim({.datacenters = {"gcp:us-a"}}), y.vm_name);
  EXPECT_EQ(claim({.datacenters = {"gcp:us-a"}}), x.vm_name);
  EXPECT_EQ(claim({.datacenters = {"gcp:us-a"}}), "");
}

TEST_F(PlacerTest, AProbeIsASeekInTheIndexOfIdleAgents) {
  EE_SKIP_ON_POSTGRES("plans");
  for (int i = 1; i <= 50; ++i) add(i, i % 2 == 0 ? "p" : "g:4711", "gcp:us-a", i);
  db_.execute("ANALYZE");
  const auto plan =
      db_.values<PlanRow>("EXPLAIN QUERY PLAN " + PlacementStore::idle_sql(),
                          {{"key", "p"}, {"size", "tiny"}, {"datacenter", "gcp:us-a"}, {"limit", std::int64_t{1}}});
  ASSERT_EQ(plan.size(), 1U) << "no step beside it, so no sort";
  EXPECT_TRUE(plan[0].detail.starts_with("SEARCH agents USING INDEX agents_placement")) << plan[0].detail;
  EXPECT_NE(plan[0].detail.find("placement_key=? AND node_size=? AND datacenter=?"), std::string::npos)
      << plan[0].detail;
}

// One statement finds the next datacenter and the first agents of it: those of a further one are not of its pool.
TEST_F(PlacerTest, DatacentersFollowEachOtherByName) {
  const auto b_late = add(1, "p", "gcp:us-b", 90);
  const auto c = add(2, "p", "gcp:us-c", 1);
  const auto a = add(3, "p", "gcp:us-a", 100);
  const auto b_early = add(4, "p", "gcp:us-b", 80);
  add(5, "p", "gcp:us-d", 1);
  const PlacementRules rules{.excluded_datacenters = {"gcp:us-d"}};
  for (const AgentRow* next : {&a, &b_early, &b_late, &c}) EXPECT_EQ(claim(rules), next->vm_name);
  EXPECT_EQ(claim(rules), "");
}

TEST_F(PlacerTest, OfAPoolAllAreLookedAtUntilOneWillDo) {
  for (int i = 1; i <= 40; ++i) {
    const AgentRow agent = add(i, "p", i <= 20 ? "gcp:us-a" : "gcp:us-b", i);
    if (i != 15 && i != 33)
      db_.execute("UPDATE agents SET agent_version='0.0.1' WHERE id=:id", {{"id", agent.id}});
    else
      db_.execute("UPDATE agents SET agent_version='9.0.0' WHERE id=:id", {{"id", agent.id}});
  }
  PlacementQuestion question;
  question.min_agent_version = "9.0.0";
  std::vector<std::string> won;
  for (int i = 1; i <= 3; ++i) {
    const DeploymentId id("0190a000-0000-7000-9000-00000000000" + std::to_string(i));
    const auto agent = db_->write<std::optional<AgentRow>>([&](db::Transaction& tx) {
      return placer_.claim(tx, question, caller_, {"tiny"}, id, {}, from_unix_ms(5000));
    });
    ASSERT_TRUE(agent) << agent.error().detail;
    won.push_back(*agent ? (*agent)->datacenter : "");
  }
  EXPECT_EQ(won, (std::vector<std::string>{"gcp:us-a", "gcp:us-b", ""}));
}

// covers: S03_ASG_003
TEST_F(PlacerTest, TheSameStateAndRequestGiveTheSameAgent) {
  for (int i = 1; i <= 20; ++i) add(i, i % 3 == 0 ? "g:4711" : "p", i % 2 == 0 ? "gcp:us-a" : "gcp:us-b", 1000 - i % 5);
  const PlacementQuestion question{.wants = {.rules = {.excluded_datacenters = {"gcp:eu"}}}};
  std::set<std::string> chosen;
  for (int run = 0; run < 100; ++run) {
    const DeploymentId id("0190a000-0000-7000-9000-" + std::to_string(100'000'000'000 + run));
    const auto undone = db_->run_write([&](db::Transaction& tx) -> Result<void> {
      const auto won = placer_.claim(tx, question, caller_, {"tiny"}, id, {}, from_unix_ms(5000 + run));
      if (!won || !*won) return fail(ErrorCode::internal_error, "no agent");
      chosen.insert((*won)->vm_name);
      return fail(ErrorCode::internal_error, "rolled back");
    });
    ASSERT_EQ(undone.error().detail, "rolled back");
  }
  EXPECT_EQ(chosen.size(), 1U);
}

// covers: S03_ASG_006
TEST_F(PlacerTest, AmongAHundredThousandAgentsEveryProbeIsASeek) {
  EE_SKIP_ON_POSTGRES("plans");
  const AgentRow first = add(1, "p", "gcp:us-a", 1);
  // Nine of ten are busy; the rest idles in ten datacenters.
  std::string columns;
  std::string values;
  boost::mp11::mp_for_each<db::members_of<AgentRow>>([&](auto member) {
    const std::string name(member.name);
    columns += (columns.empty() ? "" : ",") + name;
    std::string value = name;
    if (name == "id") value = "'0190a000-0000-7000-8000-'||printf('%012d', n)";
    if (name == "vm_name" || name == "hostname") value = "'fleet-'||n";
    if (name == "registration_id") value = "'0190a000-0001-7000-8000-'||printf('%012d', n)";
    if (name == "status") value = "CASE WHEN n%10=0 THEN 'undeployed' ELSE 'deployed' END";
    if (name == "datacenter") value = "'gcp:zone-'||(n/10%10)";
    if (name == "idle_since_at") value = "1000000-n";
    values += (values.empty() ? "" : ",") + value;
  });
  db_.execute("INSERT INTO agents (" + columns +
                  ") WITH RECURSIVE fleet(n) AS (SELECT 2 UNION ALL SELECT n+1 FROM fleet"
                  " WHERE n<100000) SELECT " +
                  values + " FROM fleet, agents WHERE agents.id=:id",
              {{"id", first.id}});
  ASSERT_EQ(db_.value<std::int64_t>("SELECT COUNT(*) FROM agents"), 100'000);
  const auto expect_seeks = [&](const char* when) {
    SCOPED_TRACE(when);
    for (const auto& [sql, params] : std::vector<std::pair<std::string, db::Params>>{
             {PlacementStore::idle_sql(),
              {{"key", "p"}, {"size", "tiny"}, {"datacenter", "gcp:zone-3"}, {"limit", std::int64_t{16}}}},
             {PlacementStore::idle_after_sql(),
              {{"key", "p"}, {"size", "tiny"}, {"after", ""}, {"limit", std::int64_t{2}}}},
             {PlacementStore::next_datacenter_sql(), {{"key", "p"}, {"size", "tiny"}, {"after", ""}}}}) {
      const auto plan = db_.values<PlanRow>("EXPLAIN QUERY PLAN " + sql, params);
      ASSERT_EQ(plan.size(), 1U) << "no step beside it, so no sort";
      EXPECT_TRUE(plan[0].detail.starts_with("SEARCH agents USING")) << plan[0].detail;
      EXPECT_NE(plan[0].detail.find("INDEX agents_placement (placement_key=? AND node_size=? AND datacenter"),
                std::string::npos)
          << plan[0].detail;
    }
  };
  expect_seeks("without statistics");
  db_.execute("ANALYZE");
  expect_seeks("with statistics");
  EXPECT_EQ(claim({.datacenters = {"gcp:zone-3"}}), "fleet-99930") << "the longest idle one of that place";
}

TEST_F(PlacerTest, WhoeverLostSixteenTimesIsToldToComeAgainSoon) {
  const DeploymentId id("0190a000-0000-7000-9000-000000000001");
  const auto refused = [&] {
    const auto won = db_->write<AgentRow>([&](db::Transaction& tx) {
      return placer_.claim_or_refuse(tx, {}, caller_, {"tiny"}, id, {}, from_unix_ms(5000));
    });
    return won ? Error{} : won.error();
  };
  EXPECT_EQ(refused().code, ErrorCode::no_capacity);
  EXPECT_EQ(refused().retry_after, std::nullopt) << "there is no agent at all";
  for (int i = 1; i <= 20; ++i) {
    const AgentRow agent = add(i, "p", "gcp:us-a", i);
    const ReservationRow row{
        .id = "r-" + agent.vm_name, .agent_id = agent.id, .datacenter = "gcp:us-a", .node_size = "tiny"};
    ASSERT_TRUE(db_->run_write([&](db::Transaction& tx) { return ReservationStore().insert(tx, row); }));
  }
  set_trigger(db_,
              {.name = "somebody_is_faster", .event = "BEFORE UPDATE", .table = "agents", .when = "", .message = ""});
  EXPECT_EQ(claim(), "") << "each was lost";
  EXPECT_EQ(refused().code, ErrorCode::no_capacity);
  EXPECT_EQ(refused().retry_after, std::optional(Seconds(1)));
  EXPECT_EQ(db_.value<std::int64_t>("SELECT COUNT(*) FROM capacity_reservations WHERE status='open'"), 20)
      << "what was not won is not used up";
  drop_trigger(db_, "somebody_is_faster", "agents");
  EXPECT_NE(claim(), "");
}

// covers: S03_ASG_004
TEST_F(PlacerTest, AReservationIsForItsAccountFirst) {
  const auto open = add(1, "p", "gcp:us-a", 50);
  const auto mine = add(2, "r:A", "gcp:us-a", 100);
  add(3, "r:B", "gcp:us-a", 1);
  const auto reserve = [&](const AgentRow& agent, std::optional<AccountId> account) {
    const ReservationRow row{.id = "r-" + agent.vm_name,
                             .agent_id = agent.id,
                             .account_id = std::move(account),
                             .datacenter = "gcp:us-a",
                             .node_size = "tiny"};
    ASSERT_TRUE(db_->run_write([&](db::Transaction& tx) { return ReservationStore().insert(tx, row); }));
  };
  reserve(mine, AccountId("A"));
  reserve(open, std::nullopt);
  EXPECT_EQ(claim(), mine.vm_name);
  EXPECT_EQ(claim(), open.vm_name);
  EXPECT_EQ(db_.value<std::int64_t>("SELECT COUNT(*) FROM capacity_reservations WHERE status='consumed'"), 2);
  EXPECT_EQ(db_.value<std::string>("SELECT placement_key FROM agents WHERE id=:id", {{"id", mine.id}}), "p")
      << "recomputed in the same transaction";
  EXPECT_EQ(claim(), "") << "another account's is never taken";
}

}  // namespace
}  // namespace ee::cp
