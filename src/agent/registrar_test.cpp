#include "agent/registrar.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "agent/agent_test_fixture.h"
#include "attestation/binding.h"
#include "common/crypto.h"
#include "tests/support/vectors.h"

namespace ee::agent {
namespace {

using namespace std::chrono_literals;

class RegistrarTest : public testing::AgentFixture {
 protected:
  CallResult<Registration> attempt() { return registrar_->attempt({}, stop_.get_token()); }
};

TEST_F(RegistrarTest, RegistersAndKeepsWhatItWasGiven) {
  start();
  const auto registration = attempt();

  ASSERT_TRUE(registration) << registration.error().code << registration.error().detail;
  EXPECT_EQ(registration->session.identity.agent_id, cp_.kAgentId);
  EXPECT_EQ(registration->session.identity.credential.reveal(), cp_.credential());
  EXPECT_EQ(registration->session.signing_keys_version, 3);
  EXPECT_EQ(registration->tunnel_token, std::nullopt);  // the tunnel is a placeholder
  const AgentState state = state_->state();
  EXPECT_EQ(state.agent_id, cp_.kAgentId);
  EXPECT_EQ(state.registration_id, cp_.registration_id());
  EXPECT_EQ(state.credential, cp_.credential());
  EXPECT_EQ(state.boot_id, kBootId);
  EXPECT_EQ(state.vm_name, "vm-1");
}

TEST_F(RegistrarTest, SaysWhoItIsAndBindsItIntoTheQuote) {
  config_.bootstrap_token = Secret("ee_boot_token");
  start();
  ASSERT_TRUE(attempt());

  const auto request = cp_.registrations().at(0);
  EXPECT_EQ(request.vm_name, "vm-1");
  EXPECT_EQ(request.node_size, "tiny");
  EXPECT_EQ(request.datacenter, "gcp:us-central1-a");
  EXPECT_EQ(request.boot_id, kBootId);
  EXPECT_EQ(request.bootstrap_token, "ee_boot_token");
  EXPECT_EQ(request.previous_credential, std::nullopt);
  EXPECT_EQ(request.capacity.memory_mib, 4096);
  EXPECT_EQ(request.challenge, "challenge-1");
  EXPECT_EQ(request.workload, std::nullopt);
  EXPECT_EQ(request.signing_key, to_base64(keys_->signing.public_key()));
  EXPECT_EQ(request.sealing_key, to_base64(keys_->sealing.public_key()));

  const auto binding = attestation::agent_binding(keys_->signing.public_key(), keys_->sealing.public_key(), "vm-1");
  const auto expected = attestation::build_report_data(
      attestation::Purpose::register_, *from_hex_exact<32>(request.nonce.value()), binding, cp_.kOrigin);
  const auto quote = from_base64(request.evidence.quote.value());
  ASSERT_TRUE(quote);
  EXPECT_EQ(to_hex(Bytes(*quote).last(64)), to_hex(expected.value));
}

TEST_F(RegistrarTest, TakesATunnelTokenOnlyWhenTheTunnelIsReady) {
  cp_.knobs.tunnel = {.state = agent_api::TunnelState::ready, .version = 4, .hostname = "vm-1.example.com"};
  start();
  const auto registration = attempt();
  ASSERT_TRUE(registration);
  EXPECT_EQ(registration->tunnel_token->reveal(), "tunnel-token");
  EXPECT_EQ(registration->session.tunnel_version, 4);
  EXPECT_EQ(registration->session.hostname, "vm-1.example.com");
}

TEST_F(RegistrarTest, ShowsItsFormerCredentialAfterARestart) {
  start();
  ASSERT_TRUE(attempt());
  const std::string first = cp_.credential();

  boot_id_ = "2b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed";  // the VM was booted again
  start();
  ASSERT_TRUE(attempt());

  EXPECT_EQ(cp_.registrations().at(1).previous_credential, first);
  EXPECT_EQ(cp_.registrations().at(1).boot_id, boot_id_);
  EXPECT_NE(cp_.registrations().at(0).signing_key, cp_.registrations().at(1).signing_key);
  EXPECT_EQ(state_->state().boot_id, boot_id_);
}

TEST_F(RegistrarTest, KeepsAForeignNamesCredentialToItself) {
  start();
  ASSERT_TRUE(state_->save({.vm_name = "another-vm", .credential = "ee_agent_of_another"}));
  ASSERT_TRUE(attempt());
  EXPECT_EQ(cp_.registrations().at(0).previous_credential, std::nullopt);
}

// covers: S02_AGT_REG_020, S02_EEA_REG_004, S02_EEA_REG_005
TEST_F(RegistrarTest, S02_AGT_REG_020_sends_nothing_to_a_control_plane_without_the_pinned_key) {
  struct Row {
    const char* what;
    void (*break_it)(testing::FakeControlPlane::Knobs&);
  };
  for (const Row& row : {Row{"unsigned", [](auto& knobs) { knobs.sign_challenge = false; }},
                         Row{"other key", [](auto& knobs) { knobs.challenge_by_other_key = true; }},
                         Row{"other nonce", [](auto& knobs) { knobs.challenge_over_other_nonce = true; }}}) {
    cp_.knobs = {};
    row.break_it(cp_.knobs);
    start();
    const auto failed = attempt();
    ASSERT_FALSE(failed) << row.what;
    EXPECT_EQ(failed.error().code, "cp_untrusted") << row.what;
    EXPECT_TRUE(cp_.calls("register").empty()) << row.what;
  }
  cp_.knobs = {};
  start();
  EXPECT_TRUE(attempt());
  EXPECT_TRUE(cp_.calls("attestation").empty());  // a key is pinned: no quote is asked for
  EXPECT_EQ(quotes_.calls(), 1);
}

// covers: S02_EEA_REG_006
TEST_F(RegistrarTest, S02_EEA_REG_006_refuses_an_answer_that_no_pinned_key_signed) {
  cp_.knobs.register_by_other_key = true;
  cp_.knobs.more_keys = {cp_.other_key};  // the answer even names that key
  start();
  const auto failed = attempt();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, "cp_untrusted");
  EXPECT_EQ(state_->state().credential, std::nullopt);
}

TEST_F(RegistrarTest, TrustsEveryKeyOfASignedAnswer) {
  cp_.knobs.more_keys = {cp_.other_key};
  start();
  const auto registration = attempt();
  ASSERT_TRUE(registration);
  EXPECT_EQ(registration->session.signers.keys().size(), 2U);
}

// covers: S01_BIND_003
TEST_F(RegistrarTest, ChecksTheChallengeBeforeItMakesAQuote) {
  struct Row {
    const char* code;
    void (*break_it)(testing::FakeControlPlane::Knobs&);
  };
  for (const Row& row :
       {Row{"audience_mismatch", [](auto& knobs) { knobs.audience = "https://rogue.example.com"; }},
        Row{"evidence_kind_refused", [](auto& knobs) { knobs.accept = {agent_api::EvidenceKind::ita}; }},
        Row{"event_log_missing", [](auto& knobs) { knobs.event_log = agent_api::EventLogMode::required; }}}) {
    cp_.knobs = {};
    row.break_it(cp_.knobs);
    start();
    const auto failed = attempt();
    ASSERT_FALSE(failed) << row.code;
    EXPECT_EQ(failed.error().code, row.code);
    EXPECT_EQ(failed.error().status, 0);
    EXPECT_TRUE(cp_.calls("register").empty()) << row.code;
  }
}

TEST_F(RegistrarTest, AnAgentWithAKeyOfItsOwnHasATokenMadeAboutItsQuote) {
  config_.evidence = agent_api::EvidenceKind::ita;
  cp_.knobs.accept = {agent_api::EvidenceKind::ita};
  ByteVector seen_quote;
  ByteVector seen_preimage;
  std::optional<ErrorCode> failure;
  mint_ = [&](Bytes quote, Bytes preimage, const std::stop_token&) -> Result<std::string> {
    seen_quote.assign(quote.begin(), quote.end());
    seen_preimage.assign(preimage.begin(), preimage.end());
    if (failure) return fail(*failure, "scripted");
    return "header.claims.signature";
  };
  start();
  ASSERT_TRUE(attempt());
  const auto sent = cp_.registrations().back().evidence;
  EXPECT_EQ(sent.kind, agent_api::EvidenceKind::ita);
  EXPECT_EQ(sent.intel_ta_token, "header.claims.signature");
  EXPECT_EQ(from_base64(*sent.quote), seen_quote);
  const auto hash = sha512(seen_preimage);
  EXPECT_TRUE(std::equal(hash.begin(), hash.end(), seen_quote.end() - 64)) << "the quote binds what it was told";

  failure = ErrorCode::ita_auth_failed;
  const std::size_t before = cp_.calls("register").size();
  const auto failed = attempt();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, "ita_auth_failed");
  EXPECT_EQ(cp_.calls("register").size(), before) << "nothing is sent without its token";
}

TEST_F(RegistrarTest, SendsTheEventLogAsTheChallengeWants) {
  EE_NEED_VECTORS();
  const auto file = dir_.path() / "root/sys/firmware/acpi/tables/data/CCEL";
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << ee::testing::read_vector_text("attestation-rs/tdx_ccel_live.bin");
  host_ = Host((dir_.path() / "root").string());
  for (const auto mode :
       {agent_api::EventLogMode::optional, agent_api::EventLogMode::required, agent_api::EventLogMode::disabled}) {
    cp_.knobs.event_log = mode;
    start();
    ASSERT_TRUE(attempt());
    EXPECT_EQ(cp_.registrations().back().evidence.event_log.has_value(), mode != agent_api::EventLogMode::disabled);
  }
}

TEST_F(RegistrarTest, ReportsAQuoteThatCannotBeMade) {
  quotes_.set_failure(ErrorCode::quote_generation_timeout);
  start();
  const auto failed = attempt();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, "quote_generation_timeout");
  EXPECT_TRUE(cp_.calls("register").empty());
}

TEST_F(RegistrarTest, RefusesASealedValueOfAnotherContext) {
  cp_.knobs.seal_to_other_context = true;
  start();
  const auto failed = attempt();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, "seal_context_mismatch");
  EXPECT_EQ(state_->state().credential, std::nullopt);
}

TEST_F(RegistrarTest, HandsOnWhatTheControlPlaneAnswers) {
  start();
  cp_.script("register", 403, "mrtd_untrusted");
  cp_.script("challenge", std::unexpected(HttpFailure::connect));
  cp_.script("challenge", HttpClientResponse{.status = 200, .body = "{}"});
  cp_.script("challenge", HttpClientResponse{.status = 302, .headers = {{"Location", "https://elsewhere"}}});
  cp_.script("challenge", 429, "rate_limited", {{"Retry-After", "17"}});
  cp_.script("challenge", 429, "rate_limited", {{"Retry-After", "999999"}});
  cp_.script("challenge", 503, "Not A Slug", {{"Retry-After", "Wed, 21 Oct 2015 07:28:00 GMT"}});
  EXPECT_EQ(attempt().error().code, "unreachable");
  EXPECT_EQ(attempt().error().code, "bad_answer");
  EXPECT_EQ(attempt().error().code, "http_302");
  auto limited = attempt();
  EXPECT_EQ(limited.error().code, "rate_limited");
  EXPECT_EQ(limited.error().retry_after, 17s);
  EXPECT_EQ(attempt().error().retry_after, 3600s);
  auto strange = attempt();
  EXPECT_EQ(strange.error().code, "http_503");
  EXPECT_EQ(strange.error().retry_after, std::nullopt);
  auto refused = attempt();
  EXPECT_EQ(refused.error().code, "mrtd_untrusted");
  EXPECT_EQ(refused.error().status, 403);
}

TEST_F(RegistrarTest, NeverPutsASecretIntoAnError) {
  config_.bootstrap_token = Secret("ee_boot_hush");
  start();
  cp_.script("register", HttpClientResponse{.status = 201, .body = R"({"agent_id":"ee_boot_hush"})"});
  const auto failed = attempt();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().detail.find("hush"), std::string::npos);
}

// ---- development: no pin, no quote ---------------------------------------------------------------------------------

TEST_F(RegistrarTest, InDevelopmentTheFirstKeySetMayBeTakenUnverified) {
  config_.env = Environment::dev;
  config_.cp_signing_keys.clear();
  for (const auto mode : {CpAttestationMode::optional, CpAttestationMode::disabled}) {
    config_.cp_attestation_mode = mode;
    start();
    const auto registration = attempt();
    ASSERT_TRUE(registration);
    EXPECT_EQ(registration->session.signers.keys().size(), 1U);
  }
  cp_.knobs.register_by_other_key = true;  // but it must at least be signed by a key that it names
  start();
  EXPECT_EQ(attempt().error().code, "cp_untrusted");
}

// covers: S02_EEA_REG_004
TEST_F(RegistrarTest, S02_EEA_REG_004_without_trust_nothing_is_sent_outside_development) {
  config_.cp_signing_keys.clear();
  for (const auto env : {Environment::staging, Environment::production})
    for (const auto mode : {CpAttestationMode::required, CpAttestationMode::optional, CpAttestationMode::disabled}) {
      config_.env = env;
      config_.cp_attestation_mode = mode;
      start();
      const auto failed = attempt();
      ASSERT_FALSE(failed);
      EXPECT_EQ(failed.error().code, "cp_untrusted");
      EXPECT_TRUE(cp_.calls("challenge").empty());
    }
}

TEST_F(RegistrarTest, PassesOnWhenTheControlPlaneMayBeAskedForItsQuoteAgain) {
  config_.cp_signing_keys.clear();
  start();
  cp_.script("attestation", 429, "rate_limited", {{"Retry-After", "30"}});
  const auto failed = attempt();
  EXPECT_EQ(failed.error().code, "cp_untrusted");
  EXPECT_EQ(failed.error().retry_after, 30s);
}

}  // namespace
}  // namespace ee::agent
