#pragma once
#include <gtest/gtest.h>

#include <algorithm>

#include "common/argon2.h"
#include "common/crypto.h"
#include "common/fake_clock.h"
#include "common/fake_random.h"
#include "cp/service/authenticator.h"
#include "cp/service/session_token.h"
#include "cp/store/account_store.h"
#include "cp/store/api_key_store.h"
#include "cp/store/credential_store.h"
#include "cp/store/session_store.h"
#include "tests/support/test_database.h"

namespace ee::cp::auth_tests {

inline constexpr const char* kAgent = "0190a000-0000-7000-8000-000000000001";
inline constexpr const char* kSession = "0190a000-0000-7000-8000-000000000002";
inline constexpr const char* kAccount = "0190a000-0000-7000-8000-000000000003";
inline constexpr const char* kKey = "0190a000-0000-7000-8000-000000000004";
inline constexpr const char* kOrigin = "https://cp.example.com";

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

}  // namespace ee::cp::auth_tests
