#include "cp/service/github_login.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "common/bytes.h"
#include "common/crypto.h"
#include "common/log.h"
#include "cp/service/address_key.h"
#include "cp/service/session_rules.h"
#include "cp/service/session_token.h"

namespace ee::cp {
namespace {

constexpr std::string_view kComponent = "github_login";
constexpr std::string_view kCookieName = "ee_oauth";
constexpr std::size_t kRandomBytes = 32;
constexpr std::size_t kRandomChars = 43;  // in base64url
constexpr std::size_t kMaxLoggedReason = 200;

std::string hash_of(std::string_view text) { return to_hex(sha256(bytes_of(text))); }

/// RFC 7636: 43 characters, known only to who has both halves, the browser's cookie and the state.
std::string code_verifier(std::string_view nonce, std::string_view state) {
  return to_base64url(hmac_sha256(bytes_of(nonce), bytes_of(std::string("pkce").append(state))));
}
std::string code_challenge(std::string_view verifier) { return to_base64url(sha256(bytes_of(verifier))); }

std::string oauth_cookie(std::string_view nonce, Seconds max_age, bool secure) {
  return fmt::format("{}={}; Path=/auth/github; HttpOnly{}; SameSite=Lax; Max-Age={}", kCookieName, nonce,
                     secure ? "; Secure" : "", max_age.count());
}

bool is_random_text(std::string_view text) {
  const auto bytes = from_base64url(text);
  return text.size() == kRandomChars && bytes && bytes->size() == kRandomBytes;
}

std::optional<std::string> random_text(Random& random) {
  ByteArray<kRandomBytes> bytes{};
  if (!random.fill(bytes)) return std::nullopt;
  return to_base64url(bytes);
}

bool same_login(std::string_view a, std::string_view b) { return normal_login(a) == normal_login(b); }

/// Whether a list names this owner. An entry of digits is an id, also where it could be somebody's login.
bool names(const std::vector<std::string>& list, std::int64_t id, std::string_view login) {
  return std::ranges::any_of(list, [&](const std::string& entry) {
    if (entry.find_first_not_of("0123456789") == std::string::npos) return entry == std::to_string(id);
    return same_login(entry, login);
  });
}

/// Text of somebody else's for the log.
std::string loggable(std::string_view text) {
  std::string out(text.substr(0, kMaxLoggedReason));
  for (char& c : out)
    if (c < 0x20 || c > 0x7e) c = '?';
  return out;
}

std::optional<std::string> text_or_nothing(std::string_view text) {
  return text.empty() ? std::nullopt : std::optional(std::string(text));
}

/// The database cannot be asked, so nothing is decided. Its own overload stays what it is.
Error unavailable(Error error) {
  if (error.code != ErrorCode::database_unavailable && error.code != ErrorCode::database_timeout) return error;
  return {.code = ErrorCode::auth_unavailable, .detail = std::string(slug(error.code)) + ": " + error.detail};
}

const std::vector<std::string>& results() {
  static const std::vector<std::string> all = {"ok",
                                               "github_oauth_not_configured",
                                               "github_access_denied",
                                               "invalid_oauth_state",
                                               "github_oauth_rejected",
                                               "github_scope_missing",
                                               "github_unavailable",
                                               "github_user_not_allowed",
                                               "other"};
  return all;
}

}  // namespace

/// Who GitHub says it is, while the sign-in lasts.
struct GithubLogin::Visitor {
  github::User user;
  std::vector<github::Membership> organizations = {};
};

GithubLogin::GithubLogin(Parts parts)
    : parts_(std::move(parts)),
      logins_(parts_.metrics.counter("ee_github_logins_total", "Sign-ins through GitHub that came back.",
                                     {{"result", results()}})) {}

Result<StartedGithubLogin> GithubLogin::start(const GithubLoginStart& request) {
  const GithubLoginSettings settings = parts_.settings();
  if (!settings.oauth.complete()) return fail(ErrorCode::github_oauth_not_configured);
  const auto state = random_text(parts_.random);
  const auto nonce = random_text(parts_.random);
  if (!state || !nonce) return fail(ErrorCode::internal_error, "random number generator failed");
  const UtcTime now = parts_.clock.now();
  const OAuthStateRow row{.state_hash = hash_of(*state),
                          .nonce_hash = hash_of(*nonce),
                          .return_to = safe_return_to(request.return_to),
                          .link_account_id = request.link_account_id,
                          .created_at = now,
                          .expires_at = now + kStateLife};
  const auto kept = parts_.database.run_write([&](db::Transaction& tx) -> Result<void> {
    if (request.link_account_id && request.key_id) {
      const auto key = keys_.find(tx, *request.link_account_id, *request.key_id);
      if (!key) return std::unexpected(key.error());
      if (!*key || (*key)->revoked_at) return fail(ErrorCode::invalid_credential);
      if ((*key)->expires_at)
        return fail(ErrorCode::scope_missing, "a key that ends makes no link, which would outlive it");
    }
    return states_.insert(tx, row, now);
  });
  if (!kept) return fail(unavailable(kept.error()));
  return StartedGithubLogin{
      .auth_url = github::authorize_url(settings.oauth, *state, code_challenge(code_verifier(*nonce, *state))),
      .set_cookie = Secret(oauth_cookie(*nonce, kStateLife, parts_.auth().secure_cookies))};
}

Result<FinishedGithubLogin> GithubLogin::finish(const GithubCallback& callback) {
  auto finished = sign_in(callback);
  if (finished) {
    logins_.with({"ok"}).increment();
    return finished;
  }
  const std::string_view code = slug(finished.error().code);
  const bool known = std::ranges::find(results(), code) != results().end();
  logins_.with({known ? code : "other"}).increment();
  audit_refusal(callback, finished.error());
  return finished;
}

Result<FinishedGithubLogin> GithubLogin::sign_in(const GithubCallback& callback) {
  const GithubLoginSettings settings = parts_.settings();
  if (!settings.oauth.complete()) return fail(ErrorCode::github_oauth_not_configured);
  const auto begun = take_state(callback);
  if (callback.error) {
    log::warn(kComponent, "GitHub ended a sign-in",
              {{"error", loggable(*callback.error)},
               {"error_description", loggable(callback.error_description.value_or(""))}});
    return fail(*callback.error == "access_denied" ? ErrorCode::github_access_denied
                                                   : ErrorCode::github_oauth_rejected);
  }
  if (!begun) return std::unexpected(begun.error());
  auto visitor = visitor_of(callback, settings);
  if (!visitor) return std::unexpected(std::move(visitor.error()));

  boost::json::array organizations;
  for (const github::Membership& org : visitor->organizations)
    organizations.push_back(boost::json::object{{"id", org.id}, {"login", org.login}, {"role", org.role}});
  GithubSignIn sign_in{.github_id = visitor->user.id,
                       .login = visitor->user.login,
                       .organizations = boost::json::serialize(organizations),
                       .avatar_url = visitor->user.avatar_url,
                       .presented_token = callback.presented_token,
                       .client_address = callback.client_address,
                       .user_agent = callback.user_agent,
                       .request_id = callback.request_id};
  if (begun->link_account_id)
    sign_in.also = [&](db::Transaction& tx, const SessionRow& session) {
      return link(tx, *begun->link_account_id, *visitor, session, callback);
    };
  auto session = parts_.sessions.begin(sign_in);
  if (!session) return std::unexpected(std::move(session.error()));
  return FinishedGithubLogin{.session = std::move(*session), .return_to = begun->return_to};
}

/// Takes the sign-in out of the table, whatever comes of it then: a state that was seen once is worth nothing.
Result<OAuthStateRow> GithubLogin::take_state(const GithubCallback& callback) {
  const auto invalid = [](std::string detail) { return fail(ErrorCode::invalid_oauth_state, std::move(detail)); };
  if (!callback.state || !is_random_text(*callback.state)) return invalid("state is missing or malformed");
  using Row = std::optional<OAuthStateRow>;
  const auto row =
      parts_.database.write<Row>([&](db::Transaction& tx) { return states_.take(tx, hash_of(*callback.state)); });
  if (!row) return fail(unavailable(row.error()));
  if (!*row) return invalid("state is unknown or used");
  if (parts_.clock.now() >= (*row)->expires_at) return invalid("state is too old");
  if (!callback.nonce) return invalid("cookie is missing");
  if (!constant_time_equal(bytes_of(hash_of(*callback.nonce)), bytes_of((*row)->nonce_hash)))
    return invalid("cookie is another");
  if (!callback.error && (!callback.code || callback.code->empty() || callback.code->size() > kMaxParameterBytes))
    return invalid("code is missing or too long");
  return **row;
}

/// Asks GitHub who came, and whether that one may sign in here.
Result<GithubLogin::Visitor> GithubLogin::visitor_of(const GithubCallback& callback,
                                                     const GithubLoginSettings& settings) {
  const auto token = parts_.github.exchange(settings.oauth, *callback.code,
                                            code_verifier(*callback.nonce, *callback.state), callback.stop);
  if (!token) return std::unexpected(token.error());
  auto user = parts_.github.user(settings.oauth, *token, callback.stop);
  if (!user) return std::unexpected(std::move(user.error()));
  Visitor visitor{.user = std::move(*user)};
  const SessionRow as_session{
      .auth_method = AuthMethod::github_oauth, .github_id = visitor.user.id, .github_login = visitor.user.login};
  const bool is_admin = session_role(as_session, parts_.auth()) == SessionRole::admin;
  if (!is_admin && !settings.user_login) return fail(ErrorCode::github_user_not_allowed);
  if (!is_admin && !settings.allowed_orgs.empty() && !token->reads_organizations())
    return fail(ErrorCode::github_scope_missing);
  auto organizations = parts_.github.memberships(settings.oauth, *token, callback.stop);
  if (organizations) {
    visitor.organizations = std::move(*organizations);
  } else {
    // An administrator must be able to come in while part of GitHub is down.
    if (!is_admin) return std::unexpected(std::move(organizations.error()));
    log::warn(kComponent, "an administrator's organisations are not known", {{"github_id", visitor.user.id}});
  }
  const bool open_to_all = settings.allowed_orgs.empty() && settings.allowed_users.empty();
  const bool allowed = is_admin || open_to_all || names(settings.allowed_users, visitor.user.id, visitor.user.login) ||
                       std::ranges::any_of(visitor.organizations, [&](const github::Membership& org) {
                         return names(settings.allowed_orgs, org.id, org.login);
                       });
  if (!allowed) return fail(ErrorCode::github_user_not_allowed);
  return visitor;
}

/// The user has just shown to be this one, and whoever began the sign-in could act for the account.
Result<void> GithubLogin::link(db::Transaction& tx, const AccountId& account, const Visitor& visitor,
                               const SessionRow& session, const GithubCallback& callback) {
  const auto row = accounts_.named(tx, account);
  if (!row) return std::unexpected(row.error());
  if (row->status == AccountStatus::closed) return fail(ErrorCode::account_not_found);
  if (row->status != AccountStatus::active) return fail(ErrorCode::account_suspended);
  const auto linked = accounts_.identity(tx, visitor.user.id);
  if (!linked) return std::unexpected(linked.error());
  if (*linked) {
    if ((*linked)->account_id == account) return {};
    return fail(ErrorCode::identity_already_linked);
  }
  const auto others = accounts_.identities(tx, account);
  if (!others) return std::unexpected(others.error());
  if (std::ssize(*others) >= AccountStore::kMaxIdentities)
    return fail(ErrorCode::invalid_request, "The account has as many GitHub owners as it may.");
  const UtcTime now = parts_.clock.now();
  const std::string actor = "user:" + session.id.str();
  if (auto done = accounts_.link(tx, {.github_id = visitor.user.id,
                                      .account_id = account,
                                      .kind = IdentityKind::user,
                                      .login = visitor.user.login,
                                      .login_norm = normal_login(visitor.user.login),
                                      .linked_by = actor,
                                      .linked_at = now});
      !done)
    return done;
  const AuditEntry entry{
      .actor = actor,
      .action = "identity_linked",
      .object_type = "account",
      .object_id = account.str(),
      .request_id = text_or_nothing(callback.request_id),
      .client_address = text_or_nothing(callback.client_address),
      .detail = boost::json::serialize(boost::json::object{
          {"github_id", visitor.user.id}, {"login", visitor.user.login}, {"kind", "user"}, {"proven_by", "login"}})};
  const auto written = audit_.append(tx, entry, now, parts_.random);
  if (!written) return std::unexpected(written.error());
  return {};
}

/// In a transaction of its own; the browser hears the same whether that works or not.
void GithubLogin::audit_refusal(const GithubCallback& callback, const Error& error) {
  const std::string reason(slug(error.code));
  const auto folded = fold_.admit(reason + ' ' + address_key(callback.client_address), parts_.clock.steady_now());
  if (!folded) return;
  const bool undecided = error_info(error.code).http_status >= 500;
  const AuditEntry entry{.actor = "anonymous",
                         .action = "oauth_failed",
                         .result = undecided ? AuditResult::failed : AuditResult::refused,
                         .reason_code = reason,
                         .request_id = text_or_nothing(callback.request_id),
                         .client_address = text_or_nothing(callback.client_address),
                         .detail = fmt::format(R"({{"folded":{}}})", *folded)};
  const auto written = parts_.database.write<std::string>(
      [&](db::Transaction& tx) { return audit_.append(tx, entry, parts_.clock.now(), parts_.random); });
  if (!written)
    log::error("audit", "a refused sign-in could not be audited",
               {{"reason_code", reason}, {"client_address", callback.client_address}, {"code", written.error().code}});
}

Result<std::int64_t> GithubLogin::end_sessions_if_removed() {
  if (configured()) return 0;
  return parts_.sessions.end_all_of(AuthMethod::github_oauth, "github_oauth_removed", "system:settings", "");
}

std::string safe_return_to(std::string_view return_to) {
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  const bool ours = return_to.starts_with('/') && !return_to.starts_with("//") && !return_to.starts_with("/\\") &&
                    return_to.size() <= GithubLogin::kMaxParameterBytes && std::ranges::none_of(return_to, is_control);
  return ours ? std::string(return_to) : "/";
}

std::optional<std::string_view> oauth_cookie_of(std::string_view cookie_field) {
  const auto found = cookie_of(cookie_field, kCookieName);
  if (!found || !is_random_text(*found)) return std::nullopt;
  return found;
}

std::string cleared_oauth_cookie(bool secure) { return oauth_cookie("", Seconds(0), secure); }

}  // namespace ee::cp
