#include "agent/workload/reconciler_fixture.h"

namespace ee::agent::testing {
namespace {

using agent_api::WorkloadPhase;
using Taken = Reconciler::Taken;

TEST_F(ReconcilerFixture, who_may_call_changes_without_a_restart) {
  using agent_api::WorkloadAccess;
  deploy();
  EXPECT_EQ(reconciler_->served()->access, WorkloadAccess::public_);
  const std::string old = document({});
  clock_.advance(Seconds(1));
  EXPECT_EQ(take({.access = WorkloadAccess::account}, DocumentPath::push), Taken::already);
  step();
  EXPECT_EQ(reconciler_->served()->access, WorkloadAccess::account);
  EXPECT_EQ(take_body(old, DocumentPath::push)->taken, Taken::already);
  step();
  EXPECT_EQ(reconciler_->served()->access, WorkloadAccess::account) << "an earlier document came late";
  restart();
  EXPECT_EQ(take({.access = WorkloadAccess::token}), Taken::already);
  step();
  EXPECT_EQ(reconciler_->served()->access, WorkloadAccess::token);
  EXPECT_EQ(phase(), WorkloadPhase::running);
  EXPECT_EQ(count_calls("create ee-"), 1U);
  EXPECT_EQ(count_calls("start ee-"), 1U);
}

}  // namespace
}  // namespace ee::agent::testing
