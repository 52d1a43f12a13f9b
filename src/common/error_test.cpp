#include "common/error.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "common/error_docs.h"

namespace ee {
namespace {

std::vector<std::string> words(const std::string& text) {
  std::istringstream stream(text);
  return {std::istream_iterator<std::string>(stream), std::istream_iterator<std::string>()};
}

TEST(ErrorTable, IsSortedWithoutRepeats) {
  const auto& table = error_table();
  EXPECT_TRUE(std::ranges::is_sorted(table, {}, &ErrorInfo::slug));
  EXPECT_EQ(std::ranges::adjacent_find(table, {}, &ErrorInfo::slug), table.end());
  for (const ErrorInfo& info : table) EXPECT_EQ(error_code_of(info.slug), info.code) << info.slug;
  EXPECT_FALSE(error_code_of("no_such_code"));
}

TEST(ErrorTable, ExplainsEveryCodeInFullSentences) {
  for (const ErrorInfo& info : error_table()) {
    for (const std::string_view text : {info.title, info.meaning, info.remedy}) {
      EXPECT_GE(text.size(), 10U) << info.slug;
      EXPECT_TRUE(text.ends_with('.')) << info.slug << ": " << text;
      EXPECT_EQ(text.find('|'), std::string_view::npos) << info.slug;
    }
    EXPECT_LE(info.title.size(), 80U) << info.slug;
  }
}

TEST(ErrorTable, UsesOnlyStatusesThatMeanAFailure) {
  for (const ErrorInfo& info : error_table())
    EXPECT_TRUE(info.http_status == 0 || (info.http_status >= 400 && info.http_status < 600)) << info.slug;
}

// The contract of the API: one status per slug.
TEST(ErrorTable, GivesEachCodeTheStatusOfTheContract) {
  const std::map<int, std::string> contract = {
      {400,
       "bad_path bad_request_framing capacity_below_size compose_forbidden compose_invalid datacenter_invalid "
       "direct_url_not_allowed env_duplicate env_unused event_log_malformed event_log_missing "
       "expected_plan_required field_conflict idempotency_key_required ingress_port_unpublished "
       "invalid_account_type invalid_amount invalid_cursor invalid_event invalid_idempotency_key invalid_json "
       "invalid_name invalid_oauth_state invalid_rate_card invalid_request invalid_rule invalid_scope "
       "invalid_signature ita_token_malformed ita_token_missing ita_token_not_allowed livemode_mismatch "
       "nonce_missing placement_conflict quote_body_unsupported quote_certification_unsupported "
       "quote_key_type_unsupported quote_malformed quote_missing quote_not_tdx quote_vendor_unknown "
       "quote_version_unsupported range_too_large setting_invalid share_duplicate_account "
       "share_effective_in_past share_total_exceeded signature_expired unknown_account unknown_node_size "
       "upgrade_changes_app upgrade_not_supported vm_name_mismatch workload_source"},
      {401,
       "callback_unauthorized github_oauth_rejected invalid_credential invalid_token oidc_disabled oidc_invalid "
       "proxy_auth_required session_expired unauthenticated"},
      {402, "account_on_hold insufficient_funds spend_limit_reached"},
      {403,
       "account_suspended account_type_not_allowed admin_required agent_mismatch assertion_required "
       "bootstrap_token_required csrf_failed datacenter_not_allowed event_log_mismatch fmspc_unknown "
       "github_access_denied github_owner_not_linked github_scope_missing github_user_not_allowed "
       "identity_not_proven insufficient_scope invalid_bootstrap_token ita_alg_not_allowed ita_audience_invalid "
       "ita_claims_invalid ita_issuer_invalid ita_key_unknown ita_key_unusable ita_policy_unmatched "
       "ita_quote_mismatch ita_quote_rejected ita_signature_invalid ita_token_expired ita_token_not_yet_valid "
       "ita_token_stale measurement_changed metrics_forbidden mrtd_missing mrtd_untrusted mrtd_wrong_kind "
       "nonce_context_mismatch nonce_expired nonce_replayed nonce_unknown oidc_not_allowed oidc_policy_refused "
       "password_login_disabled pck_certificate_expired pck_chain_invalid pck_chain_untrusted "
       "pck_extension_invalid pck_revoked pop_signature_invalid proxy_forbidden qe_identity_mismatch "
       "qe_report_binding_invalid qe_report_signature_invalid quote_emulated_refused quote_signature_invalid "
       "report_data_mismatch repository_not_allowed rtmr_mismatch rtmr_no_baseline scope_missing "
       "scope_not_allowed signup_closed tcb_advisory_denied tcb_info_mismatch tcb_not_acceptable "
       "tcb_not_supported tcb_revoked td_attributes_refused td_debug_enabled tdx_module_mismatch "
       "tdx_module_unsupported workload_log_mismatch workload_unknown"},
      {404,
       "account_not_found agent_not_found app_not_found deployment_not_found job_unknown mrtd_not_found "
       "not_found order_not_found service_not_found setting_unknown statement_not_found version_not_found"},
      {405, "method_not_allowed"},
      {406, "not_acceptable"},
      {408, "request_timeout"},
      {409,
       "account_closed account_has_agents account_has_deployments account_has_pending_deposits "
       "account_has_unbilled_usage account_in_shares account_name_taken agent_attestation_failed agent_deleting "
       "agent_has_deployment agent_identity_mismatch agent_not_eligible already_ended app_exists app_in_use "
       "balance_not_zero boot_id_mismatch capacity_limit claim_lost cleanup_running cloudflare_not_configured "
       "concurrent_update deployment_final deployment_held deployment_limit deposit_not_cancelable "
       "digest_mismatch dns_foreign dns_in_use guardrail_violation idempotency_in_progress "
       "idempotency_key_reused identity_already_linked identity_in_use in_use invalid_agent_state invalid_phase "
       "invalid_transition invalid_version_transition job_not_pausable job_running key_name_taken key_revoked "
       "last_credential mass_orphans measurement_superseded mrtd_changed mrtd_exists mrtd_from_environment "
       "no_capacity not_a_purchase not_running order_cancelled order_final order_not_final plan_changed "
       "policy_changed_retry rate_effective_in_past reap_hold registration_flapping replace_not_running "
       "reservation_not_open segment_unchargeable service_in_use service_name_taken share_conflict "
       "stale_assignment target_is_purchase target_not_empty too_many_claims too_many_keys "
       "too_many_pending_deposits too_many_tokens tunnel_foreign tunnel_in_use tunnel_protected "
       "update_in_progress version_exists version_not_attested version_rejected version_variant_not_found "
       "version_yanked vm_name_in_use"},
      {410, "agent_deleted logs_gone"},
      {412, "revision_older version_mismatch"},
      {413, "body_too_large"},
      {414, "uri_too_long"},
      {415, "unsupported_media_type"},
      {422, "compose_failed measurement_inconsistent raw_compose_disabled signature_invalid"},
      {429, "export_busy launcher_suspended login_throttled proxy_rate_limited rate_limited"},
      {431, "headers_too_large"},
      {500, "amount_out_of_range internal_error internal_verification_error ledger_key_conflict rate_out_of_range"},
      {502,
       "agent_bad_response cloudflare_error github_unavailable stripe_error upstream_address_forbidden "
       "upstream_connect_failed upstream_protocol_error workload_unreachable"},
      {503,
       "agent_not_active agent_unreachable audit_unavailable auth_unavailable billing_halted capacity_disabled "
       "capacity_reached collateral_expired collateral_rollback collateral_unavailable "
       "cp_attestation_unavailable crl_invalid database_timeout database_unavailable github_oauth_not_configured "
       "ita_auth_failed maintenance overloaded policy_invalid proxy_overloaded qe_identity_signature_invalid "
       "replay_cache_full routing_unavailable secrets_unavailable service_attestation_failed service_unavailable "
       "stripe_not_configured stripe_unavailable tcb_info_signature_invalid tdx_unavailable too_many_followers "
       "verifier_busy verifier_timeout verifier_unavailable workload_not_running"},
      {504, "handler_timeout upstream_timeout"},
  };
  std::map<std::string, int, std::less<>> status_of;
  for (const auto& [status, slugs] : contract)
    for (const std::string& slug : words(slugs)) status_of[slug] = status;
  for (const ErrorInfo& info : error_table()) {
    const auto found = status_of.find(info.slug);
    if (info.http_status == 0) {
      EXPECT_EQ(found, status_of.end()) << info.slug << " has a status in the contract";
    } else {
      ASSERT_NE(found, status_of.end()) << info.slug << " is not in the contract";
      EXPECT_EQ(info.http_status, found->second) << info.slug;
    }
  }
}

// Reason codes of attestation: in answers, audit rows and metrics for as long as the product lives.
// covers: S01_API_004
TEST(ErrorTable, KeepsTheReasonCodesOfAttestation) {
  const std::map<int, std::string> frozen = {
      {400,
       "invalid_request nonce_missing quote_missing quote_malformed quote_version_unsupported quote_not_tdx "
       "quote_key_type_unsupported quote_vendor_unknown quote_body_unsupported quote_certification_unsupported "
       "ita_token_missing ita_token_not_allowed ita_token_malformed event_log_missing event_log_malformed"},
      {403,
       "nonce_unknown nonce_expired nonce_replayed nonce_context_mismatch report_data_mismatch pop_signature_invalid "
       "td_debug_enabled td_attributes_refused quote_emulated_refused "
       "ita_alg_not_allowed ita_key_unknown ita_key_unusable ita_signature_invalid ita_issuer_invalid "
       "ita_audience_invalid ita_token_expired ita_token_not_yet_valid ita_token_stale ita_claims_invalid "
       "ita_quote_mismatch ita_policy_unmatched ita_quote_rejected "
       "quote_signature_invalid pck_chain_invalid pck_chain_untrusted pck_certificate_expired pck_extension_invalid "
       "pck_revoked qe_report_signature_invalid qe_report_binding_invalid qe_identity_mismatch tcb_info_mismatch "
       "tdx_module_unsupported tdx_module_mismatch fmspc_unknown "
       "mrtd_missing mrtd_untrusted mrtd_wrong_kind tcb_not_acceptable tcb_advisory_denied tcb_revoked "
       "tcb_not_supported rtmr_mismatch rtmr_no_baseline event_log_mismatch workload_log_mismatch workload_unknown "
       "measurement_changed"},
      {409, "policy_changed_retry"},
      {429, "rate_limited"},
      {503,
       "verifier_unavailable verifier_timeout verifier_busy ita_auth_failed collateral_unavailable collateral_expired "
       "collateral_rollback crl_invalid tcb_info_signature_invalid qe_identity_signature_invalid policy_invalid "
       "audit_unavailable cp_attestation_unavailable tdx_unavailable"},
      {500, "internal_verification_error"},
      {0,
       "quote_generation_failed quote_generation_timeout quote_generation_raced audience_mismatch "
       "evidence_kind_refused cp_untrusted seal_context_mismatch config_digest_mismatch attestation_expired"},
  };
  std::set<std::string, std::less<>> frozen_slugs;
  for (const auto& [status, slugs] : frozen) {
    for (const std::string& slug : words(slugs)) {
      const auto code = error_code_of(slug);
      ASSERT_TRUE(code) << slug << " is gone";
      EXPECT_EQ(error_info(*code).http_status, status) << slug;
      frozen_slugs.insert(slug);
    }
  }
  // A new reason is added to the list above; those of the trust list's own routes are no reasons.
  for (const ErrorInfo& info : error_table()) {
    if (info.area != "attestation" || info.slug == "mrtd_exists" || info.slug == "mrtd_not_found" ||
        info.slug == "mrtd_from_environment")
      continue;
    EXPECT_TRUE(frozen_slugs.contains(info.slug)) << info.slug << " is not in the frozen list";
  }
}

TEST(ErrorTable, IsWhatTheDocumentationShows) {
  const char* path = "docs/errors.md";
  if (std::getenv("EE_UPDATE_DOCS") != nullptr) std::ofstream(path) << errors_markdown();
  std::ifstream file(path);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  EXPECT_TRUE(text == errors_markdown()) << "docs/errors.md is not up to date: run this test with EE_UPDATE_DOCS=1";
}

}  // namespace
}  // namespace ee
