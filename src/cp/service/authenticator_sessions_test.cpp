// Sessions, keys and workflows.
#include "cp/service/authenticator_fixture.h"

namespace ee::cp::auth_tests {
namespace {

using AuthenticatorSessions = AuthenticatorTest;

TEST_F(AuthenticatorSessions, ASessionByBearerNeedsNoCsrfToken) {
  const std::string token = store_session();
  EXPECT_EQ(bearer(token), admin_actor_);
  Credentials unsafe = bearer_field("");
  const std::string field = "Bearer " + token;
  unsafe.authorization = field;
  unsafe.unsafe_method = true;
  unsafe.origin = "https://evil.example";
  EXPECT_EQ(outcome(unsafe), admin_actor_);
}

// covers: S04_AUTH_SESS_009
TEST_F(AuthenticatorSessions, ASessionByCookieNeedsTheCsrfTokenToChangeThings) {
  const std::string token = store_session();
  const std::string csrf = csrf_token_of(token, SessionId(kSession));
  EXPECT_EQ(cookie(token), admin_actor_);
  EXPECT_EQ(cookie(token, {.unsafe_method = true}), "csrf_failed");
  EXPECT_EQ(cookie(token, {.unsafe_method = true, .csrf_token = csrf, .origin = kOrigin}), admin_actor_);
  EXPECT_EQ(cookie(token, {.unsafe_method = true, .csrf_token = "wrong", .origin = kOrigin}), "csrf_failed");
  EXPECT_EQ(cookie(token, {.unsafe_method = true, .csrf_token = csrf, .origin = "https://evil.example"}),
            "csrf_failed");
  EXPECT_EQ(cookie(token, {.unsafe_method = true, .csrf_token = csrf}), "csrf_failed");
}

TEST_F(AuthenticatorSessions, ABadBearerIsRefusedBesideAGoodCookie) {
  const std::string field = "ee_session=" + store_session();
  EXPECT_EQ(outcome({.authorization = "Bearer x", .authorization_count = 1, .cookie = field}), "invalid_credential");
}

// covers: S04_AUTH_SESS_002
TEST_F(AuthenticatorSessions, ASessionEndsAfterItsTime) {
  settings_.session_idle = Seconds(604800);
  const std::string token = store_session();
  pass(Seconds(86399));
  EXPECT_EQ(bearer(token), admin_actor_);
  pass(Seconds(1));
  EXPECT_EQ(bearer(token), "session_expired");
  EXPECT_EQ(bearer(with_another_secret(token)), "invalid_credential");
}

// covers: S04_AUTH_SESS_003
TEST_F(AuthenticatorSessions, ASessionEndsWhenItIsNotUsed) {
  const std::string token = store_session();
  for (int i = 0; i < 5; ++i) {
    pass(Seconds(7199));
    EXPECT_EQ(bearer(token), admin_actor_) << i;
  }
  pass(Seconds(7200));
  EXPECT_EQ(bearer(token), "session_expired");
}

TEST_F(AuthenticatorSessions, UseOfASessionIsNotedOnceAMinute) {
  const std::string token = store_session();
  pass(Seconds(59));
  EXPECT_EQ(bearer(token), admin_actor_);
  EXPECT_EQ(database_.writes, 0);
  pass(Seconds(1));
  for (int i = 0; i < 10; ++i) EXPECT_EQ(bearer(token), admin_actor_);
  EXPECT_EQ(database_.writes, 1);
}

// covers: S04_AUTH_SESS_008
TEST_F(AuthenticatorSessions, TheRoleIsJudgedOnEachRequest) {
  const std::string token = store_session(AuthMethod::github_oauth);
  EXPECT_EQ(bearer(token), std::string("user:") + kSession);
  settings_.admin_github_ids = {7};
  EXPECT_EQ(bearer(token), admin_actor_);
  settings_.admin_github_ids = {};
  EXPECT_EQ(bearer(token), std::string("user:") + kSession);
}

TEST_F(AuthenticatorSessions, ARevokedSessionIsRefusedEvenWhenCached) {
  const std::string token = store_session();
  EXPECT_EQ(bearer(token), admin_actor_);
  plain_.execute("UPDATE admin_sessions SET revoked_at=1, revoked_reason='test'");
  EXPECT_EQ(bearer(token), "invalid_credential");
  plain_.execute("DELETE FROM admin_sessions");
  EXPECT_EQ(bearer(token), "invalid_credential");
}

TEST_F(AuthenticatorSessions, AKeyIsKnownWithItsAccountAndScopes) {
  const std::string key = store_key();
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(bearer(key), std::string("account:") + kKey);
  EXPECT_EQ(database_.reads, 1);
  const std::string field = "Bearer " + key;
  for (int i = 0; i < 2; ++i) {  // from the row, and from the cache
    const auto principal = authenticator_.authenticate(bearer_field(field));
    ASSERT_TRUE(principal);
    EXPECT_EQ(principal->kind, PrincipalKind::account);
    EXPECT_EQ(principal->account_id, AccountId(kAccount));
    EXPECT_EQ(principal->account_type, AccountType::contributor);
    EXPECT_EQ(principal->scopes, (Scopes{Scope::read, Scope::apps}));
    pass(Seconds(5));
  }
}

// covers: S04_AUTH_CACHE_006 (keys)
TEST_F(AuthenticatorSessions, AKeyIsNotKeptOverARevocationOrABrokenDatabase) {
  const std::string key = store_key();
  database_.after_read = [this] {
    database_.after_read = {};
    plain_.execute("UPDATE api_keys SET revoked_at=1");
    authenticator_.forget_key(kKey);
  };
  EXPECT_EQ(bearer(key), std::string("account:") + kKey) << "it was good when its row was read";
  EXPECT_EQ(bearer(key), "invalid_credential") << "but it was not cached";
  plain_.execute("UPDATE api_keys SET revoked_at=NULL");
  EXPECT_EQ(bearer(key), std::string("account:") + kKey);
  database_.broken = true;
  EXPECT_EQ(bearer(key), std::string("account:") + kKey) << "within the TTL";
  pass(Seconds(5));
  EXPECT_EQ(bearer(key), "auth_unavailable");
}

// covers: S04_AUTH_CACHE_002, S04_AUTH_CACHE_003, S04_AUTH_CACHE_004 (keys, another replica)
TEST_F(AuthenticatorSessions, WhatHappensToAKeyReachesTheOtherReplicaWithinTheTtl) {
  const auto cache = CredentialCache::create(1024, Milliseconds(5000), random_);
  Authenticator other(database_, *cache, clock_, [this] { return settings_; }, metrics_);
  const std::string key = store_key();
  const std::string field = "Bearer " + key;
  const auto status_at = [&](Authenticator& replica) {
    const auto principal = replica.authenticate(bearer_field(field));
    if (!principal) return std::string(slug(principal.error().code));
    return std::string(principal->account_status == AccountStatus::active ? "active" : "suspended");
  };
  const auto seen_by = [&] { return status_at(authenticator_) + " " + status_at(other); };
  ASSERT_EQ(seen_by(), "active active");

  plain_.execute("UPDATE accounts SET status='suspended' WHERE account_type<>'system'");
  authenticator_.forget(AccountId(kAccount));
  EXPECT_EQ(status_at(authenticator_), "suspended") << "at once where it was suspended";
  pass(Seconds(5));
  EXPECT_EQ(seen_by(), "suspended suspended") << "5 s later everywhere";

  plain_.execute("UPDATE api_keys SET revoked_at=1");
  authenticator_.forget_key(kKey);
  EXPECT_EQ(status_at(authenticator_), "invalid_credential");
  pass(Seconds(5));
  EXPECT_EQ(seen_by(), "invalid_credential invalid_credential");

  plain_.execute("UPDATE api_keys SET revoked_at=NULL, expires_at=" +
                 std::to_string(unix_ms(clock_.now() + Seconds(2))));
  ASSERT_EQ(seen_by(), "suspended suspended");
  pass(Seconds(2));
  EXPECT_EQ(seen_by(), "invalid_credential invalid_credential") << "an end that is known is kept to by all";
}

TEST_F(AuthenticatorSessions, AKeyOfAClosedAccountOrWithUnusableRowIsRefused) {
  const std::string key = store_key();
  plain_.execute("UPDATE api_keys SET scopes='[\"root\"]'");
  EXPECT_EQ(bearer(key), "auth_unavailable");
  plain_.execute("UPDATE api_keys SET scopes='[\"read\"]'");
  plain_.execute("UPDATE accounts SET status='closed' WHERE account_type<>'system'");
  EXPECT_EQ(bearer(key), "invalid_credential");
}

TEST_F(AuthenticatorSessions, WorkflowsAreJudgedByTheirVerifierAndFailuresCounted) {
  constexpr const char* kJwt = "eyJhbGciOiJSUzI1NiJ9.e30.c2ln";
  int asked = 0;
  authenticator_.set_workflow_verifier([&](std::string_view jwt, const auto& /*credentials*/) -> Result<Principal> {
    ++asked;
    if (jwt != kJwt) return fail(ErrorCode::invalid_credential);
    return Principal{.kind = PrincipalKind::oidc, .account_id = AccountId(kAccount)};
  });
  EXPECT_EQ(bearer(kJwt), "oidc:");
  for (int i = 0; i < 60; ++i) EXPECT_EQ(bearer("eyJhbGciOiJSUzI1NiJ9.e30.bad"), "invalid_credential");
  EXPECT_EQ(bearer("eyJhbGciOiJSUzI1NiJ9.e30.bad"), "rate_limited");
  EXPECT_EQ(asked, 61) << "the verifier is not bothered any more";
}

TEST_F(AuthenticatorSessions, CountsByKindAndResult) {
  EXPECT_EQ(bearer(store_agent_credential()), agent_actor_);
  EXPECT_EQ(bearer("garbage"), "invalid_credential");
  const std::string text = metrics_.text();
  EXPECT_NE(text.find(R"(ee_auth_total{kind="agent",result="ok"} 1)"), std::string::npos) << text;
  EXPECT_NE(text.find(R"(ee_auth_total{kind="other",result="invalid_credential"} 1)"), std::string::npos) << text;
  EXPECT_NE(text.find(R"(ee_auth_cache_total{result="miss"} 1)"), std::string::npos) << text;
}

}  // namespace
}  // namespace ee::cp::auth_tests
