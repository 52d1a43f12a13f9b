#include "cp/service/agent_cleanup_jobs.h"
#include "cp/service/attestation_ages.h"
#include "cp/service/heartbeat.h"
#include "cp/service/live_flusher.h"
#include "tests/support/agent_fixture.h"

namespace ee::cp {
namespace {

using testing::make_agent;

class AgentJobsTest : public AgentFixture {
 protected:
  AttestationAges make_ages() {
    return AttestationAges(database_, directory_, live_, service_, clock_, [] { return AgentSettings{}; });
  }
  /// Passes as the job runner makes them, until `time` is over. How many agents failed.
  std::int64_t passes(AttestationAges& ages, Milliseconds time, const std::function<void()>& between = [] {}) {
    std::int64_t failed = 0;
    while (time.count() > 0) {
      const Milliseconds step = std::min<Milliseconds>(time, Seconds(30));
      clock_.advance(step);
      time -= step;
      between();
      failed += ages.run({})->value("failed");
    }
    return failed;
  }
  std::int64_t count(const std::string& where) {
    return database_.value<std::int64_t>("SELECT COUNT(*) FROM agents WHERE " + where);
  }
};

// covers: S02_JOB_003
TEST_F(AgentJobsTest, StaleCleanupDeletesTheSilentWithoutADeployment) {
  StaleCleanup job(database_, directory_, live_, service_, clock_, [] { return AgentSettings{}; });
  add(1);
  AgentRow deployed = make_agent(2, clock_.now());
  deployed.status = AgentStatus::deployed;
  deployed.current_deployment_id = DeploymentId("d");
  add(deployed);
  const AgentRow alive = add(3);
  clock_.advance(Seconds(24 * 3600 + 1));
  beat(alive);
  const auto summary = job.run({});
  ASSERT_TRUE(summary) << summary.error().detail;
  EXPECT_EQ(summary->value("deleted"), 1);
  EXPECT_EQ(get(make_agent(1).id).status, AgentStatus::deleting);
  EXPECT_EQ(get(make_agent(1).id).delete_reason, DeleteReason::stale);
  EXPECT_EQ(get(deployed.id).status, AgentStatus::deployed);
  EXPECT_EQ(get(alive.id).status, AgentStatus::undeployed);
  EXPECT_EQ(job.run({})->value("deleted"), 0);
}

TEST_F(AgentJobsTest, StaleCleanupWaitsAfterAStartAndWorksInBatches) {
  for (int i = 1; i <= 120; ++i) add(i);
  clock_.advance(Seconds(25 * 3600));
  StaleCleanup job(database_, directory_, live_, service_, clock_, [] { return AgentSettings{}; });
  EXPECT_FALSE(job.run({})->did_work());
  clock_.advance(Seconds(180));
  EXPECT_EQ(job.run({})->value("deleted"), 100);
  EXPECT_EQ(job.run({})->value("deleted"), 20);
}

TEST_F(AgentJobsTest, PurgeKeepsTombstonesThirtyDaysAndRevokedCredentialsSeven) {
  const AgentRow row = add(1);
  ASSERT_TRUE(service_.remove(AgentScope::everything(), row.id, true, DeleteReason::admin, {.name = "admin:s"}));
  ASSERT_TRUE(tunnels_.run_worker({}));
  ASSERT_EQ(get(row.id).status, AgentStatus::deleted);
  clock_.advance(Seconds(7 * 86400 + 1));
  EXPECT_EQ(purge_tombstones(database_, clock_, {})->value("credentials"), 1);
  EXPECT_EQ(count("1=1"), 1);
  clock_.advance(Seconds(23 * 86400));
  EXPECT_EQ(purge_tombstones(database_, clock_, {})->value("tombstones"), 1);
  EXPECT_EQ(count("1=1"), 0);
}

// covers: S02_AGT_ATT_001
TEST_F(AgentJobsTest, DueEvidenceIsAskedForAtTheNextHeartbeat) {
  auto ages = make_ages();
  const AgentRow row = add(1);
  clock_.advance(Seconds(3600) - Milliseconds(1));
  EXPECT_EQ(ages.run({})->value("asked"), 0);
  clock_.advance(Milliseconds(1));
  EXPECT_EQ(ages.run({})->value("asked"), 1);
  EXPECT_TRUE(wants_evidence(*directory_.find(key_of(row.id))));
  EXPECT_EQ(get(row.id).attestation_state, AttestationState::verified);
  EXPECT_EQ(ages.run({})->value("asked"), 0);  // once
}

/// Else it would be fresh until the clock has caught up, and twice its age after that.
TEST_F(AgentJobsTest, EvidenceIsNoYoungerThanNowAfterTheClockWentBack) {
  auto ages = make_ages();
  clock_.advance(Seconds(100'000));
  const AgentRow row = add(1);
  ASSERT_TRUE(ages.run({}));
  EXPECT_EQ(get(row.id).attested_at, row.attested_at);
  clock_.set_utc(clock_.now() - Seconds(50'000));
  EXPECT_EQ(ages.run({})->value("asked"), 1);
  EXPECT_EQ(get(row.id).attested_at, clock_.now());
  EXPECT_TRUE(wants_evidence(*directory_.find(key_of(row.id))));
  clock_.advance(Seconds(7201));
  EXPECT_EQ(ages.run({})->value("stale"), 1);
}

// covers: S02_AGT_ATT_002
TEST_F(AgentJobsTest, TwiceTheAgeIsStaleWhichIsNotPlaceable) {
  auto ages = make_ages();
  const AgentRow row = add(1);
  clock_.advance(Seconds(7200));
  EXPECT_EQ(ages.run({})->value("stale"), 0);
  clock_.advance(Milliseconds(1));
  EXPECT_EQ(ages.run({})->value("stale"), 1);
  const AgentRow stale = get(row.id);
  EXPECT_EQ(stale.attestation_state, AttestationState::stale);
  EXPECT_EQ(stale.status, AgentStatus::undeployed);
  EXPECT_FALSE(next_state(facts_of(stale), AgentEvent::claim));
}

// covers: S02_AGT_ATT_003, S02_AGT_ATT_006
TEST_F(AgentJobsTest, AnAgentThatDoesNotRefreshFailsNineHundredSecondsAfterItWasTold) {
  auto ages = make_ages();
  const AgentRow row = add(1);
  clock_.advance(Seconds(14401));  // the control plane was away for longer than the limit
  EXPECT_EQ(ages.run({})->value("failed"), 0);
  beat(row, true);  // told now, for the first time
  EXPECT_EQ(passes(ages, Milliseconds(899'999)), 0);
  EXPECT_EQ(get(row.id).attestation_state, AttestationState::stale);
  EXPECT_EQ(passes(ages, Milliseconds(1)), 1);
  const AgentRow failed = get(row.id);
  EXPECT_EQ(failed.status, AgentStatus::quarantined);
  EXPECT_EQ(failed.attestation_error, "attestation_expired");
  EXPECT_EQ(ages.run({})->value("failed"), 0);
}

/// A suspended machine, or a database that was away: the process lived on, and with it what it remembers.
TEST_F(AgentJobsTest, WhatWasToldBeforeAnOutageDoesNotCountAfterIt) {
  auto ages = make_ages();
  AgentRow row = make_agent(1, clock_.now());
  row.status = AgentStatus::deployed;
  row.current_deployment_id = DeploymentId("d");
  add(row);
  for (int i = 2; i <= 20; ++i) add(i);  // one of many: the mass guard has nothing to say
  clock_.advance(Seconds(3600));
  ASSERT_EQ(ages.run({})->value("asked"), 1);
  beat(row, true);
  clock_.advance(Seconds(5 * 3600));
  EXPECT_EQ(ages.run({})->value("failed"), 0);
  EXPECT_EQ(get(row.id).status, AgentStatus::deployed);
  EXPECT_EQ(get(row.id).attestation_state, AttestationState::stale);
  clock_.advance(Seconds(20));
  beat(row, true);
  EXPECT_EQ(passes(ages, Seconds(899)), 0) << "it has the whole time again";
  EXPECT_EQ(passes(ages, Seconds(31)), 1);
}

TEST_F(AgentJobsTest, AnAgentThatCallsInAtAnotherReplicaFailsByItsAge) {
  auto ages = make_ages();
  const AgentRow row = add(1);
  clock_.advance(Seconds(14401));
  LiveMap elsewhere(database_);
  LiveFlusher flusher(database_, elsewhere, clock_);
  std::int64_t seq = 0;
  const std::optional<agent_api::WorkloadReport> nothing;
  const auto beat_there = [&] {
    elsewhere.merge(key_of(row.id),
                    {.registration_id = key_of(std::string_view(row.registration_id.str())),
                     .registered_at = row.registered_at,
                     .status = row.health_status,
                     .seq = ++seq,
                     .good = true,
                     .workload = &nothing},
                    {}, clock_.now());
    ASSERT_TRUE(flusher.flush({}));
  };
  EXPECT_EQ(passes(ages, Seconds(2000)), 0) << "it does not call in: that is for others to judge";
  EXPECT_EQ(passes(ages, Seconds(900), beat_there), 0);
  EXPECT_EQ(passes(ages, Seconds(60), beat_there), 1);
  EXPECT_EQ(get(row.id).attestation_error, "attestation_expired");
}

TEST_F(AgentJobsTest, AMarkOfAnEarlierTimeDoesNotCount) {
  auto ages = make_ages();
  const AgentRow row = add(1);
  clock_.advance(Seconds(3600));
  ASSERT_EQ(ages.run({})->value("asked"), 1);
  beat(row, true);
  // It refreshed at another replica and stays there: nothing here takes the mark away.
  const AgentRow before = get(row.id);
  AgentRow after = before;
  clock_.advance(Seconds(10));
  after.attested_at = clock_.now();
  after.attestation_due_at = clock_.now() + Seconds(3600);
  after.attest_requested_at.reset();
  ASSERT_TRUE(
      database_->write<bool>([&](db::Transaction& tx) { return agents_.update(tx, before, after, clock_.now()); }));
  directory_.put(after);
  EXPECT_EQ(passes(ages, Seconds(15000)), 0);
  EXPECT_EQ(get(row.id).attestation_state, AttestationState::stale);
}

// covers: S02_AGT_ATT_005
TEST_F(AgentJobsTest, AnOutageOfTheControlPlaneFailsNobodyAndLosesNoDeployment) {
  for (int i = 1; i <= 50; ++i) {
    AgentRow row = make_agent(i, clock_.now());
    if (i % 2 == 0) {
      row.status = AgentStatus::deployed;
      row.current_deployment_id = DeploymentId("d" + std::to_string(i));
    }
    add(row);
  }
  clock_.advance(Seconds(10 * 3600));
  auto ages = make_ages();
  for (int pass = 0; pass < 60; ++pass) {
    ASSERT_TRUE(ages.run({}));
    for (int i = 1; i <= 50; ++i) {
      const AgentRow row = make_agent(i, from_unix_ms(1'767'225'600'000));
      const auto entry = directory_.find(key_of(row.id));
      const bool told = wants_evidence(*entry);
      beat(row, told);
      if (!told) continue;
      // It refreshes: what the refresh route writes.
      const AgentRow before = get(row.id);
      AgentRow after = before;
      after.attestation_state = AttestationState::verified;
      after.attested_at = clock_.now();
      after.attestation_due_at = clock_.now() + Seconds(3600);
      after.attest_requested_at.reset();
      ASSERT_TRUE(
          database_->write<bool>([&](db::Transaction& tx) { return agents_.update(tx, before, after, clock_.now()); }));
      directory_.put(after);
    }
    clock_.advance(Seconds(30));
  }
  EXPECT_EQ(count("attestation_state='verified'"), 50);
  EXPECT_EQ(count("status='quarantined'"), 0);
  EXPECT_EQ(count("status='deployed' AND current_deployment_id IS NOT NULL"), 25);
}

// covers: S02_AGT_ATT_004
TEST_F(AgentJobsTest, AFleetIsAskedASixtiethAtATime) {
  for (int i = 1; i <= 120; ++i) add(i);
  clock_.advance(Seconds(3601));
  auto ages = make_ages();
  EXPECT_EQ(ages.run({})->value("asked"), 2);
  EXPECT_EQ(ages.run({})->value("asked"), 2);
}

TEST_F(AgentJobsTest, AMassExpiryNeedsASecondLook) {
  auto ages = make_ages();
  std::vector<AgentRow> rows;
  for (int i = 1; i <= 10; ++i) rows.push_back(add(i));
  clock_.advance(Seconds(14401));
  ASSERT_TRUE(ages.run({}));
  for (const AgentRow& row : rows) beat(row, true);
  EXPECT_EQ(passes(ages, Seconds(870)), 0);
  clock_.advance(Seconds(30));
  EXPECT_EQ(ages.run({})->notes, std::vector<std::string>{"mass_expiry"});
  EXPECT_EQ(count("status='quarantined'"), 0);
  clock_.advance(Seconds(60));
  EXPECT_EQ(ages.run({})->value("failed"), 10);
}

}  // namespace
}  // namespace ee::cp
