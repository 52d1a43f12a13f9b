#include "cp/service/evidence_logs.h"

#include <gtest/gtest.h>

#include <set>

#include "attestation/tsm/emulated_quote.h"
#include "attestation/workload_log.h"
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
  std::string checked(const std::optional<Log>& sent, const Log& truth, bool by_name = false) {
    const WorkloadLogOwner owner{.agent_id = by_name ? "" : agent_.id.str(), .vm_name = agent_.vm_name};
    const auto done = check_workload_log(database_, assignments_, sent, owner, measured(truth));
    return done ? "ok" : std::string(slug(done.error().code));
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
  EXPECT_EQ(checked(good_, good_, true), "ok") << "a registration names its VM only";
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
  EXPECT_EQ(check_workload_log(database_, assignments_, good_, {.agent_id = {}, .vm_name = "stranger"}, measured(good_))
                .error()
                .code,
            ErrorCode::workload_unknown);
  EXPECT_EQ(check_workload_log(database_, NoAssignments(), good_, {.agent_id = agent_.id.str(), .vm_name = {}},
                               measured(good_))
                .error()
                .code,
            ErrorCode::workload_unknown);
}

}  // namespace
}  // namespace ee::cp
