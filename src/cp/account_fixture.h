#pragma once
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <string>
#include <vector>

#include "common/argon2.h"
#include "common/credential.h"
#include "cp/store/session_store.h"
#include "tests/support/test_control_plane.h"

namespace ee::testing {

/// Accounts in a whole control plane: made by an administrator, used by their keys and by people signed in through
/// GitHub (whose sessions are put in as a sign-in would).
class AccountFixture : public ::testing::Test {
 protected:
  explicit AccountFixture(TestControlPlane::Options options = {}) : cp(std::move(options)) {}

  struct Made {
    std::string id;
    std::string key;
    std::string key_id;
    std::string path() const { return "/api/v1/accounts/" + id; }
    std::string keys() const { return path() + "/api-keys"; }
  };

  static boost::json::value body_of(const TestAnswer& answer) { return boost::json::parse(answer.body); }
  static std::string text(const boost::json::value& object, std::string_view member) {
    return std::string(object.at(member).as_string());
  }
  static Made made_of(const TestAnswer& answer) {
    if (answer.status != 201) throw std::runtime_error(answer.body);
    const auto body = body_of(answer);
    return {.id = text(body.at("account"), "id"), .key = text(body, "api_key"), .key_id = text(body, "key_id")};
  }
  Made make(const std::string& name, const std::string& type = "deployer") {
    return made_of(
        cp.admin("POST", "/api/v1/accounts", R"({"name":")" + name + R"(","account_type":")" + type + "\"}"));
  }
  /// Each call a second after the one before: none is slowed down by its rate limit.
  TestAnswer as(const std::string& token, const std::string& method, const std::string& path,
                const std::string& body = "", std::vector<HttpHeader> headers = {}) {
    cp.clock.advance(Milliseconds(200));
    headers.push_back({"Authorization", "Bearer " + token});
    return cp.call(method, path, body, std::move(headers));
  }
  Made new_key(const Made& account, const std::string& token, const std::string& body) {
    const TestAnswer answer = as(token, "POST", account.keys(), body);
    if (answer.status != 201) throw std::runtime_error(answer.body);
    const auto made = body_of(answer);
    return {.id = account.id, .key = text(made, "api_key"), .key_id = text(made, "key_id")};
  }
  /// A session of GitHub user `id`; its token.
  std::string sign_in(std::int64_t id, const std::string& login, const std::string& organisations = "[]") {
    const auto credential = new_credential(CredentialKind::sess, cp.random).value();
    const cp::SessionRow row{.id = SessionId(new_uuid_v7(cp.clock.now(), cp.random).value()),
                             .lookup = credential.lookup,
                             .secret_hash = hash_token(credential.text, cp.random).value(),
                             .auth_method = cp::AuthMethod::github_oauth,
                             .identity = "github:" + std::to_string(id),
                             .github_id = id,
                             .github_login = login,
                             .github_orgs = organisations,
                             .ip = "192.0.2.1",
                             .user_agent = "test",
                             .created_at = cp.clock.now(),
                             .expires_at = cp.clock.now() + Seconds(86400),
                             .last_used_at = cp.clock.now()};
    const auto stored =
        cp.app().database().run_write([&](db::Transaction& tx) { return cp::SessionStore().insert(tx, row); });
    if (!stored) throw std::runtime_error(stored.error().detail);
    return credential.text.reveal();
  }
  void set_signup(const std::string& mode) {
    ASSERT_EQ(cp.admin("PUT", "/api/v1/admin/settings/auth.signup_mode", "{\"value\":\"" + mode + "\"}").status, 200);
  }
  std::int64_t audited(const std::string& action) {
    return cp.values<std::int64_t>("SELECT COUNT(*) FROM audit_log WHERE action=:action", {{"action", action}}).front();
  }

  TestControlPlane cp;
};

}  // namespace ee::testing
