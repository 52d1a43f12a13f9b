#include "cp/http/github_routes.h"

#include <fmt/format.h>

#include "cp/http/access.h"
#include "cp/http/answers.h"
#include "cp/http/api.h"
#include "cp/http/query.h"
#include "cp/service/session_token.h"

namespace ee::cp {
namespace {

/// Whether `Accept` has `application/json` by name. A range such as `*/*`, which every browser sends, does not count.
bool wants_json(const net::Request& request) {
  std::string_view accept = request.header("Accept").value_or("");
  while (!accept.empty()) {
    std::string_view item = accept.substr(0, accept.find(','));
    accept.remove_prefix(std::min(item.size() + 1, accept.size()));
    item = item.substr(0, item.find(';'));
    while (item.starts_with(' ') || item.starts_with('\t')) item.remove_prefix(1);
    while (item.ends_with(' ') || item.ends_with('\t')) item.remove_suffix(1);
    if (net::equal_ignoring_case(item, "application/json")) return true;
  }
  return false;
}

/// What a browser's page is told of a failed sign-in; empty: not by a redirect.
std::string_view login_error_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::github_oauth_not_configured: return "not_configured";
    case ErrorCode::github_access_denied: return "access_denied";
    case ErrorCode::invalid_oauth_state: return "invalid_state";
    case ErrorCode::github_oauth_rejected: return "rejected";
    case ErrorCode::github_scope_missing: return "scope";
    case ErrorCode::github_unavailable: return "unavailable";
    case ErrorCode::github_user_not_allowed: return "not_allowed";
    case ErrorCode::identity_already_linked: return "identity_already_linked";
    default: return {};
  }
}

/// A path of ours as a `Location`: what may not stand in a URL is encoded.
std::string location_of(std::string_view path) {
  std::string out;
  for (const char c : path) {
    if (c > ' ' && c < '\x7f')
      out += c;
    else
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

net::Response redirect(std::string location) {
  net::Response response{.status = 302};
  response.headers.push_back({"Location", std::move(location)});
  response.sensitive = true;
  return response;
}

net::Response refusal(const net::Request& request, const Error& error) {
  const std::string_view slug_for_page = login_error_of(error.code);
  if (wants_json(request) || slug_for_page.empty()) return error_answer(error, request.request_id);
  net::Response response = redirect("/?login_error=" + std::string(slug_for_page));
  response.code = slug(error.code);
  return response;
}

/// Whether the sender may link its GitHub user to the account, and the key that asks, if one does: a key of the account
/// with all scopes of the account's type, since that is what the linked user will have, or a user's session that acts
/// for it. Not an administrator's: those link by POST .../identities, with a reason. A browser must come from our own
/// pages or by itself, so that nobody's link makes it begin one. Errors: those of the authenticator and of the access
/// rule, csrf_failed, scope_missing.
Result<std::optional<std::string>> check_link(GithubRoutes& context, const net::Request& request,
                                              const AccountId& account) {
  const Credentials sent = credentials_of(request);
  const auto principal = context.authenticator.authenticate(sent);
  if (!principal) return std::unexpected(principal.error());
  if (sent.authorization_count == 0 && sent.sec_fetch_site && *sent.sec_fetch_site != "same-origin" &&
      *sent.sec_fetch_site != "none")
    return fail(ErrorCode::csrf_failed, "the request was begun by another site");
  if (auto allowed = check_access({.access = Access::own_account_only, .scope = Scope::account}, *principal,
                                  {.account_id = account.str()});
      !allowed)
    return std::unexpected(std::move(allowed.error()));
  if (principal->kind == PrincipalKind::account && !principal->scopes.holds(scopes_of(*principal->account_type)))
    return fail(ErrorCode::scope_missing, "a linked user has all scopes of the account's type");
  return principal->key_id;
}

net::Response get_start(GithubRoutes& context, const Call& call) {
  const net::Request& request = call.request;
  const auto query = Query::parse(request.query, {"return_to", "link_account_id"});
  if (!query) return error_answer(query.error(), request.request_id);
  GithubLoginStart start{.return_to = query->text("return_to").value_or("/")};
  if (const auto account = query->text("link_account_id")) {
    start.link_account_id = AccountId(*account);
    const auto allowed = check_link(context, request, *start.link_account_id);
    if (!allowed) return error_answer(allowed.error(), request.request_id);
    start.key_id = *allowed;
  }
  const auto started = context.login.start(start);
  if (!started) return refusal(request, started.error());
  net::Response response =
      wants_json(request) ? json_answer(200, AuthUrlView{.auth_url = started->auth_url}) : redirect(started->auth_url);
  response.headers.push_back({"Set-Cookie", started->set_cookie.reveal()});
  response.sensitive = true;
  return response;
}

GithubCallback callback_of(const net::Request& request) {
  GithubCallback out{.nonce = oauth_cookie_of(request.header("Cookie").value_or("")),
                     .presented_token = session_cookie_of(request.header("Cookie").value_or("")).value_or(""),
                     .client_address = request.client_address,
                     .user_agent = request.header("User-Agent").value_or(""),
                     .request_id = request.request_id,
                     .stop = request.stop};
  // A query of another form has no state, and is refused for that.
  if (const auto query = Query::parse(request.query, {"code", "state", "error", "error_description", "error_uri"})) {
    out.code = query->text("code");
    out.state = query->text("state");
    out.error = query->text("error");
    out.error_description = query->text("error_description");
  }
  return out;
}

net::Response signed_in(GithubRoutes& context, const net::Request& request, const FinishedGithubLogin& finished) {
  if (!wants_json(request)) return redirect(location_of(finished.return_to));
  const std::string& token = finished.session.token.reveal();
  const Secret bearer("Bearer " + token);
  const auto principal = context.authenticator.authenticate(
      {.authorization = bearer.reveal(), .authorization_count = 1, .client_address = request.client_address});
  if (!principal) return error_answer(principal.error(), request.request_id);
  return me_answer(context.session, *principal, token, request.request_id);
}

net::Response get_callback(GithubRoutes& context, const Call& call) {
  const net::Request& request = call.request;
  const auto finished = context.login.finish(callback_of(request));
  net::Response response = finished ? signed_in(context, request, *finished) : refusal(request, finished.error());
  if (finished) response.headers.push_back({"Set-Cookie", finished->session.set_cookie->reveal()});
  response.headers.push_back({"Set-Cookie", cleared_oauth_cookie(context.session.settings().secure_cookies)});
  response.sensitive = true;
  return response;
}

}  // namespace

void add_github_routes(std::vector<Route>& table, GithubRoutes& context) {
  const std::string tag = "sign-in";
  const std::string text_schema = R"({"type":"string","maxLength":512})";
  table.push_back(
      {.method = "GET",
       .pattern = "/auth/github",
       .access = Access::open,
       .rate = RateClass::sign_in,
       .handle = [&context](const Call& call) { return get_start(context, call); },
       .doc = {.summary = "Begins a sign-in through GitHub.",
               .tag = tag,
               .query = {{"return_to", text_schema, "A path of this site to come back to; anything else means `/`."},
                         {"link_account_id", R"({"type":"string","format":"uuid"})",
                          "Links the GitHub user to this account; needs its key with scope `account`, or a session "
                          "that acts for it."}},
               .answers = {{200, "Where to go, for `Accept: application/json`.", answer_schema<AuthUrlView>()},
                           {302, "To GitHub."}}},
       .any_accept = true});
  table.push_back(
      {.method = "GET",
       .pattern = "/auth/github/callback",
       .access = Access::open,
       .rate = RateClass::write,
       .handle = [&context](const Call& call) { return get_callback(context, call); },
       .doc = {.summary = "Where GitHub sends the browser back to.",
               .tag = tag,
               .query = {{"code", text_schema, "GitHub's code."},
                         {"state", text_schema, "What was given to GitHub."},
                         {"error", text_schema, "Why GitHub did not sign the person in."},
                         {"error_description", R"({"type":"string"})", "The same in words; logged, never shown."},
                         {"error_uri", R"({"type":"string"})", "Ignored."}},
               .answers = {{200, "Signed in, for `Accept: application/json`.", answer_schema<MeView>()},
                           {302, "To where the sign-in began, or to `/?login_error=`."}}},
       .any_accept = true,
       .outside = true,
       .timeout = Milliseconds(90'000)});
}

}  // namespace ee::cp
