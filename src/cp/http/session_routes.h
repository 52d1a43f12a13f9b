#pragma once
#include <boost/describe.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cp/http/route.h"
#include "cp/service/admin_sessions.h"

namespace ee::cp {

/// Sign-in and sign-out of administrators, and who one is.
struct SessionRoutes {
  AdminSessions& sessions;
  Authenticator& authenticator;
  AuthSettingsSource settings;
};

void add_session_routes(std::vector<Route>& table, SessionRoutes& context);

struct LoginRequest {
  std::string password;
  std::optional<std::string> mode;
};
BOOST_DESCRIBE_STRUCT(LoginRequest, (), (password, mode))
constexpr auto json_rules(json::For<LoginRequest> /*type*/) {
  return std::array{json::field("password").length(1, 256), json::field("mode").length(1, 16)};
}
constexpr std::string_view json_name(json::For<LoginRequest> /*type*/) { return "Login"; }

struct LogoutRequest {
  std::optional<bool> all;
};
BOOST_DESCRIBE_STRUCT(LogoutRequest, (), (all))
constexpr std::string_view json_name(json::For<LogoutRequest> /*type*/) { return "Logout"; }

/// The shape of a sign-in's answer, for its schema; the answer itself is written where the token is revealed.
struct LoginAnswer {
  std::string session_id;
  std::string role;
  UtcTime expires_at;
  UtcTime idle_expires_at;
  std::string csrf_token;
  std::optional<std::string> token;
};
BOOST_DESCRIBE_STRUCT(LoginAnswer, (), (session_id, role, expires_at, idle_expires_at, csrf_token, token))
constexpr std::string_view json_name(json::For<LoginAnswer> /*type*/) { return "LoginAnswer"; }

struct MeView {
  std::string kind;
  std::optional<std::string> role = {};
  std::optional<std::string> auth_method = {};
  std::optional<std::string> github_login = {};
  std::optional<std::int64_t> github_id = {};
  std::optional<std::vector<std::string>> github_orgs = {};
  std::optional<std::string> avatar_url = {};
  std::optional<std::string> account = {};
  std::optional<std::vector<std::string>> scopes = {};
  std::optional<std::vector<std::string>> accounts = {};
  std::optional<std::string> csrf_token = {};
  std::optional<UtcTime> created_at = {};
  std::optional<UtcTime> expires_at = {};
  std::optional<UtcTime> idle_expires_at = {};
};
BOOST_DESCRIBE_STRUCT(MeView, (),
                      (kind, role, auth_method, github_login, github_id, github_orgs, avatar_url, account, scopes,
                       accounts, csrf_token, created_at, expires_at, idle_expires_at))
constexpr std::string_view json_name(json::For<MeView> /*type*/) { return "Me"; }

struct MethodsView {
  bool password = false;
  bool github = false;
  bool github_oidc = false;
  std::optional<std::string> github_oidc_audience;
  std::string signup;
};
BOOST_DESCRIBE_STRUCT(MethodsView, (), (password, github, github_oidc, github_oidc_audience, signup))
constexpr std::string_view json_name(json::For<MethodsView> /*type*/) { return "AuthMethods"; }

}  // namespace ee::cp
