#include "cp/http/session_routes.h"

#include "cp/domain/agent.h"
#include "cp/http/answers.h"
#include "cp/http/api.h"
#include "cp/service/session_token.h"

namespace ee::cp {
namespace {

/// The session token that came along, as bearer or cookie; empty when there is none.
std::string_view presented_token(const net::Request& request) {
  const std::string_view authorization = request.header("Authorization").value_or("");
  constexpr std::string_view scheme = "Bearer ";
  if (authorization.size() > scheme.size() && net::equal_ignoring_case(authorization.substr(0, scheme.size()), scheme))
    return authorization.substr(scheme.size());
  return session_cookie_of(request.header("Cookie").value_or("")).value_or("");
}

net::Response post_login(SessionRoutes& context, const Call& call) {
  const net::Request& request = call.request;
  const auto wanted = json::read<LoginRequest>(request.body);
  if (!wanted) return error_answer(wanted.error(), request.request_id);
  const std::string mode = wanted->mode.value_or("cookie");
  if (mode != "cookie" && mode != "token") {
    return error_answer({.code = ErrorCode::invalid_request,
                         .fields = {{.field = "mode", .code = "not_in_enum", .detail = "cookie or token"}}},
                        request.request_id);
  }
  const PasswordLogin login{.password = Secret(wanted->password),
                            .mode = mode == "token" ? SessionMode::token : SessionMode::cookie,
                            .origin = request.header("Origin"),
                            .presented_token = presented_token(request),
                            .client_address = request.client_address,
                            .user_agent = request.header("User-Agent").value_or(""),
                            .request_id = request.request_id,
                            .stop = request.stop};
  const auto session = context.sessions.login(login);
  if (!session) return error_answer(session.error(), request.request_id);
  const LoginAnswer answer{.session_id = session->session_id.str(),
                           .role = std::string(name_of(session->role)),
                           .expires_at = session->expires_at,
                           .idle_expires_at = session->idle_expires_at,
                           .csrf_token = session->csrf_token,
                           .token = session->set_cookie ? std::nullopt : std::optional(session->token.reveal())};
  net::Response response = json_answer(200, answer);
  if (session->set_cookie) response.headers.push_back({"Set-Cookie", session->set_cookie->reveal()});
  response.sensitive = true;
  return response;
}

net::Response post_logout(SessionRoutes& context, const Call& call) {
  const net::Request& request = call.request;
  bool all = false;
  if (!request.body.empty()) {
    const auto wanted = json::read<LogoutRequest>(request.body);
    if (!wanted) return error_answer(wanted.error(), request.request_id);
    all = wanted->all.value_or(false);
  }
  // A session that is over already is signed out; a request from another site is still refused.
  const auto principal = context.authenticator.authenticate(credentials_of(request));
  if (!principal && principal.error().code != ErrorCode::session_expired &&
      principal.error().code != ErrorCode::invalid_credential)
    return error_answer(principal.error(), request.request_id);
  if (principal && principal->kind == PrincipalKind::session) {
    const auto ended = context.sessions.logout(*principal, all, request.client_address, request.request_id);
    if (!ended) return error_answer(ended.error(), request.request_id);
  }
  net::Response response = no_content();
  response.headers.push_back({"Set-Cookie", cleared_session_cookie(context.settings().secure_cookies)});
  return response;
}

net::Response get_me(SessionRoutes& context, const Call& call) {
  const net::Request& request = call.request;
  if (call.principal.kind == PrincipalKind::agent) return json_answer(200, MeView{.kind = "agent"});
  const auto info = context.sessions.describe(*call.principal.session_id, presented_token(request));
  if (!info) return error_answer(info.error(), request.request_id);
  return json_answer(200, MeView{.kind = "session",
                                 .role = std::string(name_of(info->role)),
                                 .auth_method = std::string(name_of(info->session.auth_method)),
                                 .csrf_token = info->csrf_token,
                                 .created_at = info->session.created_at,
                                 .expires_at = info->session.expires_at,
                                 .idle_expires_at = info->idle_expires_at});
}

net::Response get_methods(SessionRoutes& context) {
  const AuthSettings settings = context.settings();
  return json_answer(200, MethodsView{.password = settings.password_login && !settings.admin_password_hash.empty(),
                                      .github = false,
                                      .github_oidc = false,
                                      .github_oidc_audience = std::nullopt,
                                      .signup = "closed"});
}

}  // namespace

void add_session_routes(std::vector<Route>& table, SessionRoutes& context) {
  const std::string tag = "sign-in";
  table.push_back(
      {.method = "POST",
       .pattern = "/admin/login",
       .access = Access::open,
       .rate = RateClass::none,
       .handle = [&context](const Call& call) { return post_login(context, call); },
       .doc = {.summary = "Signs an administrator in by password.",
               .tag = tag,
               .request = request_schema<LoginRequest>(),
               .answers = {{200, "A session; the token in the body or as a cookie.", answer_schema<LoginAnswer>()}}},
       .max_body_bytes = 4096,
       .outside = true});
  // Open: an ended session signs out too, and the handler itself checks where the request comes from.
  table.push_back(
      {.method = "POST",
       .pattern = "/admin/logout",
       .access = Access::open,
       .rate = RateClass::write,
       .handle = [&context](const Call& call) { return post_logout(context, call); },
       .doc = {.summary = "Ends the session, or all of its identity.", .tag = tag, .answers = {{204, "Signed out."}}},
       .max_body_bytes = 4096});
  table.push_back({.method = "GET",
                   .pattern = "/auth/me",
                   .access = Access::signed_in,
                   .rate = RateClass::read,
                   .handle = [&context](const Call& call) { return get_me(context, call); },
                   .doc = {.summary = "Who the credential belongs to.",
                           .tag = tag,
                           .answers = {{200, "Keys that do not apply are null.", answer_schema<MeView>()}}}});
  table.push_back({.method = "GET",
                   .pattern = "/auth/methods",
                   .access = Access::open,
                   .rate = RateClass::read,
                   .handle = [&context](const Call&) { return get_methods(context); },
                   .doc = {.summary = "How one can sign in here.",
                           .tag = tag,
                           .answers = {{200, "Which ways are open.", answer_schema<MethodsView>()}}}});
}

}  // namespace ee::cp
