// What a registration leaves behind, accepted or refused: audit rows, nonces, nothing that is secret; and the limits in
// front of it.
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <stdexcept>

#include "common/crypto.h"
#include "common/fake_log.h"
#include "tests/standins/cloudflare/cloudflare_fake.h"
#include "tests/support/registration_case.h"

namespace ee::testing {
namespace {

std::string everything_stored(RegistrationCase& tried) {
  std::string all;
  if (on_postgres()) {
    for (const std::string& table : tried.cp->values<std::string>(
             "SELECT table_name::text FROM information_schema.tables WHERE table_schema = current_schema()"))
      for (const std::string& row : tried.cp->values<std::string>("SELECT row_::text FROM " + table + " AS row_"))
        all += row;
    return all;
  }
  tried.cp->stop();  // also what is only in the write-ahead log
  for (const char* ending : {"", "-wal", "-shm"}) {
    std::ifstream file(tried.cp->database_path().string() + ending, std::ios::binary);
    all.append(std::istreambuf_iterator<char>(file), {});
  }
  return all;
}

Fault at_step(std::string code, std::function<void(EmulatedEvidence&)> change) {
  return {.code = std::move(code), .status = 403, .evidence = std::move(change)};
}

// covers: S01_AUD_001, S01_AUD_005, S01_AUD_007
TEST(RegistrationRecords, ARefusalHasOneRowWithAllThatWasKnown) {
  RegistrationCase tried({at_step("mrtd_untrusted", [](EmulatedEvidence& e) { e.spec.measurements.mrtd[0] ^= 1; })});
  ASSERT_EQ(tried.send().code(), "mrtd_untrusted");
  const auto column = [&](const std::string& name) {
    const auto rows = tried.cp->values<std::string>("SELECT COALESCE(" + name + ", '-') FROM attestation_audit");
    EXPECT_EQ(rows.size(), 1U) << "one terminal row";
    return rows.empty() ? "" : rows.front();
  };
  EXPECT_EQ(column("event"), "registration_attestation_rejected");
  EXPECT_EQ(column("result"), "rejected");
  EXPECT_EQ(column("reason_code"), "mrtd_untrusted");
  EXPECT_EQ(column("vm_name"), "tdx-agent-001");
  EXPECT_EQ(column("agent_id"), "-");
  EXPECT_EQ(column("purpose"), "register");
  EXPECT_TRUE(column("request_id").starts_with("request-"));
  EXPECT_TRUE(column("source_ip").starts_with("10."));
  EXPECT_EQ(column("mrtd"), to_hex(tried.evidence.spec.measurements.mrtd));
  EXPECT_EQ(column("quote_sha256").size(), 64U);
  EXPECT_EQ(column("nonce_id").size(), 16U);
  EXPECT_EQ(column("tcb_status"), "UpToDate");
  EXPECT_EQ(column("verifier_mode"), "dcap");
  EXPECT_NE(column("policy_snapshot").find("tcb_mode"), std::string::npos) << column("policy_snapshot");
}

// covers: S01_AUD_005, S01_AUD_007
TEST(RegistrationRecords, EveryDecisionHasItsSnapshotAndOneRow) {
  const Fault refused[] = {
      at_step("td_debug_enabled", [](EmulatedEvidence& e) { e.spec.td_attributes |= attestation::kTdDebug; }),
      at_step("quote_signature_invalid",
              [](EmulatedEvidence& e) { e.spec.fault = attestation::QuoteFault::broken_signature; }),
      at_step("rtmr_mismatch", [](EmulatedEvidence& e) { e.spec.measurements.rtmrs[1][0] ^= 1; }),
      {.code = "nonce_unknown",
       .status = 403,
       .request = [](RegistrationCase& c) { c.registration.request.nonce = std::string(64, '0'); }},
      {.code = "internal_verification_error",
       .status = 500,
       .before_step =
           [](RegistrationCase&, cp::VerificationStep step) {
             if (step == cp::VerificationStep::mrtd) throw std::runtime_error("injected");
           }},
      {.code = "ok", .status = 201}};
  for (const Fault& fault : refused) {
    SCOPED_TRACE(fault.code);
    RegistrationCase tried({fault});
    EXPECT_EQ(tried.send().status, fault.status);
    EXPECT_EQ(tried.cp->values<std::string>("SELECT reason_code FROM attestation_audit"),
              std::vector<std::string>{fault.code});
    const auto snapshots = tried.cp->values<std::string>("SELECT policy_snapshot FROM attestation_audit");
    ASSERT_EQ(snapshots.size(), 1U);
    EXPECT_NE(snapshots[0].find("tcb_mode"), std::string::npos) << snapshots[0];
  }
}

TEST(RegistrationRecords, RefusedRegistrationsAreSampledInTheAuditLog) {
  TestControlPlane cp;
  const EmulatedAgent agent("tdx-agent-001", cp.random);
  attestation::EmulatedQuoteSpec debug;
  debug.td_attributes |= attestation::kTdDebug;
  const auto rows = [&] {
    return cp.values<std::string>(
        "SELECT reason_code || ' ' || detail FROM audit_log WHERE action='agent_registration_rejected' ORDER BY at, "
        "id");
  };
  const auto refuse = [&](int times) {
    for (int i = 0; i < times; ++i) {
      EXPECT_EQ(cp.send(agent, cp.prepare(agent, debug), "192.0.2.7").code(), "td_debug_enabled");
      cp.clock.advance(Seconds(2));
    }
  };
  refuse(13);
  EXPECT_EQ(rows(), std::vector<std::string>(10, R"(td_debug_enabled {"vm_name":"tdx-agent-001","folded":0})"));
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM attestation_audit").front(), 13) << "each has its decision";
  cp.clock.advance(Seconds(60));
  auto garbage = cp.prepare(agent);
  garbage.request.evidence.quote = to_base64(ByteVector(2000, 7));
  EXPECT_EQ(cp.send(agent, garbage, "192.0.2.7").code(), "quote_version_unsupported");
  EXPECT_EQ(rows().back(), R"(quote_version_unsupported {"vm_name":"tdx-agent-001","folded":3})");
  EXPECT_EQ(cp.register_agent(agent).status, 201);
  EXPECT_EQ(rows().size(), 11U);
}

/// What is refused by its form is judged by a policy that is kept in memory: it is the one in force all the same.
TEST(RegistrationRecords, GarbageIsRefusedByThePolicyInForce) {
  TestControlPlane cp;
  const EmulatedAgent agent("tdx-agent-001", cp.random);
  std::set<std::string> seen;
  const auto refuse_both = [&] {
    cp.clock.advance(Seconds(1));
    auto unknown = cp.prepare(agent);
    unknown.request.nonce = std::string(64, '0');
    EXPECT_EQ(cp.send(agent, unknown).code(), "nonce_unknown") << "by the whole pipeline";
    auto garbage = cp.prepare(agent);
    garbage.request.evidence.quote = to_base64(ByteVector(2000, 7));
    EXPECT_EQ(cp.send(agent, garbage).code(), "quote_version_unsupported");
    const auto policies = cp.values<std::string>("SELECT policy_snapshot FROM attestation_audit WHERE at=:now",
                                                 {{"now", cp.clock.now()}});
    ASSERT_EQ(policies.size(), 2U);
    EXPECT_EQ(policies[0], policies[1]);
    seen.insert(policies[0]);
  };
  refuse_both();
  ASSERT_EQ(
      cp.admin("PUT", "/api/v1/admin/settings/attestation.denied_advisories", R"({"value":["INTEL-SA-99999"]})").status,
      200);
  refuse_both();
  ASSERT_EQ(
      cp.admin("POST", "/api/v1/admin/trusted-mrtds", R"({"mrtd":")" + std::string(96, 'a') + R"(","kind":"agent"})")
          .status,
      201);
  refuse_both();
  EXPECT_EQ(seen.size(), 3U) << "each change makes another policy";
}

// covers: S01_NON_001, S01_NON_008
TEST(RegistrationRecords, ANonceIsGivenUsedOnceAndStoredAsItsHashOnly) {
  CaptureLogs logs;
  RegistrationCase tried({at_step("rtmr_mismatch", [](EmulatedEvidence& e) { e.spec.measurements.rtmrs[1][0] ^= 1; })});
  const std::string nonce = tried.registration.challenge.nonce;
  const auto raw = from_hex(nonce).value();
  EXPECT_EQ(tried.used_nonces(), 0) << "given";
  EXPECT_EQ(tried.send().code(), "rtmr_mismatch");
  EXPECT_EQ(tried.used_nonces(), 1) << "used";
  EXPECT_EQ(tried.send().code(), "nonce_replayed");
  EXPECT_EQ(tried.used_nonces(), 1);
  EXPECT_EQ(tried.cp->values<std::string>("SELECT nonce_hash FROM attestation_nonces"),
            std::vector<std::string>{to_hex(sha256(raw))});
  std::string all = everything_stored(tried);
  for (const std::string& line : logs->lines()) all += line;
  EXPECT_NE(all.find(to_hex(sha256(raw))), std::string::npos) << "the scan sees the rows";
  EXPECT_EQ(all.find(nonce), std::string::npos);
  EXPECT_EQ(all.find(std::string(raw.begin(), raw.end())), std::string::npos);
  EXPECT_EQ(all.find(to_base64(raw)), std::string::npos);
}

// covers: S01_AUD_004
TEST(RegistrationRecords, NoTokenKeyOrNonceStaysBehind) {
  CaptureLogs logs;
  RegistrationCase tried({{.environment = with_intel_ta({{"ITA_API_KEY", "planted-api-key-4711"}})}});
  const auto refused = tried.send();  // the stand-in knows another key
  EXPECT_EQ(refused.code(), "ita_auth_failed") << refused.body;
  RegistrationCase accepted({{.environment = with_intel_ta()}});
  ASSERT_EQ(accepted.send().status, 201);
  const std::vector<std::string> planted = {"planted-api-key-4711", "test-api-key", tried.registration.challenge.nonce,
                                            accepted.registration.challenge.nonce, "eyJ"};
  std::string all = everything_stored(tried) + everything_stored(accepted);
  for (const std::string& line : logs->lines()) all += line;
  EXPECT_NE(all.find("tdx-agent-001"), std::string::npos) << "the scan sees the rows";
  for (const std::string& text : planted) EXPECT_EQ(all.find(text), std::string::npos) << text;
  EXPECT_EQ(all.find("ee_agent_"), std::string::npos) << "credentials are kept as hashes";
}

// covers: S02_TUN_015
TEST(RegistrationRecords, ATunnelTokenIsInNoLogAuditRowOrAnswer) {
  CaptureLogs logs;
  FakeClock cloudflare_clock;
  SystemRandom random;
  standins::CloudflareFake fake({}, cloudflare_clock, random);
  standins::CloudflareDirectClient direct(fake);
  TestControlPlane cp({.environment = {{"CLOUDFLARE_ACCOUNT_ID", fake.config().account_id},
                                       {"CLOUDFLARE_ZONE_ID", fake.config().zone_id},
                                       {"CLOUDFLARE_API_TOKEN", fake.config().api_token},
                                       {"CLOUDFLARE_DOMAIN", "dev.example.com"},
                                       {"EE_CLOUDFLARE_API_URL", std::string(direct.kUrl)}}});
  cp.clock.set_auto_advance(true);
  cp.http.set_answer([&](const HttpClientRequest& request) { return direct.send(request); });
  const EmulatedAgent agent("tdx-agent-001", random);
  const TestAnswer registered = cp.register_agent(agent);
  ASSERT_EQ(registered.status, 201) << registered.body;
  const auto tokens = cp.values<std::string>("SELECT tunnel_token FROM agents WHERE tunnel_state = 'ready'");
  ASSERT_EQ(tokens.size(), 1U) << registered.body;
  ASSERT_GT(tokens[0].size(), 20U);
  const auto id = json::read<agent_api::RegisterAnswer>(registered.body).value().agent_id;
  std::string all = registered.body + cp.admin("GET", "/api/v1/agents").body +
                    cp.admin("GET", "/api/v1/agents/" + id).body + cp.admin("GET", "/api/v1/admin/audit").body;
  ASSERT_EQ(cp.admin("DELETE", "/api/v1/agents/" + id).status, 202);
  ASSERT_TRUE(cp.app().run_job("tunnel_worker"));
  all += cp.admin("GET", "/api/v1/agents/" + id).body + cp.admin("GET", "/api/v1/admin/audit").body;
  for (const char* table : {"audit_log", "attestation_audit"})
    for (const std::string& detail :
         cp.values<std::string>(std::string("SELECT ") +
                                (std::string_view(table) == "audit_log" ? "detail" : "details") + " FROM " + table))
      all += detail;
  for (const std::string& line : logs->lines()) all += line;
  EXPECT_NE(all.find(id), std::string::npos) << "the scan sees the rows";
  EXPECT_EQ(all.find(tokens[0]), std::string::npos);
  EXPECT_EQ(all.find(fake.config().api_token), std::string::npos);
}

// covers: S01_POL_007
TEST(RegistrationRecords, TrustThatAnotherReplicaRemovesCountsAtTheNextRequest) {
  RegistrationCase tried({{.environment = {{"RTMR_ENFORCEMENT_MODE", "disabled"}},
                           .evidence = [](EmulatedEvidence& e) { e.spec.measurements.mrtd.fill(0xab); }}});
  const auto set_trust = [&](const std::string& sql) {  // as another replica: straight into the database
    tried.cp->execute(sql, {{"mrtd", to_hex(ByteVector(48, 0xab))}});
  };
  set_trust(
      "INSERT INTO trusted_mrtds (mrtd, kind, enabled, version, created_by, created_at, updated_at) "
      "VALUES (:mrtd, 'agent', 1, 1, 'admin:other', 0, 0)");
  EXPECT_EQ(tried.send().status, 201);
  const auto again = [&] {
    tried.registration = tried.cp->prepare(tried.agent);
    tried.quote_for(tried.claims());
    return tried.send();
  };
  tried.cp->clock.advance(Seconds(1));
  EXPECT_EQ(again().status, 200);
  set_trust("UPDATE trusted_mrtds SET enabled = 0, version = version + 1 WHERE mrtd = :mrtd");
  EXPECT_EQ(again().code(), "mrtd_untrusted");
}

// covers: S01_NON_006, S01_CON_003
TEST(ChallengeLimits, PerSourceAndInAllAndNoTwoAreEqual) {
  TestControlPlane cp;
  const std::string body = R"({"vm_name":"a","purpose":"register","client_nonce":")" + std::string(64, 'c') + "\"}";
  const auto ask = [&](int source) {
    return cp.call("POST", "/api/v1/agents/challenge", body, {},
                   "198.18." + std::to_string(source / 250) + "." + std::to_string(source % 250 + 1));
  };
  for (int i = 0; i < 30; ++i) EXPECT_EQ(ask(0).status, 200);
  EXPECT_EQ(ask(0).code(), "rate_limited") << "per source";
  cp.clock.advance(Seconds(1));
  std::set<std::string> challenges, nonces;
  for (int second = 0; second < 10; ++second) {
    for (int i = 0; i < 1000; ++i) {
      const TestAnswer answer = ask(1 + (second * 1000 + i) % 2000);
      ASSERT_EQ(answer.status, 200) << i << answer.body;
      const auto challenge = json::read<agent_api::ChallengeAnswer>(answer.body).value();
      challenges.insert(challenge.challenge);
      nonces.insert(challenge.nonce);
    }
    EXPECT_EQ(ask(5000 + second).code(), "rate_limited") << "in all";
    cp.clock.advance(Seconds(1));
  }
  EXPECT_EQ(challenges.size(), 10000U);
  EXPECT_EQ(nonces.size(), 10000U);
}

// covers: S01_CPQ_003
TEST(OwnQuote, WithoutTdxThereIsNoAnswerWithoutAQuote) {
  TestControlPlane cp({.environment = {{"EE_ALLOW_EMULATED_TDX", "0"}, {"EE_TSM_ROOT", "/nonexistent"}}});
  for (const std::string& query : {std::string(), "?nonce=" + std::string(64, 'a')}) {
    const TestAnswer answer = cp.call("GET", "/api/v1/attestation" + query);
    EXPECT_EQ(answer.status, 503) << answer.body;
    EXPECT_EQ(answer.code(), "cp_attestation_unavailable");
  }
}

// covers: S01_CPQ_004
TEST(OwnQuote, LiveQuotesAreLimitedBySource) {
  TestControlPlane cp;
  const std::string path = "/api/v1/attestation?nonce=" + std::string(64, 'a');
  for (int i = 0; i < 60; ++i) ASSERT_EQ(cp.call("GET", path, "", {}, "192.0.2.1").status, 200) << i;
  const TestAnswer refused = cp.call("GET", path, "", {}, "192.0.2.1");
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.code(), "rate_limited");
  EXPECT_FALSE(refused.header("Retry-After").empty());
  EXPECT_EQ(cp.call("GET", path, "", {}, "192.0.2.2").status, 200);
}

}  // namespace
}  // namespace ee::testing
