#include "common/error_level.h"

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

namespace ee {
namespace {

/// Each row of the table has its level, so that a new code of 5xx is a fault until somebody says otherwise.
TEST(ErrorLevel, FollowsTheTable) {
  std::vector<std::string_view> meant;
  for (const ErrorInfo& info : error_table()) {
    const log::Level level = log_level_of(info.code);
    if (info.http_status >= 400 && info.http_status < 500) {
      EXPECT_EQ(level, log::Level::warn) << info.slug;
    } else if (level == log::Level::info) {
      EXPECT_EQ(info.http_status, 503) << info.slug;
      meant.push_back(info.slug);
    } else {
      EXPECT_EQ(level, log::Level::error) << info.slug;
    }
  }
  EXPECT_EQ(meant, (std::vector<std::string_view>{"capacity_reached", "maintenance", "overloaded", "proxy_overloaded",
                                                  "too_many_followers", "verifier_busy"}));
}

TEST(ErrorLevel, FaultsStayErrors) {
  for (const ErrorCode code : {ErrorCode::internal_error, ErrorCode::database_unavailable, ErrorCode::audit_unavailable,
                               ErrorCode::auth_unavailable, ErrorCode::billing_halted, ErrorCode::handler_timeout,
                               ErrorCode::policy_invalid, ErrorCode::verifier_unavailable, ErrorCode::cloudflare_error})
    EXPECT_EQ(log_level_of(code), log::Level::error) << slug(code);
  EXPECT_EQ(log_level_of(ErrorCode::agent_lost), log::Level::error) << "no answer may have it";
}

}  // namespace
}  // namespace ee
