#include "cp/service/evidence_logs.h"

#include <gtest/gtest.h>

#include <set>

#include "attestation/tsm/emulated_quote.h"
#include "attestation/workload_log.h"
#include "common/id.h"
#include "tests/support/agent_fixture.h"
#include "tests/support/emulator.h"

namespace ee::cp {
namespace {

namespace att = attestation;
using Log = std::vector<agent_api::WorkloadLogEntry>;

/// Deployments that were assigned, as `agent deployment compose`.
class FakeAssignments final : public AgentAssignments {
 public:
  Result<bool> was_assigned(db::Transaction&, const AgentId& agent, const std::string& deployment,
                            const std::string& compose) const override {
    return known.contains(agent.str() + " " + deployment + " " + compose);
  }
  Result<bool> serves(db::Transaction&, const AgentId&, const std::vector<AccountId>&) const override { return false; }
  std::set<std::string> known;
};

class WorkloadLogCheck : public AgentFixture {
 protected:
  WorkloadLogCheck() : agent_(add(1)) {
    assignments_.known.insert(agent_.id.str() + " " + kFirst + " " + compose('a'));
    assignments_.known.insert(agent_.id.str() + " " + kSecond + " " + compose('b'));
  }
  static std::string compose(char fill) { return std::string(64, fill); }
  static agent_api::WorkloadLogEntry entry(const std::string& deployment, char fill, att::WorkloadOp op) {
    return {.op = op == att::WorkloadOp::deploy ? "deploy" : "undeploy",
            .payload = att::workload_payload(
                {.app = "hello", .compose_sha256 = compose(fill), .deployment_id = deployment, .op = op})};
  }
  /// A quote of a TD that measured these events.
  static att::Quote measured(const Log& log) {
    std::vector<std::string_view> payloads;
    for (const auto& entry : log) payloads.emplace_back(entry.payload);
    att::EmulatedQuoteSpec spec;
    spec.measurements.rtmrs[3] = att::replay_workload_log(payloads);
    return att::parse_quote(testing::emulated_quote(spec), att::TrailingPolicy::zeros).value();
  }
  /// `ok`, or the code of the refusal.
  std::string checked(const std::optional<Log>& sent, const Log& truth, WorkloadLogContext context = {}) {
    if (context.vm_name.empty()) context.vm_name = agent_.vm_name;
    const auto done = check_workload_log(database_, assignments_, sent, context, measured(truth));
    if (!done) return std::string(slug(done.error().code));
    return *done == 0 ? "ok" : std::to_string(*done) + " forgotten";
  }

  static constexpr const char* kFirst = "0190a000-0000-7000-8000-0000000000d1";
  static constexpr const char* kSecond = "0190a000-0000-7000-8000-0000000000d2";
  const Log good_ = {entry(kFirst, 'a', att::WorkloadOp::deploy), entry(kFirst, 'a', att::WorkloadOp::undeploy),
                     entry(kSecond, 'b', att::WorkloadOp::deploy)};
  FakeAssignments assignments_;
  AgentRow agent_;
};

// covers: S01_ELOG_005
TEST_F(WorkloadLogCheck, ALogOfAssignedDeploymentsThatLeadsToTheRegisterIsGood) {
  EXPECT_EQ(checked(good_, good_), "ok");
  EXPECT_EQ(checked(Log{}, {}), "ok");
  EXPECT_EQ(checked(std::nullopt, good_), "ok") << "no log says nothing";
}

// covers: S01_ELOG_005
TEST_F(WorkloadLogCheck, ALogThatDoesNotLeadToTheRegisterIsAMismatch) {
  EXPECT_EQ(checked(Log{good_[1], good_[0], good_[2]}, good_), "workload_log_mismatch") << "another order";
  EXPECT_EQ(checked(Log{good_[0], good_[1]}, good_), "workload_log_mismatch") << "one is kept back";
  EXPECT_EQ(checked(Log{}, good_), "workload_log_mismatch");
  EXPECT_EQ(checked(good_, {}), "workload_log_mismatch");
  Log changed = good_;
  changed[0] = entry(kFirst, 'b', att::WorkloadOp::deploy);
  EXPECT_EQ(checked(changed, good_), "workload_log_mismatch");
}

// covers: S01_ELOG_005
TEST_F(WorkloadLogCheck, WhatWasNotAssignedIsUnknown) {
  const auto measured_and_sent = [&](const agent_api::WorkloadLogEntry& odd) {
    const Log log = {good_[0], odd};
    return checked(log, log);
  };
  EXPECT_EQ(measured_and_sent(entry(kSecond, 'a', att::WorkloadOp::deploy)), "workload_unknown") << "other compose";
  EXPECT_EQ(measured_and_sent(entry("0190a000-0000-7000-8000-0000000000d9", 'a', att::WorkloadOp::deploy)),
            "workload_unknown");
  EXPECT_EQ(measured_and_sent({.op = "deploy", .payload = "anything"}), "workload_unknown");
  agent_api::WorkloadLogEntry lying = good_[1];
  lying.op = "deploy";
  EXPECT_EQ(measured_and_sent(lying), "workload_unknown") << "op and payload disagree";
  EXPECT_EQ(checked(good_, good_, {.vm_name = "stranger"}), "workload_unknown");
  EXPECT_EQ(
      check_workload_log(database_, NoAssignments(), good_, {.vm_name = agent_.vm_name}, measured(good_)).error().code,
      ErrorCode::workload_unknown);
}

TEST_F(WorkloadLogCheck, ADeletedAgentsLogIsThatOfItsNamesNextOne) {
  ASSERT_TRUE(service_.remove(AgentScope::everything(), agent_.id, true, DeleteReason::stale, {.name = "system:x"}));
  EXPECT_EQ(checked(good_, good_), "ok") << "being deleted";
  ASSERT_TRUE(tunnels_.run_worker({}));
  ASSERT_EQ(get(agent_.id).status, AgentStatus::deleted);
  EXPECT_EQ(checked(good_, good_), "ok") << "the VM registers as new";
  AgentRow next = testing::make_agent(2, clock_.now());
  next.vm_name = agent_.vm_name;
  add(next);
  EXPECT_EQ(checked(good_, good_), "ok") << "and is asked again with every refresh";
}

TEST_F(WorkloadLogCheck, WhatTheDatabaseMayHaveForgottenIsNoReason) {
  const UtcTime made_at = uuid_v7_time(kFirst).value();
  const Log log = {good_[0], entry("0190a000-0000-7000-8000-0000000000d9", 'a', att::WorkloadOp::deploy),
                   entry(kFirst, 'c', att::WorkloadOp::deploy)};
  EXPECT_EQ(checked(log, log, {.forgotten_before = made_at + Milliseconds(1)}), "2 forgotten");
  EXPECT_EQ(checked(log, log, {.forgotten_before = made_at}), "workload_unknown") << "made since then";
  EXPECT_EQ(checked(log, log), "workload_unknown");
  const Log odd = {{.op = "deploy", .payload = "anything"}};
  EXPECT_EQ(checked(odd, odd, {.forgotten_before = made_at + Milliseconds(1)}), "workload_unknown");
  const Log not_by_time = {entry("5b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed", 'a', att::WorkloadOp::deploy)};
  EXPECT_EQ(checked(not_by_time, not_by_time, {.forgotten_before = clock_.now()}), "workload_unknown");
}

TEST_F(WorkloadLogCheck, WhatWasAcceptedBeforeIsNotJudgedAgain) {
  const Log before = {entry("0190a000-0000-7000-8000-0000000000d9", 'a', att::WorkloadOp::deploy), good_[0]};
  const std::string accepted = to_hex(measured(before).rtmr(3));
  EXPECT_EQ(checked(before, before, {.accepted_rtmr3 = accepted}), "ok");
  Log more = before;
  more.push_back(good_[2]);
  EXPECT_EQ(checked(more, more, {.accepted_rtmr3 = accepted}), "ok");
  more.push_back(entry("0190a000-0000-7000-8000-0000000000d8", 'a', att::WorkloadOp::deploy));
  EXPECT_EQ(checked(more, more, {.accepted_rtmr3 = accepted}), "workload_unknown");
  EXPECT_EQ(checked(before, before, {.accepted_rtmr3 = std::string(96, '0')}), "workload_unknown");
}

}  // namespace
}  // namespace ee::cp
