#include "cp/domain/guardrails.h"

#include <fmt/format.h>

#include <array>

#include "common/url.h"
#include "cp/domain/gcp.h"

namespace ee::cp {
namespace {

constexpr std::string_view kStrict = "strict_policy_required";

/// How a setting's value stands to its safe one.
enum class Weakness { none, relaxed, never_allowed };

Weakness weakness_of_mode(const std::string& mode, Stage stage) {
  if (mode == "strict") return Weakness::none;
  return mode == "disabled" || stage == Stage::production ? Weakness::never_allowed : Weakness::relaxed;
}
Weakness weak_if(bool weaker, Stage stage) {
  if (!weaker) return Weakness::none;
  return stage == Stage::production ? Weakness::never_allowed : Weakness::relaxed;
}

struct Weak {
  Setting setting;
  Weakness weakness;
  std::string_view detail;
};

std::array<Weak, 8> weak_settings(const SettingValues& values, Stage stage) {
  return {{{Setting::attestation_tcb_mode, weakness_of_mode(values.text(Setting::attestation_tcb_mode), stage),
            "must be strict"},
           {Setting::attestation_rtmr_mode, weakness_of_mode(values.text(Setting::attestation_rtmr_mode), stage),
            "must be strict"},
           {Setting::attestation_cp_to_agent_mode,
            values.text(Setting::attestation_cp_to_agent_mode) == "required" ? Weakness::none : Weakness::never_allowed,
            "must be required"},
           {Setting::attestation_require_sept_ve_disable,
            weak_if(!values.flag(Setting::attestation_require_sept_ve_disable), stage), "must be true"},
           {Setting::attestation_allow_migratable, weak_if(values.flag(Setting::attestation_allow_migratable), stage),
            "must be false"},
           {Setting::attestation_allow_service_td, weak_if(values.flag(Setting::attestation_allow_service_td), stage),
            "must be false"},
           {Setting::intel_ta_jwks_max_stale_seconds,
            weak_if(values.integer(Setting::intel_ta_jwks_max_stale_seconds) > 0, stage), "must be 0"},
           {Setting::agents_require_bootstrap_token,
            weak_if(!values.flag(Setting::agents_require_bootstrap_token), stage), "must be true"}}};
}

void add(std::vector<GuardrailViolation>& to, std::string_view slug, Setting setting, std::string_view what) {
  to.push_back(
      {.slug = slug, .setting = setting, .detail = fmt::format("{}: {} {}", slug, setting_spec(setting).key, what)});
}

void check_verifier(std::vector<GuardrailViolation>& to, const SettingValues& values) {
  if (values.text(Setting::attestation_verifier_mode) == "dcap") return;
  const std::size_t first = to.size();
  for (const Setting url : {Setting::intel_ta_issuer, Setting::intel_ta_jwks_url})
    if (values.text(url).empty()) add(to, "verifier_missing", url, "must not be empty");
  if (values.text(Setting::attestation_ita_minter) == "control_plane" &&
      values.secret(Setting::intel_ta_api_key).empty())
    add(to, "verifier_missing", Setting::intel_ta_api_key,
        "is needed for Intel Trust Authority, or verifier mode dcap");
  for (std::size_t i = first; i < to.size(); ++i)
    to[i].others = {Setting::attestation_verifier_mode, Setting::attestation_ita_minter};
}

void check_cloudflare(std::vector<GuardrailViolation>& to, const SettingValues& values) {
  for (const Setting text : {Setting::cloudflare_account_id, Setting::cloudflare_zone_id, Setting::cloudflare_domain})
    if (values.text(text).empty()) add(to, "cloudflare_missing", text, "must be set");
  if (values.secret(Setting::cloudflare_api_token).empty())
    add(to, "cloudflare_missing", Setting::cloudflare_api_token, "must be set");
}

void check_gcp(std::vector<GuardrailViolation>& to, const SettingValues& values) {
  if (values.text(Setting::gcp_project_id).empty()) add(to, "gcp_missing", Setting::gcp_project_id, "must be set");
  if (values.text(Setting::gcp_auth_mode) != "key" ||
      GcpServiceAccount::parse(values.secret(Setting::gcp_service_account_key)))
    return;
  add(to, "gcp_missing", Setting::gcp_service_account_key, "must be the key of a service account");
  to.back().others = {Setting::gcp_auth_mode};
}

/// What virtual machines are made of must be an image of our own; in production an exact one.
void check_gcp_image(std::vector<GuardrailViolation>& to, const SettingValues& values, Stage stage) {
  const auto refuse = [&](std::string_view what) { add(to, "gcp_image_not_pinned", Setting::gcp_image, what); };
  const auto image = GcpImage::parse(values.text(Setting::gcp_image));
  if (image && image->is_stock()) return refuse("must not be a vendor's stock image");
  if (stage != Stage::production) return;
  if (!image) return refuse("must be set");
  if (image->is_family) refuse("must be an exact image and not a family");
}

void check_payment(std::vector<GuardrailViolation>& to, const SettingValues& values) {
  if (!values.flag(Setting::billing_enabled) || !values.flag(Setting::capacity_simulated_payment)) return;
  add(to, "simulated_payment_forbidden", Setting::capacity_simulated_payment, "must be off while usage is charged");
  to.back().others = {Setting::billing_enabled};
}

void check_github(std::vector<GuardrailViolation>& to, const SettingValues& values) {
  if (!values.flag(Setting::auth_require_github_oauth)) return;
  const std::size_t first = to.size();
  const std::string_view wanted = "must be set, or auth.require_github_oauth turned off";
  if (values.text(Setting::github_oauth_client_id).empty())
    add(to, "github_oauth_missing", Setting::github_oauth_client_id, wanted);
  if (values.secret(Setting::github_oauth_client_secret).empty())
    add(to, "github_oauth_missing", Setting::github_oauth_client_secret, wanted);
  for (std::size_t i = first; i < to.size(); ++i) to[i].others = {Setting::auth_require_github_oauth};
}

void check_stripe(std::vector<GuardrailViolation>& to, const SettingValues& values, Stage stage) {
  const std::string& key = values.secret(Setting::stripe_secret_key).reveal();
  if (stage == Stage::production && (key.starts_with("sk_test_") || key.starts_with("rk_test_")))
    add(to, "stripe_test_key", Setting::stripe_secret_key, "must be a key of live mode");
}

void check_urls(std::vector<GuardrailViolation>& to, const SettingValues& values) {
  struct BaseUrl {
    Setting setting;
    bool may_be_private;  // a provisioning cache of one's own
  };
  for (const BaseUrl& base :
       {BaseUrl{Setting::cloudflare_api_url, false}, BaseUrl{Setting::intel_ta_issuer, false},
        BaseUrl{Setting::intel_ta_jwks_url, false}, BaseUrl{Setting::intel_ta_api_url, false},
        BaseUrl{Setting::github_oauth_base_url, false}, BaseUrl{Setting::github_oauth_api_url, false},
        BaseUrl{Setting::github_oidc_issuer, false}, BaseUrl{Setting::github_oidc_jwks_url, false},
        BaseUrl{Setting::stripe_api_url, false}, BaseUrl{Setting::gcp_compute_url, false},
        BaseUrl{Setting::gcp_token_url, false}, BaseUrl{Setting::measure_url, false},
        BaseUrl{Setting::dcap_pcs_url, true}, BaseUrl{Setting::dcap_root_crl_url, true}}) {
    const std::string& text = values.text(base.setting);
    if (text.empty()) continue;
    const auto url = parse_url(text);
    if (!url || url->scheme != "https") {
      add(to, "insecure_base_url", base.setting, "must be https");
    } else if (!base.may_be_private && is_private_host(url->host)) {
      add(to, "insecure_base_url", base.setting, "must not point into a private network");
    }
  }
}

}  // namespace

std::vector<GuardrailViolation> setting_violations(const SettingValues& values, const SettingsContext& context) {
  std::vector<GuardrailViolation> out;
  if (context.stage == Stage::dev) return out;
  for (const Weak& weak : weak_settings(values, context.stage)) {
    const bool allowed =
        weak.weakness == Weakness::none || (weak.weakness == Weakness::relaxed && context.relaxed_policy_allowed);
    if (!allowed) add(out, kStrict, weak.setting, weak.detail);
  }
  check_verifier(out, values);
  check_cloudflare(out, values);
  check_gcp(out, values);
  check_gcp_image(out, values, context.stage);
  if (context.stage == Stage::production) {
    check_github(out, values);
    check_payment(out, values);
  }
  check_stripe(out, values, context.stage);
  check_urls(out, values);
  return out;
}

std::vector<GuardrailViolation> guardrail_warnings(const SettingValues& values, const SettingsContext& context) {
  std::vector<GuardrailViolation> out;
  if (context.stage != Stage::staging) return out;
  check_github(out, values);
  check_payment(out, values);
  if (values.text(Setting::gcp_image).empty()) add(out, "gcp_image_not_pinned", Setting::gcp_image, "is not set");
  return out;
}

std::vector<GuardrailViolation> relaxed_policies(const SettingValues& values, const SettingsContext& context) {
  std::vector<GuardrailViolation> out;
  if (context.stage == Stage::dev || !context.relaxed_policy_allowed) return out;
  for (const Weak& weak : weak_settings(values, context.stage))
    if (weak.weakness == Weakness::relaxed) add(out, "policy_relaxed", weak.setting, "is weaker than its default");
  return out;
}

std::vector<GuardrailViolation> config_violations(const Config& config) {
  std::vector<GuardrailViolation> out;
  const auto add_for_config = [&](std::string_view slug, std::string_view what) {
    out.push_back({.slug = slug, .setting = std::nullopt, .detail = fmt::format("{}: {}", slug, what)});
  };
  if (config.allow_emulated_tdx && config.stage != Stage::dev)
    add_for_config("emulated_tdx_forbidden", "EE_ALLOW_EMULATED_TDX=1 needs EE_ENV=dev");
#ifndef EE_EMULATOR
  if (config.allow_emulated_tdx && config.stage == Stage::dev)
    add_for_config("emulated_tdx_forbidden", "this program was built without the emulator");
#endif
  if (config.stage == Stage::dev) return out;
  if (config.database.in_memory()) add_for_config("volatile_database", "EE_DATABASE_URL must name a file");
  const bool exposed = !config.bind.is_unix() && !config.bind.is_loopback();
  if (exposed && !config.has_tls() && config.trusted_proxies.empty())
    add_for_config("plain_listener_exposed",
                   "plain HTTP on a public address needs EE_TLS_CERT and EE_TLS_KEY, or EE_TRUSTED_PROXIES");
  return out;
}

}  // namespace ee::cp
