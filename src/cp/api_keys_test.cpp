// API keys over HTTP: what a key may do and make, and when it ends.
#include "cp/account_fixture.h"

namespace ee::testing {
namespace {

class ApiKeysTest : public AccountFixture {
 protected:
  const Made account = make("acme");
  int status(const std::string& key) { return as(key, "GET", account.path()).status; }
  std::string code(const TestAnswer& answer) { return answer.status < 400 ? "ok" : answer.code(); }
};

// covers: S04_AUTH_KEY_001
TEST_F(ApiKeysTest, AnAccountHasSeveralKeysAndTheirTextIsNowhere) {
  const Made second = new_key(account, account.key, R"({"name":"second"})");
  EXPECT_EQ(status(account.key), 200);
  EXPECT_EQ(status(second.key), 200);
  const TestAnswer listed = as(account.key, "GET", account.keys());
  const auto items = body_of(listed).at("items").as_array();
  ASSERT_EQ(items.size(), 2U);
  EXPECT_EQ(text(items[1], "name"), "second");
  EXPECT_EQ(text(items[1], "display"), second.key.substr(0, 24) + "_...");
  EXPECT_EQ(text(items[1], "created_by"), "account:" + account.key_id);
  const std::string secret = second.key.substr(25);
  EXPECT_EQ(listed.body.find(secret), std::string::npos);
  for (const std::string& hash : cp.values<std::string>("SELECT secret_hash FROM api_keys"))
    EXPECT_TRUE(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$")) << hash;
  for (const std::string& detail : cp.values<std::string>("SELECT detail FROM audit_log"))
    EXPECT_EQ(detail.find(secret), std::string::npos);
  EXPECT_EQ(audited("key_created"), 1);
}

// covers: S04_AUTH_KEY_002
TEST_F(ApiKeysTest, ScopesAreASubsetOfTheTypes) {
  const Made reader = new_key(account, account.key, R"({"name":"reader","scopes":["read"]})");
  EXPECT_EQ(status(reader.key), 200);
  EXPECT_EQ(as(reader.key, "PATCH", account.path(), R"({"description":"x"})").code(), "scope_missing");
  EXPECT_EQ(as(account.key, "POST", account.keys(), R"({"name":"a","scopes":["launcher"]})").code(), "invalid_scope");
  EXPECT_EQ(as(account.key, "POST", account.keys(), R"({"name":"a","scopes":["root"]})").code(), "invalid_scope");
  EXPECT_EQ(as(account.key, "POST", account.keys(), R"({"name":"a","scopes":[]})").code(), "invalid_scope");
  const Made nodes = make("nodes", "agent");
  EXPECT_EQ(as(nodes.key, "POST", nodes.keys(), R"({"name":"a","scopes":["deploy"]})").code(), "invalid_scope");
  EXPECT_EQ(cp.values<std::string>("SELECT scopes FROM api_keys WHERE id=:id", {{"id", nodes.key_id}}).front(),
            R"(["account","agents","billing","read"])");
}

// covers: S04_AUTH_KEY_003
TEST_F(ApiKeysTest, AKeyMakesNoneThatIsMoreThanItself) {
  const Made small =
      new_key(account, account.key, R"({"name":"small","scopes":["account","read"],"expires_in_seconds":3600})");
  const auto ask = [&](const std::string& body) { return code(as(small.key, "POST", account.keys(), body)); };
  EXPECT_EQ(ask(R"({"name":"a","scopes":["deploy"],"expires_in_seconds":600})"), "scope_missing");
  EXPECT_EQ(ask(R"({"name":"a","scopes":["read"],"expires_in_seconds":7200})"), "invalid_request");
  EXPECT_EQ(ask(R"({"name":"a","scopes":["read"],"expires_in_seconds":null})"), "invalid_request");
  // Left out: as the key that asks.
  const Made child = new_key(account, small.key, R"({"name":"child"})");
  EXPECT_EQ(cp.values<std::string>("SELECT scopes FROM api_keys WHERE id=:id", {{"id", child.key_id}}).front(),
            R"(["account","read"])");
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(DISTINCT expires_at) FROM api_keys WHERE expires_at IS NOT NULL"),
            std::vector<std::int64_t>{1});
  // Nor by rotation of a greater one.
  EXPECT_EQ(as(small.key, "POST", account.keys() + "/" + account.key_id + "/rotate", "{}").code(), "scope_missing");
}

// covers: S04_AUTH_KEY_004
TEST_F(ApiKeysTest, TheFiftyFirstLiveKeyIsRefused) {
  for (int i = 1; i < 50; ++i) new_key(account, account.key, R"({"name":"k)" + std::to_string(i) + "\"}");
  EXPECT_EQ(as(account.key, "POST", account.keys(), R"({"name":"one-more"})").code(), "too_many_keys");
  const std::string rotate = account.keys() + "/" + account.key_id + "/rotate";
  EXPECT_EQ(as(account.key, "POST", rotate, R"({"overlap_seconds":60})").code(), "too_many_keys");
  EXPECT_EQ(as(account.key, "POST", rotate, "{}").status, 201) << "without overlap there are no more than before";
}

// covers: S04_AUTH_KEY_005
TEST_F(ApiKeysTest, ANameIsFreeAgainWhenItsKeyHasEnded) {
  const std::string body = R"({"name":"ci","expires_in_seconds":300})";
  const Made first = new_key(account, account.key, body);
  EXPECT_EQ(as(account.key, "POST", account.keys(), body).code(), "key_name_taken");
  EXPECT_EQ(as(account.key, "DELETE", account.keys() + "/" + first.key_id).status, 204);
  new_key(account, account.key, body);
  cp.clock.advance(Seconds(300));
  new_key(account, account.key, body);
  EXPECT_EQ(as(account.key, "POST", account.keys(), R"({"name":"Not A Label"})").code(), "invalid_name");
  EXPECT_EQ(as(account.key, "POST", account.keys(), R"({"name":"x","expires_in_seconds":299})").code(),
            "invalid_request");
}

// covers: S04_AUTH_KEY_006
TEST_F(ApiKeysTest, RotationReplacesAKeyAtOnceOrAfterAnOverlap) {
  const Made ci = new_key(account, account.key, R"({"name":"ci","scopes":["read"]})");
  EXPECT_EQ(status(ci.key), 200) << "in the cache from now on";
  const TestAnswer rotated = as(account.key, "POST", account.keys() + "/" + ci.key_id + "/rotate", "{}");
  ASSERT_EQ(rotated.status, 201) << rotated.body;
  const std::string second = text(body_of(rotated), "api_key");
  EXPECT_EQ(text(body_of(rotated).at("key"), "name"), "ci");
  EXPECT_EQ(text(body_of(rotated).at("key"), "rotated_from_key_id"), ci.key_id);
  EXPECT_EQ(as(ci.key, "GET", account.path()).code(), "invalid_credential");
  EXPECT_EQ(status(second), 200);
  EXPECT_EQ(as(second, "PATCH", account.path(), "{}").code(), "scope_missing") << "the scopes stay";
  const std::string old_name =
      cp.values<std::string>("SELECT name FROM api_keys WHERE id=:id", {{"id", ci.key_id}}).front();
  EXPECT_TRUE(old_name.starts_with("ci-old-") && old_name.size() == 11) << old_name;

  const std::string second_id = text(body_of(rotated), "key_id");
  const TestAnswer overlapping =
      as(account.key, "POST", account.keys() + "/" + second_id + "/rotate", R"({"overlap_seconds":600})");
  const std::string third = text(body_of(overlapping), "api_key");
  EXPECT_EQ(status(second), 200);
  EXPECT_EQ(status(third), 200);
  cp.clock.advance(Seconds(600));
  EXPECT_EQ(status(second), 401);
  EXPECT_EQ(status(third), 200);
  EXPECT_EQ(as(account.key, "POST", account.keys() + "/" + ci.key_id + "/rotate", "{}").code(), "key_revoked");
  EXPECT_EQ(audited("key_rotated"), 2);
  // An administrator cannot take a key of an account over.
  EXPECT_EQ(cp.admin("POST", account.keys() + "/" + second_id + "/rotate", "{}").code(), "account_type_not_allowed");
}

TEST_F(ApiKeysTest, AReplayShowsNoKey) {
  const std::vector<HttpHeader> key = {{"Idempotency-Key", "make-1"}};
  const TestAnswer first = as(account.key, "POST", account.keys(), R"({"name":"once"})", key);
  const TestAnswer again = as(account.key, "POST", account.keys(), R"({"name":"once"})", key);
  ASSERT_EQ(again.status, 201) << again.body;
  EXPECT_EQ(again.header("Idempotent-Replayed"), "true");
  EXPECT_TRUE(body_of(again).at("api_key").is_null());
  EXPECT_TRUE(body_of(again).at("secret_shown").as_bool());
  EXPECT_EQ(text(body_of(again), "key_id"), text(body_of(first), "key_id"));
  EXPECT_EQ(as(account.key, "POST", account.keys(), R"({"name":"other"})", key).code(), "idempotency_key_reused");
}

// covers: S04_AUTH_KEY_007, S04_AUTH_CACHE_004
TEST_F(ApiKeysTest, AKeyEndsOnTimeEvenWhileItIsCached) {
  const Made brief = new_key(account, account.key, R"({"name":"brief","expires_in_seconds":300})");
  cp.clock.advance(Seconds(299));
  EXPECT_EQ(status(brief.key), 200);
  cp.clock.advance(Seconds(1));
  EXPECT_EQ(as(brief.key, "GET", account.path()).code(), "invalid_credential");
}

// covers: S04_AUTH_KEY_008
TEST_F(ApiKeysTest, TheLastKeyStaysUnlessSomebodyElseCanGetIn) {
  const std::string last = account.keys() + "/" + account.key_id;
  EXPECT_EQ(as(account.key, "DELETE", last).code(), "last_credential");
  const std::string org = R"({"kind":"org","github_id":9,"login":"acme","reason":"known"})";
  ASSERT_EQ(cp.admin("POST", account.path() + "/identities", org).status, 201);
  EXPECT_EQ(as(account.key, "DELETE", last).code(), "last_credential") << "an organisation does not sign in";
  const std::string user = R"({"kind":"user","github_id":7,"login":"ada","reason":"known"})";
  ASSERT_EQ(cp.admin("POST", account.path() + "/identities", user).status, 201);
  EXPECT_EQ(as(account.key, "DELETE", last + "?reason=leaked").status, 204);
  EXPECT_EQ(as(account.key, "GET", account.path()).status, 401);
  const std::string person = sign_in(7, "ada");
  EXPECT_EQ(as(person, "DELETE", last).status, 204) << "again";
  EXPECT_EQ(as(person, "POST", account.keys(), R"({"name":"back"})").status, 201);
  const Made other = make("other");
  EXPECT_EQ(cp.admin("DELETE", other.keys() + "/" + other.key_id).status, 204);
  EXPECT_EQ(cp.admin("DELETE", other.keys() + "/" + account.key_id).code(), "not_found");
}

// covers: S04_AUTH_KEY_009
TEST_F(ApiKeysTest, LastUseIsWrittenAtMostOnceAMinute) {
  const auto flush = [&] {
    const auto done = cp.app().run_job("last_used_flush");
    return done ? done->counts.front().second : -1;
  };
  const std::string sql = "SELECT COALESCE(last_used_at, 0) FROM api_keys";
  for (int i = 0; i < 100; ++i) status(account.key);
  EXPECT_EQ(cp.values<std::int64_t>(sql).front(), 0) << "gathered in memory";
  EXPECT_EQ(flush(), 1);
  const std::int64_t first = cp.values<std::int64_t>(sql).front();
  EXPECT_EQ(first, unix_ms(cp.clock.now()));
  EXPECT_FALSE(cp.values<std::string>("SELECT last_used_ip FROM api_keys").front().empty());
  for (int i = 0; i < 10; ++i) {
    status(account.key);
    EXPECT_EQ(flush(), 0);
    cp.clock.advance(Seconds(5));
  }
  EXPECT_EQ(cp.values<std::int64_t>(sql).front(), first);
  cp.clock.advance(Seconds(10));
  status(account.key);
  EXPECT_EQ(flush(), 1);
  EXPECT_GE(cp.values<std::int64_t>(sql).front(), first + 60'000);
}

// covers: S04_AUTH_CACHE_002
TEST_F(ApiKeysTest, ARevokedKeyIsRefusedAtOnceThoughItIsCached) {
  const Made second = new_key(account, account.key, R"({"name":"second"})");
  EXPECT_EQ(status(second.key), 200);
  ASSERT_EQ(as(account.key, "DELETE", account.keys() + "/" + second.key_id).status, 204);
  EXPECT_EQ(as(second.key, "GET", account.path()).code(), "invalid_credential");
  EXPECT_EQ(status(account.key), 200);
}

// covers: S04_AUTH_CACHE_003
TEST_F(ApiKeysTest, ASuspensionCountsAtOnceThoughTheKeyIsCached) {
  EXPECT_EQ(as(account.key, "PATCH", account.path(), R"({"description":"a"})").status, 200);
  ASSERT_EQ(cp.admin("POST", account.path() + "/suspend", R"({"reason":"abuse"})").status, 200);
  EXPECT_EQ(as(account.key, "PATCH", account.path(), R"({"description":"b"})").code(), "account_suspended");
  EXPECT_EQ(status(account.key), 200) << "its own account can still be read";
  ASSERT_EQ(cp.admin("POST", account.path() + "/resume", R"({"reason":"settled"})").status, 200);
  EXPECT_EQ(as(account.key, "PATCH", account.path(), R"({"description":"b"})").status, 200);
}

TEST_F(ApiKeysTest, AdministratorsMakeKeysForAReason) {
  EXPECT_EQ(cp.admin("POST", account.keys(), R"({"name":"help"})").code(), "invalid_request");
  const TestAnswer made = cp.admin("POST", account.keys(), R"({"name":"help","reason":"locked out"})");
  EXPECT_EQ(made.status, 201) << made.body;
  EXPECT_NE(
      cp.values<std::string>("SELECT detail FROM audit_log WHERE action='key_created'").front().find("locked out"),
      std::string::npos);
}

TEST_F(ApiKeysTest, ManyBadKeysOfOneAddressAreThrottled) {
  const std::string wrong = new_credential(CredentialKind::live, cp.random)->text.reveal();
  const std::vector<HttpHeader> headers = {{"Authorization", "Bearer " + wrong}};
  for (int i = 0; i < 60; ++i)
    EXPECT_EQ(cp.call("GET", account.path(), "", headers, "192.0.2.9").code(), "invalid_credential");
  EXPECT_EQ(cp.call("GET", account.path(), "", headers, "192.0.2.9").code(), "rate_limited");
  EXPECT_EQ(status(account.key), 200) << "other addresses are not concerned";
}

TEST_F(ApiKeysTest, OneCleanUpTakesAllThatHasEnded) {
  const UtcTime now = cp.clock.now();
  const std::string numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<2500) ";
  cp.execute(numbers + "INSERT INTO oidc_token_uses (jti, uses, expires_at) SELECT 'jti-' || i, 1, :now FROM n",
             {{"now", now}});
  cp.execute(numbers +
                 "INSERT INTO admin_sessions (id, lookup, secret_hash, auth_method, identity, ip, user_agent, "
                 "created_at, expires_at, last_used_at) SELECT 's-' || i, 'l-' || i, 'h', 'password', 'password', '', "
                 "'', 1, :now, 1 FROM n",
             {{"now", now}});
  ASSERT_TRUE(cp.app().run_job("session_cleanup"));
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM oidc_token_uses").front(), 0);
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM admin_sessions WHERE id LIKE 's-%'").front(), 0);
}

TEST_F(ApiKeysTest, EndedKeysAreRemovedAfterFourHundredDays) {
  const Made second = new_key(account, account.key, R"({"name":"second"})");
  ASSERT_EQ(as(account.key, "DELETE", account.keys() + "/" + second.key_id).status, 204);
  const auto count = [&] { return cp.values<std::int64_t>("SELECT COUNT(*) FROM api_keys").front(); };
  cp.clock.advance(Seconds(399LL * 86400));
  ASSERT_TRUE(cp.app().run_job("session_cleanup"));
  EXPECT_EQ(count(), 2);
  cp.clock.advance(Seconds(2LL * 86400));
  ASSERT_TRUE(cp.app().run_job("session_cleanup"));
  EXPECT_EQ(count(), 1);
}

}  // namespace
}  // namespace ee::testing
