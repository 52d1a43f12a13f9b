#include <ctime>

#include "cp/service/authenticator_fixture.h"

namespace ee::cp::auth_tests {
namespace {

TEST_F(AuthenticatorTest, NobodyIsAnonymous) {
  EXPECT_EQ(outcome({}), "anonymous");
  EXPECT_EQ(outcome({.cookie = "theme=dark"}), "anonymous");
  EXPECT_EQ(database_.reads, 0);
}

TEST_F(AuthenticatorTest, AnAgentIsKnownByItsCredential) {
  const std::string token = store_agent_credential();
  EXPECT_EQ(bearer(token), agent_actor_);
  const auto principal = authenticator_.authenticate(bearer_field("bearer " + token));
  ASSERT_TRUE(principal);
  EXPECT_EQ(principal->kind, PrincipalKind::agent);
  EXPECT_EQ(principal->agent_id, AgentId(kAgent));
  EXPECT_FALSE(principal->is_admin);
}

// covers: S04_AUTH_CACHE_001
TEST_F(AuthenticatorTest, OneReadPerTtl) {
  const std::string token = store_agent_credential();
  for (int i = 0; i < 10000; ++i) ASSERT_EQ(bearer(token), agent_actor_);
  EXPECT_EQ(database_.reads, 1);
  pass(Seconds(5));
  EXPECT_EQ(bearer(token), agent_actor_);
  EXPECT_EQ(database_.reads, 2);
}

// covers: S04_AUTH_CACHE_005
TEST_F(AuthenticatorTest, S04_AUTH_CACHE_005_BadKeysDoNotSlowAGoodOneDown) {
  const std::string good = store_agent_credential();
  ASSERT_EQ(bearer(good), agent_actor_);
  std::vector<double> took;  // milliseconds of processor time: other programs must not fail a test
  for (int i = 0; i < 20'000; ++i) {
    const std::string bad = "Bearer " + new_credential(CredentialKind::agent, random_).value().text.reveal();
    const std::string address = "10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250);
    ASSERT_EQ(outcome({.authorization = bad, .authorization_count = 1, .client_address = address}),
              "invalid_credential");
    if (i % 200 != 0) continue;
    const std::clock_t start = std::clock();
    ASSERT_EQ(bearer(good), agent_actor_);
    took.push_back(1000.0 * static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
  }
  EXPECT_EQ(cache_->size(), 1U);
  EXPECT_EQ(database_.reads, 1 + 20'000) << "the good one is not read again";
  std::ranges::sort(took);
  EXPECT_LT(took[took.size() / 2], 5);
}

/// Argon2 is spared when the row has the hash that the credential fitted before; whether it may be used is read anew.
TEST_F(AuthenticatorTest, ARowThatChangedIsNoticedOnceTheTtlIsOver) {
  const std::string token = store_agent_credential();
  ASSERT_EQ(bearer(token), agent_actor_);
  plain_.execute("UPDATE agent_control_credentials SET state='revoked', retire_at=1");  // by nobody that told the cache
  pass(Seconds(5));
  EXPECT_EQ(bearer(token), "invalid_credential");
  plain_.execute("UPDATE agent_control_credentials SET state='active', retire_at=NULL");
  EXPECT_EQ(bearer(token), agent_actor_);
  const auto other = new_credential(CredentialKind::agent, random_).value();
  plain_.execute("UPDATE agent_control_credentials SET secret_hash=:hash",
                 {{"hash", hash_token(other.text, random_).value()}});
  pass(Seconds(5));
  EXPECT_EQ(bearer(token), "invalid_credential");
}

TEST_F(AuthenticatorTest, TheCacheAloneAnswersIoThreads) {
  const std::string token = store_agent_credential();
  const std::string field = "Bearer " + token;
  EXPECT_FALSE(authenticator_.authenticate_cached_agent(bearer_field(field)));
  EXPECT_EQ(database_.reads, 0);
  EXPECT_EQ(bearer(token), agent_actor_);
  const auto principal = authenticator_.authenticate_cached_agent(bearer_field(field));
  ASSERT_TRUE(principal);
  EXPECT_EQ(principal->actor(), agent_actor_);
  const std::string session = "Bearer " + store_session();
  EXPECT_EQ(outcome(bearer_field(session)), admin_actor_);
  EXPECT_FALSE(authenticator_.authenticate_cached_agent(bearer_field(session)));
}

// covers: S04_AUTH_CRED_002, S04_AUTH_CRED_003
TEST_F(AuthenticatorTest, GarbageIsRefusedBeforeTheStoreIsTouched) {
  const std::string token = store_agent_credential();
  std::string altered = token;
  altered[40] = altered[40] == 'a' ? 'b' : 'a';
  for (const std::string& bad :
       {altered, std::string("x"), std::string("eyJhbGciOiJub25lIn0.e30"), "ee_live" + token.substr(8)})
    EXPECT_EQ(bearer(bad), "invalid_credential") << bad;
  EXPECT_EQ(bearer("eyJhbGciOiJub25lIn0.e30."), "oidc_disabled");
  EXPECT_EQ(cookie(altered), "invalid_credential");
  EXPECT_EQ(cookie(token), "invalid_credential");  // an agent's credential is no session
  EXPECT_EQ(cookie("a; ee_session=b"), "invalid_credential");
  EXPECT_EQ(bearer(new_credential(CredentialKind::boot, random_)->text.reveal()), "invalid_credential");
  EXPECT_EQ(database_.reads, 0);
}

TEST_F(AuthenticatorTest, HeadersThatAreNotOneBearerToken) {
  const std::string token = store_agent_credential();
  for (const std::string field :
       {"", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Bearer a b", "Bearer a,b", "Bearera", "Bearer\ta"})
    EXPECT_EQ(outcome(bearer_field(field)), "invalid_request") << field;
  EXPECT_EQ(outcome(bearer_field("Bearer " + std::string(8186, 'a'))), "invalid_request");
  EXPECT_EQ(outcome(bearer_field("Bearer " + std::string(8185, 'a'))), "invalid_credential");
  const std::string good = "Bearer " + token;
  Credentials twice = bearer_field(good);
  twice.authorization_count = 2;
  EXPECT_EQ(outcome(twice), "invalid_request");
}

TEST_F(AuthenticatorTest, UnknownWrongRevokedAndExpiredLookAlike) {
  const std::string token = store_agent_credential();
  EXPECT_EQ(bearer(new_credential(CredentialKind::agent, random_)->text.reveal()), "invalid_credential");
  EXPECT_EQ(bearer(with_another_secret(token)), "invalid_credential");
  EXPECT_EQ(bearer(token), agent_actor_);
  pass(Seconds(30 * 86400));
  EXPECT_EQ(bearer(token), "invalid_credential");
}

TEST_F(AuthenticatorTest, AWrongSecretDoesNotDisturbTheGoodOne) {
  const std::string token = store_agent_credential();
  EXPECT_EQ(bearer(token), agent_actor_);
  EXPECT_EQ(bearer(with_another_secret(token)), "invalid_credential");
  const int reads = database_.reads;
  EXPECT_EQ(bearer(token), agent_actor_);
  EXPECT_EQ(database_.reads, reads);
}

// covers: S04_AUTH_CACHE_002
TEST_F(AuthenticatorTest, ARevokedCredentialIsRefusedAtOnce) {
  const std::string token = store_agent_credential();
  EXPECT_EQ(bearer(token), agent_actor_);
  plain_.execute("UPDATE agent_control_credentials SET state='revoked', retire_at=1");
  EXPECT_EQ(bearer(token), agent_actor_);  // nobody has told the cache
  authenticator_.forget(AgentId(kAgent));
  EXPECT_EQ(bearer(token), "invalid_credential");
}

// covers: S02_AGT_HB_012
TEST_F(AuthenticatorTest, ARevocationReachesTheOtherReplicaWithinTheTtl) {
  const auto cache = CredentialCache::create(1024, Milliseconds(5000), random_);
  Authenticator other(database_, *cache, clock_, [this] { return settings_; }, metrics_);
  const std::string token = store_agent_credential();
  const std::string field = "Bearer " + token;
  EXPECT_EQ(bearer(token), agent_actor_);
  EXPECT_TRUE(other.authenticate(bearer_field(field)));
  plain_.execute("UPDATE agent_control_credentials SET state='revoked', retire_at=1");
  authenticator_.forget(AgentId(kAgent));
  EXPECT_EQ(bearer(token), "invalid_credential") << "at once where it was revoked";
  pass(Seconds(5));
  const auto refused = other.authenticate(bearer_field(field));
  ASSERT_FALSE(refused) << "5 s later everywhere";
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_credential);
}

// covers: S02_AGT_CRED_004
TEST_F(AuthenticatorTest, AnAgentsCredentialEndsAfterThirtyDaysEvenWhenCached) {
  const std::string token = store_agent_credential();
  pass(Seconds(30 * 86400 - 1));
  EXPECT_EQ(bearer(token), agent_actor_);
  pass(Seconds(1));
  EXPECT_NE(bearer(token), agent_actor_);
}

// covers: S04_AUTH_CACHE_004
TEST_F(AuthenticatorTest, ARetiringCredentialEndsOnTimeEvenWhenCached) {
  const std::string token = store_agent_credential(CredentialState::retiring);
  pass(Seconds(598));
  EXPECT_EQ(bearer(token), agent_actor_);
  pass(Seconds(1));
  EXPECT_EQ(bearer(token), agent_actor_);
  pass(Seconds(1));
  EXPECT_EQ(bearer(token), "invalid_credential");
}

// covers: S02_AGT_CRED_003
TEST_F(AuthenticatorTest, FirstUseOfTheNewCredentialEndsTheOldOne) {
  const std::string old = store_agent_credential(CredentialState::retiring);
  const std::string fresh = store_agent_credential();
  EXPECT_EQ(bearer(old), agent_actor_);
  EXPECT_EQ(bearer(fresh), agent_actor_);
  EXPECT_EQ(bearer(old), "invalid_credential");
  EXPECT_EQ(bearer(fresh), agent_actor_);
  EXPECT_EQ(database_.writes, 1);
}

TEST_F(AuthenticatorTest, UseIsNotedOnceADay) {
  const std::string token = store_agent_credential();
  const auto last_used = [&] { return plain_.value<UtcTime>("SELECT last_used_at FROM agent_control_credentials"); };
  const auto flush = [&] { return authenticator_.flush_last_uses({}); };
  const UtcTime stored = clock_.now();
  pass(Seconds(86399));
  EXPECT_EQ(bearer(token), agent_actor_);
  EXPECT_EQ(flush(), 0);
  EXPECT_EQ(last_used(), stored);
  pass(Seconds(6));
  EXPECT_EQ(bearer(token), agent_actor_);
  EXPECT_EQ(last_used(), stored) << "no request waits for the writing";
  EXPECT_EQ(flush(), 1);
  EXPECT_EQ(last_used(), clock_.now());
}

// covers: S04_AUTH_CACHE_006
TEST_F(AuthenticatorTest, ABrokenDatabaseRefusesOnceTheTtlIsOver) {
  const std::string token = store_agent_credential();
  const std::string session = store_session();
  EXPECT_EQ(bearer(token), agent_actor_);
  EXPECT_EQ(bearer(session), admin_actor_);
  database_.broken = true;
  EXPECT_EQ(bearer(token), agent_actor_);
  EXPECT_EQ(bearer(session), "auth_unavailable");
  pass(Seconds(5));
  EXPECT_EQ(bearer(token), "auth_unavailable");
  database_.broken = false;
  EXPECT_EQ(bearer(token), agent_actor_);
}

// covers: S04_AUTH_CACHE_006
TEST_F(AuthenticatorTest, ARevocationBetweenReadAndInsertIsNotCached) {
  const std::string token = store_agent_credential();
  database_.after_read = [&] {
    plain_.execute("UPDATE agent_control_credentials SET state='revoked', retire_at=1");
    authenticator_.forget(AgentId(kAgent));
  };
  EXPECT_EQ(bearer(token), agent_actor_);  // it was good when it was read
  database_.after_read = {};
  EXPECT_EQ(bearer(token), "invalid_credential");
}

// covers: S04_AUTH_CRED_007
TEST_F(AuthenticatorTest, AnUnusableStoredHashIsUnavailable) {
  const std::string token = store_agent_credential();
  const std::string session = store_session();
  for (const char* hash :
       {"$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
        "$argon2id$v=16$m=8,t=1,p=1$AAECAwQFBgcICQoLDA0ODw$OQhEq4",
        "$argon2id$v=19$m=99999999,t=1,p=1$AAECAwQFBgcICQoLDA0ODw$OQhEq4/A3RBJxfw9Dfk8Sm3LSZ5Zttu8v4tn+Z+RGaw"}) {
    plain_.execute("UPDATE agent_control_credentials SET secret_hash=:hash", {{"hash", std::string(hash)}});
    plain_.execute("UPDATE admin_sessions SET secret_hash=:hash", {{"hash", std::string(hash)}});
    EXPECT_EQ(bearer(token), "auth_unavailable");
    EXPECT_EQ(bearer(session), "auth_unavailable");
  }
}

TEST_F(AuthenticatorTest, TooManyBadCredentialsOfOneAddress) {
  const std::string token = store_agent_credential();
  for (int i = 0; i < 60; ++i) EXPECT_EQ(bearer("garbage"), "invalid_credential");
  const auto limited = authenticator_.authenticate(bearer_field("Bearer garbage"));
  ASSERT_FALSE(limited);
  EXPECT_EQ(limited.error().code, ErrorCode::rate_limited);
  EXPECT_EQ(limited.error().retry_after, Seconds(1));
  const int reads = database_.reads;
  EXPECT_EQ(bearer(token), "rate_limited");  // not in the cache: nothing is looked up for this address now
  EXPECT_EQ(database_.reads, reads);
  Credentials elsewhere = bearer_field("x");
  const std::string field = "Bearer " + token;
  elsewhere.authorization = field;
  elsewhere.client_address = "192.0.2.2";
  EXPECT_EQ(outcome(elsewhere), agent_actor_);
  EXPECT_EQ(bearer(token), agent_actor_);  // verified a moment ago, from wherever
  pass(Seconds(1));
  EXPECT_EQ(bearer("garbage"), "invalid_credential");
}

}  // namespace
}  // namespace ee::cp::auth_tests
