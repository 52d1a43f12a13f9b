// Every reason for which evidence is refused, each produced through the route, one fault at a time: quote, nonce and
// binding, the built-in verifier, policies and logs. Intel Trust Authority's are in registration_matrix_ita_test.cpp.
#include <gtest/gtest.h>

#include <stdexcept>

#include "attestation/quote/layout.h"
#include "attestation/workload_log.h"
#include "tests/support/event_log_maker.h"
#include "tests/support/registration_case.h"

namespace ee::testing {
namespace {

using attestation::EmulatedCollateral;
using attestation::EmulatedMeasurements;
using attestation::EmulatedRole;
using attestation::QuoteFault;
using attestation::QuoteForm;
namespace layout = attestation::layout;

constexpr std::size_t kSignatureData = layout::header::kSize + layout::body::kSize10;

Fault altered(std::string code, std::size_t offset, std::uint8_t value) {
  return {.code = std::move(code), .status = 400, .request = [=](RegistrationCase& tried) {
            tried.change_quote(offset, value);
          }};
}
Fault claimed(std::string code, int status, std::function<void(RegistrationCase&)> change, bool audited = true) {
  return {.code = std::move(code), .status = status, .request = std::move(change), .audited = audited};
}
Fault quoted(std::string code, std::function<void(EmulatedEvidence&)> change, int status = 403,
             TestControlPlane::Environment environment = {}) {
  return {
      .code = std::move(code), .status = status, .environment = std::move(environment), .evidence = std::move(change)};
}
std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  if (at == std::string::npos) throw std::runtime_error("not there: " + std::string(from));
  return text.replace(at, from.size(), to);
}

// covers: S01_REG_001
TEST(RegistrationMatrix, AdmitsTheRegistrationThatHasNoFault) {
  RegistrationCase tried;
  EXPECT_EQ(tried.send().status, 201);
  EXPECT_EQ(tried.cp->agents(), 1);
  EXPECT_TRUE(tried.refusals().empty());
}

// covers: S01_REG_002
TEST(RegistrationMatrix, RefusesInFrontOfThePipelineWithoutAuditRows) {
  expect_each_refused({
      claimed(
          "nonce_missing", 400, [](RegistrationCase& c) { c.registration.request.nonce.reset(); }, false),
      claimed(
          "nonce_missing", 400, [](RegistrationCase& c) { c.registration.request.nonce = ""; }, false),
      claimed(
          "nonce_missing", 400, [](RegistrationCase& c) { c.registration.request.challenge.reset(); }, false),
      claimed(
          "quote_missing", 400, [](RegistrationCase& c) { c.registration.request.evidence.quote.reset(); }, false),
      claimed(
          "quote_missing", 400, [](RegistrationCase& c) { c.registration.request.evidence.quote = ""; }, false),
      claimed(
          "invalid_request", 400,
          [](RegistrationCase& c) { c.registration.request.sealing_key = to_base64(ByteVector(32)); }, false),
      claimed(
          "invalid_request", 400, [](RegistrationCase& c) { c.registration.request.signing_key = "AAAA"; }, false),
      claimed(
          "invalid_request", 400, [](RegistrationCase& c) { c.registration.request.evidence.quote = "%%%"; }, false),
  });
}

TEST(RegistrationMatrix, RefusesARequestWithoutAReadableSignatureInFrontOfThePipeline) {
  RegistrationCase tried;
  const std::string path = "/api/v1/agents/register", body = json::write(tried.registration.request);
  const std::vector<HttpHeader> headers[] = {{},
                                             {{"X-EE-Agent-Signature", ""}},
                                             {{"X-EE-Agent-Signature", "not base64"}},
                                             {{"X-EE-Agent-Signature", to_base64(ByteVector(63))}}};
  for (const auto& wrong : headers) {
    const TestAnswer answer = tried.cp->call("POST", path, body, wrong);
    EXPECT_EQ(answer.status, 400);
    EXPECT_EQ(answer.code(), "invalid_request");
    EXPECT_NE(answer.body.find("X-EE-Agent-Signature"), std::string::npos) << answer.body;
  }
  EXPECT_TRUE(tried.refusals().empty());
  EXPECT_EQ(tried.used_nonces(), 0);
  EXPECT_EQ(tried.send().status, 201) << "the challenge is still good";
}

TEST(RegistrationMatrix, TheEleventhAttemptOfOneAddressIsRateLimitedWithoutAuditRow) {
  RegistrationCase tried;
  tried.registration.request.nonce = "";
  for (int i = 0; i < 10; ++i)
    EXPECT_EQ(tried.cp->send(tried.agent, tried.registration, "192.0.2.7").code(), "nonce_missing") << i;
  const TestAnswer answer = tried.cp->send(tried.agent, tried.registration, "192.0.2.7");
  EXPECT_EQ(answer.status, 429);
  EXPECT_EQ(answer.code(), "rate_limited");
  EXPECT_FALSE(answer.header("Retry-After").empty());
  EXPECT_TRUE(tried.refusals().empty());
  EXPECT_EQ(tried.cp->agents(), 0);
}

// covers: S01_REG_013
TEST(RegistrationMatrix, RefusesQuotesThatCannotBeEvaluated) {
  using namespace layout;
  expect_each_refused({
      altered("quote_version_unsupported", header::Version::offset, 3),
      altered("quote_key_type_unsupported", header::KeyType::offset, 3),
      altered("quote_not_tdx", header::TeeType::offset, 0),
      altered("quote_vendor_unknown", header::QeVendorId::offset, 0xff),
      altered("quote_certification_unsupported", kSignatureData + signature_data::CertificationType::offset, 5),
      altered("quote_certification_unsupported", kSignatureData + signature_data::kFixedEnd + 32, 1),
      altered("quote_malformed", kSignatureData + signature_data::Length::offset, 0xff),
      claimed("quote_malformed", 400, [](RegistrationCase& c) { c.set_quote(ByteVector(100)); }),
      {.code = "quote_body_unsupported",
       .status = 400,
       .evidence = [](EmulatedEvidence& e) { e.spec.form = QuoteForm::v5_td_1_0; },
       .request = [](RegistrationCase& c) { c.change_quote(body_descriptor::Type::offset, 4); }},
      {.code = "quote_emulated_refused", .status = 403, .environment = with_intel_ta({{"EE_ALLOW_EMULATED_TDX", "0"}})},
  });
}

// covers: S01_REG_003, S01_REG_006
TEST(RegistrationMatrix, RefusesWhatIsNotBoundToTheChallengeAndTheKeys) {
  expect_each_refused({
      claimed("nonce_unknown", 403, [](RegistrationCase& c) { c.registration.request.nonce = std::string(64, '0'); }),
      claimed("nonce_unknown", 403, [](RegistrationCase& c) { c.registration.request.challenge->pop_back(); }),
      claimed("nonce_context_mismatch", 403,
              [](RegistrationCase& c) {
                const auto other = c.cp->challenge("another-vm");
                c.registration.request.challenge = other.challenge;
                c.registration.request.nonce = other.nonce;
              }),
      claimed(
          "pop_signature_invalid", 403,
          [](RegistrationCase& c) { c.registration.challenge.challenge_id = "01900000-0000-7000-8000-000000000000"; }),
      claimed("report_data_mismatch", 403, [](RegistrationCase& c) { c.set_quote(emulated_quote()); }),
  });
}

// covers: S01_REG_004, S01_NON_002
TEST(RegistrationMatrix, AChallengeCountsUntilItExpiresAndNotOneMillisecondMore) {
  RegistrationCase in_time;
  in_time.cp->clock.advance(Seconds(300) - Milliseconds(1));
  EXPECT_EQ(in_time.send().status, 201);
  RegistrationCase late;
  late.cp->clock.advance(Seconds(300));
  expect_refusal(late, {.code = "nonce_expired", .status = 403});
}

// covers: S01_REG_005, S01_NON_009
TEST(RegistrationMatrix, ANonceIsBurnedByALaterFailure) {
  RegistrationCase tried(
      {quoted("tcb_not_acceptable", [](EmulatedEvidence& e) { e.spec.tee_tcb_svn = attestation::kOutOfDateTcbSvn; })});
  EXPECT_EQ(tried.send().code(), "tcb_not_acceptable");
  tried.cp->clock.advance(Milliseconds(1));  // rows of the audit are in the order of time
  const TestAnswer again = tried.send();
  EXPECT_EQ(again.status, 403);
  EXPECT_EQ(again.code(), "nonce_replayed");
  EXPECT_EQ(tried.refusals(), (std::vector<std::string>{"tcb_not_acceptable", "nonce_replayed"}));
  EXPECT_EQ(tried.cp->agents(), 0);
}

// covers: S01_POL_002
TEST(RegistrationMatrix, RefusesTdAttributes) {
  constexpr std::uint64_t kGood = attestation::kTdSeptVeDisable;
  const auto with = [](std::uint64_t attributes) {
    return [=](EmulatedEvidence& e) { e.spec.td_attributes = attributes; };
  };
  expect_each_refused({
      quoted("td_debug_enabled", with(kGood | attestation::kTdDebug)),
      quoted("td_attributes_refused", with(0)),
      quoted("td_attributes_refused", with(kGood | 2)),
      quoted("td_attributes_refused", with(kGood | attestation::kTdMigratable)),
      quoted("td_attributes_refused",
             [](EmulatedEvidence& e) {
               e.spec.form = QuoteForm::v5_td_1_5;
               e.spec.mrservicetd[0] = 1;
             }),
  });
}

// covers: S01_POL_001
TEST(RegistrationMatrix, RefusesADebugTdInEveryMode) {
  for (const char* mode : {"strict", "warn", "disabled"})
    expect_each_refused(
        {quoted("td_debug_enabled", [](EmulatedEvidence& e) { e.spec.td_attributes |= attestation::kTdDebug; }, 403,
                {{"TCB_ENFORCEMENT_MODE", mode}, {"RTMR_ENFORCEMENT_MODE", mode}})});
}

// covers: S02_AGT_REG_002 (with all of this file and of registration_matrix_ita_test.cpp)
TEST(RegistrationMatrix, RefusesWhatTheBuiltInVerifierRefusesOfAQuote) {
  using namespace layout::qe_report;
  expect_each_refused({
      quoted("quote_signature_invalid", [](EmulatedEvidence& e) { e.spec.fault = QuoteFault::broken_signature; }),
      quoted("qe_report_signature_invalid",
             [](EmulatedEvidence& e) { e.spec.fault = QuoteFault::broken_qe_signature; }),
      quoted("qe_report_binding_invalid", [](EmulatedEvidence& e) { e.spec.fault = QuoteFault::broken_qe_binding; }),
      quoted("pck_chain_untrusted", [](EmulatedEvidence& e) { e.options.key_label = "somebody else"; }),
      quoted("pck_chain_invalid",
             [](EmulatedEvidence& e) {
               e.change_chain = [](std::string& pem) {  // the leaf again in the place of its CA
                 constexpr std::string_view kBegin = "-----BEGIN";
                 const std::size_t ca = pem.find(kBegin, 1), root = pem.find(kBegin, ca + 1);
                 pem = pem.substr(0, ca) + pem.substr(0, ca) + pem.substr(root);
               };
             }),
      quoted("pck_certificate_expired",
             [](EmulatedEvidence& e) { e.options.certificates_until = e.options.issued_at - std::chrono::days(1); }),
      quoted("pck_extension_invalid",
             [](EmulatedEvidence& e) {
               e.change_chain = [&e](std::string& pem) {
                 const auto ca = e.key("platform CA"), pck = e.key("PCK");
                 pem = attestation::emulator::make_certificate({.subject = "Intel SGX PCK Certificate",
                                                                .issuer = "Intel SGX PCK Platform CA",
                                                                .serial = {0x51},
                                                                .subject_key = pck,
                                                                .issuer_key = ca,
                                                                .not_before = e.options.certificates_from,
                                                                .not_after = e.options.certificates_until}) +
                       pem.substr(pem.find("-----BEGIN", 1));
               };
             }),
      quoted("qe_identity_mismatch",
             [](EmulatedEvidence& e) {
               e.change_qe_report = [](ByteArray<384>& report) { report[MrSigner::offset] ^= 1; };
             }),
      quoted("tdx_module_unsupported", [](EmulatedEvidence& e) { e.spec.tee_tcb_svn = {5, 7, 2}; }),
      quoted("tdx_module_mismatch", [](EmulatedEvidence& e) { e.spec.seam_attributes = std::uint64_t{1} << 63; }),
      quoted("tcb_not_supported", [](EmulatedEvidence& e) { e.spec.tee_tcb_svn = attestation::kUnsupportedTcbSvn; }),
  });
}

TEST(RegistrationMatrix, RefusesWhenCollateralRefusesOrIsBad) {
  const auto with_collateral = [](void (*change)(EmulatedCollateral&)) {
    return [=](EmulatedEvidence& e) { e.change_collateral = change; };
  };
  expect_each_refused({
      quoted("pck_revoked", [](EmulatedEvidence& e) { e.options.revoke_pck = true; }),
      quoted("pck_revoked", [](EmulatedEvidence& e) { e.options.revoke_platform_ca = true; }),
      quoted("pck_revoked", [](EmulatedEvidence& e) { e.options.revoke_tcb_signer = true; }),
      quoted("tcb_info_mismatch",
             [](EmulatedEvidence& e) {
               e.change_tcb_info = [](std::string& json) { json = replaced(json, "EE0000000001", "EE0000000002"); };
             }),
      quoted(
          "collateral_expired", [](EmulatedEvidence& e) { e.options.issued_at -= std::chrono::days(31); }, 503),
      quoted("crl_invalid", with_collateral([](EmulatedCollateral& all) { all.pck_crl = {0x30, 0x00}; }), 503),
      quoted("crl_invalid", with_collateral([](EmulatedCollateral& all) { all.root_ca_crl = {0x30, 0x00}; }), 503),
      quoted("tcb_info_signature_invalid",
             with_collateral([](EmulatedCollateral& all) { all.tcb_info_signature[0] ^= 1; }), 503),
      quoted("qe_identity_signature_invalid",
             with_collateral([](EmulatedCollateral& all) { all.qe_identity_signature[0] ^= 1; }), 503),
      {.code = "fmspc_unknown", .status = 403, .collateral = ErrorCode::fmspc_unknown},
      {.code = "collateral_unavailable", .status = 503, .collateral = ErrorCode::collateral_unavailable},
      {.code = "collateral_rollback", .status = 503, .collateral = ErrorCode::collateral_rollback},
  });
}

// covers: S01_REG_014, S01_POL_006, S01_TCB_001, S01_TCB_005, S01_RTMR_001
TEST(RegistrationMatrix, RefusesByPolicy) {
  const auto out_of_date = [](EmulatedEvidence& e) { e.spec.tee_tcb_svn = attestation::kOutOfDateTcbSvn; };
  expect_each_refused({
      quoted("mrtd_untrusted", [](EmulatedEvidence& e) { e.spec.measurements.mrtd[0] ^= 1; }),
      quoted("mrtd_wrong_kind",
             [](EmulatedEvidence& e) {
               e.spec.measurements = EmulatedMeasurements::defaults(EmulatedRole::control_plane);
             }),
      quoted("tcb_not_acceptable", out_of_date),
      quoted("tcb_advisory_denied", out_of_date, 403,
             {{"ALLOWED_TCB_STATUSES", "UpToDate,OutOfDate"}, {"EE_DENIED_ADVISORIES", "INTEL-SA-99999"}}),
      quoted("rtmr_mismatch", [](EmulatedEvidence& e) { e.spec.measurements.rtmrs[1][0] ^= 1; }),
      quoted("rtmr_no_baseline", [](EmulatedEvidence& e) { e.spec.measurements.mrtd.fill(0xab); }, 403,
             {{"TRUSTED_AGENT_MRTDS", to_hex(ByteVector(48, 0xab))}}),
      {.code = "policy_invalid", .status = 503, .environment = {{"EE_ATTESTATION_VERIFIER_MODE", "ita"}}},
  });
}

// covers: S01_TCB_004
TEST(RegistrationMatrix, RefusesRevokedAndUnsupportedPlatformsInEveryMode) {
  for (const char* mode : {"strict", "warn", "disabled"}) {
    const TestControlPlane::Environment environment = {{"TCB_ENFORCEMENT_MODE", mode}};
    expect_each_refused({
        quoted(
            "tcb_revoked", [](EmulatedEvidence& e) { e.options.levels[0].status = attestation::TcbStatus::Revoked; },
            403, environment),
        quoted(
            "tcb_not_supported", [](EmulatedEvidence& e) { e.spec.tee_tcb_svn = attestation::kUnsupportedTcbSvn; }, 403,
            environment),
    });
  }
}

// covers: S01_ELOG_004
TEST(RegistrationMatrix, RefusesByLogs) {
  const auto log = [](const ByteVector& raw) {
    return [=](RegistrationCase& c) { c.registration.request.evidence.event_log = to_base64(raw); };
  };
  EventLogMaker maker;
  maker.event(1, 0x80000001, "variable");
  expect_each_refused({
      {.code = "event_log_missing", .status = 400, .environment = {{"EE_EVENT_LOG_MODE", "required"}}},
      claimed("event_log_malformed", 400, log(ByteVector{1, 2, 3})),
      claimed("event_log_mismatch", 403, log(maker.log())),
      claimed("workload_log_mismatch", 403,
              [](RegistrationCase& c) {
                c.registration.request.evidence.workload_log =
                    std::vector<agent_api::WorkloadLogEntry>{{.op = "deploy", .payload = "{}"}};
              }),
      claimed("workload_unknown", 403,
              [](RegistrationCase& c) {
                const std::string payload =
                    attestation::workload_payload({.app = "hello",
                                                   .compose_sha256 = std::string(64, 'a'),
                                                   .deployment_id = "0200a000-0000-7000-8000-000000000001",
                                                   .op = attestation::WorkloadOp::deploy});
                const std::string_view log[] = {payload};
                c.evidence.spec.measurements.rtmrs[3] = attestation::replay_workload_log(log);
                c.quote_for(c.claims());
                c.registration.request.evidence.workload_log =
                    std::vector<agent_api::WorkloadLogEntry>{{.op = "deploy", .payload = payload}};
              }),
  });
}

}  // namespace
}  // namespace ee::testing
