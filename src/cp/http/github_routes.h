#pragma once
#include <boost/describe.hpp>
#include <string>
#include <vector>

#include "cp/http/route.h"
#include "cp/http/session_routes.h"
#include "cp/service/github_login.h"

namespace ee::cp {

/// Sign-in through GitHub (04 section 3.5). Browsers are sent on by redirects; who accepts `application/json` by name
/// gets JSON.
struct GithubRoutes {
  GithubLogin& login;
  Authenticator& authenticator;
  SessionRoutes& session;  ///< a finished sign-in answers as `/auth/me` does
};

void add_github_routes(std::vector<Route>& table, GithubRoutes& context);

struct AuthUrlView {
  std::string auth_url;
};
BOOST_DESCRIBE_STRUCT(AuthUrlView, (), (auth_url))
constexpr std::string_view json_name(json::For<AuthUrlView> /*type*/) { return "AuthUrl"; }

}  // namespace ee::cp
