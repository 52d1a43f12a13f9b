#include "cp/store/agent_live_store.h"

#include <gtest/gtest.h>

#include "tests/support/test_database.h"

namespace ee::cp {
namespace {

const UtcTime kNow = from_unix_ms(1'767'225'600'000);

class AgentLiveStoreTest : public ::testing::Test {
 protected:
  void upsert(const std::vector<AgentLiveRow>& rows) {
    ASSERT_TRUE(database_->run_write([&](db::Transaction& tx) { return store_.upsert(tx, rows); }));
  }
  std::optional<AgentLiveRow> get(const std::string& id) {
    return database_
        ->read<std::optional<AgentLiveRow>>([&](db::Transaction& tx) { return store_.get(tx, AgentId(id)); })
        .value();
  }
  testing::TestDatabase database_;
  AgentLiveStore store_;
};

TEST_F(AgentLiveStoreTest, ANewerHeartbeatReplacesAnOlderOneOnly) {
  const AgentLiveRow first{.agent_id = AgentId("a"), .last_heartbeat_at = kNow, .seq = 5, .good_streak = 5};
  upsert({first});
  EXPECT_EQ(get("a"), first);
  const AgentLiveRow newer{.agent_id = AgentId("a"), .last_heartbeat_at = kNow + Seconds(1), .seq = 6, .bad_streak = 1};
  upsert({newer});
  EXPECT_EQ(get("a"), newer);
  upsert({first});
  EXPECT_EQ(get("a"), newer);
}

TEST_F(AgentLiveStoreTest, StatisticsStayUntilNewOnesCome) {
  upsert({{.agent_id = AgentId("a"), .last_heartbeat_at = kNow, .seq = 1, .stats = R"({"load1_milli":1})"}});
  upsert({{.agent_id = AgentId("a"), .last_heartbeat_at = kNow + Seconds(1), .seq = 2}});
  EXPECT_EQ(get("a")->stats, R"({"load1_milli":1})");
  EXPECT_EQ(get("a")->seq, 2);
}

TEST_F(AgentLiveStoreTest, PagesByKey) {
  upsert({{.agent_id = AgentId("c"), .last_heartbeat_at = kNow},
          {.agent_id = AgentId("a"), .last_heartbeat_at = kNow},
          {.agent_id = AgentId("b"), .last_heartbeat_at = kNow}});
  const auto page = database_->read<std::vector<AgentLiveRow>>(
      [&](db::Transaction& tx) { return store_.page(tx, AgentId("a"), 10); });
  ASSERT_EQ(page->size(), 2U);
  EXPECT_EQ((*page)[0].agent_id, AgentId("b"));
}

}  // namespace
}  // namespace ee::cp
