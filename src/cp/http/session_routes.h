#pragma once
#include <boost/describe.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cp/http/route.h"
#include "cp/service/accounts.h"
#include "cp/service/admin_sessions.h"
#include "cp/service/session_list.h"

namespace ee::cp {

/// Sign-in and sign-out, sessions, and who one is.
struct SessionRoutes {
  AdminSessions& sessions;
  SessionList& list;
  Accounts& accounts;
  std::function<SignupMode()> signup_mode;
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

struct MeOrganisation {
  std::int64_t id = 0;
  std::string login = {};
  std::string role = {};
};
BOOST_DESCRIBE_STRUCT(MeOrganisation, (), (id, login, role))
constexpr std::string_view json_name(json::For<MeOrganisation> /*type*/) { return "MeOrganisation"; }

struct MeAccount {
  std::string id = {};
  std::string name = {};
  AccountType account_type = AccountType::deployer;
};
BOOST_DESCRIBE_STRUCT(MeAccount, (), (id, name, account_type))
constexpr std::string_view json_name(json::For<MeAccount> /*type*/) { return "MeAccount"; }

struct SessionView {
  std::string id = {};
  std::string auth_method = {};
  std::string identity = {};
  std::optional<std::string> github_login = {};
  std::string ip = {};
  std::string user_agent = {};
  UtcTime created_at = {};
  UtcTime last_used_at = {};
  UtcTime expires_at = {};
  bool current = false;  ///< the one that asks
};
BOOST_DESCRIBE_STRUCT(SessionView, (),
                      (id, auth_method, identity, github_login, ip, user_agent, created_at, last_used_at, expires_at,
                       current))
constexpr std::string_view json_name(json::For<SessionView> /*type*/) { return "Session"; }

struct SessionPage {
  std::vector<SessionView> items = {};
  std::optional<std::string> next_cursor = {};  ///< always null
};
BOOST_DESCRIBE_STRUCT(SessionPage, (), (items, next_cursor))
constexpr std::string_view json_name(json::For<SessionPage> /*type*/) { return "SessionPage"; }

struct MeView {
  std::string kind;
  std::optional<std::string> role = {};
  std::optional<std::string> auth_method = {};
  std::optional<std::string> github_login = {};
  std::optional<std::int64_t> github_id = {};
  std::optional<std::vector<MeOrganisation>> github_orgs = {};
  std::optional<std::string> avatar_url = {};
  std::optional<MeAccount> account = {};
  std::optional<std::vector<std::string>> scopes = {};
  std::optional<std::vector<MeAccount>> accounts = {};
  std::optional<std::string> csrf_token = {};
  std::optional<UtcTime> created_at = {};
  std::optional<UtcTime> expires_at = {};
  std::optional<UtcTime> idle_expires_at = {};
};
BOOST_DESCRIBE_STRUCT(MeView, (),
                      (kind, role, auth_method, github_login, github_id, github_orgs, avatar_url, account, scopes,
                       accounts, csrf_token, created_at, expires_at, idle_expires_at))
constexpr std::string_view json_name(json::For<MeView> /*type*/) { return "Me"; }

/// The answer of `/auth/me`; a sign-in through GitHub answers the same. `token`: the session's, of which the CSRF token
/// is made.
net::Response me_answer(SessionRoutes& context, const Principal& principal, std::string_view token,
                        std::string_view request_id);

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
