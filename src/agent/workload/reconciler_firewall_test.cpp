#include "agent/workload/reconciler_fixture.h"

namespace ee::agent::testing {
namespace {

TEST_F(ReconcilerFixture, the_firewall_is_looked_at_after_a_restart_and_while_it_runs) {
  deploy();
  ASSERT_FALSE(guarded_.empty());
  const auto subnets = guarded_.back();
  EXPECT_FALSE(subnets.empty());
  guarded_.clear();
  restart(true);
  step();
  ASSERT_FALSE(guarded_.empty()) << "the rules of the earlier process may be gone";
  EXPECT_EQ(guarded_.front(), subnets);
  guarded_.clear();
  clock_.advance(std::chrono::seconds(31));
  step();
  EXPECT_EQ(guarded_, (std::vector<std::vector<std::string>>{subnets})) << "somebody may have flushed them";
  guarded_.clear();
  want_none();
  step();
  ASSERT_FALSE(guarded_.empty());
  EXPECT_TRUE(guarded_.back().empty()) << "nothing runs any more";
}

TEST_F(ReconcilerFixture, rules_that_a_killed_process_left_behind_go_when_nothing_is_held) {
  guarded_.clear();
  step();
  ASSERT_EQ(guarded_.size(), 1U);
  EXPECT_TRUE(guarded_.front().empty());
}

}  // namespace
}  // namespace ee::agent::testing
