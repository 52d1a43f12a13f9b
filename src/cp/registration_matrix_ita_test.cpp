// Every reason for which a token of Intel Trust Authority, or the service itself, refuses a registration, each produced
// through the route with the stand-in behind the control plane's HTTP client.
#include <gtest/gtest.h>

#include "tests/support/registration_case.h"

namespace ee::testing {
namespace {

using standins::IntelTa;
using standins::IntelTaFault;
using standins::IntelTaToken;

Fault by_token(std::string code, std::function<void(IntelTaToken&)> change,
               const TestControlPlane::Environment& environment = {}) {
  return {.code = std::move(code),
          .status = 403,
          .environment = with_intel_ta(environment),
          .intel_ta = [change = std::move(change)](IntelTa& ita) {
            IntelTaToken token;
            change(token);
            ita.set_token(token);
          }};
}
Fault by_service(std::string code, int status, std::function<void(IntelTa&)> change, std::string what = "") {
  return {.code = std::move(code),
          .status = status,
          .what = std::move(what),
          .environment = with_intel_ta(),
          .intel_ta = std::move(change)};
}
Fault of_network(HttpFailure failure, TestControlPlane::Environment environment,
                 std::string code = "verifier_unavailable") {
  return {.code = std::move(code),
          .status = 503,
          .what = std::string(to_string(failure)),
          .environment = std::move(environment),
          .http = [=](const HttpClientRequest&) { return std::unexpected(failure); }};
}

TEST(RegistrationMatrixIta, AdmitsByATokenThatTheControlPlaneHadMade) {
  RegistrationCase tried({{.environment = with_intel_ta()}});
  const TestAnswer answer = tried.send();
  EXPECT_EQ(answer.status, 201) << answer.body;
  ASSERT_EQ(tried.intel_ta->count("/appraisal/v2/attest"), 1U);
  const std::string request_id = tried.cp->values<std::string>("SELECT request_id FROM attestation_audit").front();
  EXPECT_TRUE(request_id.starts_with("request-"));
  EXPECT_EQ(tried.intel_ta->requests().front().request_id, request_id) << "both sides' logs can be laid side by side";
}

// covers: S01_REG_008..012, S01_REG_015
TEST(RegistrationMatrixIta, RefusesTokens) {
  constexpr const char* kPolicy = "0190a000-0000-7000-8000-00000000000a";
  expect_each_refused({
      by_token("ita_alg_not_allowed", [](IntelTaToken& t) { t.header_alg = "HS256"; }),
      by_token("ita_alg_not_allowed", [](IntelTaToken& t) { t.header_alg = "none"; }),
      by_token("ita_key_unknown", [](IntelTaToken& t) { t.kid = "nobody's"; }),
      by_token("ita_signature_invalid", [](IntelTaToken& t) { t.foreign_signature = true; }),
      by_token("ita_issuer_invalid", [](IntelTaToken& t) { t.issuer = "https://issuer.example/"; }),
      by_token("ita_audience_invalid", [](IntelTaToken& t) { t.audience = "somebody"; }),
      by_token("ita_audience_invalid", [](IntelTaToken& t) { t.audience = "somebody"; }, {{"ITA_AUDIENCE", "us"}}),
      by_token("ita_token_expired", [](IntelTaToken& t) { t.exp_offset = -360; }),
      by_token("ita_token_not_yet_valid", [](IntelTaToken& t) { t.nbf_offset = 3600; }),
      by_token("ita_token_stale", [](IntelTaToken& t) { t.iat_offset = -700; }),
      by_token("ita_claims_invalid", [](IntelTaToken& t) { t.overrides["intuse"] = R"("other")"; }),
      by_token("ita_quote_mismatch",
               [](IntelTaToken& t) { t.tdx_overrides["tdx_rtmr2"] = '"' + std::string(96, '0') + '"'; }),
      by_token("mrtd_missing", [](IntelTaToken& t) { t.tdx_overrides["tdx_mrtd"] = ""; }),
      by_token("td_debug_enabled", [](IntelTaToken& t) { t.tdx_overrides["tdx_is_debuggable"] = "true"; }),
      by_token("ita_policy_unmatched", [=](IntelTaToken& t) { t.unmatched_policies = {kPolicy}; },
               {{"ITA_POLICY_IDS", kPolicy}}),
      by_token("tcb_revoked", [](IntelTaToken& t) { t.tcb_status = "Revoked"; }),
      by_token("tcb_not_acceptable", [](IntelTaToken& t) { t.tcb_status = "OutOfDate"; }),
      by_token("tcb_not_acceptable", [](IntelTaToken& t) { t.tcb_status = "SomethingNew"; }),
  });
}

// covers: S01_REG_016 (ITA and its keys), S02_AGT_REG_017
TEST(RegistrationMatrixIta, RefusesWhenTheServiceCannotOrWillNot) {
  const auto attest = [](const IntelTaFault& fault) {
    return [=](IntelTa& ita) { ita.fail_next_attest({fault, fault, fault}); };
  };
  const auto keys = [](const IntelTaFault& fault) {
    return [=](IntelTa& ita) { ita.fail_next_keys({fault, fault, fault}); };
  };
  const auto same_kid_twice = [](IntelTa& ita) {
    net::Request request;
    request.method = "GET";
    request.path = "/certs";
    const std::string body = ita.answer(request).body;
    const std::string key = body.substr(9, body.size() - 11);
    ita.fail_next_keys({{.status = 200, .body = R"({"keys":[)" + key + "," + key + "]}"}});
  };
  std::vector<Fault> faults = {
      by_service("ita_quote_rejected", 403, attest({.status = 400})),
      by_service("ita_auth_failed", 503, attest({.status = 401})),
      by_service("verifier_unavailable", 503, attest({.status = 404}), "404"),
      by_service("verifier_unavailable", 503, attest({.status = 500}), "500"),
      by_service("verifier_unavailable", 503, attest({.drop = true}), "dropped"),
      by_service("verifier_unavailable", 503, keys({.status = 503}), "keys 503"),
      by_service("verifier_unavailable", 503, keys({.drop = true}), "keys dropped"),
      by_service("ita_token_malformed", 400, attest({.status = 200, .body = R"({"token":"a.b"})"})),
      by_service("ita_key_unusable", 403, same_kid_twice),
  };
  for (const HttpFailure failure : {HttpFailure::connect, HttpFailure::timeout})
    faults.push_back(of_network(failure, with_intel_ta()));
  expect_each_refused(faults);
  RegistrationCase burned({faults[3]});
  EXPECT_EQ(burned.send().status, 503);
  EXPECT_EQ(burned.used_nonces(), 1);
}

// covers: S01_REG_016 (PCS), S02_AGT_REG_017
TEST(RegistrationMatrixIta, RefusesWhenThePcsCannotBeAsked) {
  for (const int status : {0, 1, 429, 500, 503}) {
    SCOPED_TRACE(status);
    // The control plane's own source, which knows the emulator's platform and asks the PCS about every other.
    TestControlPlane cp;
    cp.clock.set_auto_advance(true);
    cp.http.set_answer([status](const HttpClientRequest&) -> std::expected<HttpClientResponse, HttpFailure> {
      if (status < 2) return std::unexpected(status == 0 ? HttpFailure::connect : HttpFailure::timeout);
      return HttpClientResponse{.status = status};
    });
    SystemRandom random;
    const EmulatedAgent agent("tdx-agent-001", random);
    auto registration = cp.prepare(agent);
    EmulatedEvidence evidence;
    evidence.options.fmspc = {0x00, 0x80, 0x6f, 0x05, 0x00, 0x00};
    const auto claims =
        agent.claims(attestation::Purpose::register_, from_hex_exact<32>(registration.challenge.nonce).value(),
                     TestControlPlane::kOrigin);
    evidence.spec.report_data = EmulatedAgent::evidence(claims).report_data.value;
    registration.request.evidence.quote = to_base64(evidence.raw_quote());
    const TestAnswer answer = cp.send(agent, registration);
    EXPECT_EQ(answer.status, 503) << answer.body;
    EXPECT_EQ(answer.code(), "collateral_unavailable");
    EXPECT_FALSE(cp.http.calls().empty());
    EXPECT_EQ(cp.agents(), 0);
    EXPECT_EQ(cp.values<std::string>("SELECT reason_code FROM attestation_audit"),
              std::vector<std::string>{"collateral_unavailable"});
  }
}

// A request that does not answer the challenge fails step 1: 400, and no row of the audit.
// covers: S01_REG_007, S01_REG_020
TEST(RegistrationMatrixIta, ATokenIsDemandedOrForbiddenByWhoMintsIt) {
  expect_each_refused({
      {.code = "ita_token_missing",
       .status = 400,
       .environment = with_intel_ta({{"EE_ITA_MINTER", "agent"}}),
       .audited = false},
      {.code = "ita_token_not_allowed",
       .status = 400,
       .environment = with_intel_ta(),
       .request = [](RegistrationCase& c) { c.registration.request.evidence.intel_ta_token = "a.b.c"; },
       .audited = false},
      {.code = "ita_token_not_allowed",
       .status = 400,
       .what = "built-in verifier",
       .request = [](RegistrationCase& c) { c.registration.request.evidence.intel_ta_token = "a.b.c"; },
       .audited = false},
      {.code = "invalid_request",
       .status = 400,
       .what = "a kind that the challenge does not accept",
       .request = [](RegistrationCase& c) { c.registration.request.evidence.kind = agent_api::EvidenceKind::ita; },
       .audited = false},
      {.code = "ita_token_malformed",
       .status = 400,
       .environment = with_intel_ta({{"EE_ITA_MINTER", "agent"}}),
       .request =
           [](RegistrationCase& c) {
             c.registration.request.evidence.kind = agent_api::EvidenceKind::ita;
             c.registration.request.evidence.intel_ta_token = "a.b.c";
           }},
  });
}

// covers: S01_POL_004
TEST(RegistrationMatrixIta, BothVerifiersMustAcceptAndTheWorseStatusCounts) {
  const auto both = with_intel_ta({{"EE_ATTESTATION_VERIFIER_MODE", "both"}});
  const auto broken = [](EmulatedEvidence& e) { e.spec.fault = attestation::QuoteFault::broken_signature; };
  const auto foreign = [](IntelTa& ita) { ita.set_token({.foreign_signature = true}); };
  const auto old = [](EmulatedEvidence& e) { e.spec.tee_tcb_svn = attestation::kOutOfDateTcbSvn; };
  expect_each_refused({{.code = "quote_signature_invalid", .status = 403, .environment = both, .evidence = broken},
                       {.code = "ita_signature_invalid", .status = 403, .environment = both, .intel_ta = foreign},
                       {.code = "tcb_not_acceptable", .status = 403, .environment = both, .evidence = old}});
  const Fault fault{
      .code = "ita_signature_invalid", .status = 403, .environment = both, .evidence = broken, .intel_ta = foreign};
  RegistrationCase neither({fault});
  expect_refusal(neither, fault);
  EXPECT_EQ(neither.cp->values<std::string>("SELECT details FROM attestation_audit"),
            std::vector<std::string>{R"({"other_reason":"quote_signature_invalid"})"});
  RegistrationCase good({{.environment = both}});
  EXPECT_EQ(good.send().status, 201);
}

}  // namespace
}  // namespace ee::testing
