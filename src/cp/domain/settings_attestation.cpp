#include "cp/domain/settings_rows.h"

namespace ee::cp::rows {
namespace {

SettingValue strict_mode(const SettingsContext&) { return std::string("strict"); }

std::optional<SettingProblem> refresh_in_stage(const SettingValue& value, const SettingsContext& context) {
  const std::int64_t refresh = std::get<std::int64_t>(value);
  if (refresh >= 300 || (refresh == 0 && context.stage == Stage::dev)) return std::nullopt;
  return SettingProblem{"below_min", "must be at least 300; 0, which turns it off, is for development only"};
}

std::optional<SettingProblem> signatures_in_stage(const SettingValue& value, const SettingsContext& context) {
  if (context.stage != Stage::production || std::get<std::string>(value) != "disabled") return std::nullopt;
  return SettingProblem{"not_in_enum", "disabled is refused in production"};
}

void add_policy(Rows& rows) {
  rows.push_back(choice(Setting::attestation_tcb_mode, "attestation.tcb_mode", {"strict", "warn", "disabled"},
                        "TCB_ENFORCEMENT_MODE", "What happens with a platform whose TCB status is not acceptable.")
                     .by_default(strict_mode)
                     .strictest(std::string("strict"))
                     .guarded());
  rows.push_back(choice(Setting::attestation_rtmr_mode, "attestation.rtmr_mode", {"strict", "warn", "disabled"},
                        "RTMR_ENFORCEMENT_MODE", "What happens with boot measurements that fit no profile.")
                     .by_default(strict_mode)
                     .strictest(std::string("strict"))
                     .guarded());
  rows.push_back(
      list(Setting::attestation_allowed_tcb_statuses, "attestation.allowed_tcb_statuses", 1, 8, "ALLOWED_TCB_STATUSES",
           "TCB statuses that are acceptable.")
          .one_of({"UpToDate", "SWHardeningNeeded", "ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded",
                   "TDRelaunchAdvised", "TDRelaunchAdvisedConfigurationNeeded", "OutOfDate",
                   "OutOfDateConfigurationNeeded"})
          .by_default([](const SettingsContext&) -> SettingValue { return std::vector<std::string>{"UpToDate"}; })
          .strictest(std::vector<std::string>{"UpToDate"}));
  rows.push_back(list(Setting::attestation_denied_advisories, "attestation.denied_advisories", 0, 200,
                      "EE_DENIED_ADVISORIES", "Security advisories that no platform may be affected by.")
                     .checked(must_be_advisory));
}

void add_times(Rows& rows) {
  rows.push_back(seconds(Setting::attestation_nonce_ttl_seconds, "attestation.nonce_ttl_seconds", 30, 900,
                         "NONCE_TTL_SECONDS", "How long a challenge can be answered.")
                     .by_default(number<300>));
  rows.push_back(seconds(Setting::attestation_agent_refresh_seconds, "attestation.agent_refresh_seconds", 0, 86400,
                         "AGENT_ATTESTATION_INTERVAL",
                         "How often agents prove themselves again; 0, in development only: never.")
                     .by_default(number<3600>)
                     .checked_in_stage(refresh_in_stage));
  rows.push_back(seconds(Setting::attestation_agent_max_age_seconds, "attestation.agent_max_age_seconds", 900, 604800,
                         "EE_AGENT_ATTESTATION_MAX_AGE_SECONDS", "Age at which an agent's attestation counts no more.")
                     .by_default(number<14400>));
}

void add_modes(Rows& rows) {
  rows.push_back(choice(Setting::attestation_cp_to_agent_mode, "attestation.cp_to_agent_mode",
                        {"required", "optional", "disabled"}, "CP_TO_AGENT_ATTESTATION_MODE",
                        "Whether the control plane proves itself to agents.")
                     .by_default([](const SettingsContext&) -> SettingValue { return std::string("required"); })
                     .strictest(std::string("required"))
                     .guarded());
  rows.push_back(choice(Setting::attestation_signature_mode, "attestation.signature_mode",
                        {"strict", "warn", "disabled"}, "SIGNATURE_VERIFICATION_MODE",
                        "What happens with container images without a good signature.")
                     .by_default([](const SettingsContext& context) -> SettingValue {
                       return std::string(context.stage == Stage::dev ? "warn" : "strict");
                     })
                     .strictest(std::string("strict"))
                     .checked_in_stage(signatures_in_stage));
  rows.push_back(seconds(Setting::attestation_cp_refresh_seconds, "attestation.cp_refresh_seconds", 30, 86400,
                         "EE_CP_ATTESTATION_REFRESH_SECONDS",
                         "How often the control plane makes a new quote of itself.")
                     .by_default(number<300>));
  rows.push_back(choice(Setting::attestation_verifier_mode, "attestation.verifier_mode", {"ita", "dcap", "both"},
                        "EE_ATTESTATION_VERIFIER_MODE",
                        "Who verifies quotes: Intel Trust Authority, the built-in verifier, or both.")
                     .by_default([](const SettingsContext& context) -> SettingValue {
                       return std::string(context.emulation_allowed ? "dcap" : "ita");
                     })
                     .guarded());
  rows.push_back(choice(Setting::attestation_ita_minter, "attestation.ita_minter", {"control_plane", "agent"},
                        "EE_ITA_MINTER", "Who asks Intel Trust Authority for tokens.")
                     .by_default([](const SettingsContext&) -> SettingValue { return std::string("control_plane"); }));
  rows.push_back(choice(Setting::attestation_event_log_mode, "attestation.event_log_mode",
                        {"disabled", "optional", "required"}, "EE_EVENT_LOG_MODE",
                        "Whether event logs are ignored, checked when sent, or demanded.")
                     .by_default([](const SettingsContext&) -> SettingValue { return std::string("optional"); }));
}

void add_attributes_and_limits(Rows& rows) {
  rows.push_back(boolean(Setting::attestation_require_sept_ve_disable, "attestation.require_sept_ve_disable",
                         "EE_REQUIRE_SEPT_VE_DISABLE", "Whether SEPT_VE_DISABLE must be set in TD attributes.")
                     .by_default(flag<true>)
                     .strictest(true)
                     .guarded());
  rows.push_back(boolean(Setting::attestation_allow_migratable, "attestation.allow_migratable",
                         "EE_ALLOW_MIGRATABLE_TD", "Whether machines that can be migrated are accepted.")
                     .by_default(flag<false>)
                     .strictest(false)
                     .guarded());
  rows.push_back(boolean(Setting::attestation_allow_service_td, "attestation.allow_service_td", "EE_ALLOW_SERVICE_TD",
                         "Whether machines that are bound to a service TD are accepted.")
                     .by_default(flag<false>)
                     .strictest(false)
                     .guarded());
  rows.push_back(integer(Setting::attestation_quote_max_bytes, "attestation.quote_max_bytes", 4096, 65536,
                         "EE_QUOTE_MAX_BYTES", "Longest quote that is read.")
                     .by_default(number<16384>)
                     .in("bytes"));
  rows.push_back(seconds(Setting::attestation_verify_timeout_seconds, "attestation.verify_timeout_seconds", 5, 120,
                         "EE_VERIFY_TIMEOUT_SECONDS", "Time for verifying one agent's evidence.")
                     .by_default(number<60>));
  rows.push_back(integer(Setting::attestation_verify_max_concurrency, "attestation.verify_max_concurrency", 1, 256,
                         "EE_VERIFY_MAX_CONCURRENCY", "Verifications at one time.")
                     .by_default(number<16>));
}

void add_token_rules(Rows& rows) {
  rows.push_back(choice(Setting::intel_ta_api_version, "intel_ta.api_version", {"v1", "v2"}, "ITA_API_VERSION",
                        "Version of the attest call.")
                     .by_default([](const SettingsContext&) -> SettingValue { return std::string("v2"); }));
  rows.push_back(list(Setting::intel_ta_allowed_algs, "intel_ta.allowed_algs", 1, 2, "ITA_ALLOWED_ALGS",
                      "Signature algorithms of tokens.")
                     .one_of({"PS384", "RS256"})
                     .by_default([](const SettingsContext&) -> SettingValue {
                       return std::vector<std::string>{"PS384", "RS256"};
                     }));
  rows.push_back(list(Setting::intel_ta_policy_ids, "intel_ta.policy_ids", 0, 10, "ITA_POLICY_IDS",
                      "Appraisal policies that tokens are asked for and must match.")
                     .checked(must_be_uuid));
  rows.push_back(boolean(Setting::intel_ta_policy_must_match, "intel_ta.policy_must_match", "ITA_POLICY_MUST_MATCH",
                         "Whether Intel Trust Authority gives no token at all when a policy does not match.")
                     .by_default(flag<false>));
  rows.push_back(seconds(Setting::intel_ta_clock_skew_seconds, "intel_ta.clock_skew_seconds", 0, 300,
                         "ITA_CLOCK_SKEW_SECONDS", "How far clocks may differ when a token's times are checked.")
                     .by_default(number<60>));
  rows.push_back(seconds(Setting::intel_ta_max_token_age_seconds, "intel_ta.max_token_age_seconds", 60, 3600,
                         "ITA_MAX_TOKEN_AGE_SECONDS", "Oldest token that is accepted.")
                     .by_default(number<600>));
}

void add_intel_ta(Rows& rows) {
  rows.push_back(
      url(Setting::intel_ta_issuer, "intel_ta.issuer", "ITA_ISSUER", "Issuer that tokens must name, byte for byte.")
          .by_default([](const SettingsContext&) -> SettingValue {
            return std::string("https://portal.trustauthority.intel.com");
          })
          .guarded());
  rows.push_back(str(Setting::intel_ta_audience, "intel_ta.audience", 200, "ITA_AUDIENCE",
                     "Audience that tokens must name, if any."));
  rows.push_back(url(Setting::intel_ta_jwks_url, "intel_ta.jwks_url", "ITA_JWKS_URL", "Where the keys of tokens are.")
                     .by_default([](const SettingsContext&) -> SettingValue {
                       return std::string("https://portal.trustauthority.intel.com/certs");
                     })
                     .guarded());
  rows.push_back(seconds(Setting::intel_ta_jwks_ttl_seconds, "intel_ta.jwks_ttl_seconds", 30, 86400,
                         "ITA_JWKS_TTL_SECONDS", "How long those keys are used before they are fetched again.")
                     .by_default(number<300>));
  rows.push_back(seconds(Setting::intel_ta_jwks_max_stale_seconds, "intel_ta.jwks_max_stale_seconds", 0, 86400,
                         "ITA_JWKS_MAX_STALE_SECONDS", "How much longer while they cannot be fetched.")
                     .by_default(number<0>)
                     .strictest(std::int64_t{0})
                     .guarded());
  rows.push_back(url(Setting::intel_ta_api_url, "intel_ta.api_url", "ITA_API_URL", "Base URL of the appraisal service.")
                     .by_default([](const SettingsContext&) -> SettingValue {
                       return std::string("https://api.trustauthority.intel.com");
                     })
                     .checked(must_be_ita_base)
                     .guarded());
  rows.push_back(
      secret(Setting::intel_ta_api_key, "intel_ta.api_key", 512, "ITA_API_KEY", "API key for the attest call.")
          .checked(must_be_header_value)
          .guarded());
}

void add_dcap(Rows& rows) {
  rows.push_back(url(Setting::dcap_pcs_url, "dcap.pcs_url", "EE_DCAP_PCS_URL",
                     "Provisioning service, Intel's or a cache of one's own.")
                     .by_default([](const SettingsContext&) -> SettingValue {
                       return std::string("https://api.trustedservices.intel.com");
                     })
                     .guarded());
  SettingSpec root_crl = url(Setting::dcap_root_crl_url, "dcap.root_crl_url", "EE_DCAP_ROOT_CRL_URL",
                             "Revocation list of Intel's root; empty: the provisioning cache's own.")
                             .by_default([](const SettingsContext&) -> SettingValue {
                               return std::string("https://certificates.trustedservices.intel.com/IntelSGXRootCA.der");
                             })
                             .guarded();
  root_crl.may_be_empty = true;
  rows.push_back(std::move(root_crl));
  rows.push_back(choice(Setting::dcap_tcb_update, "dcap.tcb_update", {"standard", "early"}, "EE_DCAP_TCB_UPDATE",
                        "Which edition of Intel's TCB information counts.")
                     .by_default([](const SettingsContext&) -> SettingValue { return std::string("standard"); }));
  rows.push_back(seconds(Setting::dcap_refresh_seconds, "dcap.refresh_seconds", 300, 86400, "EE_DCAP_REFRESH_SECONDS",
                         "How long verification data is used before it is fetched again.")
                     .by_default(number<14400>));
}

}  // namespace

void add_attestation(Rows& rows) {
  add_policy(rows);
  add_times(rows);
  add_modes(rows);
  add_attributes_and_limits(rows);
}

void add_intel(Rows& rows) {
  const std::size_t first = rows.size();
  add_intel_ta(rows);
  add_token_rules(rows);
  add_dcap(rows);
  for (std::size_t i = first; i < rows.size(); ++i) rows[i].provider = true;
}

}  // namespace ee::cp::rows
