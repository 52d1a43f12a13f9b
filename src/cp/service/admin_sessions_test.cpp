#include "cp/service/admin_sessions.h"

#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <deque>
#include <thread>

#include "common/argon2.h"
#include "common/fake_clock.h"
#include "common/fake_random.h"
#include "cp/service/session_token.h"
#include "tests/support/test_database.h"

namespace ee::cp {
namespace {

constexpr const char* kOrigin = "https://cp.example.com";
constexpr const char* kPassword = "correct horse battery";

class AdminSessionsTest : public ::testing::Test {
 protected:
  AdminSessionsTest() {
    settings_.password_login = true;
    settings_.public_origin = kOrigin;
    // The smallest parameters: what is tested here is not Argon2.
    settings_.admin_password_hash = Secret(hash_token(Secret(kPassword), random_).value());
  }

  Result<NewSession> login(const std::string& password = kPassword, const std::string& address = "192.0.2.1",
                           std::string_view presented = {}) {
    return sessions_.login({.password = Secret(password),
                            .mode = SessionMode::token,
                            .presented_token = presented,
                            .client_address = address,
                            .user_agent = "test agent",
                            .request_id = "req-1"});
  }
  std::string code(const std::string& password = kPassword, const std::string& address = "192.0.2.1") {
    const auto session = login(password, address);
    return session ? "ok" : std::string(slug(session.error().code));
  }
  Result<Principal> principal_of(const NewSession& session) {
    const std::string field = "Bearer " + session.token.reveal();
    return authenticator_.authenticate(
        {.authorization = field, .authorization_count = 1, .client_address = "192.0.2.1"});
  }
  std::string state_of(const NewSession& session) {
    const auto principal = principal_of(session);
    return principal ? "ok" : std::string(slug(principal.error().code));
  }
  std::vector<std::string> audit_actions() {
    return database_.values<std::string>(
        "SELECT action || ':' || COALESCE(reason_code, '') FROM audit_log ORDER BY at, id");
  }

  FakeClock clock_;
  FakeRandom random_;
  testing::TestDatabase database_;
  std::unique_ptr<CredentialCache> cache_ = CredentialCache::create(1024, Milliseconds(5000), random_);
  AuthSettings settings_;
  metrics::Registry metrics_;
  Authenticator authenticator_{database_, *cache_, clock_, [this] { return settings_; }, metrics_};
  AdminSessions sessions_{{.database = database_,
                           .authenticator = authenticator_,
                           .clock = clock_,
                           .random = random_,
                           .settings = [this] { return settings_; },
                           .metrics = metrics_}};
};

// covers: S04_AUTH_SESS_001
TEST_F(AdminSessionsTest, TheRightPasswordBeginsASession) {
  const auto session = login();
  ASSERT_TRUE(session);
  EXPECT_EQ(session->role, SessionRole::admin);
  EXPECT_EQ(session->expires_at, clock_.now() + Seconds(86400));
  EXPECT_EQ(session->idle_expires_at, clock_.now() + Seconds(7200));
  EXPECT_EQ(session->csrf_token, csrf_token_of(session->token.reveal(), session->session_id));
  EXPECT_FALSE(session->set_cookie);
  const auto principal = principal_of(*session);
  ASSERT_TRUE(principal);
  EXPECT_TRUE(principal->is_admin);
  EXPECT_EQ(principal->session_id, session->session_id);
  EXPECT_EQ(audit_actions(), std::vector<std::string>{"login_succeeded:"});
  EXPECT_EQ(database_.value<std::string>("SELECT actor FROM audit_log"), "admin:" + session->session_id.str());
}

TEST_F(AdminSessionsTest, CookieModePutsTheTokenIntoTheCookie) {
  const auto session =
      sessions_.login({.password = Secret(kPassword), .origin = kOrigin, .client_address = "192.0.2.1"});
  ASSERT_TRUE(session);
  ASSERT_TRUE(session->set_cookie);
  EXPECT_EQ(session->set_cookie->reveal(), session_cookie(session->token.reveal(), Seconds(86400), true));
  settings_.secure_cookies = false;
  const auto plain = sessions_.login({.password = Secret(kPassword), .client_address = "192.0.2.1"});
  EXPECT_EQ(plain->set_cookie->reveal().find("Secure"), std::string::npos);
}

TEST_F(AdminSessionsTest, CookieModeFromAnotherSiteIsRefused) {
  const auto session =
      sessions_.login({.password = Secret(kPassword), .origin = "https://evil.example", .client_address = "192.0.2.1"});
  ASSERT_FALSE(session);
  EXPECT_EQ(session.error().code, ErrorCode::csrf_failed);
  EXPECT_TRUE(sessions_.login({.password = Secret(kPassword),
                               .mode = SessionMode::token,
                               .origin = "https://evil.example",
                               .client_address = "192.0.2.1"}));
}

// covers: S04_AUTH_SESS_001
TEST_F(AdminSessionsTest, AWrongPasswordOrNoneSetIsRefused) {
  EXPECT_EQ(code("wrong password"), "invalid_credential");
  EXPECT_EQ(code(""), "invalid_credential");
  settings_.password_login = false;
  EXPECT_EQ(code(), "password_login_disabled");
  settings_.password_login = true;
  settings_.admin_password_hash = Secret();
  EXPECT_EQ(code(), "password_login_disabled");
  settings_.admin_password_hash = Secret("$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW");
  EXPECT_EQ(code(), "auth_unavailable");
}

TEST_F(AdminSessionsTest, NothingSecretIsStored) {
  const auto session = login();
  ASSERT_TRUE(session);
  std::string all;
  for (const char* column : {"id", "lookup", "secret_hash", "identity", "ip", "user_agent"})
    all += database_.value<std::string>(std::string("SELECT ") + column + " FROM admin_sessions");
  for (const std::string& detail : database_.values<std::string>("SELECT detail FROM audit_log")) all += detail;
  const std::string& token = session->token.reveal();
  EXPECT_EQ(all.find(token.substr(25)), std::string::npos);
  EXPECT_EQ(all.find(kPassword), std::string::npos);
}

// covers: S04_AUTH_SESS_004
TEST_F(AdminSessionsTest, TheEleventhSessionEndsTheOldest) {
  std::vector<NewSession> all;
  for (int i = 0; i < 11; ++i) {
    all.push_back(login().value());
    EXPECT_EQ(state_of(all.back()), "ok");  // in the cache
    clock_.advance(Milliseconds(1));
  }
  EXPECT_EQ(state_of(all[0]), "invalid_credential");
  for (std::size_t i = 1; i < all.size(); ++i) EXPECT_EQ(state_of(all[i]), "ok") << i;
}

TEST_F(AdminSessionsTest, TheNewestOfManySessionsOfOneInstantIsKept) {
  for (int i = 0; i < 40; ++i) EXPECT_EQ(state_of(login().value()), "ok") << i;
}

TEST_F(AdminSessionsTest, ALoginEndsTheSessionThatCameAlong) {
  const auto first = login().value();
  EXPECT_EQ(state_of(first), "ok");
  const auto second = login(kPassword, "192.0.2.1", first.token.reveal()).value();
  EXPECT_EQ(state_of(first), "invalid_credential");
  EXPECT_EQ(state_of(second), "ok");
  EXPECT_NE(first.token.reveal(), second.token.reveal());
  // The public part alone is not enough, and garbage is ignored.
  const auto third = login(kPassword, "192.0.2.1", second.token.reveal().substr(0, 24)).value();
  EXPECT_EQ(state_of(second), "ok");
  EXPECT_EQ(state_of(third), "ok");
}

// covers: S04_AUTH_SESS_006
TEST_F(AdminSessionsTest, LogoutEndsOneOrAll) {
  const auto a = login().value();
  const auto b = login().value();
  const auto c = login().value();
  const auto principal = principal_of(a).value();
  EXPECT_TRUE(sessions_.logout(principal, false, "192.0.2.1", "req-2"));
  EXPECT_EQ(state_of(a), "invalid_credential");
  EXPECT_EQ(state_of(b), "ok");
  EXPECT_TRUE(sessions_.logout(principal, false, "192.0.2.1", "req-3"));  // already over
  EXPECT_TRUE(sessions_.logout(principal_of(b).value(), true, "192.0.2.1", "req-4"));
  EXPECT_EQ(state_of(b), "invalid_credential");
  EXPECT_EQ(state_of(c), "invalid_credential");
  EXPECT_EQ(audit_actions(), (std::vector<std::string>{
                                 "login_succeeded:", "login_succeeded:", "login_succeeded:", "logout:", "logout:"}));
  EXPECT_EQ(sessions_.logout({}, false, "", "").error().code, ErrorCode::unauthenticated);
}

// covers: S04_AUTH_SESS_007
TEST_F(AdminSessionsTest, AnotherPasswordHashEndsAllPasswordSessions) {
  const auto a = login().value();
  const auto b = login().value();
  EXPECT_EQ(state_of(a), "ok");
  EXPECT_EQ(sessions_.end_all_of(AuthMethod::github_oauth, "oauth_removed", "system:settings", "r"), 0);
  EXPECT_EQ(sessions_.end_all_of(AuthMethod::password, "password_changed", "admin:x", "r"), 2);
  EXPECT_EQ(state_of(a), "invalid_credential");
  EXPECT_EQ(state_of(b), "invalid_credential");
  EXPECT_EQ(audit_actions().back(), "session_revoked:password_changed");
}

// covers: S04_AUTH_SESS_007
TEST_F(AdminSessionsTest, AnotherPasswordInTheSettingsEndsTheSessionsOfTheOldOne) {
  EXPECT_EQ(sessions_.end_if_password_changed(), 0) << "the first start";
  const auto old = login().value();
  EXPECT_EQ(sessions_.end_if_password_changed(), 0) << "nothing changed";
  EXPECT_EQ(state_of(old), "ok");
  const Secret before = settings_.admin_password_hash;
  settings_.admin_password_hash = Secret(hash_token(Secret("another password"), random_).value());
  EXPECT_EQ(sessions_.end_if_password_changed(), 1);
  EXPECT_EQ(state_of(old), "invalid_credential");
  EXPECT_EQ(sessions_.end_if_password_changed(), 0);
  // Whoever was just being checked against the old one comes too late.
  settings_.admin_password_hash = before;
  const auto late = login();
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::invalid_credential);
}

TEST_F(AdminSessionsTest, DescribesASession) {
  const auto session = login().value();
  const auto info = sessions_.describe(session.session_id, session.token.reveal());
  ASSERT_TRUE(info);
  EXPECT_EQ(info->csrf_token, session.csrf_token);
  EXPECT_EQ(info->role, SessionRole::admin);
  EXPECT_EQ(info->session.user_agent, "test agent");
  EXPECT_EQ(info->idle_expires_at, session.idle_expires_at);
  EXPECT_EQ(sessions_.describe(SessionId("none"), "x").error().code, ErrorCode::not_found);
}

// covers: S04_AUTH_LOCK_001
TEST_F(AdminSessionsTest, FiveFailuresLockTheAddress) {
  for (int i = 0; i < 5; ++i) EXPECT_EQ(code("wrong"), "invalid_credential");
  const auto locked = login();
  ASSERT_FALSE(locked);
  EXPECT_EQ(locked.error().code, ErrorCode::login_throttled);
  EXPECT_EQ(locked.error().retry_after, Seconds(900));
  EXPECT_EQ(code(kPassword, "192.0.2.2"), "ok");  // another address; and this success clears its own bucket only
  EXPECT_EQ(code(), "login_throttled");
  clock_.advance(Seconds(900));
  EXPECT_EQ(code(), "ok");
  EXPECT_EQ(code("wrong"), "invalid_credential");
}

TEST_F(AdminSessionsTest, TheFifthAttemptMayStillBeRight) {
  for (int i = 0; i < 4; ++i) EXPECT_EQ(code("wrong"), "invalid_credential");
  EXPECT_EQ(code(), "ok");
  for (int i = 0; i < 5; ++i) EXPECT_EQ(code("wrong"), "invalid_credential");
  EXPECT_EQ(code(), "login_throttled");
}

TEST_F(AdminSessionsTest, FiftyFailuresFromEverywhereLockAll) {
  for (int i = 0; i < 50; ++i) EXPECT_EQ(code("wrong", "198.51.100." + std::to_string(i)), "invalid_credential");
  const auto locked = login();
  ASSERT_FALSE(locked);
  EXPECT_EQ(locked.error().code, ErrorCode::login_throttled);
  EXPECT_EQ(locked.error().retry_after, Seconds(300));
  // Who is refused by the global lock is not counted against the own address.
  EXPECT_EQ(database_.value<std::int64_t>("SELECT COUNT(*) FROM login_throttle WHERE bucket='ip:192.0.2.1'"), 0);
  clock_.advance(Seconds(300));
  EXPECT_EQ(code(), "ok");
}

// covers: S04_AUTH_LOCK_002
TEST_F(AdminSessionsTest, ParallelGuessesCannotExceedTheLimit) {
  std::atomic<int> checked = 0;
  std::atomic<int> refused = 0;
  std::barrier together(50);
  {
    std::deque<std::jthread> guessers;
    for (int i = 0; i < 50; ++i)
      guessers.emplace_back([&] {
        together.arrive_and_wait();
        const std::string result = code("wrong");
        if (result == "invalid_credential") ++checked;
        if (result == "login_throttled" || result == "overloaded") ++refused;
      });
  }
  EXPECT_LE(checked, 5);
  EXPECT_GE(checked, 1);
  EXPECT_EQ(checked + refused, 50);
}

TEST_F(AdminSessionsTest, RefusalsAreAuditedOncePerMinute) {
  for (int i = 0; i < 5; ++i) code("wrong");
  for (int i = 0; i < 3; ++i) code("wrong");
  EXPECT_EQ(audit_actions(),
            (std::vector<std::string>{"login_failed:invalid_credential", "login_throttled:login_throttled"}));
  clock_.advance(Seconds(60));
  code("wrong");
  EXPECT_EQ(database_.values<std::string>("SELECT detail FROM audit_log ORDER BY at, id").back(), R"({"folded":2})");
  EXPECT_NE(metrics_.text().find("ee_login_failures_total 9"), std::string::npos);
}

TEST_F(AdminSessionsTest, CleansUp) {
  login().value();
  for (int i = 0; i < 2; ++i) code("wrong", "192.0.2.9");
  EXPECT_EQ(sessions_.clean_up(100), 0);
  clock_.advance(Seconds(86400));
  EXPECT_EQ(sessions_.clean_up(100), 1);
  clock_.advance(Seconds(86401));
  EXPECT_EQ(sessions_.clean_up(100), 2);  // the address's bucket and the global one
  EXPECT_EQ(sessions_.clean_up(100), 0);
}

TEST(PasswordGate, OneAtATimeAndEightWait) {
  PasswordGate gate;
  auto first = std::make_optional(gate.enter({}));
  ASSERT_TRUE(*first);
  std::atomic<int> running = 0;
  std::atomic<int> most = 0;
  {
    std::deque<std::jthread> waiters;
    for (int i = 0; i < PasswordGate::kMaxWaiting; ++i)
      waiters.emplace_back([&] {
        const auto turn = gate.enter({});
        ASSERT_TRUE(turn);
        most = std::max(most.load(), ++running);
        std::this_thread::yield();
        --running;
      });
    while (gate.waiting() < PasswordGate::kMaxWaiting) std::this_thread::yield();
    const auto refused = gate.enter({});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::overloaded);
    EXPECT_EQ(refused.error().retry_after, Seconds(2));
    first.reset();
  }
  EXPECT_EQ(most, 1);
  EXPECT_TRUE(gate.enter({}));
}

TEST(PasswordGate, AWaiterThatIsStoppedLeaves) {
  PasswordGate gate;
  const auto turn = gate.enter({});
  std::stop_source stop;
  std::jthread waiter([&] { EXPECT_FALSE(gate.enter(stop.get_token())); });
  while (gate.waiting() == 0) std::this_thread::yield();
  stop.request_stop();
  waiter.join();
  EXPECT_EQ(gate.waiting(), 0);
}

}  // namespace
}  // namespace ee::cp
