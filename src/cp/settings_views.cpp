#include "cp/settings_views.h"

#include "common/env_config.h"

namespace ee::cp::views {
namespace {

using enum Setting;

Seconds seconds(const SettingValues& values, Setting id) { return Seconds(values.integer(id)); }

}  // namespace

AuthSettings auth(const SettingValues& values, const Config& config) {
  AuthSettings out{.password_login = values.flag(auth_password_login_enabled),
                   .admin_password_hash = values.secret(auth_admin_password_hash),
                   .session_ttl = seconds(values, auth_session_ttl_seconds),
                   .session_idle = seconds(values, auth_session_idle_seconds),
                   .admin_github_logins = values.list(auth_admin_github_logins),
                   .public_origin = config.public_url,
                   .github_login = github_login(values).oauth.complete(),
                   .github_oidc_audience = values.text(github_oidc_audience),
                   .secure_cookies = config.stage != Stage::dev || config.public_url.starts_with("https://")};
  for (const std::string& id : values.list(auth_admin_github_ids))
    if (const auto number = parse_integer(id)) out.admin_github_ids.push_back(*number);
  return out;
}

SignupMode signup_mode(const SettingValues& values) {
  return enum_of<SignupMode>(values.text(auth_signup_mode)).value_or(SignupMode::closed);
}

GithubLoginSettings github_login(const SettingValues& values) {
  return {.oauth = {.base_url = values.text(github_oauth_base_url),
                    .api_url = values.text(github_oauth_api_url),
                    .client_id = values.text(github_oauth_client_id),
                    .client_secret = values.secret(github_oauth_client_secret),
                    .redirect_uri = values.text(github_oauth_redirect_uri)},
          .user_login = values.flag(auth_user_login),
          .allowed_orgs = values.list(auth_allowed_github_orgs),
          .allowed_users = values.list(auth_allowed_github_users)};
}

GithubOidcSettings github_oidc(const SettingValues& values) {
  return {.token = {.audience = values.text(github_oidc_audience),
                    .issuer = values.text(github_oidc_issuer),
                    .leeway = seconds(values, github_oidc_leeway_seconds),
                    .max_lifetime = seconds(values, github_oidc_max_lifetime_seconds)},
          .keys = {.url = values.text(github_oidc_jwks_url),
                   .issuer = values.text(github_oidc_issuer),
                   .ttl = seconds(values, github_oidc_jwks_ttl_seconds)},
          .max_uses = values.integer(github_oidc_max_uses)};
}

AgentSettings agents(const SettingValues& values) {
  return {.heartbeat_interval = seconds(values, agents_health_interval_seconds),
          .silence = seconds(values, agents_silence_seconds),
          .health = {.down_after_failures = values.integer(agents_down_after_failures),
                     .up_after_successes = values.integer(agents_up_after_successes)},
          .stale_after = Seconds(values.integer(agents_stale_hours) * 3600),
          .credential_rotate = seconds(values, agents_credential_rotate_seconds),
          .attestation_refresh = seconds(values, attestation_agent_refresh_seconds),
          .attestation_max_age = seconds(values, attestation_agent_max_age_seconds),
          .max_agents = values.integer(agents_max_agents),
          .reserved_labels = values.list(agents_reserved_labels)};
}

HeartbeatSettings heartbeat(const SettingValues& values) {
  return {.interval = seconds(values, agents_health_interval_seconds),
          .health = {.down_after_failures = values.integer(agents_down_after_failures),
                     .up_after_successes = values.integer(agents_up_after_successes)},
          .credential_rotate = seconds(values, agents_credential_rotate_seconds)};
}

EndpointSettings agent_endpoint(const SettingValues& values, const Config& config) {
  return {.dev = config.stage == Stage::dev,
          .direct_url_cidrs = values.list(agents_direct_url_cidrs),
          .domain = values.text(cloudflare_domain),
          .attestation_required = values.text(attestation_cp_to_agent_mode) == "required"};
}

ProxySettings proxy(const SettingValues& values) {
  const auto ms = [&](Setting id) { return Milliseconds(values.integer(id)); };
  ProxySettings out;
  out.host_suffix = values.text(proxy_host_suffix);
  out.limits.connect = ms(proxy_connect_ms);
  out.limits.tls_handshake = ms(proxy_tls_ms);
  out.limits.header = ms(proxy_header_ms);
  out.limits.idle = ms(proxy_idle_ms);
  out.limits.sse_idle = ms(proxy_sse_idle_ms);
  out.limits.total = ms(proxy_total_ms);
  out.limits.tunnel_idle = ms(proxy_ws_idle_ms);
  out.limits.max_body_bytes = static_cast<std::uint64_t>(values.integer(proxy_max_body_bytes));
  out.max_in_flight = values.integer(proxy_max_inflight);
  out.max_in_flight_service = values.integer(proxy_max_inflight_service);
  out.max_in_flight_backend = values.integer(proxy_max_inflight_backend);
  out.max_service_rps = values.integer(proxy_max_service_rps);
  out.drain = Seconds(values.integer(proxy_drain_seconds));
  out.rate_scale_percent = values.integer(ops_rate_limit_scale_percent);
  return out;
}

std::vector<std::string> missing_of_cloudflare(const SettingValues& values) {
  std::vector<std::string> missing;
  for (const Setting id : {cloudflare_account_id, cloudflare_zone_id, cloudflare_domain})
    if (values.text(id).empty()) missing.emplace_back(setting_spec(id).key);
  if (values.secret(cloudflare_api_token).empty()) missing.emplace_back(setting_spec(cloudflare_api_token).key);
  return missing;
}

TunnelSettings tunnels(const SettingValues& values, const Config& config) {
  TunnelSettings out{.configured = missing_of_cloudflare(values).empty(),
                     .cluster_id = config.cluster_id,
                     .domain = values.text(cloudflare_domain),
                     .max_tunnels = values.integer(cloudflare_max_tunnels),
                     .protected_tunnels = values.list(cloudflare_protected_tunnels),
                     .reserved_labels = values.list(agents_reserved_labels)};
  if (values.text(cloudflare_tunnel_mode) == "none") out.mode = TunnelMode::none;
  const std::string& sweep = values.text(cloudflare_orphan_sweep);
  out.orphan_sweep = sweep == "delete" ? OrphanSweep::delete_ : sweep == "off" ? OrphanSweep::off : OrphanSweep::report;
  return out;
}

cloudflare::CloudflareConfig cloudflare(const SettingValues& values) {
  return {.api_url = values.text(cloudflare_api_url),
          .account_id = values.text(cloudflare_account_id),
          .zone_id = values.text(cloudflare_zone_id),
          .api_token = values.secret(cloudflare_api_token),
          .timeout = seconds(values, cloudflare_timeout_seconds),
          .calls_per_5min = values.integer(cloudflare_calls_per_5min)};
}

stripe::StripeConfig stripe_calls(const SettingValues& values) {
  return {.api_url = values.text(stripe_api_url),
          .api_version = values.text(stripe_api_version),
          .secret_key = values.secret(stripe_secret_key)};
}

StripeSettings stripe(const SettingValues& values) {
  StripeSettings out{.secret_key = values.secret(stripe_secret_key),
                     .webhook_tolerance = seconds(values, stripe_webhook_tolerance_seconds),
                     .min_deposit = values.usd(stripe_min_deposit),
                     .max_deposit = values.usd(stripe_max_deposit)};
  if (auto secrets = split_list(values.secret(stripe_webhook_secret).reveal())) {
    out.webhook_secrets.reserve(secrets->size());
    for (std::string& secret : *secrets) out.webhook_secrets.emplace_back(std::move(secret));
  }
  return out;
}

RegistrationSettings registration(const SettingValues& values, const Config& config) {
  return {.identity = {.require_bootstrap_token = values.flag(agents_require_bootstrap_token),
                       .takeover_after = seconds(values, agents_takeover_after_seconds)},
          .agents = agents(values),
          .dev = config.stage == Stage::dev,
          .direct_url_cidrs = values.list(agents_direct_url_cidrs)};
}

ChallengePolicy challenge(const SettingValues& values) {
  ChallengePolicy out{.ttl = seconds(values, attestation_nonce_ttl_seconds)};
  if (const auto mode = enum_of<agent_api::EventLogMode>(values.text(attestation_event_log_mode)))
    out.event_log = *mode;
  out.agent_mints_token =
      values.text(attestation_ita_minter) == "agent" && values.text(attestation_verifier_mode) != "dcap";
  return out;
}

VerificationLimits verification(const SettingValues& values) {
  return {.deadline = seconds(values, attestation_verify_timeout_seconds),
          .max_concurrency = static_cast<std::size_t>(values.integer(attestation_verify_max_concurrency)),
          .quote_max_bytes = static_cast<std::size_t>(values.integer(attestation_quote_max_bytes))};
}

IntelTaConfig intel_ta(const SettingValues& values) {
  IntelTaConfig out{.call = {.api_url = values.text(intel_ta_api_url),
                             .version = values.text(intel_ta_api_version) == "v1" ? attestation::IntelTaVersion::v1
                                                                                  : attestation::IntelTaVersion::v2,
                             .api_key = values.secret(intel_ta_api_key),
                             .policy_ids = values.list(intel_ta_policy_ids),
                             .policy_must_match = values.flag(intel_ta_policy_must_match)},
                    .keys = {.url = values.text(intel_ta_jwks_url),
                             .issuer = values.text(intel_ta_issuer),
                             .ttl = seconds(values, intel_ta_jwks_ttl_seconds),
                             .max_stale = seconds(values, intel_ta_jwks_max_stale_seconds)},
                    .rules = {.issuer = values.text(intel_ta_issuer),
                              .audience = values.text(intel_ta_audience),
                              .algorithms = {},
                              .policy_ids = values.list(intel_ta_policy_ids),
                              .clock_skew = seconds(values, intel_ta_clock_skew_seconds),
                              .max_token_age = seconds(values, intel_ta_max_token_age_seconds)}};
  for (const std::string& name : values.list(intel_ta_allowed_algs))
    out.rules.algorithms.push_back(name == "RS256" ? jose::Algorithm::rs256 : jose::Algorithm::ps384);
  return out;
}

BillingSettings billing(const SettingValues& values) {
  BillingSettings out{.enabled = values.flag(billing_enabled),
                      .operator_bps = values.integer(billing_operator_share_bps),
                      .pool_bps = values.integer(billing_contributor_pool_bps),
                      .settle_delay = seconds(values, billing_settle_delay_seconds),
                      .batch_rows = values.integer(billing_batch_rows),
                      .max_hours_per_tick = values.integer(billing_max_hours_per_tick),
                      .usage_detail_days = values.integer(billing_usage_detail_days),
                      .warn_hours = values.integer(billing_warn_hours),
                      .grace = seconds(values, billing_grace_seconds),
                      .max_overdraft = values.usd(billing_max_overdraft),
                      .min_prepaid_hours = values.integer(deploy_min_prepaid_hours),
                      .capacity_month = {{"tiny", values.usd(capacity_price_month_tiny)},
                                         {"standard", values.usd(capacity_price_month_standard)},
                                         {"llm", values.usd(capacity_price_month_llm)}}};
  if (const std::string& platform = values.text(billing_platform_account_id); !platform.empty())
    out.platform_account = AccountId(platform);
  return out;
}

DeploymentSettings deployments(const SettingValues& values, const Config& config) {
  DeploymentSettings out{.raw_compose_policy = values.text(deploy_raw_compose_policy),
                         .default_node_size = values.text(deploy_default_node_size),
                         .max_active = values.integer(deploy_max_active_per_account),
                         .dispatch_deadline = seconds(values, deploy_dispatch_deadline_seconds),
                         .stop_timeout = seconds(values, deploy_stop_timeout_seconds),
                         .max_placements = values.integer(deploy_max_placement_attempts),
                         .preflight_scan = values.integer(deploy_preflight_scan_limit),
                         .min_agent_version = values.text(deploy_min_agent_version),
                         .reserved_ports = {},
                         .event_retention_days = values.integer(deploy_event_retention_days),
                         .agent_lost_after = seconds(values, agents_lost_after_seconds),
                         .allowed_registries = values.list(registry_allowed_hosts),
                         .registry_credentials = values.secret(registry_credentials),
                         .public_url = config.public_url,
                         .proxy_host_suffix = values.text(proxy_host_suffix)};
  for (const std::string& port : values.list(deploy_reserved_ports))
    out.reserved_ports.push_back(static_cast<std::uint16_t>(std::stoul(port)));  // the registry checked the form
  return out;
}

attestation::PcsEndpoints pcs(const SettingValues& values) {
  return {.pcs_url = values.text(dcap_pcs_url), .root_crl_url = values.text(dcap_root_crl_url)};
}

attestation::CollateralPolicy collateral(const SettingValues& values) {
  return {.refresh = seconds(values, dcap_refresh_seconds),
          .update = values.text(dcap_tcb_update) == "early" ? attestation::TcbUpdate::early
                                                            : attestation::TcbUpdate::standard};
}

attestation::PolicySettings policy(const SettingValues& values, const Config& config) {
  return {.verifier_mode = values.text(attestation_verifier_mode),
          .tcb_mode = values.text(attestation_tcb_mode),
          .rtmr_mode = values.text(attestation_rtmr_mode),
          .allowed_tcb_statuses = values.list(attestation_allowed_tcb_statuses),
          .denied_advisories = values.list(attestation_denied_advisories),
          .event_log_mode = values.text(attestation_event_log_mode),
          .ita_minter = values.text(attestation_ita_minter),
          .require_sept_ve_disable = values.flag(attestation_require_sept_ve_disable),
          .allow_migratable = values.flag(attestation_allow_migratable),
          .allow_service_td = values.flag(attestation_allow_service_td),
          .emulation_allowed = config.settings_context().emulation_allowed,
          .ita_api_key_set = !values.secret(intel_ta_api_key).empty(),
          .ita_issuer_set = !values.text(intel_ta_issuer).empty(),
          .ita_jwks_url_set = !values.text(intel_ta_jwks_url).empty()};
}

}  // namespace ee::cp::views
