// A change of the administrator's password ends what the old one began, however it is changed.
#include <gtest/gtest.h>

#include "common/argon2.h"
#include "tests/support/test_control_plane.h"

namespace ee::testing {
namespace {

constexpr const char* kSettingPath = "/api/v1/admin/settings/auth.admin_password_hash";

class PasswordChange : public ::testing::Test {
 protected:
  int status_with(const std::string& token) {
    return cp.call("GET", "/auth/me", "", {{"Authorization", "Bearer " + token}}).status;
  }
  int login(const std::string& password) {
    return cp.call("POST", "/admin/login", R"({"password":")" + password + R"(","mode":"token"})").status;
  }
  std::string hash_of(const std::string& password) { return hash_token(Secret(password), cp.random).value(); }

  TestControlPlane cp;
};

// covers: S04_AUTH_SESS_007
TEST_F(PasswordChange, EndsSessionsBeforeTheChangeIsAnswered) {
  const std::string mine = cp.admin_token();
  const std::string other = cp.admin_token();
  const auto changed = cp.call("PUT", kSettingPath, R"({"value":")" + hash_of("another long password") + "\"}",
                               {{"Authorization", "Bearer " + mine}});
  ASSERT_EQ(changed.status, 200) << changed.body;
  EXPECT_EQ(status_with(mine), 401);
  EXPECT_EQ(status_with(other), 401);
  EXPECT_EQ(login("correct horse battery staple"), 401);
  EXPECT_EQ(login("another long password"), 200);
  EXPECT_EQ(cp.values<std::string>("SELECT reason_code FROM audit_log WHERE action='session_revoked'"),
            std::vector<std::string>{"password_changed"});
}

// covers: S04_AUTH_SESS_007
TEST_F(PasswordChange, CountsAlsoWhileTheServerWasStopped) {
  const std::string token = cp.admin_token();
  cp.stop();
  cp.start();
  EXPECT_EQ(status_with(token), 200) << "a restart alone changes nothing";
  const std::string hash = hash_of("another long password");
  cp.execute(
      "INSERT INTO settings (key, value, is_secret, version, updated_by, updated_at) VALUES "
      "('auth.admin_password_hash', :hash, 1, 1, 'hand', 0)",
      {{"hash", hash}});
  cp.stop();
  cp.start();
  EXPECT_EQ(status_with(token), 401);
}

}  // namespace
}  // namespace ee::testing
