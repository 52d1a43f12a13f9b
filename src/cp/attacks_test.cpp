// Attacks on the way between an agent and its control plane, each as somebody would try it, through the routes.
#include <gtest/gtest.h>

#include "attestation/workload_log.h"
#include "tests/support/registered_agent.h"

namespace ee::testing {
namespace {

using attestation::Purpose;

class Attacks : public ::testing::Test {
 protected:
  Attacks() { cp_.clock.set_auto_advance(true); }

  /// What an agent that was lured to `origin` would send over this nonce: the audience is of its own configuration.
  static std::string quote_for(const EmulatedAgent& victim, Purpose purpose, const std::string& nonce,
                               const std::string& origin = TestControlPlane::kOrigin) {
    return victim.evidence(purpose, from_hex_exact<32>(nonce).value(), origin).quote_base64;
  }
  std::vector<std::string> refusals() {
    return cp_.values<std::string>("SELECT reason_code FROM attestation_audit WHERE result='rejected' ORDER BY at, id");
  }
  void expect_untouched(const RegisteredAgent& agent) {
    EXPECT_EQ(agent.column(cp_, "status"), "undeployed");
    EXPECT_EQ(agent.column(cp_, "attestation_state"), "verified");
    EXPECT_EQ(cp_.values<std::string>("SELECT state FROM agent_control_credentials"),
              std::vector<std::string>{"active"});
  }

  TestControlPlane cp_;
  EmulatedAgent victim_{"tdx-agent-001", cp_.random};
  EmulatedAgent attacker_{"tdx-agent-001", cp_.random};
};

TEST_F(Attacks, ARogueControlPlaneInTheMiddleIsRefused) {
  // It passes on the real nonce and then the agent's own, well signed request.
  auto passed_on = cp_.prepare(victim_);
  passed_on.request.evidence.quote =
      quote_for(victim_, Purpose::register_, passed_on.challenge.nonce, "https://rogue.example.com");
  const TestAnswer answer = cp_.send(victim_, passed_on);
  EXPECT_EQ(answer.status, 403);
  EXPECT_EQ(answer.code(), "report_data_mismatch");
  EXPECT_EQ(cp_.agents(), 0);
  EXPECT_EQ(refusals(), std::vector<std::string>{"report_data_mismatch"});
}

TEST_F(Attacks, ARelayedQuoteIsRefused) {
  // A genuine quote over a nonce that the attacker was given, under keys of the attacker's own.
  auto relayed = cp_.prepare(attacker_);
  relayed.request.evidence.quote = quote_for(victim_, Purpose::register_, relayed.challenge.nonce);
  EXPECT_EQ(cp_.send(attacker_, relayed).code(), "report_data_mismatch");
  // Or under the victim's key, with the attacker's signature.
  relayed = cp_.prepare(victim_);
  EXPECT_EQ(cp_.send(attacker_, relayed).code(), "pop_signature_invalid");
  EXPECT_EQ(cp_.agents(), 0);
}

TEST_F(Attacks, ASwappedSealingKeyIsRefused) {
  const auto good = cp_.prepare(victim_);
  auto swapped = good;
  swapped.request.sealing_key = to_base64(attacker_.sealing_key().public_key());
  // The victim signed the body that had its own key.
  const std::string path = "/api/v1/agents/register";
  const std::string signature =
      victim_.sign_request("POST", path, good.challenge.challenge_id, json::write(good.request));
  EXPECT_EQ(cp_.call("POST", path, json::write(swapped.request), {{"X-EE-Agent-Signature", signature}}).code(),
            "pop_signature_invalid");
  // Whoever signs anew must bring a signing key of his own, and neither key is in the quote then.
  swapped.request.signing_key = to_base64(attacker_.signing_key().public_key());
  EXPECT_EQ(cp_.send(attacker_, swapped).code(), "report_data_mismatch");
  EXPECT_EQ(cp_.agents(), 0);
}

TEST_F(Attacks, AStolenBearerTokenNeitherRotatesNorRefreshesNorQuarantines) {
  const RegisteredAgent agent(cp_, "tdx-agent-001");
  const auto call = [&](const std::string& path, const std::string& body, const std::string& challenge_id) {
    auto headers = agent.bearer();
    headers.push_back({"X-EE-Agent-Signature", attacker_.sign_request("POST", agent.path(path), challenge_id, body)});
    return cp_.call("POST", agent.path(path), body, headers).code();
  };
  const std::string now = to_rfc3339(cp_.clock.now());
  EXPECT_EQ(call("/credential/rotate", R"({"signed_at":")" + now + "\"}", now), "pop_signature_invalid");

  auto refresh = agent.prepare_refresh(cp_);
  attestation::EmulatedQuoteSpec debug;
  debug.td_attributes |= attestation::kTdDebug;
  refresh.request.evidence.quote = attacker_
                                       .evidence(Purpose::refresh, from_hex_exact<32>(refresh.challenge.nonce).value(),
                                                 TestControlPlane::kOrigin, debug)
                                       .quote_base64;
  EXPECT_EQ(call("/attestation", json::write(refresh.request), refresh.challenge.challenge_id),
            "pop_signature_invalid");
  refresh.request.evidence.quote = to_base64(ByteVector(2000, 7));
  EXPECT_EQ(call("/attestation", json::write(refresh.request), refresh.challenge.challenge_id),
            "quote_version_unsupported");
  expect_untouched(agent);
  EXPECT_EQ(agent.refresh(cp_).status, 200) << "the agent itself goes on";
}

TEST_F(Attacks, ACapturedRequestIsRefusedTheSecondTime) {
  const auto captured = cp_.prepare(victim_);
  ASSERT_EQ(cp_.send(victim_, captured).status, 201);
  EXPECT_EQ(cp_.send(victim_, captured).code(), "nonce_replayed");
  const RegisteredAgent agent(cp_, "tdx-agent-002");
  const auto refresh = agent.prepare_refresh(cp_);
  ASSERT_EQ(agent.send(cp_, refresh).status, 200);
  EXPECT_EQ(agent.send(cp_, refresh).code(), "nonce_replayed");
  EXPECT_EQ(agent.column(cp_, "attestation_state"), "verified") << "a replay says nothing of the agent";
}

// ---- a database that has forgotten ---------------------------------------------------------------------------------

/// An agent that measures what it runs; its deployments are others' memory.
class ForgottenWorkloads : public ::testing::Test {
 protected:
  ForgottenWorkloads() { cp_.clock.set_auto_advance(true); }

  static agent_api::WorkloadLogEntry started(const std::string& deployment) {
    return {.op = "deploy",
            .payload = attestation::workload_payload({.app = "hello",
                                                      .compose_sha256 = std::string(64, 'a'),
                                                      .deployment_id = deployment,
                                                      .op = attestation::WorkloadOp::deploy})};
  }
  static attestation::EmulatedQuoteSpec measured(const std::vector<agent_api::WorkloadLogEntry>& log) {
    std::vector<std::string_view> payloads;
    for (const auto& entry : log) payloads.emplace_back(entry.payload);
    attestation::EmulatedQuoteSpec spec;
    spec.measurements.rtmrs[3] = attestation::replay_workload_log(payloads);
    return spec;
  }
  TestAnswer register_with(const std::vector<agent_api::WorkloadLogEntry>& log) {
    auto registration = cp_.prepare(agent_, measured(log));
    registration.request.evidence.workload_log = log;
    return cp_.send(agent_, registration);
  }
  std::string new_id() { return new_uuid_v7(cp_.clock.now(), cp_.random).value(); }

  TestControlPlane cp_;
  EmulatedAgent agent_{"tdx-agent-001", cp_.random};
};

// covers: S02_AGT_REG_013
TEST_F(ForgottenWorkloads, ADatabaseThatWasLostRefusesNoAgentForWhatItRanBefore) {
  EE_SKIP_ON_POSTGRES("the file is taken away");
  const std::string before = new_id();
  cp_.clock.advance(Seconds(3600));
  EXPECT_EQ(register_with({started(new_id())}).code(), "workload_unknown") << "this control plane never assigned it";

  cp_.stop();
  for (const char* ending : {"", "-wal", "-shm"}) std::filesystem::remove(cp_.database_path().string() + ending);
  cp_.start();
  const TestAnswer admitted = register_with({started(before)});
  ASSERT_EQ(admitted.status, 201) << admitted.body;
  EXPECT_EQ(cp_.values<std::string>("SELECT details FROM attestation_audit WHERE result='accepted'"),
            std::vector<std::string>{R"({"forgotten_workloads":1})"});
  cp_.clock.advance(Seconds(1));
  EXPECT_EQ(register_with({started(before), started(new_id())}).code(), "workload_unknown") << "that it would know";
}

// covers: S02_AGT_REG_014
TEST_F(ForgottenWorkloads, ARestoredDatabaseRefusesNoAgentForWhatItHasForgotten) {
  EE_SKIP_ON_POSTGRES("its schema is dated by the machine's clock, not by the test's");
  cp_.clock.advance(Seconds(3600));
  const std::string lost = new_id();
  EXPECT_EQ(register_with({started(lost)}).code(), "workload_unknown");
  cp_.clock.advance(Seconds(10));
  cp_.execute("INSERT INTO meta (key, value) VALUES ('restored_at', :at)",
              {{"at", std::to_string(unix_ms(cp_.clock.now()))}});
  cp_.stop();
  cp_.clock.advance(Seconds(10));
  cp_.start();
  EXPECT_EQ(register_with({started(lost)}).status, 201);
}

}  // namespace
}  // namespace ee::testing
