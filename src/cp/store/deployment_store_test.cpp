#include "cp/store/deployment_store.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/query_plan.h"
#include "tests/support/test_accounts.h"
#include "tests/support/test_database.h"

namespace ee::cp {
namespace {

using testing::TestDatabase;

using ee::testing::PlanRow;

class DeploymentStoreTest : public ::testing::Test {
 protected:
  DeploymentStoreTest() : account_(testing::add_test_account(db_, 1)) {
    db_.execute(
        "INSERT INTO services (id, name, account_id, access, settings, created_at, updated_at)"
        " VALUES ('service', 'web', :account, 'public', '{}', 0, 0)",
        {{"account", account_}});
  }
  DeploymentId add(int number, DeploymentState state, std::int64_t hourly, std::int64_t due_at = 0) {
    DeploymentRow row{.id = DeploymentId("0190c000-0000-7000-8000-00000000000" + std::to_string(number)),
                      .account_id = account_,
                      .service_id = "service"};
    row.group_id = row.id.str();
    row.state = state;
    row.node_size = "tiny";
    row.datacenter_policy = "{}";
    row.hourly_micros = UsdMicros{hourly};
    row.next_action_at = from_unix_ms(due_at);
    const auto done = db_->run_write([&](db::Transaction& tx) { return store_.insert(tx, row); });
    EXPECT_TRUE(done) << done.error().detail;
    return row.id;
  }
  void open_segment(const DeploymentId& id) {
    db_.execute(
        "INSERT INTO deployment_segments (id, deployment_id, seq, account_id, agent_id, vcpus, memory_mib, gpu_count,"
        " sla_class, datacenter, rate_micros, rate_version, operator_bps, pool_bps, from_at, charged_to_at)"
        " VALUES (:id, :id, 1, :account, 'agent', 1, 1, 0, 'adhoc', 'gcp:us-a', 1, 1, 0, 0, 0, 0)",
        {{"id", id}, {"account", account_}});
  }
  std::int64_t pending_burn() {
    const auto burn = db_->read<UsdMicros>([&](db::Transaction& tx) { return store_.pending_burn(tx, account_); });
    EXPECT_TRUE(burn);
    return burn ? burn->value : -1;
  }
  std::vector<DeploymentRow> lease_due(const std::string& owner, std::int64_t now, std::int64_t limit) {
    auto rows = db_->write<std::vector<DeploymentRow>>([&](db::Transaction& tx) {
      return store_.lease_due(tx, owner, from_unix_ms(now + 45'000), from_unix_ms(now), limit);
    });
    EXPECT_TRUE(rows) << rows.error().detail;
    return rows.value_or(std::vector<DeploymentRow>());
  }

  TestDatabase db_;
  AccountId account_;
  DeploymentStore store_;
};

TEST_F(DeploymentStoreTest, WhatWillBeChargedIsThePriceOfAllThatIsNotYet) {
  add(1, DeploymentState::pending, 1);
  add(2, DeploymentState::assigned, 10);
  add(3, DeploymentState::deploying, 100);
  EXPECT_EQ(pending_burn(), 111);
  const DeploymentId running = add(4, DeploymentState::running, 1'000);
  const DeploymentId updating = add(5, DeploymentState::updating, 10'000);
  EXPECT_EQ(pending_burn(), 11'111) << "they are not charged";
  open_segment(running);
  open_segment(updating);
  EXPECT_EQ(pending_burn(), 111) << "they are, by their segments";
  add(6, DeploymentState::stopping, 100'000);
  EXPECT_EQ(pending_burn(), 111);
}

// Each deploy asks, however many deployments the account has.
TEST_F(DeploymentStoreTest, WhatWillBeChargedIsReadFromAnIndexAlone) {
  EE_SKIP_ON_POSTGRES("plans");
  const auto plan =
      db_.values<PlanRow>("EXPLAIN QUERY PLAN " + DeploymentStore::pending_burn_sql(), {{"account", account_}});
  ASSERT_FALSE(plan.empty());
  EXPECT_TRUE(plan[0].detail.starts_with("SEARCH deployments USING COVERING INDEX deployments_account_state"))
      << plan[0].detail;
}

TEST_F(DeploymentStoreTest, ALeaseIsTakenOnceUntilItEnds) {
  const DeploymentId late = add(1, DeploymentState::assigned, 0, 100);
  const DeploymentId later = add(2, DeploymentState::assigned, 0, 200);
  add(3, DeploymentState::assigned, 0, 5'000);
  const auto first = lease_due("one", 1'000, 1);
  ASSERT_EQ(first.size(), 1U);
  EXPECT_EQ(first[0].id, late) << "the longest due first";
  EXPECT_EQ(first[0].lease_owner, "one");
  EXPECT_EQ(first[0].lease_expires_at, from_unix_ms(46'000));
  EXPECT_EQ(first[0].row_version, 1);
  const auto stored =
      db_->read<std::optional<DeploymentRow>>([&](db::Transaction& tx) { return store_.get(tx, late); });
  ASSERT_TRUE(stored && *stored);
  EXPECT_EQ((*stored)->row_version, first[0].row_version);
  EXPECT_EQ((*stored)->lease_owner, first[0].lease_owner);
  const auto second = lease_due("two", 1'000, 10);
  ASSERT_EQ(second.size(), 1U) << "one is taken, one is not due";
  EXPECT_EQ(second[0].id, later);
  EXPECT_TRUE(lease_due("two", 1'000, 10).empty());
  auto over = lease_due("two", 46'001, 10);
  std::ranges::sort(over, {}, &DeploymentRow::id);
  ASSERT_EQ(over.size(), 3U) << "whoever had them is gone";
  EXPECT_EQ(over[0].lease_owner, "two");
  EXPECT_EQ(over[0].row_version, 2);
}

}  // namespace
}  // namespace ee::cp
