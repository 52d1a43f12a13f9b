#include "cp/service/session_rules.h"

#include <gtest/gtest.h>

namespace ee::cp {
namespace {

const UtcTime kNow = from_unix_ms(1'767'225'600'000);

SessionRow github_session() {
  return {.auth_method = AuthMethod::github_oauth,
          .identity = "github:7",
          .github_id = 7,
          .github_login = "Octo-Cat",
          .created_at = kNow,
          .expires_at = kNow + Seconds(86400),
          .last_used_at = kNow};
}

// covers: S04_AUTH_SESS_008
TEST(SessionRules, TheRoleFollowsTheSettings) {
  AuthSettings settings;
  EXPECT_EQ(session_role({.auth_method = AuthMethod::password}, settings), SessionRole::admin);
  EXPECT_EQ(session_role(github_session(), settings), SessionRole::user);
  settings.admin_github_ids = {6, 7};
  EXPECT_EQ(session_role(github_session(), settings), SessionRole::admin);
  settings.admin_github_ids = {6};
  EXPECT_EQ(session_role(github_session(), settings), SessionRole::user);
  settings.admin_github_logins = {"octo-cat"};
  EXPECT_EQ(session_role(github_session(), settings), SessionRole::admin);
  settings.admin_github_logins = {"octo-cat2", "octo-ca"};
  EXPECT_EQ(session_role(github_session(), settings), SessionRole::user);
}

TEST(SessionRules, IdleTimeIsTheRolesAndNeverPassesTheEnd) {
  AuthSettings settings;
  settings.session_idle = Seconds(7200);
  SessionRow row = github_session();
  EXPECT_EQ(idle_expiry(row, settings), row.expires_at);
  settings.admin_github_ids = {7};
  EXPECT_EQ(idle_expiry(row, settings), kNow + Seconds(7200));
  EXPECT_FALSE(is_over(row, settings, kNow + Seconds(7199)));
  EXPECT_TRUE(is_over(row, settings, kNow + Seconds(7200)));
  row.last_used_at = kNow + Seconds(86000);
  EXPECT_EQ(idle_expiry(row, settings), row.expires_at);
  EXPECT_TRUE(is_over(row, settings, row.expires_at));
  row.revoked_at = kNow;
  EXPECT_TRUE(is_over(row, settings, kNow));
}

}  // namespace
}  // namespace ee::cp
