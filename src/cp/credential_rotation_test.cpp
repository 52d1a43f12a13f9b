// Credentials of agents through the routes: rotation, its lost answers, its thieves.
#include <gtest/gtest.h>

#include "tests/support/registered_agent.h"

namespace ee::testing {
namespace {

class CredentialRotationTest : public ::testing::Test {
 protected:
  CredentialRotationTest() { cp_.clock.set_auto_advance(true); }

  std::string path() const { return agent_.path("/credential/rotate"); }
  /// A request as it should be, sent with that credential.
  TestAnswer rotate(const std::string& credential) { return rotate(credential, cp_.clock.now(), agent_.agent()); }
  TestAnswer rotate(const std::string& credential, UtcTime signed_at, const EmulatedAgent& signer) {
    const std::string body = json::write(agent_api::RotateRequest{.signed_at = signed_at});
    return send(credential, body, signer.sign_request("POST", path(), to_rfc3339(signed_at), body));
  }
  TestAnswer send(const std::string& credential, const std::string& body, const std::string& signature) {
    std::vector<HttpHeader> headers = {{"Authorization", "Bearer " + credential}};
    if (!signature.empty()) headers.push_back({"X-EE-Agent-Signature", signature});
    return cp_.call("POST", path(), body, headers);
  }
  /// The credential in an answer, which must open with the agent's key and the context of that request.
  std::string opened(const TestAnswer& answer, UtcTime signed_at) {
    const auto told = json::read<agent_api::RotateAnswer>(answer.body);
    if (!told) return "not an answer: " + answer.body;
    const std::string registration = agent_.column(cp_, "registration_id");
    const auto secret = open_sealed(agent_api::credential_seal_context(agent_.id(), registration, signed_at),
                                    from_base64(told->sealed.ciphertext).value(), agent_.agent().sealing_key());
    if (!secret) return "does not open";
    return json::read<agent_api::RotatedSecrets>(secret->reveal()).value().agent_credential;
  }
  /// Rotates and takes the answer.
  std::string fresh(const std::string& credential) {
    cp_.clock.advance(Milliseconds(1));  // no two requests have one time
    const UtcTime signed_at = cp_.clock.now();
    const TestAnswer answer = rotate(credential, signed_at, agent_.agent());
    EXPECT_EQ(answer.status, 200) << answer.body;
    return opened(answer, signed_at);
  }
  int works(const std::string& credential) {
    return cp_.call("GET", agent_.path("/signing-keys"), "", {{"Authorization", "Bearer " + credential}}).status;
  }
  std::vector<std::string> states() {
    return cp_.values<std::string>("SELECT state FROM agent_control_credentials ORDER BY state");
  }
  std::int64_t audited(const std::string& action) {
    return cp_.values<std::int64_t>("SELECT COUNT(*) FROM audit_log WHERE action=:action", {{"action", action}})
        .front();
  }

  TestControlPlane cp_;
  RegisteredAgent agent_{cp_, "tdx-agent-001"};
};

// covers: S02_AGT_CRED_001
TEST_F(CredentialRotationTest, S02_AGT_CRED_001_a_rotation_hands_out_a_sealed_and_signed_one) {
  const std::string old = agent_.credential();
  const UtcTime signed_at = cp_.clock.now();
  const TestAnswer answer = rotate(old, signed_at, agent_.agent());
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_NE(answer.header("X-EE-Kid"), "");
  EXPECT_NE(answer.header("X-EE-Signature"), "");
  const std::string next = opened(answer, signed_at);
  EXPECT_TRUE(next.starts_with("ee_agent_")) << next;
  EXPECT_EQ(answer.body.find(next), std::string::npos) << "never in clear";
  EXPECT_EQ(opened(answer, signed_at + Milliseconds(1)), "does not open") << "of this request alone";
  EXPECT_EQ(json::read<agent_api::RotateAnswer>(answer.body)->credential_expires_at - cp_.clock.now(),
            Seconds(30 * 86400));
  EXPECT_EQ(works(old), 200) << "until the new one is used";
  EXPECT_EQ(works(next), 200);
  EXPECT_EQ(works(old), 401);
  EXPECT_EQ(works(next), 200);
  EXPECT_EQ(states(), (std::vector<std::string>{"active", "revoked"}));
  EXPECT_EQ(audited("agent_credential_rotated"), 1);
}

// covers: S02_AGT_CRED_002
TEST_F(CredentialRotationTest, S02_AGT_CRED_002_a_lost_answer_locks_nobody_out) {
  const std::string old = agent_.credential();
  ASSERT_EQ(rotate(old).status, 200);  // and nobody hears it
  cp_.clock.advance(Seconds(599) - Milliseconds(100));
  EXPECT_EQ(works(old), 200);
  const std::string next = fresh(old);
  EXPECT_EQ(works(next), 200);
  EXPECT_EQ(works(old), 401);
}

TEST_F(CredentialRotationTest, TheOldOneEndsAfterTenMinutes) {
  const std::string old = agent_.credential();
  ASSERT_EQ(rotate(old).status, 200);
  cp_.clock.advance(Seconds(601));
  EXPECT_EQ(works(old), 401);
}

// covers: S02_AGT_CRED_003
TEST_F(CredentialRotationTest, S02_AGT_CRED_003_a_stolen_bearer_alone_cannot_rotate) {
  const std::string stolen = agent_.credential();
  const EmulatedAgent thief("tdx-agent-001", cp_.random);
  const UtcTime now = cp_.clock.now();
  EXPECT_EQ(rotate(stolen, now, thief).code(), "pop_signature_invalid");
  EXPECT_EQ(rotate(stolen, now, thief).status, 403);
  const std::string body = json::write(agent_api::RotateRequest{.signed_at = now});
  EXPECT_EQ(send(stolen, body, "").code(), "invalid_request");
  EXPECT_EQ(send(stolen, body, "AAAA").code(), "invalid_request");
  // A signature over another path, time or body, and one that is too old or of the future.
  const auto sign = [&](const std::string& where, UtcTime at, const std::string& what) {
    return agent_.agent().sign_request("POST", where, to_rfc3339(at), what);
  };
  EXPECT_EQ(send(stolen, body, sign(agent_.path("/status"), now, body)).code(), "pop_signature_invalid");
  EXPECT_EQ(send(stolen, body, sign(path(), now + Seconds(1), body)).code(), "pop_signature_invalid");
  EXPECT_EQ(send(stolen, body, sign(path(), now, body + " ")).code(), "pop_signature_invalid");
  for (const Seconds away : {Seconds(-122), Seconds(122)}) {
    const TestAnswer refused = rotate(stolen, cp_.clock.now() + away, agent_.agent());
    EXPECT_EQ(refused.code(), "invalid_request") << away.count();
    EXPECT_NE(refused.body.find("signed_at"), std::string::npos);
  }
  EXPECT_EQ(states(), std::vector<std::string>{"active"}) << "nothing has changed";
  EXPECT_EQ(works(stolen), 200);
  EXPECT_EQ(cp_.values<std::string>(
                "SELECT result || ' ' || reason_code FROM audit_log WHERE action='agent_credential_rotated'"),
            std::vector<std::string>{"refused pop_signature_invalid"})
      << "told, but not each time";
}

/// Whoever captured a request and the token could void the credential that the answer brought, and with it the agent's
/// proof of being itself.
TEST_F(CredentialRotationTest, ARequestThatWasUsedBringsNoSecondCredential) {
  const std::string before = agent_.credential();
  const UtcTime signed_at = cp_.clock.now();
  const TestAnswer first = rotate(before, signed_at, agent_.agent());
  ASSERT_EQ(first.status, 200) << first.body;
  const std::string rotated = opened(first, signed_at);
  EXPECT_EQ(works(before), 200) << "for ten minutes more";
  EXPECT_EQ(rotate(before, signed_at, agent_.agent()).code(), "pop_signature_invalid");
  EXPECT_EQ(works(rotated), 200);
  EXPECT_EQ(rotate(rotated, signed_at, agent_.agent()).code(), "pop_signature_invalid");
  EXPECT_EQ(works(fresh(rotated)), 200) << "the agent itself rotates again";
}

// covers: S02_AGT_CRED_004
TEST_F(CredentialRotationTest, S02_AGT_CRED_004_expiry_leads_to_a_registration) {
  const std::string old = agent_.credential();
  cp_.clock.advance(Seconds(30 * 86400 + 1));
  EXPECT_EQ(works(old), 401);
  EXPECT_EQ(rotate(old).status, 401) << "too late";
  agent_.register_at(cp_);
  EXPECT_EQ(works(agent_.credential()), 200);
}

// covers: S02_AGT_CRED_005
TEST_F(CredentialRotationTest, S02_AGT_CRED_005_there_are_never_three) {
  const std::string first = agent_.credential();
  const UtcTime signed_at = cp_.clock.now();
  const TestAnswer lost = rotate(first, signed_at, agent_.agent());
  const std::string second = opened(lost, signed_at);
  const std::string third = fresh(first);
  EXPECT_EQ(states(), (std::vector<std::string>{"active", "retiring", "revoked"}));
  EXPECT_EQ(audited("agent_credential_revoked"), 1);
  EXPECT_EQ(works(first), 401);
  EXPECT_EQ(works(second), 200);
  EXPECT_EQ(works(third), 200);
  EXPECT_EQ(works(second), 401);
}

TEST_F(CredentialRotationTest, AnotherAgentsCredentialOrANewRegistrationRotatesNothing) {
  const RegisteredAgent other(cp_, "tdx-agent-002");
  EXPECT_EQ(rotate(other.credential()).code(), "agent_mismatch");
  const std::string old = agent_.credential();
  agent_.register_at(cp_);
  EXPECT_EQ(rotate(old).status, 401);
}

TEST_F(CredentialRotationTest, AnAgentThatLostTrustOrIsDeletedGetsNone) {
  const std::string credential = agent_.credential();
  ASSERT_EQ(cp_.admin("DELETE", agent_.path("")).status, 202);
  const TestAnswer gone = rotate(credential);
  EXPECT_EQ(gone.status, 410);
  EXPECT_NE(gone.body.find(R"("reason":"admin")"), std::string::npos) << "by it an agent knows that it has to end";
}

// What metrics say of agents (02 section 11.2).
TEST_F(CredentialRotationTest, MetricsCountAgentsAndStepsByClosedSets) {
  ASSERT_EQ(works(agent_.credential()), 200);
  ASSERT_EQ(works(agent_.credential()), 200);
  const std::string text = cp_.call("GET", "/metrics", "", {}, "127.0.0.1").body;
  const auto has = [&](const std::string& line) { return text.find("\n" + line + "\n") != std::string::npos; };
  EXPECT_TRUE(has(R"(ee_agents{health="unknown",status="undeployed"} 1)")) << text;
  EXPECT_TRUE(has(R"(ee_agent_registrations_total{code="ok",result="accepted"} 1)"));
  EXPECT_TRUE(has("ee_agent_cleanup_stuck 0"));
  EXPECT_NE(text.find("ee_agent_flush_lag_seconds "), std::string::npos);
  EXPECT_NE(text.find("ee_agent_flush_seconds_count "), std::string::npos);
  EXPECT_NE(text.find("ee_cloudflare_budget_remaining "), std::string::npos);
  EXPECT_NE(text.find("ee_http_in_flight "), std::string::npos);
  EXPECT_TRUE(has(R"(ee_agent_credential_cache_total{hit="false"} 1)"));
  EXPECT_TRUE(has(R"(ee_agent_credential_cache_total{hit="true"} 1)"));
  for (const char* step : {"all", "quote", "challenge", "nonce", "report_data", "td_attributes", "verifiers", "trust",
                           "event_log", "unchanged"})
    EXPECT_TRUE(has(std::string("ee_attestation_duration_seconds_count{step=\"") + step + "\"} 1")) << step;
  EXPECT_EQ(text.find(agent_.id()), std::string::npos) << "no agent in labels";
  EXPECT_EQ(text.find("tdx-agent-001"), std::string::npos);

  ASSERT_EQ(cp_.admin("DELETE", agent_.path("")).status, 202);
  const std::string later = cp_.call("GET", "/metrics", "", {}, "127.0.0.1").body;
  EXPECT_NE(later.find(R"(ee_agents{health="unknown",status="undeployed"} 0)"), std::string::npos) << later;
  EXPECT_NE(later.find(R"(ee_agents{health="unknown",status="deleting"} 1)"), std::string::npos);
}

TEST_F(CredentialRotationTest, AChangeOfTheEvidencePolicyIsAuditedBesideTheDecisions) {
  const auto changes = [&] {
    return cp_.values<std::string>(
        "SELECT details FROM attestation_audit WHERE event='attestation_policy_changed' ORDER BY at, id");
  };
  const std::string key = "/api/v1/admin/settings/attestation.allowed_tcb_statuses";
  ASSERT_EQ(cp_.admin("PUT", key, R"({"value":["UpToDate","SWHardeningNeeded"]})").status, 200);
  ASSERT_EQ(changes().size(), 1U);
  EXPECT_NE(changes()[0].find("attestation.allowed_tcb_statuses"), std::string::npos);
  EXPECT_NE(changes()[0].find("SWHardeningNeeded"), std::string::npos);
  ASSERT_EQ(cp_.admin("PUT", key, R"({"value":["UpToDate","SWHardeningNeeded"]})").status, 200);
  EXPECT_EQ(changes().size(), 1U) << "the same again is no change";
  ASSERT_EQ(cp_.admin("PUT", "/api/v1/admin/settings/agents.stale_hours", R"({"value":48})").status, 200);
  EXPECT_EQ(changes().size(), 1U) << "nor is another setting";
  ASSERT_EQ(cp_.admin("DELETE", key).status, 200);
  EXPECT_EQ(changes().size(), 2U) << "a reset is one";
  const auto who = cp_.values<std::string>(
      "SELECT actor FROM attestation_audit WHERE event='attestation_policy_changed' ORDER BY at, id");
  EXPECT_NE(who.front(), "");
}

}  // namespace
}  // namespace ee::testing
