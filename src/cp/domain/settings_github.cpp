#include "common/url.h"
#include "cp/domain/settings_rows.h"

namespace ee::cp::rows {
namespace {

std::optional<std::string> must_not_end_in_a_slash(std::string_view text) {
  if (!text.ends_with('/')) return std::nullopt;
  return "must not end in a slash: it is compared byte for byte";
}

SettingValue redirect_of_public_url(const SettingsContext& context) {
  return context.public_url.empty() ? std::string() : context.public_url + "/auth/github/callback";
}

/// The browser comes back to us: a cookie of ours must be sent along.
std::optional<SettingProblem> must_be_ours(const SettingValue& value, const SettingsContext& context) {
  const auto url = parse_url(std::get<std::string>(value));
  if (!url || context.public_url.empty() || url->origin() == context.public_url) return std::nullopt;
  return SettingProblem{"bad_format", "must have the origin of EE_PUBLIC_URL"};
}

std::optional<std::string> must_be_github_owner(std::string_view text) {
  if (!must_be_github_login(text)) return std::nullopt;
  return "must be a GitHub login or a numeric GitHub id";
}

template <const char* Text>
SettingValue text(const SettingsContext&) {
  return std::string(Text);
}
constexpr char kGithub[] = "https://github.com";
constexpr char kGithubApi[] = "https://api.github.com";
constexpr char kIssuer[] = "https://token.actions.githubusercontent.com";
constexpr char kJwks[] = "https://token.actions.githubusercontent.com/.well-known/jwks";

void add_oauth(Rows& rows) {
  const auto add = [&](SettingSpec row) {
    row.provider = true;
    rows.push_back(std::move(row));
  };
  add(str(Setting::github_oauth_client_id, "github_oauth.client_id", 128, "GITHUB_OAUTH_CLIENT_ID",
          "Client id of the GitHub OAuth app through which people sign in.")
          .checked(must_be_header_value)
          .guarded());
  add(secret(Setting::github_oauth_client_secret, "github_oauth.client_secret", 256, "GITHUB_OAUTH_CLIENT_SECRET",
             "Client secret of the GitHub OAuth app.")
          .checked(must_be_header_value)
          .guarded());
  add(Row(Setting::github_oauth_redirect_uri, "github_oauth.redirect_uri", SettingType::url,
          "GITHUB_OAUTH_REDIRECT_URI",
          "Where GitHub sends people back to, as registered there; by default /auth/github/callback under "
          "EE_PUBLIC_URL.")
          .bounds(0, 2048)
          .by_default(redirect_of_public_url)
          .checked_in_stage(must_be_ours));
  add(url(Setting::github_oauth_base_url, "github_oauth.base_url", "EE_GITHUB_URL", "Base URL of GitHub.")
          .by_default(text<kGithub>)
          .guarded()
          .needs_restart());
  add(url(Setting::github_oauth_api_url, "github_oauth.api_url", "EE_GITHUB_API_URL", "Base URL of GitHub's REST API.")
          .by_default(text<kGithubApi>)
          .guarded()
          .needs_restart());
}

void add_oidc(Rows& rows) {
  rows.push_back(str(Setting::github_oidc_audience, "github_oidc.audience", 200, "CP_GITHUB_OIDC_AUDIENCE",
                     "Audience that tokens of GitHub Actions must be made for; empty: such tokens are not taken.")
                     .checked(must_be_header_value));
  rows.push_back(url(Setting::github_oidc_issuer, "github_oidc.issuer", "CP_GITHUB_OIDC_ISSUER",
                     "Issuer that tokens of GitHub Actions must name, byte for byte.")
                     .by_default(text<kIssuer>)
                     .checked(must_not_end_in_a_slash)
                     .guarded());
  rows.push_back(url(Setting::github_oidc_jwks_url, "github_oidc.jwks_url", "CP_GITHUB_OIDC_JWKS_URL",
                     "Where the keys of those tokens are.")
                     .by_default(text<kJwks>)
                     .guarded());
  rows.push_back(seconds(Setting::github_oidc_jwks_ttl_seconds, "github_oidc.jwks_ttl_seconds", 30, 86400,
                         "CP_GITHUB_OIDC_JWKS_TTL_SECONDS", "How long fetched keys count.")
                     .by_default(number<300>));
  rows.push_back(seconds(Setting::github_oidc_leeway_seconds, "github_oidc.leeway_seconds", 0, 60,
                         "EE_GITHUB_OIDC_LEEWAY_SECONDS", "How far GitHub's clock may differ from this one.")
                     .by_default(number<30>));
  rows.push_back(seconds(Setting::github_oidc_max_lifetime_seconds, "github_oidc.max_lifetime_seconds", 60, 21600,
                         "EE_GITHUB_OIDC_MAX_LIFETIME_SECONDS", "Longest time from a token's making to its end.")
                     .by_default(number<3600>));
  rows.push_back(integer(Setting::github_oidc_max_uses, "github_oidc.max_uses", 1, 1000, "EE_GITHUB_OIDC_MAX_USES",
                         "State-changing requests that one token may make.")
                     .by_default(number<50>));
}

}  // namespace

void add_github(Rows& rows) {
  add_oauth(rows);
  add_oidc(rows);
  rows.push_back(
      boolean(Setting::auth_require_github_oauth, "auth.require_github_oauth", "AUTH_REQUIRE_GITHUB_OAUTH",
              "Whether production refuses to start without sign-in through GitHub.")
          .by_default([](const SettingsContext& context) -> SettingValue { return context.stage == Stage::production; })
          .guarded());
  rows.push_back(boolean(Setting::auth_user_login, "auth.user_login", "EE_AUTH_USER_LOGIN",
                         "Whether people who are no administrators may sign in through GitHub.")
                     .by_default(flag<true>));
  rows.push_back(list(Setting::auth_allowed_github_orgs, "auth.allowed_github_orgs", 0, 200, "EE_ALLOWED_GITHUB_ORGS",
                      "Organisations whose active members may sign in, by numeric id or login; with "
                      "auth.allowed_github_users empty too: everybody.")
                     .checked(must_be_github_owner));
  rows.push_back(list(Setting::auth_allowed_github_users, "auth.allowed_github_users", 0, 200,
                      "EE_ALLOWED_GITHUB_USERS", "GitHub users who may sign in, by numeric id or login.")
                     .checked(must_be_github_owner));
}

}  // namespace ee::cp::rows
