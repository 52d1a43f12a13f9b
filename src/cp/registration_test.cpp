// Registrations through the whole control plane: the plain way, and the identity rules.
#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "common/sealed_box.h"
#include "common/signatures.h"
#include "tests/support/test_control_plane.h"

namespace ee::testing {
namespace {

class Registration : public ::testing::Test {
 protected:
  TestControlPlane cp;
  SystemRandom random;
  EmulatedAgent agent{"tdx-agent-001", random};
};

// covers: S01_REG_001, S02_AGT_REG_001, S01_AUD_002, S01_EMU_002
TEST_F(Registration, AdmitsAgoodAgentWithSealedCredentialAndSignedAnswer) {
  const auto registration = cp.prepare(agent);
  const TestAnswer answer = cp.send(agent, registration);
  ASSERT_EQ(answer.status, 201) << answer.body;
  const auto admitted = json::read<agent_api::RegisterAnswer>(answer.body).value();
  EXPECT_FALSE(admitted.reused);
  EXPECT_EQ(admitted.status, "undeployed");
  EXPECT_EQ(admitted.tunnel.state, agent_api::TunnelState::placeholder);
  EXPECT_EQ(admitted.tunnel.hostname, "tdx-agent-001.pending.invalid");

  const std::string context =
      "easyenclave.seal.1:registration:" + admitted.agent_id + ":" + registration.challenge.challenge_id;
  const auto opened = open_sealed(context, from_base64(admitted.sealed.ciphertext).value(), agent.sealing_key());
  ASSERT_TRUE(opened);
  EXPECT_TRUE(opened->reveal().starts_with(R"({"agent_credential":"ee_agent_)"));
  const EmulatedAgent other("tdx-agent-001", random);
  EXPECT_FALSE(open_sealed(context, from_base64(admitted.sealed.ciphertext).value(), other.sealing_key()));

  const auto key = from_base64(admitted.signing_keys.keys.at(0).public_key).value();
  EXPECT_EQ(answer.header("X-EE-Kid"), admitted.signing_keys.keys.at(0).kid);
  EXPECT_TRUE(ed25519_verify(
      key, signed_body_input("registration", admitted.agent_id, admitted.registration_id, bytes_of(answer.body)),
      from_base64(answer.header("X-EE-Signature")).value()));

  EXPECT_EQ(cp.values<std::string>(
                "SELECT reason_code FROM attestation_audit WHERE event = 'registration_attestation_accepted'"),
            std::vector<std::string>{"ok"});
  EXPECT_EQ(cp.values<std::string>("SELECT warnings FROM attestation_audit"),
            std::vector<std::string>{R"(["emulated_quote"])"});
  EXPECT_EQ(cp.values<std::string>("SELECT kind FROM agent_evidence"), std::vector<std::string>{"emulated"});
  EXPECT_EQ(cp.values<std::string>("SELECT state FROM agent_control_credentials"), std::vector<std::string>{"active"});
  EXPECT_EQ(cp.values<std::string>("SELECT action FROM audit_log WHERE object_type = 'agent'"),
            std::vector<std::string>{"agent_registered"});
}

// covers: S02_AGT_REG_003, S01_CON_001 (one process)
TEST_F(Registration, OneNonceUsedBySixteenCallersAdmitsExactlyOne) {
  const auto registration = cp.prepare(agent);
  std::vector<TestAnswer> answers(16);
  std::vector<std::jthread> callers;
  for (std::size_t i = 0; i < answers.size(); ++i)
    callers.emplace_back([&, i] { answers[i] = cp.send(agent, registration, "10.200.0." + std::to_string(i)); });
  callers.clear();
  int admitted = 0;
  for (const TestAnswer& answer : answers) {
    if (answer.status == 201)
      ++admitted;
    else
      EXPECT_EQ(answer.code(), "nonce_replayed") << answer.body;
  }
  EXPECT_EQ(admitted, 1);
  EXPECT_EQ(cp.agents(), 1);
}

// covers: S01_NON_003
TEST(RegistrationRestart, AUsedNonceStaysUsed) {
  TestControlPlane cp({.environment = {{"EE_SECRETS_KEY", to_base64(ByteArray<32>{1, 2, 3})}}});
  SystemRandom random;
  const EmulatedAgent agent("tdx-agent-001", random);
  const auto registration = cp.prepare(agent);
  ASSERT_EQ(cp.send(agent, registration).status, 201);
  EXPECT_EQ(cp.send(agent, registration).code(), "nonce_replayed");
  cp.stop();
  cp.start();
  EXPECT_EQ(cp.send(agent, registration).code(), "nonce_replayed") << "the challenge itself is still good";
}

// covers: S01_NON_013
TEST_F(Registration, TenThousandChallengesLeaveTheDatabaseUnchanged) {
  EE_SKIP_ON_POSTGRES("its files are compared byte by byte");
  const auto files = [&] {
    std::string bytes;
    for (const char* ending : {"", "-wal"}) {
      std::ifstream file(cp.database_path().string() + ending, std::ios::binary);
      bytes.append(std::istreambuf_iterator<char>(file), {});
    }
    return bytes;
  };
  cp.execute("INSERT INTO meta (key, value) VALUES ('a', 'write')");
  const std::string before = files();
  EXPECT_NE(before.find("attestation_nonces"), std::string::npos);
  for (int i = 0; i < 10'000; ++i) {
    if (i % 900 == 0) cp.clock.advance(Seconds(1));
    cp.challenge("vm-" + std::to_string(i));
  }
  EXPECT_TRUE(files() == before);
  cp.execute("INSERT INTO meta (key, value) VALUES ('another', 'write')");
  EXPECT_FALSE(files() == before) << "a write would have been seen";
}

// covers: S02_AGT_REG_009 (R2, R5 and R4)
TEST_F(Registration, ANameIsGivenAgainOnlyToWhoeverMayHaveIt) {
  const auto first_registration = cp.prepare(agent);
  const TestAnswer first = cp.send(agent, first_registration);
  const auto admitted = json::read<agent_api::RegisterAnswer>(first.body).value();
  const std::string context =
      "easyenclave.seal.1:registration:" + admitted.agent_id + ":" + first_registration.challenge.challenge_id;
  const std::string secrets =
      open_sealed(context, from_base64(admitted.sealed.ciphertext).value(), agent.sealing_key())->reveal();
  const std::string credential = secrets.substr(21, secrets.find('"', 21) - 21);

  const EmulatedAgent reborn("tdx-agent-001", random);  // new keys, as after a reboot
  auto with_credential = cp.prepare(reborn);
  with_credential.request.previous_credential = credential;
  const TestAnswer again = cp.send(reborn, with_credential);
  ASSERT_EQ(again.status, 200) << again.body;
  const auto second = json::read<agent_api::RegisterAnswer>(again.body).value();
  EXPECT_TRUE(second.reused);
  EXPECT_EQ(second.agent_id, admitted.agent_id);
  EXPECT_NE(second.registration_id, admitted.registration_id);

  const std::string beat =
      R"({"seq":1,"boot_id":"1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed","sent_at":"2026-01-01T00:00:00.000Z",)"
      R"("agent_version":"1","health":{"status":"healthy","checks":[]},"tunnel":{"state":"none","ready_connections":0,"restarts":0},"draining":false})";
  const std::string path = "/api/v1/agents/" + admitted.agent_id + "/heartbeat";
  EXPECT_EQ(cp.call("POST", path, beat, {{"Authorization", "Bearer " + credential}}).status, 401)
      << "the old credential";

  // A stranger with good evidence but without the credential: only once the agent has been silent for long.
  const EmulatedAgent stranger("tdx-agent-001", random);
  const std::string new_secrets =
      open_sealed("easyenclave.seal.1:registration:" + admitted.agent_id + ":" + with_credential.challenge.challenge_id,
                  from_base64(second.sealed.ciphertext).value(), reborn.sealing_key())
          ->reveal();
  const std::string new_credential = new_secrets.substr(21, new_secrets.find('"', 21) - 21);
  EXPECT_EQ(cp.call("POST", path, beat, {{"Authorization", "Bearer " + new_credential}}).status, 200);
  EXPECT_EQ(cp.register_agent(stranger).code(), "vm_name_in_use");
  cp.clock.advance(Seconds(121));
  EXPECT_EQ(cp.register_agent(stranger).status, 200);
  EXPECT_EQ(cp.agents(), 1);
}

// covers: S02_AGT_REG_010
TEST_F(Registration, TwoMachinesWithOneNameAtOnceGetOneRow) {
  const EmulatedAgent other("tdx-agent-001", random);
  const auto first = cp.prepare(agent);
  const auto second = cp.prepare(other);
  TestAnswer answers[2];
  {
    std::jthread one([&] { answers[0] = cp.send(agent, first, "10.201.0.1"); });
    std::jthread two([&] { answers[1] = cp.send(other, second, "10.201.0.2"); });
  }
  EXPECT_EQ(cp.agents(), 1);
  EXPECT_EQ((answers[0].status == 201) + (answers[1].status == 201), 1) << answers[0].body << answers[1].body;
}

// covers: S02_AGT_REG_012
TEST_F(Registration, TheSeventhRegistrationInTenMinutesIsFlapping) {
  ASSERT_EQ(cp.register_agent(agent).status, 201);
  for (int i = 0; i < 5; ++i) {
    cp.clock.advance(Seconds(1));
    const TestAnswer answer = cp.register_agent(EmulatedAgent("tdx-agent-001", random));
    ASSERT_EQ(answer.status, 200) << answer.body;
  }
  const TestAnswer answer = cp.register_agent(EmulatedAgent("tdx-agent-001", random));
  EXPECT_EQ(answer.code(), "registration_flapping");
  EXPECT_FALSE(answer.header("Retry-After").empty());
}

// covers: S02_AGT_REG_019
TEST_F(Registration, DirectUrlIsTakenInsideTheNetworksOnly) {
  auto good = cp.prepare(agent);
  good.request.direct_url = "http://127.0.1.1:8088";
  EXPECT_EQ(cp.send(agent, good).status, 201);
  const EmulatedAgent other("tdx-agent-002", random);
  auto bad = cp.prepare(other);
  bad.request.direct_url = "http://192.0.2.1:8088";
  EXPECT_EQ(cp.send(other, bad).code(), "direct_url_not_allowed");
}

// covers: S02_AGT_REG_018 (capacity)
TEST_F(Registration, CapacityIsComparedWithTheNodeSize) {
  auto enough = cp.prepare(agent);
  enough.request.capacity = {.vcpus = 4, .memory_mib = 3482, .disk_mib = 1, .gpu_count = 0};
  EXPECT_EQ(cp.send(agent, enough).status, 201);
  const EmulatedAgent small("tdx-agent-002", random);
  auto too_little = cp.prepare(small);
  too_little.request.capacity = {.vcpus = 4, .memory_mib = 3481, .disk_mib = 1, .gpu_count = 0};
  EXPECT_EQ(cp.send(small, too_little).code(), "capacity_below_size");
  too_little.request.capacity = {.vcpus = 3, .memory_mib = 4096, .disk_mib = 1, .gpu_count = 0};
  EXPECT_EQ(cp.send(small, too_little).code(), "capacity_below_size");
  too_little.request.node_size = "huge";
  EXPECT_EQ(cp.send(small, too_little).code(), "unknown_node_size");
  EXPECT_EQ(cp.agents(), 1);
}

// covers: S02_AGT_REG_008, S02_AGT_REG_005 (schema)
// covers: S01_API_002
TEST_F(Registration, UnknownAndMalformedFieldsAreNamed) {
  auto registration = cp.prepare(agent);
  std::string body = json::write(registration.request);
  body.insert(1, R"("account_id":"x","github_owner":"y",)");
  const TestAnswer answer = cp.call("POST", "/api/v1/agents/register", body);
  EXPECT_EQ(answer.status, 400);
  EXPECT_NE(answer.body.find(R"("field":"account_id","code":"unknown_field")"), std::string::npos) << answer.body;
  EXPECT_NE(answer.body.find(R"("field":"github_owner","code":"unknown_field")"), std::string::npos) << answer.body;
  registration.request.vm_name = "Not_A_Label";
  registration.request.datacenter = "nowhere";
  const TestAnswer named = cp.send(agent, registration);
  EXPECT_EQ(named.status, 400);
  EXPECT_NE(named.body.find(R"("field":"vm_name")"), std::string::npos) << named.body;
  EXPECT_NE(named.body.find(R"("field":"datacenter")"), std::string::npos) << named.body;
}

// covers: S01_REG_019
TEST_F(Registration, MeasurementsInJsonAreNoFieldsOfTheRequest) {
  std::string body = json::write(cp.prepare(agent).request);
  body.insert(1, R"("mrtd":"00",)");
  EXPECT_EQ(cp.call("POST", "/api/v1/agents/register", body).code(), "invalid_request");
}

}  // namespace
}  // namespace ee::testing
