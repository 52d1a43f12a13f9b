// What holds across the steps of the verification of a registration: their order, failures inside of them, the binding
// of evidence to challenge, keys and name, what a warning mode lets through, and the transaction at the end.
#include <gtest/gtest.h>

#include <stdexcept>

#include "attestation/quote/layout.h"
#include "common/credential.h"
#include "common/crypto.h"
#include "tests/support/registration_case.h"
#include "tests/support/test_trigger.h"

namespace ee::testing {
namespace {

using attestation::Purpose;
using cp::VerificationStep;
using standins::IntelTa;

Fault request_fault(std::string code, int status, std::function<void(RegistrationCase&)> change) {
  return {.code = std::move(code), .status = status, .request = std::move(change)};
}
Fault evidence_fault(std::string code, std::function<void(EmulatedEvidence&)> change) {
  return {.code = std::move(code), .status = 403, .evidence = std::move(change)};
}

// covers: S01_REG_018
TEST(RegistrationOrder, OfTwoFaultsTheEarlierStepsIsTold) {
  const Fault no_nonce{.code = "nonce_missing",
                       .status = 400,
                       .request = [](RegistrationCase& c) { c.registration.request.nonce = ""; },
                       .audited = false};
  const Fault bad_policy{
      .code = "policy_invalid", .status = 503, .environment = {{"EE_ATTESTATION_VERIFIER_MODE", "ita"}}};
  const Fault not_tdx = request_fault("quote_not_tdx", 400, [](RegistrationCase& c) {
    c.change_quote(attestation::layout::header::TeeType::offset, 0);
  });
  const Fault unknown = request_fault("nonce_unknown", 403,
                                      [](RegistrationCase& c) { c.registration.request.nonce = std::string(64, '0'); });
  const Fault other_signature = request_fault("pop_signature_invalid", 403, [](RegistrationCase& c) {
    c.registration.challenge.challenge_id = "01900000-0000-7000-8000-000000000000";
  });
  const Fault replayed = request_fault("nonce_replayed", 403, [](RegistrationCase& c) {
    c.cp->execute(
        "INSERT INTO attestation_nonces (nonce_hash, purpose, vm_name, expires_at, consumed_at, consumed_by) "
        "VALUES (:hash, 'register', 'tdx-agent-001', 0, 0, 'earlier')",
        {{"hash", to_hex(sha256(from_hex(c.registration.challenge.nonce).value()))}});
  });
  const Fault other_data = request_fault("report_data_mismatch", 403, [](RegistrationCase& c) {
    auto claims = c.claims();
    claims.vm_name = "another-vm";
    c.quote_for(claims);
  });
  const Fault debug =
      evidence_fault("td_debug_enabled", [](EmulatedEvidence& e) { e.spec.td_attributes |= attestation::kTdDebug; });
  const Fault broken = evidence_fault(
      "quote_signature_invalid", [](EmulatedEvidence& e) { e.spec.fault = attestation::QuoteFault::broken_signature; });
  const Fault untrusted =
      evidence_fault("mrtd_untrusted", [](EmulatedEvidence& e) { e.spec.measurements.mrtd[0] ^= 1; });
  const Fault old = evidence_fault("tcb_not_acceptable",
                                   [](EmulatedEvidence& e) { e.spec.tee_tcb_svn = attestation::kOutOfDateTcbSvn; });
  const Fault other_boot =
      evidence_fault("rtmr_mismatch", [](EmulatedEvidence& e) { e.spec.measurements.rtmrs[1][0] ^= 1; });
  const Fault bad_log = request_fault("event_log_malformed", 400,
                                      [](RegistrationCase& c) { c.registration.request.evidence.event_log = "AQID"; });
  const Fault no_audit = request_fault("audit_unavailable", 503, [](RegistrationCase& c) {
    set_trigger(*c.cp, {.name = "broken",
                        .event = "BEFORE INSERT",
                        .table = "attestation_audit",
                        .when = "NEW.result = 'accepted'",
                        .message = "broken"});
  });
  const auto token = [](std::string code, standins::IntelTaToken wrong) {
    return Fault{.code = std::move(code),
                 .status = 403,
                 .environment = with_intel_ta(),
                 .intel_ta = [wrong = std::move(wrong)](IntelTa& ita) { ita.set_token(wrong); }};
  };
  const standins::IntelTaToken other_rtmr{.tdx_overrides = {{"tdx_rtmr2", '"' + std::string(96, '0') + '"'}}};
  const standins::IntelTaToken foreign_other_rtmr{.foreign_signature = true, .tdx_overrides = other_rtmr.tdx_overrides};

  const std::pair<Fault, Fault> neighbours[] = {{no_nonce, bad_policy},
                                                {bad_policy, not_tdx},
                                                {not_tdx, unknown},
                                                {unknown, other_signature},
                                                {other_signature, replayed},
                                                {replayed, other_data},
                                                {other_data, debug},
                                                {debug, broken},
                                                {token("ita_signature_invalid", foreign_other_rtmr), {}},
                                                {token("ita_quote_mismatch", other_rtmr), untrusted},
                                                {broken, untrusted},
                                                {untrusted, old},
                                                {old, other_boot},
                                                {other_boot, bad_log},
                                                {bad_log, no_audit}};
  for (const auto& [earlier, later] : neighbours) {
    SCOPED_TRACE("and " + later.code);
    Fault second = later;
    RegistrationCase tried({earlier, second});
    expect_refusal(tried, earlier);
  }
  for (const Fault& alone : {replayed, other_data, no_audit, bad_log}) {
    RegistrationCase tried({alone});
    expect_refusal(tried, alone);
  }
}

// covers: S01_REG_017
TEST(RegistrationOrder, AStepThatThrowsRefuses) {
  using enum VerificationStep;
  for (const VerificationStep broken :
       {policy, quote, challenge, nonce, report_data, td_attributes, verifiers, mrtd, event_log}) {
    SCOPED_TRACE(static_cast<int>(broken));
    const Fault fault{.code = "internal_verification_error",
                      .status = 500,
                      .before_step = [=](RegistrationCase&, VerificationStep step) {
                        if (step == broken) throw std::runtime_error("injected");
                      }};
    RegistrationCase tried({fault});
    expect_refusal(tried, fault);
  }
}

// covers: S01_FAIL_001
TEST(RegistrationOrder, TheDeadlineEndsTheVerificationAtEachStep) {
  using enum VerificationStep;
  for (const VerificationStep slow : {policy, challenge, report_data, verifiers, mrtd, event_log}) {
    SCOPED_TRACE(static_cast<int>(slow));
    const Fault fault{
        .code = "verifier_timeout", .status = 503, .before_step = [=](RegistrationCase& c, VerificationStep step) {
          if (step == slow) c.cp->clock.advance(Seconds(60));
        }};
    RegistrationCase tried({fault});
    expect_refusal(tried, fault);
  }
}

// covers: S01_FAIL_002
TEST(RegistrationOrder, MoreVerificationsThanAreAllowedAtOnceAreBusy) {
  TestAnswer second;
  RegistrationCase tried({{.environment = {{"EE_VERIFY_MAX_CONCURRENCY", "1"}},
                           .before_step = [&](RegistrationCase& c, VerificationStep step) {
                             if (step == VerificationStep::policy) return;  // no slot is held yet
                             c.quiet = true;
                             const EmulatedAgent other("tdx-agent-002", c.random);
                             second = c.cp->register_agent(other);
                           }}});
  EXPECT_EQ(tried.send().status, 201);
  EXPECT_EQ(second.status, 503);
  EXPECT_EQ(second.code(), "verifier_busy");
  EXPECT_FALSE(second.header("Retry-After").empty());
  EXPECT_EQ(tried.cp->agents(), 1);
  EXPECT_EQ(tried.used_nonces(), 1) << "the refused one keeps its nonce";
  EXPECT_EQ(tried.refusals(), std::vector<std::string>{"verifier_busy"}) << "it had passed step 1";
}

// covers: S01_FAIL_003
TEST(RegistrationOrder, ATrustRowThatChangesBeforeTheTransactionIsAskedAgain) {
  const Fault fault{
      .code = "policy_changed_retry", .status = 409, .before_step = [](RegistrationCase& c, VerificationStep step) {
        if (step != VerificationStep::event_log) return;
        const auto mrtd = to_hex(attestation::EmulatedMeasurements::defaults(attestation::EmulatedRole::agent).mrtd);
        const TestAnswer changed = c.cp->admin("POST", "/api/v1/admin/trusted-mrtds",
                                               R"({"mrtd":")" + mrtd + R"(","kind":"agent","note":"","profiles":[]})");
        ASSERT_EQ(changed.status, 201) << changed.body;
      }};
  RegistrationCase tried({fault});
  tried.cp->admin("GET", "/api/v1/admin/trusted-mrtds");  // signed in before
  expect_refusal(tried, fault);
}

// covers: S01_AUD_006
TEST(RegistrationOrder, NothingIsAcceptedWithoutItsAuditRow) {
  RegistrationCase tried;
  set_trigger(
      *tried.cp,
      {.name = "broken", .event = "BEFORE INSERT", .table = "attestation_audit", .when = "", .message = "broken"});
  const TestAnswer answer = tried.send();
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.code(), "audit_unavailable");
  EXPECT_EQ(tried.cp->agents(), 0);
  EXPECT_EQ(tried.cp->values<std::int64_t>("SELECT COUNT(*) FROM agent_evidence").front(), 0);
}

// covers: S01_BIND_002, S01_BIND_004, S01_BIND_005, S01_BIND_007, S01_BIND_008
TEST(RegistrationBinding, EachFieldOfTheBindingCounts) {
  const std::pair<const char*, void (*)(EvidenceClaims&)> changes[] = {
      {"purpose refresh", [](EvidenceClaims& c) { c.purpose = Purpose::refresh; }},
      {"purpose public", [](EvidenceClaims& c) { c.purpose = Purpose::public_; }},
      {"purpose control plane", [](EvidenceClaims& c) { c.purpose = Purpose::control_plane; }},
      {"nonce", [](EvidenceClaims& c) { c.nonce[31] ^= 1; }},
      {"audience", [](EvidenceClaims& c) { c.audience = "https://rogue.example.com"; }},
      {"name", [](EvidenceClaims& c) { c.vm_name = "tdx-agent-002"; }},
      {"signing key", [](EvidenceClaims& c) { c.signing_key[0] ^= 1; }},
      {"sealing key", [](EvidenceClaims& c) { c.sealing_key[0] ^= 1; }}};
  for (const auto& [what, change] : changes) {
    Fault fault = request_fault("report_data_mismatch", 403, [change](RegistrationCase& c) {
      EvidenceClaims claims = c.claims();
      change(claims);
      c.quote_for(claims);
    });
    fault.what = what;
    RegistrationCase tried({fault});
    expect_refusal(tried, fault);
  }
  RegistrationCase relay;  // a captured quote beside the attacker's own sealing key
  const EmulatedAgent attacker("tdx-agent-001", relay.random);
  relay.registration.request.sealing_key = to_base64(attacker.sealing_key().public_key());
  expect_refusal(relay, {.code = "report_data_mismatch", .status = 403});
}

// covers: S01_BIND_006, S02_AGT_REG_004
TEST(RegistrationBinding, ASignatureByOrOverSomethingElseIsRefusedAndTheNonceStaysUsable) {
  RegistrationCase tried;
  const std::string path = "/api/v1/agents/register", body = json::write(tried.registration.request);
  const std::string id = tried.registration.challenge.challenge_id;
  const EmulatedAgent other("tdx-agent-001", tried.random);
  const std::string signatures[] = {
      other.sign_request("POST", path, id, body), tried.agent.sign_request("PUT", path, id, body),
      tried.agent.sign_request("POST", path + "/", id, body),
      tried.agent.sign_request("POST", path, "01900000-0000-7000-8000-000000000000", body),
      tried.agent.sign_request("POST", path, id, body + " ")};
  for (const std::string& signature : signatures) {
    const TestAnswer answer = tried.cp->call("POST", path, body, {{"X-EE-Agent-Signature", signature}});
    EXPECT_EQ(answer.status, 403);
    EXPECT_EQ(answer.code(), "pop_signature_invalid");
  }
  EXPECT_EQ(tried.used_nonces(), 0);
  EXPECT_EQ(tried.send().status, 201);
}

// covers: S01_NON_004
TEST(RegistrationNonce, EveryAlteredByteOfAChallengeIsUnknown) {
  RegistrationCase tried;
  const std::string good = *tried.registration.request.challenge;
  std::vector<std::string> wrong = {good.substr(0, good.size() - 1), good.substr(1), good + "A", "A" + good, "AAAA"};
  for (std::size_t i = 0; i < good.size(); ++i) {
    wrong.push_back(good);
    wrong.back()[i] = good[i] == 'A' ? 'B' : 'A';
  }
  for (const std::string& challenge : wrong) {
    tried.registration.request.challenge = challenge;
    ASSERT_EQ(tried.send().code(), "nonce_unknown") << challenge;
  }
  tried.registration.request.challenge = good;
  EXPECT_EQ(tried.used_nonces(), 0);
  EXPECT_EQ(tried.send().status, 201);
}

// covers: S01_NON_005 (vm_name)
TEST(RegistrationNonce, AChallengeForAnotherNameIsRefusedAndStaysUsable) {
  RegistrationCase tried;
  const EmulatedAgent other("tdx-agent-002", tried.random);
  auto stolen = tried.cp->prepare(other);
  stolen.challenge = tried.registration.challenge;
  stolen.request.challenge = tried.registration.request.challenge;
  stolen.request.nonce = tried.registration.request.nonce;
  const TestAnswer answer = tried.cp->send(other, stolen);
  EXPECT_EQ(answer.status, 403);
  EXPECT_EQ(answer.code(), "nonce_context_mismatch");
  EXPECT_EQ(tried.used_nonces(), 0);
  EXPECT_EQ(tried.send().status, 201);
}

// covers: S01_TCB_002, S01_TCB_003, S01_RTMR_002, S01_RTMR_003, S01_RTMR_004, S01_AUD_003
TEST(RegistrationModes, AWarningModeAcceptsAndSaysSo) {
  const auto old = [](EmulatedEvidence& e) { e.spec.tee_tcb_svn = attestation::kOutOfDateTcbSvn; };
  const auto other_boot = [](EmulatedEvidence& e) { e.spec.measurements.rtmrs[1][0] ^= 1; };
  const auto no_profile = [](EmulatedEvidence& e) { e.spec.measurements.mrtd.fill(0xab); };
  struct Row {
    TestControlPlane::Environment environment;
    std::function<void(EmulatedEvidence&)> evidence;
    const char* warning;
  };
  const std::string mrtd = to_hex(ByteVector(48, 0xab));
  const Row rows[] = {
      {{{"TCB_ENFORCEMENT_MODE", "warn"}}, old, "tcb_not_acceptable"},
      {{{"TCB_ENFORCEMENT_MODE", "disabled"}}, old, "tcb_check_disabled"},
      {{{"RTMR_ENFORCEMENT_MODE", "warn"}}, other_boot, "rtmr_mismatch"},
      {{{"RTMR_ENFORCEMENT_MODE", "disabled"}}, other_boot, "rtmr_check_disabled"},
      {{{"RTMR_ENFORCEMENT_MODE", "warn"}, {"TRUSTED_AGENT_MRTDS", mrtd}}, no_profile, "rtmr_no_baseline"},
      {{{"RTMR_ENFORCEMENT_MODE", "disabled"}, {"TRUSTED_AGENT_MRTDS", mrtd}}, no_profile, "rtmr_check_disabled"}};
  for (const Row& row : rows) {
    SCOPED_TRACE(row.warning);
    RegistrationCase tried({{.environment = row.environment, .evidence = row.evidence}});
    const TestAnswer answer = tried.send();
    EXPECT_EQ(answer.status, 201) << answer.body;
    const auto warnings = tried.accepted_warnings();
    ASSERT_EQ(warnings.size(), 1U);
    EXPECT_NE(warnings[0].find('"' + std::string(row.warning) + '"'), std::string::npos) << warnings[0];
    EXPECT_NE(warnings[0].find("\"emulated_quote\""), std::string::npos) << warnings[0];
  }
}

// covers: S02_AGT_REG_006 (no token is issued yet: each is refused with one code)
TEST(RegistrationToken, TokensAreRefusedOrDemanded) {
  const Fault shown = request_fault("invalid_bootstrap_token", 403, [](RegistrationCase& c) {
    c.registration.request.bootstrap_token = new_credential(CredentialKind::boot, c.random).value().text.reveal();
  });
  const Fault absent{
      .code = "bootstrap_token_required", .status = 403, .environment = {{"EE_AGENT_REQUIRE_BOOTSTRAP_TOKEN", "1"}}};
  expect_each_refused({shown, absent});
}

// covers: S02_AGT_REG_011
TEST(RegistrationToken, AnotherSizeOrDatacenterIsAnotherMachine) {
  RegistrationCase tried;
  ASSERT_EQ(tried.send().status, 201);
  tried.cp->clock.advance(Seconds(1000));
  auto elsewhere = tried.cp->prepare(tried.agent);
  elsewhere.request.datacenter = "baremetal:other";
  const TestAnswer answer = tried.cp->send(tried.agent, elsewhere);
  EXPECT_EQ(answer.status, 409);
  EXPECT_EQ(answer.code(), "agent_identity_mismatch");
  auto bigger = tried.cp->prepare(tried.agent);
  bigger.request.node_size = "standard";
  bigger.request.capacity = {.vcpus = 64, .memory_mib = 262144, .disk_mib = 1000000, .gpu_count = 0};
  EXPECT_EQ(tried.cp->send(tried.agent, bigger).code(), "agent_identity_mismatch");
  EXPECT_EQ(tried.cp->agents(), 1);
}

}  // namespace
}  // namespace ee::testing
