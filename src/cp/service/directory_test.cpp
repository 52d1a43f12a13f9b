#include "cp/service/directory.h"

#include <gtest/gtest.h>

#include <functional>

#include "tests/support/agents.h"
#include "tests/support/test_database.h"

namespace ee::cp {
namespace {

using testing::make_agent;
const UtcTime kNow = from_unix_ms(1'767'225'600'000);

class DirectoryTest : public ::testing::Test {
 protected:
  void insert(const AgentRow& row) {
    ASSERT_TRUE(database_->run_write([&](db::Transaction& tx) { return agents_.insert(tx, row); }));
  }
  testing::TestDatabase database_;
  AgentStore agents_;
  FakeClock clock_;
  Directory directory_{database_, clock_};
};

TEST_F(DirectoryTest, PollBringsWhatOthersChanged) {
  insert(make_agent(1, kNow));
  ASSERT_EQ(directory_.reload(), 1);
  insert(make_agent(2, kNow + Seconds(1)));
  database_.execute("UPDATE agents SET draining=1, row_version=2, updated_at=:at WHERE vm_name='vm-1'",
                    {{"at", kNow + Seconds(2)}});
  EXPECT_EQ(directory_.poll(), 2);
  EXPECT_TRUE(directory_.find(key_of(make_agent(1).id))->draining);
  EXPECT_EQ(directory_.live_count(), 2U);
  EXPECT_EQ(directory_.poll(), 0);
}

TEST_F(DirectoryTest, PollSeesATransactionThatCommittedLate) {
  insert(make_agent(1, kNow));
  ASSERT_TRUE(directory_.reload());
  insert(make_agent(2, kNow - Seconds(4)));  // stamped before, committed after the last poll
  EXPECT_EQ(directory_.poll(), 1);
}

// What stays in the look-back is asked for its version only.
TEST_F(DirectoryTest, PollReadsOnlyWhatItDoesNotKnow) {
  for (int i = 1; i <= 50; ++i) insert(make_agent(i, kNow));
  ASSERT_EQ(directory_.reload(), 50);
  AgentRow mine = make_agent(7, kNow);
  mine.row_version = 9;
  directory_.put(mine);  // put in after its COMMIT, and still to be seen there
  database_.execute("UPDATE agents SET row_version=9 WHERE vm_name='vm-7'");
  EXPECT_EQ(directory_.poll(), 0);
  database_.execute("UPDATE agents SET draining=1, row_version=10 WHERE vm_name='vm-7'");
  EXPECT_EQ(directory_.poll(), 1);
  EXPECT_TRUE(directory_.find(key_of(mine.id))->draining);
}

// Names are not kept: what tells tunnels apart is a digest of them.
TEST_F(DirectoryTest, TheTunnelVersionRisesWithTheTunnelAlone) {
  AgentRow row = make_agent(1, kNow);
  row.tunnel_state = TunnelState::ready;
  row.hostname = "a.example.com";
  row.row_version = 1;
  directory_.put(row);
  const auto version_after = [&](const std::function<void(AgentRow&)>& change) {
    change(row);
    ++row.row_version;
    directory_.put(row);
    return directory_.find(key_of(row.id))->tunnel_version;
  };
  EXPECT_EQ(version_after([](AgentRow& r) { r.draining = true; }), 1);
  EXPECT_EQ(version_after([](AgentRow& r) { r.hostname = "b.example.com"; }), 3);
  EXPECT_EQ(version_after([](AgentRow& r) { r.draining = false; }), 3);
  EXPECT_EQ(version_after([](AgentRow& r) { r.tunnel_id = "0190a000-0000-7000-8000-0000000000f1"; }), 5);
  EXPECT_EQ(version_after([](AgentRow& r) { r.hostname.reset(); }), 6);
  EXPECT_EQ(version_after([](AgentRow& r) { r.tunnel_state = TunnelState::failed; }), 7);
  EXPECT_EQ(version_after([](AgentRow& r) { r.health_status = HealthStatus::unhealthy; }), 7);
}

// A fleet where nothing changes is not read again each second.
TEST_F(DirectoryTest, PollLooksBackFromWhenItLastReadAndNotFromTheLastChange) {
  insert(make_agent(1, kNow));
  ASSERT_TRUE(directory_.reload());
  clock_.advance(Seconds(60));
  ASSERT_EQ(directory_.poll(), 0);
  insert(make_agent(2, kNow + Seconds(31)));
  insert(make_agent(3, kNow + Seconds(29)));  // only a reload could still find this
  EXPECT_EQ(directory_.poll(), 1);
  EXPECT_EQ(directory_.reload(), 3);
}

TEST_F(DirectoryTest, PollSeesChangesAlsoAfterTheClockWentBack) {
  clock_.advance(Seconds(7200));
  insert(make_agent(1, clock_.now()));
  ASSERT_TRUE(directory_.reload());
  insert(make_agent(2, clock_.now()));  // committed after the last poll, before the clock went back
  clock_.set_utc(kNow);
  insert(make_agent(3, kNow));
  EXPECT_EQ(directory_.poll(), 2);
  clock_.advance(Seconds(1));
  insert(make_agent(4, clock_.now()));
  EXPECT_EQ(directory_.poll(), 1);
}

TEST_F(DirectoryTest, AnOlderRowNeverReplacesANewerOne) {
  AgentRow row = make_agent(1, kNow);
  row.row_version = 5;
  row.draining = true;
  directory_.put(row);
  row.row_version = 4;
  row.draining = false;
  directory_.put(row);
  EXPECT_TRUE(directory_.find(key_of(row.id))->draining);
}

TEST_F(DirectoryTest, ReloadForgetsWhatIsGone) {
  insert(make_agent(1, kNow));
  insert(make_agent(2, kNow));
  ASSERT_TRUE(directory_.reload());
  database_.execute("DELETE FROM agents WHERE vm_name='vm-1'");
  EXPECT_EQ(directory_.reload(), 1);
  EXPECT_EQ(directory_.find(key_of(make_agent(1).id)), nullptr);
  EXPECT_EQ(directory_.size(), 1U);
  EXPECT_EQ(directory_.live_count(), 1U);
}

TEST_F(DirectoryTest, LiveCountLeavesOutTheDeleted) {
  AgentRow row = make_agent(1, kNow);
  directory_.put(row);
  EXPECT_EQ(directory_.live_count(), 1U);
  row.status = AgentStatus::deleting;
  row.row_version = 2;
  directory_.put(row);
  EXPECT_EQ(directory_.live_count(), 0U);
  EXPECT_EQ(directory_.size(), 1U);
}

TEST_F(DirectoryTest, PagesThroughManyChanges) {
  ASSERT_TRUE(database_->run_write([&](db::Transaction& tx) -> Result<void> {
    for (int i = 1; i <= 12'000; ++i)
      if (auto done = agents_.insert(tx, make_agent(i, kNow)); !done) return done;  // all in one millisecond
    return {};
  }));
  EXPECT_EQ(directory_.poll(), 12'000);
  EXPECT_EQ(directory_.live_count(), 12'000U);
  EXPECT_EQ(directory_.poll(), 0);
  EXPECT_EQ(directory_.reload(), 12'000);
  EXPECT_EQ(directory_.size(), 12'000U);
}

}  // namespace
}  // namespace ee::cp
