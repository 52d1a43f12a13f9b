#include "cp/domain/settings_rows.h"

namespace ee::cp::rows {
namespace {

SettingValue domain_of_stage(const SettingsContext& context) {
  switch (context.stage) {
    case Stage::dev: return std::string("easyenclave.localhost");
    case Stage::staging: return std::string("stage.app.easyenclave.com");
    case Stage::production: return std::string("prod.app.easyenclave.com");
  }
  return std::string();
}

std::optional<SettingProblem> open_signup_in_stage(const SettingValue& value, const SettingsContext& context) {
  if (context.stage != Stage::production || std::get<std::string>(value) != "open") return std::nullopt;
  return SettingProblem{.code = "not_in_enum", .detail = "open is not for production"};
}

std::optional<SettingProblem> none_in_dev_only(const SettingValue& value, const SettingsContext& context) {
  if (context.stage == Stage::dev || std::get<std::string>(value) != "none") return std::nullopt;
  return SettingProblem{"not_in_enum", "none is for development only"};
}

}  // namespace

void add_cloudflare(Rows& rows) {
  const auto add = [&](SettingSpec row) {
    row.provider = true;
    rows.push_back(std::move(row));
  };
  add(str(Setting::cloudflare_account_id, "cloudflare.account_id", 64, "CLOUDFLARE_ACCOUNT_ID",
          "Account that holds the tunnels.")
          .checked(must_be_hex32)
          .guarded());
  add(str(Setting::cloudflare_zone_id, "cloudflare.zone_id", 64, "CLOUDFLARE_ZONE_ID",
          "Zone that holds the DNS records.")
          .checked(must_be_hex32)
          .guarded());
  add(secret(Setting::cloudflare_api_token, "cloudflare.api_token", 512, "CLOUDFLARE_API_TOKEN",
             "API token for tunnels and DNS of this account and zone.")
          .checked(must_be_header_value)
          .guarded());
  add(str(Setting::cloudflare_domain, "cloudflare.domain", 200, "CLOUDFLARE_DOMAIN",
          "Domain under which agents and services get their names.")
          .checked(must_be_dns_name)
          .by_default(domain_of_stage)
          .guarded());
  add(url(Setting::cloudflare_api_url, "cloudflare.api_url", "EE_CLOUDFLARE_API_URL", "Base URL of the Cloudflare API.")
          .by_default([](const SettingsContext&) -> SettingValue {
            return std::string("https://api.cloudflare.com/client/v4");
          })
          .guarded()
          .needs_restart());
  add(seconds(Setting::cloudflare_timeout_seconds, "cloudflare.timeout_seconds", 1, 120,
              "EE_CLOUDFLARE_TIMEOUT_SECONDS", "Time for one call of the Cloudflare API.")
          .by_default(number<20>));
  add(list(Setting::cloudflare_protected_tunnels, "cloudflare.protected_tunnels", 0, 50, "EE_PROTECTED_TUNNELS",
           "Tunnels that are never deleted, besides the control plane's own.")
          .checked(must_be_tunnel_name));
  add(choice(Setting::cloudflare_tunnel_mode, "cloudflare.tunnel_mode", {"per_agent", "none"},
             "EE_CLOUDFLARE_TUNNEL_MODE", "Whether each agent gets a tunnel; none is for development.")
          .by_default([](const SettingsContext&) -> SettingValue { return std::string("per_agent"); })
          .checked_in_stage(none_in_dev_only));
  add(integer(Setting::cloudflare_max_tunnels, "cloudflare.max_tunnels", 1, 1000000, "EE_CLOUDFLARE_MAX_TUNNELS",
              "Most tunnels that are made.")
          .by_default(number<1000>));
  add(integer(Setting::cloudflare_calls_per_5min, "cloudflare.calls_per_5min", 50, 1200, "EE_CLOUDFLARE_CALLS_PER_5MIN",
              "Calls of the Cloudflare API in five minutes.")
          .by_default(number<1000>));
  add(choice(Setting::cloudflare_orphan_sweep, "cloudflare.orphan_sweep", {"off", "report", "delete"},
             "EE_CLOUDFLARE_ORPHAN_SWEEP", "What happens with tunnels and DNS records that belong to no agent.")
          .by_default([](const SettingsContext&) -> SettingValue { return std::string("report"); }));
}

void add_auth(Rows& rows) {
  rows.push_back(secret(Setting::auth_admin_password_hash, "auth.admin_password_hash", 512, "ADMIN_PASSWORD_HASH",
                        "Argon2id text of the administrator's password; without it nobody signs in by password.")
                     .checked(must_be_argon2id));
  rows.push_back(
      boolean(Setting::auth_password_login_enabled, "auth.password_login_enabled", "PASSWORD_LOGIN_ENABLED",
              "Whether administrators may sign in by password.")
          .by_default([](const SettingsContext& context) -> SettingValue { return context.stage == Stage::dev; }));
  rows.push_back(list(Setting::auth_admin_github_logins, "auth.admin_github_logins", 0, 200, "ADMIN_GITHUB_LOGINS",
                      "GitHub logins of administrators, compared without case.")
                     .checked(must_be_github_login));
  rows.push_back(list(Setting::auth_admin_github_ids, "auth.admin_github_ids", 0, 200, "ADMIN_GITHUB_IDS",
                      "Numeric GitHub ids of administrators.")
                     .checked(must_be_positive_integer));
  rows.push_back(seconds(Setting::auth_session_ttl_seconds, "auth.session_ttl_seconds", 300, 604800,
                         "EE_SESSION_TTL_SECONDS", "How long a session lasts.")
                     .by_default(number<86400>));
  rows.push_back(seconds(Setting::auth_session_idle_seconds, "auth.session_idle_seconds", 300, 604800,
                         "EE_SESSION_IDLE_SECONDS", "How long an administrator's session lasts without use.")
                     .by_default(number<7200>));
  rows.push_back(integer(Setting::auth_cache_max, "auth.cache_max", 1024, 1000000, "EE_AUTH_CACHE_MAX",
                         "Verified credentials that are remembered.")
                     .by_default(number<262144>));
  rows.push_back(integer(Setting::auth_cache_ttl_ms, "auth.cache_ttl_ms", 0, 5000, "EE_AUTH_CACHE_TTL_MS",
                         "How long a verified credential is remembered.")
                     .by_default(number<5000>)
                     .in("milliseconds"));
  rows.push_back(choice(Setting::auth_signup_mode, "auth.signup_mode", {"closed", "github", "open"}, "EE_SIGNUP_MODE",
                        "Who may make accounts: administrators, people signed in through GitHub too, everybody.")
                     .by_default([](const SettingsContext& context) -> SettingValue {
                       return std::string(context.stage == Stage::dev ? "open" : "closed");
                     })
                     .checked_in_stage(open_signup_in_stage)
                     .strictest(std::string("closed")));
}

}  // namespace ee::cp::rows
