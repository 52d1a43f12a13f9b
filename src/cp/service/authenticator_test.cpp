#include "cp/service/authenticator.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "common/argon2.h"
#include "common/crypto.h"
#include "common/fake_clock.h"
#include "common/fake_random.h"
#include "cp/service/session_token.h"
#include "cp/store/account_store.h"
#include "cp/store/api_key_store.h"
#include "cp/store/credential_store.h"
#include "cp/store/session_store.h"
#include "tests/support/test_database.h"

namespace ee::cp {
namespace {

constexpr const char* kAgent = "0190a000-0000-7000-8000-000000000001";
constexpr const char* kSession = "0190a000-0000-7000-8000-000000000002";
constexpr const char* kAccount = "0190a000-0000-7000-8000-000000000003";
constexpr const char* kKey = "0190a000-0000-7000-8000-000000000004";
constexpr const char* kOrigin = "https://cp.example.com";

/// Counts uses of a database, breaks on demand, and runs something between a read and what follows it.
class WatchedDatabase final : public db::Database {
 public:
  explicit WatchedDatabase(db::Database& inner) : inner_(inner) {}
  Result<void> run_write(const std::function<Result<void>(db::Transaction&)>& work) override {
    if (broken) return fail(ErrorCode::database_unavailable, "broken");
    ++writes;
    return inner_.run_write(work);
  }
  Result<void> run_read(const std::function<Result<void>(db::Transaction&)>& work) override {
    if (broken) return fail(ErrorCode::database_unavailable, "broken");
    ++reads;
    auto result = inner_.run_read(work);
    if (after_read) after_read();
    return result;
  }
  bool broken = false;
  int reads = 0;
  int writes = 0;
  std::function<void()> after_read = {};

 private:
  db::Database& inner_;
};

class AuthenticatorTest : public ::testing::Test {
 protected:
  AuthenticatorTest() { settings_.public_origin = kOrigin; }

  /// A credential of the agent, stored; its text.
  std::string store_agent_credential(CredentialState state = CredentialState::active) {
    const auto credential = new_credential(CredentialKind::agent, random_).value();
    const CredentialRow row{
        .id = new_uuid_v7(clock_.now(), random_).value(),
        .agent_id = AgentId(kAgent),
        .lookup = credential.lookup,
        .secret_hash = hash_token(credential.text, random_).value(),
        .state = state,
        .created_at = clock_.now(),
        .expires_at = clock_.now() + Seconds(30 * 86400),
        .retire_at = state == CredentialState::active ? std::nullopt : std::optional(clock_.now() + Seconds(600)),
        .last_used_at = clock_.now()};
    EXPECT_TRUE(plain_->run_write([&](db::Transaction& tx) { return CredentialStore().insert(tx, row); }));
    return credential.text.reveal();
  }
  std::string store_session(AuthMethod method = AuthMethod::password) {
    const auto credential = new_credential(CredentialKind::sess, random_).value();
    const SessionRow row{.id = SessionId(kSession),
                         .lookup = credential.lookup,
                         .secret_hash = hash_token(credential.text, random_).value(),
                         .auth_method = method,
                         .identity = method == AuthMethod::password ? "password" : "github:7",
                         .github_id = method == AuthMethod::password ? std::nullopt : std::optional<std::int64_t>(7),
                         .ip = "192.0.2.1",
                         .user_agent = "test",
                         .created_at = clock_.now(),
                         .expires_at = clock_.now() + Seconds(86400),
                         .last_used_at = clock_.now()};
    EXPECT_TRUE(plain_->run_write([&](db::Transaction& tx) { return SessionStore().insert(tx, row); }));
    return credential.text.reveal();
  }

  /// A key of a contributor with scopes read and apps; its text.
  std::string store_key() {
    const auto credential = new_credential(CredentialKind::live, random_).value();
    const AccountRow account{.id = AccountId(kAccount),
                             .name = "acme",
                             .account_type = AccountType::contributor,
                             .created_at = clock_.now(),
                             .created_by = "test",
                             .updated_at = clock_.now()};
    const ApiKeyRow key{.id = kKey,
                        .account_id = account.id,
                        .name = "default",
                        .lookup = credential.lookup,
                        .secret_hash = hash_token(credential.text, random_).value(),
                        .scopes = Scopes{Scope::read, Scope::apps}.json(),
                        .created_at = clock_.now(),
                        .created_by = "test"};
    EXPECT_TRUE(plain_->run_write([&](db::Transaction& tx) { return AccountStore().create(tx, account); }));
    EXPECT_TRUE(plain_->run_write([&](db::Transaction& tx) { return ApiKeyStore().insert(tx, key); }));
    return credential.text.reveal();
  }

  static Credentials bearer_field(std::string_view field) {
    return {.authorization = field, .authorization_count = 1, .client_address = "192.0.2.1"};
  }
  std::string outcome(const Credentials& credentials) {
    const auto principal = authenticator_.authenticate(credentials);
    return principal ? principal->actor() : std::string(slug(principal.error().code));
  }
  std::string bearer(const std::string& token) {
    const std::string field = "Bearer " + token;
    return outcome(bearer_field(field));
  }
  std::string cookie(const std::string& token, Credentials more = {}) {
    const std::string field = "theme=dark; ee_session=" + token;
    more.cookie = field;
    more.client_address = "192.0.2.1";
    return outcome(more);
  }
  /// The credential with another secret, under a CRC that fits: only Argon2 can tell.
  std::string with_another_secret(const std::string& token) {
    const auto other = new_credential(CredentialKind::agent, random_).value();
    std::string text = token.substr(0, 26) + other.text.reveal().substr(26, 43);
    std::uint32_t crc = crc32(bytes_of(text));
    std::string digits(6, '0');
    for (std::size_t i = 6; i-- > 0; crc /= 62)
      digits[i] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[crc % 62];
    return text + digits;
  }
  void pass(Seconds seconds) { clock_.advance(seconds); }

  const std::string agent_actor_ = std::string("agent:") + kAgent;
  const std::string admin_actor_ = std::string("admin:") + kSession;
  FakeClock clock_;
  FakeRandom random_;
  testing::TestDatabase plain_;
  WatchedDatabase database_{*plain_};
  std::unique_ptr<CredentialCache> cache_ = CredentialCache::create(1024, Milliseconds(5000), random_);
  AuthSettings settings_;
  metrics::Registry metrics_;
  Authenticator authenticator_{database_, *cache_, clock_, [this] { return settings_; }, metrics_};
};

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

TEST_F(AuthenticatorTest, ASessionByBearerNeedsNoCsrfToken) {
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
TEST_F(AuthenticatorTest, ASessionByCookieNeedsTheCsrfTokenToChangeThings) {
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

TEST_F(AuthenticatorTest, ABadBearerIsRefusedBesideAGoodCookie) {
  const std::string field = "ee_session=" + store_session();
  EXPECT_EQ(outcome({.authorization = "Bearer x", .authorization_count = 1, .cookie = field}), "invalid_credential");
}

// covers: S04_AUTH_SESS_002
TEST_F(AuthenticatorTest, ASessionEndsAfterItsTime) {
  settings_.session_idle = Seconds(604800);
  const std::string token = store_session();
  pass(Seconds(86399));
  EXPECT_EQ(bearer(token), admin_actor_);
  pass(Seconds(1));
  EXPECT_EQ(bearer(token), "session_expired");
  EXPECT_EQ(bearer(with_another_secret(token)), "invalid_credential");
}

// covers: S04_AUTH_SESS_003
TEST_F(AuthenticatorTest, ASessionEndsWhenItIsNotUsed) {
  const std::string token = store_session();
  for (int i = 0; i < 5; ++i) {
    pass(Seconds(7199));
    EXPECT_EQ(bearer(token), admin_actor_) << i;
  }
  pass(Seconds(7200));
  EXPECT_EQ(bearer(token), "session_expired");
}

TEST_F(AuthenticatorTest, UseOfASessionIsNotedOnceAMinute) {
  const std::string token = store_session();
  pass(Seconds(59));
  EXPECT_EQ(bearer(token), admin_actor_);
  EXPECT_EQ(database_.writes, 0);
  pass(Seconds(1));
  for (int i = 0; i < 10; ++i) EXPECT_EQ(bearer(token), admin_actor_);
  EXPECT_EQ(database_.writes, 1);
}

// covers: S04_AUTH_SESS_008
TEST_F(AuthenticatorTest, TheRoleIsJudgedOnEachRequest) {
  const std::string token = store_session(AuthMethod::github_oauth);
  EXPECT_EQ(bearer(token), std::string("user:") + kSession);
  settings_.admin_github_ids = {7};
  EXPECT_EQ(bearer(token), admin_actor_);
  settings_.admin_github_ids = {};
  EXPECT_EQ(bearer(token), std::string("user:") + kSession);
}

TEST_F(AuthenticatorTest, ARevokedSessionIsRefusedEvenWhenCached) {
  const std::string token = store_session();
  EXPECT_EQ(bearer(token), admin_actor_);
  plain_.execute("UPDATE admin_sessions SET revoked_at=1, revoked_reason='test'");
  EXPECT_EQ(bearer(token), "invalid_credential");
  plain_.execute("DELETE FROM admin_sessions");
  EXPECT_EQ(bearer(token), "invalid_credential");
}

TEST_F(AuthenticatorTest, AKeyIsKnownWithItsAccountAndScopes) {
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
TEST_F(AuthenticatorTest, AKeyIsNotKeptOverARevocationOrABrokenDatabase) {
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

TEST_F(AuthenticatorTest, AKeyOfAClosedAccountOrWithUnusableRowIsRefused) {
  const std::string key = store_key();
  plain_.execute("UPDATE api_keys SET scopes='[\"root\"]'");
  EXPECT_EQ(bearer(key), "auth_unavailable");
  plain_.execute("UPDATE api_keys SET scopes='[\"read\"]'");
  plain_.execute("UPDATE accounts SET status='closed' WHERE account_type<>'system'");
  EXPECT_EQ(bearer(key), "invalid_credential");
}

TEST_F(AuthenticatorTest, WorkflowsAreJudgedByTheirVerifierAndFailuresCounted) {
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

TEST_F(AuthenticatorTest, CountsByKindAndResult) {
  EXPECT_EQ(bearer(store_agent_credential()), agent_actor_);
  EXPECT_EQ(bearer("garbage"), "invalid_credential");
  const std::string text = metrics_.text();
  EXPECT_NE(text.find(R"(ee_auth_total{kind="agent",result="ok"} 1)"), std::string::npos) << text;
  EXPECT_NE(text.find(R"(ee_auth_total{kind="other",result="invalid_credential"} 1)"), std::string::npos) << text;
  EXPECT_NE(text.find(R"(ee_auth_cache_total{result="miss"} 1)"), std::string::npos) << text;
}

}  // namespace
}  // namespace ee::cp
