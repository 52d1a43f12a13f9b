// The sweep of the fleet's stored evidence after a change of trust or policy, through the job and the routes.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <thread>

#include "tests/support/registered_agent.h"
#include "tests/support/test_trigger.h"

namespace ee::testing {
namespace {

using attestation::EmulatedQuoteSpec;

class SweeperTest : public ::testing::Test {
 protected:
  explicit SweeperTest(TestControlPlane::Environment environment = {}) : cp_({.environment = std::move(environment)}) {
    cp_.clock.set_auto_advance(true);
  }

  static EmulatedQuoteSpec with_mrtd(std::uint8_t fill) {
    EmulatedQuoteSpec spec;
    spec.measurements.mrtd.fill(fill);
    return spec;
  }
  static std::string hex_of(std::uint8_t fill) { return to_hex(ByteVector(48, fill)); }
  /// Trusts an MRTD with the emulator's boot, by the route.
  void trust(std::uint8_t fill) {
    const auto boot = to_hex(EmulatedQuoteSpec().measurements.rtmrs[1]);
    const TestAnswer answer = cp_.admin(
        "POST", "/api/v1/admin/trusted-mrtds",
        R"({"mrtd":")" + hex_of(fill) + R"(","kind":"agent","profiles":[{"name":"p","rtmr1":")" + boot + "\"}]}");
    ASSERT_EQ(answer.status, 201) << answer.body;
  }
  std::vector<std::unique_ptr<RegisteredAgent>> fleet(int count, EmulatedQuoteSpec spec = {},
                                                      const std::string& prefix = "vm") {
    std::vector<std::unique_ptr<RegisteredAgent>> out;
    for (int i = 0; i < count; ++i)
      out.push_back(std::make_unique<RegisteredAgent>(cp_, prefix + "-" + std::to_string(i), spec));
    return out;
  }
  cp::JobSummary sweep() {
    const auto done = cp_.app().run_job("attestation_sweeper");
    EXPECT_TRUE(done) << (done ? "" : done.error().detail);
    return done.value_or(cp::JobSummary{});
  }
  std::int64_t count(const std::string& where) {
    return cp_.values<std::int64_t>("SELECT COUNT(*) FROM agents WHERE " + where).front();
  }
  void set(const std::string& key, const std::string& json) {
    const TestAnswer answer = cp_.admin("PUT", "/api/v1/admin/settings/" + key, R"({"value":)" + json + "}");
    ASSERT_EQ(answer.status, 200) << answer.body;
  }
  std::string ready() { return cp_.call("GET", "/ready").body; }

  TestControlPlane cp_;
};

TEST_F(SweeperTest, NothingChangesWithoutAChange) {
  const auto agents = fleet(3);
  EXPECT_EQ(sweep().value("evaluated"), 3) << "the first pass of a process compares the environment";
  EXPECT_EQ(sweep().value("evaluated"), 0);
  EXPECT_EQ(count("attestation_state='verified'"), 3);
}

// covers: S01_RAT_005
TEST_F(SweeperTest, RemovedTrustRefusesItsAgentsInOneSweep) {
  trust(0xab);
  const auto gone = fleet(12, with_mrtd(0xab), "gone");
  const auto kept = fleet(2, {}, "kept");
  sweep();
  const TestAnswer removed = cp_.admin("DELETE", "/api/v1/admin/trusted-mrtds/" + hex_of(0xab));
  ASSERT_EQ(removed.status, 200) << removed.body;
  EXPECT_NE(removed.body.find(R"("affected_agents":12)"), std::string::npos) << removed.body;

  const auto summary = sweep();
  EXPECT_EQ(summary.value("quarantined"), 12) << "what an administrator removed is no accident";
  EXPECT_EQ(summary.value("held"), 0);
  EXPECT_EQ(count("status='quarantined' AND attestation_error='mrtd_untrusted'"), 12);
  EXPECT_EQ(count("attestation_state='verified'"), 2);
  EXPECT_EQ(gone[0]->ask_challenge(cp_).code(), "agent_attestation_failed");
  EXPECT_EQ(kept[0]->refresh(cp_).status, 200);
  const auto rows = cp_.values<std::string>(
      "SELECT reason_code || ' ' || details || ' ' || actor || ' ' || purpose FROM attestation_audit "
      "WHERE event='refresh_attestation_rejected'");
  ASSERT_EQ(rows.size(), 12U);
  for (const std::string& row : rows)
    EXPECT_EQ(row, R"(mrtd_untrusted {"cause":"policy_change"} system:attestation_sweeper refresh)");
  EXPECT_EQ(sweep().value("evaluated"), 0) << "once";
}

TEST_F(SweeperTest, ADisabledMrtdRefusesItsAgents) {
  trust(0xab);
  const auto agents = fleet(2, with_mrtd(0xab));
  sweep();
  const TestAnswer disabled = cp_.admin("PATCH", "/api/v1/admin/trusted-mrtds/" + hex_of(0xab), R"({"enabled":false})");
  ASSERT_EQ(disabled.status, 200) << disabled.body;
  EXPECT_EQ(sweep().value("quarantined"), 2);
}

TEST_F(SweeperTest, AStricterSettingRefusesByItsReason) {
  EmulatedQuoteSpec old;
  old.tee_tcb_svn = attestation::kOutOfDateTcbSvn;
  set("attestation.allowed_tcb_statuses", R"(["UpToDate","OutOfDate"])");
  const auto lagging = fleet(1, old, "old");
  const auto current = fleet(2, {}, "new");
  sweep();
  set("attestation.allowed_tcb_statuses", R"(["UpToDate"])");
  EXPECT_EQ(sweep().value("quarantined"), 1);
  EXPECT_EQ(lagging[0]->column(cp_, "attestation_error"), "tcb_not_acceptable");
  EXPECT_EQ(current[0]->column(cp_, "attestation_state"), "verified");
}

TEST_F(SweeperTest, AnMrtdThatExpiresIsAChangeOfTrust) {
  trust(0xab);
  const auto agents = fleet(1, with_mrtd(0xab));
  const auto expires = to_rfc3339(cp_.clock.now() + Seconds(600));
  ASSERT_EQ(
      cp_.admin("PATCH", "/api/v1/admin/trusted-mrtds/" + hex_of(0xab), R"({"expires_at":")" + expires + "\"}").status,
      200);
  EXPECT_EQ(sweep().value("quarantined"), 0);
  cp_.clock.advance(Seconds(601));
  EXPECT_EQ(sweep().value("quarantined"), 1);
  EXPECT_EQ(sweep().value("evaluated"), 0);
}

TEST_F(SweeperTest, AnotherEnvironmentAfterARestartIsAChangeOfTrust) {
  const auto agents = fleet(2);
  sweep();
  cp_.stop();
  cp_.start();
  EXPECT_EQ(sweep().value("evaluated"), 0) << "the same environment";
}

// covers: S01_RAT_006
TEST_F(SweeperTest, MostOfTheFleetWaitsForAConfirmation) {
  set("attestation.allowed_tcb_statuses", R"(["UpToDate","OutOfDate"])");
  EmulatedQuoteSpec old;
  old.tee_tcb_svn = attestation::kOutOfDateTcbSvn;
  const auto lagging = fleet(7, old, "old");
  const auto current = fleet(5, {}, "new");
  sweep();
  EXPECT_EQ(ready(), R"({"ready":true,"reasons":[]})");
  set("attestation.allowed_tcb_statuses", R"(["UpToDate"])");

  auto summary = sweep();
  EXPECT_EQ(summary.value("quarantined"), 0);
  EXPECT_EQ(summary.value("held"), 7);
  EXPECT_EQ(summary.notes, std::vector<std::string>{"mass_refusal"});
  EXPECT_EQ(count("attestation_state='stale' AND status='undeployed'"), 7) << "routed, but not placeable";
  EXPECT_EQ(count("attestation_state='verified'"), 5);
  EXPECT_NE(ready().find("attestation_sweep_held"), std::string::npos);
  EXPECT_NE(cp_.call("GET", "/health").body.find(R"("attestation_sweep":"degraded")"), std::string::npos);
  EXPECT_NE(cp_.call("GET", "/metrics", "", {}, "127.0.0.1").body.find("ee_attestation_sweep_held 7"),
            std::string::npos);
  // The few that are left over do not slip through a later pass.
  EXPECT_EQ(sweep().value("held"), 7);
  EXPECT_EQ(count("status='quarantined'"), 0);

  const std::string path = "/api/v1/admin/attestation/confirm-sweep";
  EXPECT_EQ(cp_.call("POST", path, "{}").status, 401);
  const TestAnswer confirmed = cp_.admin("POST", path, "{}");
  EXPECT_EQ(confirmed.status, 200) << confirmed.body;
  EXPECT_NE(confirmed.body.find(R"("agents":7)"), std::string::npos) << confirmed.body;
  summary = sweep();
  EXPECT_EQ(summary.value("quarantined"), 7);
  EXPECT_EQ(count("attestation_error='tcb_not_acceptable'"), 7);
  EXPECT_EQ(ready(), R"({"ready":true,"reasons":[]})");
  EXPECT_EQ(cp_.values<std::string>("SELECT action FROM audit_log WHERE action LIKE 'attestation_sweep%'"),
            std::vector<std::string>{"attestation_sweep_confirmed"});
  EXPECT_NE(cp_.admin("POST", path, "{}").body.find(R"("agents":0)"), std::string::npos) << "nothing waits";
}

TEST_F(SweeperTest, AConfirmationCountsForThePolicyThatWasSeen) {
  set("attestation.allowed_tcb_statuses", R"(["UpToDate","OutOfDate"])");
  EmulatedQuoteSpec old;
  old.tee_tcb_svn = attestation::kOutOfDateTcbSvn;
  const auto agents = fleet(10, old);
  sweep();
  set("attestation.allowed_tcb_statuses", R"(["UpToDate"])");
  EXPECT_EQ(sweep().value("held"), 10);
  ASSERT_EQ(cp_.admin("POST", "/api/v1/admin/attestation/confirm-sweep", "{}").status, 200);
  set("attestation.denied_advisories", R"(["INTEL-SA-99999"])");
  EXPECT_EQ(sweep().value("held"), 10) << "another policy";
  EXPECT_EQ(count("status='quarantined'"), 0);
}

TEST_F(SweeperTest, UndoingTheChangeEndsTheHold) {
  set("attestation.allowed_tcb_statuses", R"(["UpToDate","OutOfDate"])");
  EmulatedQuoteSpec old;
  old.tee_tcb_svn = attestation::kOutOfDateTcbSvn;
  const auto agents = fleet(10, old);
  sweep();
  set("attestation.allowed_tcb_statuses", R"(["UpToDate"])");
  EXPECT_EQ(sweep().value("held"), 10);
  set("attestation.allowed_tcb_statuses", R"(["UpToDate","OutOfDate"])");
  const auto summary = sweep();
  EXPECT_EQ(summary.value("held"), 0);
  EXPECT_EQ(summary.value("restored"), 10);
  EXPECT_EQ(count("attestation_state='verified'"), 10);
  EXPECT_EQ(ready(), R"({"ready":true,"reasons":[]})");
}

TEST_F(SweeperTest, NineAgentsAreNoMass) {
  set("attestation.allowed_tcb_statuses", R"(["UpToDate","OutOfDate"])");
  EmulatedQuoteSpec old;
  old.tee_tcb_svn = attestation::kOutOfDateTcbSvn;
  const auto agents = fleet(9, old);
  sweep();
  set("attestation.allowed_tcb_statuses", R"(["UpToDate"])");
  EXPECT_EQ(sweep().value("quarantined"), 9);
}

TEST_F(SweeperTest, ADamagedRowIsSkippedAndCounted) {
  const auto agents = fleet(2);
  sweep();
  cp_.execute("UPDATE agent_evidence SET policy_version=0");
  cp_.execute("UPDATE agent_evidence SET tcb_status='NoSuchStatus' WHERE agent_id=:id", {{"id", agents[0]->id()}});
  const auto summary = sweep();
  EXPECT_EQ(summary.value("evaluated"), 2);
  EXPECT_EQ(summary.value("errors"), 1);
  EXPECT_EQ(count("status='quarantined'"), 0);
  EXPECT_EQ(cp_.values<std::int64_t>("SELECT COUNT(*) FROM agent_evidence WHERE policy_version=0").front(), 1);
}

TEST_F(SweeperTest, ADamagedRowIsTriedAgainMoreAndMoreSeldomUntilItIsReplaced) {
  const auto agents = fleet(1);
  sweep();
  cp_.execute("UPDATE agent_evidence SET policy_version=0, tcb_status='NoSuchStatus'");
  std::vector<int> tried_after;  // seconds since the first try
  for (int seconds = 0; seconds <= 4 * 3600; seconds += 30) {
    const auto summary = sweep();
    if (summary.value("errors") == 1) tried_after.push_back(seconds);
    EXPECT_EQ(summary.value("unreadable"), 1);
    cp_.clock.advance(Seconds(30));
  }
  EXPECT_EQ(tried_after, (std::vector<int>{0, 60, 180, 420, 900, 1860, 3780, 7380, 10980}));
  EXPECT_EQ(count("attest_requested_at IS NOT NULL"), 1) << "other evidence is all that helps";
  EXPECT_EQ(agents[0]->refresh(cp_).status, 200);
  const auto healed = sweep();
  EXPECT_EQ(healed.value("errors"), 0);
  EXPECT_EQ(healed.value("unreadable"), 0);
  cp_.execute("UPDATE agent_evidence SET policy_version=0, tcb_status='NoSuchStatus'");
  EXPECT_EQ(sweep().value("errors"), 1) << "another row does not wait for the one before it";
}

TEST_F(SweeperTest, ARowThatChangedSinceThePlanIsLeftToTheNextPass) {
  trust(0xab);
  const auto agents = fleet(1, with_mrtd(0xab));
  sweep();
  ASSERT_EQ(cp_.admin("DELETE", "/api/v1/admin/trusted-mrtds/" + hex_of(0xab)).status, 200);
  // The other replica settles the row between plan and act: the conditional update finds nothing.
  set_trigger(cp_, {.name = "other_replica",
                    .event = "BEFORE UPDATE OF policy_version",
                    .table = "agent_evidence",
                    .when = "NEW.policy_version<>999",
                    .message = ""});
  EXPECT_EQ(sweep().value("quarantined"), 0);
  EXPECT_EQ(count("status='quarantined'"), 0);
  drop_trigger(cp_, "other_replica", "agent_evidence");
  EXPECT_EQ(sweep().value("quarantined"), 1);
}

TEST_F(SweeperTest, EvidenceOfAFleetAgesByTheJob) {
  const auto agents = fleet(2);
  cp_.clock.advance(Seconds(4000));
  auto summary = cp_.app().run_job("agent_attestation_ages");
  ASSERT_TRUE(summary);
  EXPECT_EQ(summary->value("asked"), 1) << "a sixtieth of the fleet, at least one, per pass";
  EXPECT_EQ(cp_.app().run_job("agent_attestation_ages")->value("asked"), 1);
  EXPECT_EQ(count("attest_requested_at IS NOT NULL"), 2);
}

/// The job runner's threads, and a clock that stands still: only a wake lets the sweeper run.
TEST(SweeperWake, AChangeOfTrustSweepsAtOnce) {
  TestControlPlane cp({.run_jobs = true});
  const RegisteredAgent first(cp, "vm-1");
  const auto wait_for = [&](const RegisteredAgent& agent, const std::string& state) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (agent.column(cp, "attestation_state") != state && std::chrono::steady_clock::now() < deadline)
      std::this_thread::yield();
    EXPECT_EQ(agent.column(cp, "attestation_state"), state);
  };
  const auto mrtd = to_hex(EmulatedQuoteSpec().measurements.mrtd);
  // A row that is disabled hides the entry of the environment.
  const TestAnswer hidden =
      cp.admin("POST", "/api/v1/admin/trusted-mrtds", R"({"mrtd":")" + mrtd + R"(","kind":"agent","enabled":false})");
  ASSERT_EQ(hidden.status, 201) << hidden.body;
  wait_for(first, "failed");
  EXPECT_EQ(first.column(cp, "attestation_error"), "mrtd_untrusted");
  cp.stop();
}

TEST(AttestationJobs, AllOfThemAreRegistered) {
  TestControlPlane cp;
  for (const char* name : {"nonce_cleanup", "cp_attestation_refresh", "jwks_refresh", "collateral_refresh",
                           "attestation_sweeper", "attestation_audit_retention", "agent_attestation_ages"}) {
    const auto done = cp.app().run_job(name);
    EXPECT_TRUE(done) << name << ": " << (done ? "" : done.error().detail);
  }
}

}  // namespace
}  // namespace ee::testing
