#include "cp/http/session_routes.h"

#include "cp/domain/agent.h"
#include "cp/http/admin.h"
#include "cp/http/answers.h"
#include "cp/http/api.h"
#include "cp/http/query.h"
#include "cp/service/session_rules.h"
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

/// What `/auth/me` says of a principal without a session.
MeView me_of(const Principal& principal, const std::vector<MeAccount>& accounts) {
  if (principal.kind == PrincipalKind::agent) return {.kind = "agent"};
  MeView me{.kind = principal.kind == PrincipalKind::oidc ? "oidc" : "account"};
  if (!accounts.empty()) me.account = accounts.front();
  if (principal.kind == PrincipalKind::account) me.scopes = principal.scopes.names();
  return me;
}

net::Response get_me(SessionRoutes& context, const Call& call) {
  return me_answer(context, call.principal, presented_token(call.request), call.request.request_id);
}

net::Response post_rotate(SessionRoutes& context, const Call& call) {
  const net::Request& request = call.request;
  const auto rotated = context.list.rotate(call.principal, presented_token(request), actor_of(call));
  if (!rotated) return error_answer(rotated.error(), request.request_id);
  const AuthSettings in_force = context.settings();
  const SessionRow& session = rotated->session;
  const bool by_cookie = !request.header("Authorization");
  const LoginAnswer answer{.session_id = session.id.str(),
                           .role = std::string(name_of(session_role(session, in_force))),
                           .expires_at = session.expires_at,
                           .idle_expires_at = idle_expiry(session, in_force),
                           .csrf_token = rotated->csrf_token,
                           .token = by_cookie ? std::nullopt : std::optional(rotated->token.reveal())};
  net::Response response = json_answer(200, answer);
  if (by_cookie)
    response.headers.push_back(
        {"Set-Cookie", session_cookie(rotated->token.reveal(), in_force.session_ttl, in_force.secure_cookies)});
  response.sensitive = true;
  return response;
}

net::Response get_sessions(SessionRoutes& context, const Call& call) {
  const auto query = Query::parse(call.request.query, {"all"});
  if (!query) return error_answer(query.error(), call.request.request_id);
  const auto all = query->flag("all");
  if (!all) return error_answer(all.error(), call.request.request_id);
  const auto rows = context.list.list(call.principal, all->value_or(false));
  if (!rows) return error_answer(rows.error(), call.request.request_id);
  SessionPage page;
  page.items.reserve(rows->size());
  for (const SessionRow& row : *rows)
    page.items.push_back({.id = row.id.str(),
                          .auth_method = std::string(name_of(row.auth_method)),
                          .identity = row.identity,
                          .github_login = row.github_login,
                          .ip = row.ip,
                          .user_agent = row.user_agent,
                          .created_at = row.created_at,
                          .last_used_at = row.last_used_at,
                          .expires_at = row.expires_at,
                          .current = row.id == call.principal.session_id});
  return json_answer(200, page);
}

net::Response delete_session(SessionRoutes& context, const Call& call) {
  const SessionId session(std::string(call.request.param("session_id")));
  if (auto ended = context.list.end(call.principal, session, actor_of(call)); !ended)
    return error_answer(ended.error(), call.request.request_id);
  return no_content();
}

net::Response get_methods(SessionRoutes& context) {
  const AuthSettings settings = context.settings();
  return json_answer(200, MethodsView{.password = settings.password_login && !settings.admin_password_hash.empty(),
                                      .github = settings.github_login,
                                      .github_oidc = !settings.github_oidc_audience.empty(),
                                      .github_oidc_audience = settings.github_oidc_audience.empty()
                                                                  ? std::nullopt
                                                                  : std::optional(settings.github_oidc_audience),
                                      .signup = std::string(name_of(context.signup_mode()))});
}

}  // namespace

net::Response me_answer(SessionRoutes& context, const Principal& principal, std::string_view token,
                        std::string_view request_id) {
  const auto rows = context.accounts.behind(principal);
  if (!rows) return error_answer(rows.error(), request_id);
  std::vector<MeAccount> accounts;
  accounts.reserve(rows->size());
  for (const AccountRow& row : *rows)
    accounts.push_back({.id = row.id.str(), .name = row.name, .account_type = row.account_type});
  if (principal.kind != PrincipalKind::session) return json_answer(200, me_of(principal, accounts));
  const auto info = context.sessions.describe(*principal.session_id, token);
  if (!info) return error_answer(info.error(), request_id);
  const SessionRow& session = info->session;
  MeView me{.kind = "session",
            .role = std::string(name_of(info->role)),
            .auth_method = std::string(name_of(session.auth_method)),
            .github_login = session.github_login,
            .github_id = session.github_id,
            .avatar_url = session.avatar_url,
            .accounts = std::move(accounts),
            .csrf_token = info->csrf_token,
            .created_at = session.created_at,
            .expires_at = session.expires_at,
            .idle_expires_at = info->idle_expires_at};
  if (session.github_id) {
    me.github_orgs.emplace();
    for (const GithubOwner& owner : principal.github_owners)
      if (owner.kind == IdentityKind::org)
        me.github_orgs->push_back({.id = owner.id, .login = owner.login, .role = owner.role});
  }
  net::Response response = json_answer(200, me);
  response.sensitive = true;  // the CSRF token
  return response;
}

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
  table.push_back({.method = "POST",
                   .pattern = "/auth/rotate",
                   .access = Access::session,
                   .rate = RateClass::write,
                   .handle = [&context](const Call& call) { return post_rotate(context, call); },
                   .doc = {.summary = "Another token for the same session; the old one ends at once.",
                           .tag = tag,
                           .answers = {{200, "As at sign-in.", answer_schema<LoginAnswer>()}}},
                   .max_body_bytes = 4096});
  table.push_back({.method = "GET",
                   .pattern = "/auth/sessions",
                   .access = Access::session,
                   .rate = RateClass::read,
                   .handle = [&context](const Call& call) { return get_sessions(context, call); },
                   .doc = {.summary = "Sessions of the caller's identity; for administrators everybody's.",
                           .tag = tag,
                           .query = {{"all", R"({"type":"boolean","default":false})", "Of all identities."}},
                           .answers = {{200, "Without tokens.", answer_schema<SessionPage>()}}}});
  table.push_back({.method = "DELETE",
                   .pattern = "/auth/sessions/{session_id}",
                   .access = Access::session,
                   .rate = RateClass::write,
                   .handle = [&context](const Call& call) { return delete_session(context, call); },
                   .doc = {.summary = "Ends a session.", .tag = tag, .answers = {{204, "It is over."}}}});
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
