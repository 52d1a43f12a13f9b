#pragma once
#include <cstdint>

namespace ee::cp {

// clang-format off: the formatter never settles on the continuation lines of this macro.
/// Every setting of the registry. The name is the key with `_` for the dot.
#define EE_SETTINGS(X)                                                                                                 \
  X(cloudflare_account_id)                                                                                             \
  X(cloudflare_zone_id)                                                                                                \
  X(cloudflare_api_token)                                                                                              \
  X(cloudflare_domain) X(cloudflare_api_url) X(cloudflare_timeout_seconds) X(cloudflare_protected_tunnels) X(          \
      cloudflare_tunnel_mode) X(cloudflare_max_tunnels) X(cloudflare_calls_per_5min) X(cloudflare_orphan_sweep)        \
      X(auth_admin_password_hash) X(auth_password_login_enabled) X(auth_admin_github_logins) X(                        \
          auth_admin_github_ids) X(auth_session_ttl_seconds) X(auth_session_idle_seconds) X(auth_cache_max)            \
          X(auth_cache_ttl_ms) X(auth_signup_mode) X(attestation_tcb_mode) X(attestation_rtmr_mode) X(attestation_allowed_tcb_statuses) X( \
              attestation_denied_advisories) X(attestation_nonce_ttl_seconds) X(attestation_agent_refresh_seconds)     \
              X(attestation_agent_max_age_seconds) X(attestation_cp_to_agent_mode) X(attestation_signature_mode) X(    \
                  attestation_cp_refresh_seconds) X(attestation_verifier_mode) X(attestation_ita_minter)               \
                  X(attestation_event_log_mode) X(attestation_require_sept_ve_disable) X(attestation_allow_migratable) \
                      X(attestation_allow_service_td) X(attestation_quote_max_bytes) X(                                \
                          attestation_verify_timeout_seconds) X(attestation_verify_max_concurrency) X(intel_ta_issuer) \
                          X(intel_ta_audience) X(intel_ta_jwks_url) X(intel_ta_jwks_ttl_seconds)                       \
                              X(intel_ta_jwks_max_stale_seconds) X(intel_ta_api_url) X(intel_ta_api_key)               \
                                  X(intel_ta_api_version) X(intel_ta_allowed_algs) X(intel_ta_policy_ids)              \
                                      X(intel_ta_policy_must_match) X(intel_ta_clock_skew_seconds)                     \
                                          X(intel_ta_max_token_age_seconds) X(dcap_pcs_url) X(dcap_root_crl_url)       \
                                              X(dcap_tcb_update) X(dcap_refresh_seconds) X(agents_stale_hours) X(      \
                                                  agents_health_interval_seconds) X(agents_health_timeout_seconds)     \
                                                  X(agents_down_after_failures) X(agents_up_after_successes) X(        \
                                                      agents_disconnect_poweroff_seconds) X(agents_silence_seconds)    \
                                                      X(agents_lost_after_seconds) X(agents_takeover_after_seconds)    \
                                                          X(agents_require_bootstrap_token)                            \
                                                              X(agents_credential_rotate_seconds) X(agents_max_agents) \
                                                                  X(agents_direct_url_cidrs) X(agents_reserved_labels) \
                                                                      X(agents_destructive_requires_oidc)              \
                                                                          X(ops_backup_interval_seconds)               \
                                                                              X(ops_backup_keep)                       \
                                                                                  X(ops_audit_retention_days) X(       \
                                                                                      ops_cors_origins)                \
                                                                                      X(ops_rate_limit_scale_percent)      \
  X(billing_enabled) \
  X(billing_contributor_pool_bps) \
  X(billing_platform_account_id) \
  X(billing_operator_share_bps) \
  X(billing_settle_delay_seconds) \
  X(billing_batch_rows) \
  X(billing_max_hours_per_tick) \
  X(billing_warn_hours) \
  X(billing_grace_seconds) \
  X(billing_max_overdraft) \
  X(billing_usage_detail_days) \
  X(deploy_min_prepaid_hours) \
  X(capacity_price_month_tiny) \
  X(capacity_price_month_standard) \
  X(capacity_price_month_llm) \
  X(github_oauth_client_id) \
  X(github_oauth_client_secret) \
  X(github_oauth_redirect_uri) \
  X(github_oauth_base_url) \
  X(github_oauth_api_url) \
  X(github_oidc_audience) \
  X(github_oidc_issuer) \
  X(github_oidc_jwks_url) \
  X(github_oidc_jwks_ttl_seconds) \
  X(github_oidc_leeway_seconds) \
  X(github_oidc_max_lifetime_seconds) \
  X(github_oidc_max_uses) \
  X(auth_require_github_oauth) \
  X(auth_user_login) \
  X(auth_allowed_github_orgs) \
  X(auth_allowed_github_users) \
  X(stripe_secret_key) \
  X(stripe_webhook_secret) \
  X(stripe_api_url) \
  X(stripe_api_version) \
  X(stripe_webhook_tolerance_seconds) \
  X(stripe_min_deposit) \
  X(stripe_max_deposit) \
  X(cosign_binary) \
  X(cosign_mode) \
  X(cosign_oidc_issuer) \
  X(cosign_identity) \
  X(cosign_identity_regexp) \
  X(cosign_public_key) \
  X(cosign_require_tlog) \
  X(registry_allowed_hosts) \
  X(registry_allowed_private_hosts) \
  X(registry_insecure_hosts) \
  X(registry_credentials) \
  X(deploy_raw_compose_policy) \
  X(deploy_default_node_size) \
  X(deploy_max_active_per_account) \
  X(deploy_dispatch_deadline_seconds) \
  X(deploy_stop_timeout_seconds) \
  X(deploy_max_placement_attempts) \
  X(deploy_preflight_scan_limit) \
  X(deploy_min_agent_version) \
  X(deploy_reserved_ports) \
  X(deploy_event_retention_days) \
  X(measure_mode) \
  X(measure_url) \
  X(measure_concurrency) \
  X(measure_lease_seconds) \
  X(measure_max_attempts) \
  X(proxy_host_suffix) \
  X(proxy_connect_ms) \
  X(proxy_tls_ms) \
  X(proxy_header_ms) \
  X(proxy_idle_ms) \
  X(proxy_sse_idle_ms) \
  X(proxy_total_ms) \
  X(proxy_ws_idle_ms) \
  X(proxy_max_body_bytes) \
  X(proxy_max_inflight) \
  X(proxy_max_inflight_service) \
  X(proxy_max_inflight_backend) \
  X(proxy_max_service_rps) \
  X(proxy_drain_seconds) \
  X(capacity_simulated_payment) \
  X(gcp_project_id) \
  X(gcp_auth_mode) \
  X(gcp_service_account_key) \
  X(gcp_image) \
  X(gcp_compute_url) \
  X(gcp_token_url)

// clang-format on

enum class Setting : std::uint16_t {
#define EE_SETTING_ID(name) name,
  EE_SETTINGS(EE_SETTING_ID)
#undef EE_SETTING_ID
};

}  // namespace ee::cp
