// Fresh evidence of registered agents through the routes: what each decision does to the agent.
#include <gtest/gtest.h>

#include "tests/support/emulated_evidence.h"
#include "tests/support/registered_agent.h"
#include "tests/support/registration_case.h"
#include "tests/support/test_trigger.h"

namespace ee::testing {
namespace {

using attestation::EmulatedQuoteSpec;

class RefreshTest : public ::testing::Test {
 protected:
  RefreshTest() { cp_.clock.set_auto_advance(true); }
  std::vector<std::string> decisions() {
    return cp_.values<std::string>(
        "SELECT reason_code FROM attestation_audit WHERE event LIKE 'refresh_attestation_%' ORDER BY at, id");
  }
  std::vector<std::string> actions() { return cp_.values<std::string>("SELECT action FROM audit_log ORDER BY at, id"); }
  void expect_quarantined(const RegisteredAgent& agent, const std::string& reason) {
    EXPECT_EQ(agent.column(cp_, "status"), "quarantined");
    EXPECT_EQ(agent.column(cp_, "quarantine_reason"), "attestation_failed");
    EXPECT_EQ(agent.column(cp_, "attestation_state"), "failed");
    EXPECT_EQ(agent.column(cp_, "attestation_error"), reason);
    EXPECT_EQ(agent.ask_challenge(cp_).code(), "agent_attestation_failed");
  }
  void expect_untouched(const RegisteredAgent& agent, const std::string& attested_at) {
    EXPECT_EQ(agent.column(cp_, "status"), "undeployed");
    EXPECT_EQ(agent.column(cp_, "attestation_state"), "verified");
    EXPECT_EQ(agent.column(cp_, "attested_at"), attested_at);
  }

  TestControlPlane cp_;
};

// covers: S01_RAT_001
TEST_F(RefreshTest, AcceptedEvidenceRenewsTheAgent) {
  const RegisteredAgent agent(cp_, "tdx-agent-001");
  const std::string first = agent.column(cp_, "attested_at");
  const std::string first_quote = cp_.values<std::string>("SELECT quote FROM agent_evidence").front();
  cp_.clock.advance(Seconds(3000));
  const TestAnswer answer = agent.refresh(cp_);
  ASSERT_EQ(answer.status, 200) << answer.body;
  const auto told = json::read<agent_api::RefreshAnswer>(answer.body).value();
  EXPECT_EQ(told.tcb_status, "UpToDate");
  EXPECT_EQ(told.warnings, std::vector<std::string>{"emulated_quote"});
  EXPECT_EQ(agent.column(cp_, "attested_at"), std::to_string(unix_ms(told.attested_at)));
  EXPECT_NE(agent.column(cp_, "attested_at"), first);
  const auto due = *told.attestation_due_at - told.attested_at;
  EXPECT_GE(due, Seconds(3240));
  EXPECT_LE(due, Seconds(3960));
  EXPECT_NE(cp_.values<std::string>("SELECT quote FROM agent_evidence").front(), first_quote);
  EXPECT_EQ(decisions(), std::vector<std::string>{"ok"});
  EXPECT_EQ(actions().back(), "agent_attestation_refreshed");
  EXPECT_EQ(cp_.values<std::string>("SELECT id FROM attestation_audit WHERE event='refresh_attestation_accepted'"),
            cp_.values<std::string>("SELECT audit_id FROM agent_evidence"));
}

TEST_F(RefreshTest, StaleEvidenceThatIsRenewedIsVerifiedAgain) {
  const RegisteredAgent agent(cp_, "tdx-agent-001");
  cp_.clock.advance(Seconds(7300));
  ASSERT_TRUE(cp_.app().run_job("agent_attestation_ages"));
  EXPECT_EQ(agent.column(cp_, "attestation_state"), "stale");
  EXPECT_NE(agent.column(cp_, "attest_requested_at"), "null");
  EXPECT_EQ(agent.refresh(cp_).status, 200);
  EXPECT_EQ(agent.column(cp_, "attestation_state"), "verified");
  EXPECT_EQ(agent.column(cp_, "attest_requested_at"), "null");
}

// covers: S01_RAT_003
TEST_F(RefreshTest, ChangedMeasurementsEndTheTrust) {
  struct Change {
    const char* what;
    void (*change)(EmulatedQuoteSpec&);
  };
  // The policy would let each of them register: only the comparison with the registration refuses.
  const Change changes[] = {{"RTMR0", [](EmulatedQuoteSpec& s) { s.measurements.rtmrs[0][0] ^= 1; }},
                            {"RTMR1", [](EmulatedQuoteSpec& s) { s.measurements.rtmrs[1][0] ^= 1; }},
                            {"RTMR2", [](EmulatedQuoteSpec& s) { s.measurements.rtmrs[2][47] ^= 1; }},
                            {"RTMR3", [](EmulatedQuoteSpec& s) { s.measurements.rtmrs[3][0] ^= 1; }},
                            {"MRTD", [](EmulatedQuoteSpec& s) { s.measurements.mrtd.fill(0xab); }}};
  for (const Change& change : changes) {
    SCOPED_TRACE(change.what);
    TestControlPlane cp({.environment = {{"RTMR_ENFORCEMENT_MODE", "warn"},
                                         {"EE_ALLOW_RELAXED_POLICY", "1"},
                                         {"TRUSTED_AGENT_MRTDS", to_hex(ByteVector(48, 0xab))}}});
    const RegisteredAgent agent(cp, "tdx-agent-001");
    EmulatedQuoteSpec spec;
    change.change(spec);
    const TestAnswer answer = agent.refresh(cp, spec);
    EXPECT_EQ(answer.status, 403);
    EXPECT_EQ(answer.code(), "measurement_changed");
    EXPECT_EQ(agent.column(cp, "status"), "quarantined");
    EXPECT_EQ(agent.column(cp, "attestation_error"), "measurement_changed");
    EXPECT_EQ(cp.values<std::string>("SELECT details FROM attestation_audit WHERE reason_code='measurement_changed'"),
              std::vector<std::string>{R"({"changed":")" + std::string(change.what) + "\"}"});
    EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM agent_evidence WHERE policy_version>=0").front(), 1);
  }
}

TEST_F(RefreshTest, ARefusalAboutTheTdQuarantinesAtOnce) {
  const RegisteredAgent agent(cp_, "tdx-agent-001");
  EmulatedQuoteSpec debug;
  debug.td_attributes |= attestation::kTdDebug;
  const TestAnswer answer = agent.refresh(cp_, debug);
  EXPECT_EQ(answer.status, 403);
  EXPECT_EQ(answer.code(), "td_debug_enabled");
  expect_quarantined(agent, "td_debug_enabled");
  EXPECT_EQ(decisions(), std::vector<std::string>{"td_debug_enabled"});
  const auto audited = actions();
  EXPECT_EQ(std::vector<std::string>(audited.end() - 2, audited.end()),
            (std::vector<std::string>{"agent_attestation_failed", "agent_quarantined"}));
}

TEST_F(RefreshTest, WhatSaysNothingAboutTheTdChangesNothing) {
  const RegisteredAgent agent(cp_, "tdx-agent-001");
  const std::string attested_at = agent.column(cp_, "attested_at");
  auto refresh = agent.prepare_refresh(cp_);
  refresh.request.nonce = std::string(64, '0');
  EXPECT_EQ(agent.send(cp_, refresh).code(), "nonce_unknown");
  cp_.clock.advance(Seconds(1));
  // A thief of the credential has no signing key.
  const RegisteredAgent other(cp_, "tdx-agent-002");
  refresh = agent.prepare_refresh(cp_);
  const std::string body = json::write(refresh.request);
  auto headers = agent.bearer();
  headers.push_back({"X-EE-Agent-Signature", other.agent().sign_request("POST", agent.path("/attestation"),
                                                                        refresh.challenge.challenge_id, body)});
  EXPECT_EQ(cp_.call("POST", agent.path("/attestation"), body, headers).code(), "pop_signature_invalid");
  cp_.clock.advance(Seconds(1));
  EXPECT_EQ(agent.send(cp_, refresh).status, 200) << "the nonce was not used up";
  cp_.clock.advance(Seconds(1));
  EXPECT_EQ(agent.send(cp_, refresh).code(), "nonce_replayed");
  EXPECT_EQ(decisions(), (std::vector<std::string>{"nonce_unknown", "pop_signature_invalid", "ok", "nonce_replayed"}));
  EXPECT_EQ(agent.column(cp_, "status"), "undeployed");
  EXPECT_EQ(agent.column(cp_, "attestation_state"), "verified");
  EXPECT_NE(agent.column(cp_, "attested_at"), attested_at);
}

/// The emulator's keys are published, so a quote of it is all that a thief needs to be refused with a reason about the
/// TD, and such a quote is refused before the request's signature is looked at.
TEST_F(RefreshTest, AThiefOfTheCredentialCannotEndTheTrustByAnEmulatedQuote) {
  const TempDir dir;
  const std::string url = "sqlite:" + (dir / "cp.db").string();
  std::optional<TestControlPlane> trusting(std::in_place,
                                           TestControlPlane::Options{.environment = {{"EE_DATABASE_URL", url}}});
  const RegisteredAgent agent(*trusting, "tdx-agent-001");
  const std::string attested_at = agent.column(*trusting, "attested_at");
  const auto stolen = agent.prepare_refresh(*trusting);
  trusting->stop();
  trusting.reset();
  TestControlPlane cp(
      {.environment = {
           {"EE_DATABASE_URL", url}, {"EE_ALLOW_EMULATED_TDX", "0"}, {"EE_ATTESTATION_VERIFIER_MODE", "dcap"}}});
  auto headers = agent.bearer();
  headers.push_back({"X-EE-Agent-Signature", to_base64(ByteVector(64, 7))});
  const TestAnswer answer = cp.call("POST", agent.path("/attestation"), json::write(stolen.request), headers);
  EXPECT_EQ(answer.status, 403);
  EXPECT_EQ(answer.code(), "quote_emulated_refused");
  EXPECT_EQ(agent.column(cp, "status"), "undeployed");
  EXPECT_EQ(agent.column(cp, "attestation_state"), "verified");
  EXPECT_EQ(agent.column(cp, "attested_at"), attested_at);
  EXPECT_EQ(
      cp.values<std::string>("SELECT reason_code FROM attestation_audit WHERE event='refresh_attestation_rejected'"),
      std::vector<std::string>{"quote_emulated_refused"});
}

/// Collateral that can be had, until `error` says otherwise.
struct FailingCollateral final : attestation::CollateralSource {
  Result<attestation::Collateral> get(const std::string&, attestation::CaKind, UtcTime, std::stop_token) override {
    if (error) return fail(*error);
    return collateral;
  }
  attestation::Collateral collateral = EmulatedEvidence().collateral();
  std::optional<ErrorCode> error;
};

// covers: S01_RAT_004
TEST_F(RefreshTest, WhatCannotBeJudgedChangesNothing) {
  const auto source = std::make_shared<FailingCollateral>();
  TestControlPlane cp({.collateral = source});
  cp.clock.set_auto_advance(true);
  const RegisteredAgent agent(cp, "tdx-agent-001");
  const std::string attested_at = agent.column(cp, "attested_at");
  for (const ErrorCode code : {ErrorCode::collateral_unavailable, ErrorCode::collateral_expired,
                               ErrorCode::verifier_unavailable, ErrorCode::tcb_info_signature_invalid}) {
    SCOPED_TRACE(slug(code));
    source->error = code;
    const TestAnswer answer = agent.refresh(cp);
    EXPECT_EQ(answer.status, 503);
    EXPECT_EQ(answer.code(), slug(code));
    EXPECT_FALSE(answer.header("Retry-After").empty());
    EXPECT_EQ(agent.column(cp, "status"), "undeployed");
    EXPECT_EQ(agent.column(cp, "attestation_state"), "verified");
    EXPECT_EQ(agent.column(cp, "attested_at"), attested_at) << "its age goes on";
  }
  source->error.reset();
  EXPECT_EQ(agent.refresh(cp).status, 200);
}

/// What the PCS, the token service, or this side's clock and settings are to blame for. It must end some time, though.
TEST_F(RefreshTest, WhatSaysNothingAboutTheTdIsShownAndBoundedByTheAge) {
  const auto source = std::make_shared<FailingCollateral>();
  TestControlPlane cp({.collateral = source});
  const RegisteredAgent agent(cp, "tdx-agent-001");
  const std::string attested_at = agent.column(cp, "attested_at");
  for (const ErrorCode code : {ErrorCode::fmspc_unknown, ErrorCode::tcb_info_mismatch}) {
    SCOPED_TRACE(slug(code));
    source->error = code;
    for (int attempt = 0; attempt < 2; ++attempt) {
      const TestAnswer answer = agent.refresh(cp);
      EXPECT_EQ(answer.status, 403);
      EXPECT_EQ(answer.code(), slug(code));
    }
    EXPECT_EQ(agent.column(cp, "status"), "undeployed");
    EXPECT_EQ(agent.column(cp, "attestation_state"), "verified");
    EXPECT_EQ(agent.column(cp, "attested_at"), attested_at) << "its age goes on";
    EXPECT_EQ(agent.column(cp, "attestation_error"), slug(code));
  }
  const auto refusals = cp.values<std::string>(
      "SELECT reason_code FROM attestation_audit WHERE event='refresh_attestation_rejected' ORDER BY reason_code");
  EXPECT_EQ(refusals,
            (std::vector<std::string>{"fmspc_unknown", "fmspc_unknown", "tcb_info_mismatch", "tcb_info_mismatch"}));
  source->error.reset();
  EXPECT_EQ(agent.refresh(cp).status, 200);
  EXPECT_EQ(agent.column(cp, "attestation_error"), "null");

  source->error = ErrorCode::fmspc_unknown;
  cp.clock.advance(Seconds(7300));
  EXPECT_EQ(agent.refresh(cp).code(), "fmspc_unknown");
  ASSERT_TRUE(cp.app().run_job("agent_attestation_ages"));
  EXPECT_EQ(agent.column(cp, "attestation_state"), "stale");
  EXPECT_EQ(agent.column(cp, "attestation_error"), "fmspc_unknown");
}

/// Refusals by a token's times, keys and names depend on the clock, the key cache and the settings here.
TEST(RefreshByToken, ATokenThatIsOnlyMisjudgedHereDoesNotEndTheTrust) {
  RegistrationCase tried({{.environment = with_intel_ta()}});
  TestControlPlane& cp = *tried.cp;
  const RegisteredAgent agent(cp, "tdx-agent-002");
  struct Case {
    const char* code;
    standins::IntelTaToken token;
  };
  const Case cases[] = {
      {"ita_token_expired", {.exp_offset = -1000}},        {"ita_token_not_yet_valid", {.nbf_offset = 1000}},
      {"ita_token_stale", {.iat_offset = -1000}},          {"ita_key_unknown", {.kid = "nobody's"}},
      {"ita_issuer_invalid", {.issuer = "https://other"}}, {"ita_audience_invalid", {.audience = "somebody"}}};
  for (const Case& one : cases) {
    SCOPED_TRACE(one.code);
    tried.intel_ta->set_token(one.token);
    EXPECT_EQ(agent.refresh(cp).code(), one.code);
    EXPECT_EQ(agent.column(cp, "status"), "undeployed");
    EXPECT_EQ(agent.column(cp, "attestation_state"), "verified");
    EXPECT_EQ(agent.column(cp, "attestation_error"), one.code);
  }
  tried.intel_ta->set_token({.foreign_signature = true});
  EXPECT_EQ(agent.refresh(cp).code(), "ita_signature_invalid");
  EXPECT_EQ(agent.column(cp, "status"), "quarantined");
}

TEST(RefreshByToken, TheOtherVerifiersDefiniteReasonCounts) {
  RegistrationCase tried({{.environment = with_intel_ta({{"EE_ATTESTATION_VERIFIER_MODE", "both"}})}});
  TestControlPlane& cp = *tried.cp;
  const RegisteredAgent agent(cp, "tdx-agent-002");
  tried.intel_ta->set_token({.exp_offset = -1000});
  EXPECT_EQ(agent.refresh(cp).code(), "ita_token_expired");
  EXPECT_EQ(agent.column(cp, "attestation_state"), "verified");
  EXPECT_EQ(agent.refresh(cp, {.fault = attestation::QuoteFault::broken_signature}).code(), "ita_token_expired");
  EXPECT_EQ(agent.column(cp, "attestation_state"), "failed");
  EXPECT_EQ(agent.column(cp, "attestation_error"), "quote_signature_invalid");
}

// covers: S01_RAT_007
TEST_F(RefreshTest, ARebootBringsNewKeysAndRegistersAgain) {
  const RegisteredAgent before(cp_, "tdx-agent-001");
  cp_.clock.advance(Seconds(121));  // the takeover time of an agent without owner
  const RegisteredAgent after(cp_, "tdx-agent-001");
  EXPECT_EQ(after.id(), before.id());
  EXPECT_NE(after.credential(), before.credential());
  // The credential of the boot before is void, and its keys do not fit the new one.
  EXPECT_EQ(before.ask_challenge(cp_).status, 401);
  auto refresh = after.prepare_refresh(cp_);
  const auto nonce = from_hex_exact<32>(refresh.challenge.nonce).value();
  refresh.request.evidence.quote =
      before.agent().evidence(attestation::Purpose::refresh, nonce, TestControlPlane::kOrigin).quote_base64;
  EXPECT_EQ(after.send(cp_, refresh).code(), "report_data_mismatch");
}

TEST_F(RefreshTest, AQuarantinedAgentComesBackByRegisteringAgain) {
  RegisteredAgent agent(cp_, "tdx-agent-001");
  EmulatedQuoteSpec other;
  other.measurements.rtmrs[3][0] ^= 1;
  EXPECT_EQ(agent.refresh(cp_, other).code(), "measurement_changed");
  expect_quarantined(agent, "measurement_changed");
  agent.register_at(cp_);
  EXPECT_EQ(agent.column(cp_, "attestation_state"), "verified");
  EXPECT_EQ(agent.column(cp_, "status"), "undeployed");
  EXPECT_EQ(agent.refresh(cp_).status, 200);
}

// covers: S01_NON_010
TEST_F(RefreshTest, AnotherAgentsCredentialGetsNoChallenge) {
  const RegisteredAgent first(cp_, "tdx-agent-001");
  const RegisteredAgent second(cp_, "tdx-agent-002");
  const std::string body = R"({"client_nonce":")" + std::string(64, 'c') + "\"}";
  const TestAnswer challenge = cp_.call("POST", first.path("/attestation/challenge"), body, second.bearer());
  EXPECT_EQ(challenge.status, 403);
  EXPECT_EQ(challenge.code(), "agent_mismatch");
  const TestAnswer refresh = cp_.call("POST", first.path("/attestation"), body, second.bearer());
  EXPECT_EQ(refresh.status, 403);
  EXPECT_EQ(cp_.call("POST", first.path("/attestation/challenge"), body).status, 401);
  // A challenge of one agent is not the other's, though it signs as itself.
  auto stolen = first.prepare_refresh(cp_);
  const auto own = second.prepare_refresh(cp_);
  stolen.request.evidence = own.request.evidence;
  EXPECT_EQ(second.send(cp_, stolen).code(), "nonce_context_mismatch");
  EXPECT_EQ(first.column(cp_, "attestation_state"), "verified");
  EXPECT_EQ(second.column(cp_, "attestation_state"), "verified");
}

TEST_F(RefreshTest, RegistrationAndRefreshDoNotTakeEachOthersChallenge) {
  const RegisteredAgent agent(cp_, "tdx-agent-001");
  auto refresh = agent.prepare_refresh(cp_);
  auto registration = cp_.prepare(agent.agent());
  auto wrong = refresh;
  wrong.request.challenge = registration.challenge.challenge;
  wrong.request.nonce = registration.challenge.nonce;
  wrong.challenge = registration.challenge;
  EXPECT_EQ(agent.send(cp_, wrong).code(), "nonce_context_mismatch");
  registration.request.challenge = refresh.challenge.challenge;
  registration.request.nonce = refresh.challenge.nonce;
  registration.challenge = refresh.challenge;
  EXPECT_EQ(cp_.send(agent.agent(), registration).code(), "nonce_context_mismatch");
  EXPECT_EQ(agent.send(cp_, refresh).status, 200);
}

TEST_F(RefreshTest, ARefusalThatCannotBeAuditedStillRefuses) {
  const RegisteredAgent agent(cp_, "tdx-agent-001");
  set_trigger(
      cp_, {.name = "broken", .event = "BEFORE INSERT", .table = "attestation_audit", .when = "", .message = "broken"});
  EmulatedQuoteSpec debug;
  debug.td_attributes |= attestation::kTdDebug;
  EXPECT_EQ(agent.refresh(cp_, debug).code(), "td_debug_enabled");
  EXPECT_EQ(agent.refresh(cp_).code(), "audit_unavailable") << "nothing is accepted without its row";
  EXPECT_EQ(cp_.values<std::int64_t>("SELECT COUNT(*) FROM attestation_audit WHERE purpose='refresh'").front(), 0);
  const std::string metrics = cp_.call("GET", "/metrics", "", {}, "127.0.0.1").body;
  EXPECT_NE(metrics.find("ee_attestation_audit_failures_total 2"), std::string::npos) << metrics.substr(0, 200);
}

}  // namespace
}  // namespace ee::testing
