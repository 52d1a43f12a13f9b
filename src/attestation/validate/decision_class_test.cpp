// What each reason code means for a running agent.
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>
#include <string>

#include "attestation/validate/policy.h"

namespace ee::attestation {
namespace {

// covers: S01_RAT_002
TEST(DecisionClass, EveryReasonHasItsClass) {
  const std::pair<DecisionClass, const char*> classes[] = {
      {DecisionClass::retry,
       "invalid_request nonce_missing quote_missing quote_malformed quote_version_unsupported quote_not_tdx "
       "quote_key_type_unsupported quote_vendor_unknown quote_body_unsupported quote_certification_unsupported "
       "ita_token_missing ita_token_not_allowed ita_token_malformed event_log_missing event_log_malformed "
       "nonce_unknown nonce_expired nonce_replayed nonce_context_mismatch pop_signature_invalid policy_changed_retry "
       "rate_limited"},
      {DecisionClass::refused,
       "report_data_mismatch td_debug_enabled td_attributes_refused quote_emulated_refused ita_alg_not_allowed "
       "ita_signature_invalid ita_claims_invalid ita_quote_mismatch ita_policy_unmatched ita_quote_rejected "
       "quote_signature_invalid pck_chain_invalid pck_chain_untrusted pck_certificate_expired pck_extension_invalid "
       "pck_revoked qe_report_signature_invalid qe_report_binding_invalid qe_identity_mismatch tdx_module_unsupported "
       "tdx_module_mismatch mrtd_missing mrtd_untrusted mrtd_wrong_kind tcb_not_acceptable tcb_advisory_denied "
       "tcb_revoked tcb_not_supported rtmr_mismatch rtmr_no_baseline event_log_mismatch workload_log_mismatch "
       "workload_unknown measurement_changed"},
      {DecisionClass::unavailable,
       "fmspc_unknown tcb_info_mismatch ita_key_unknown ita_key_unusable ita_issuer_invalid ita_audience_invalid "
       "ita_token_expired ita_token_not_yet_valid ita_token_stale "
       "verifier_unavailable verifier_timeout verifier_busy ita_auth_failed collateral_unavailable "
       "collateral_expired collateral_rollback crl_invalid tcb_info_signature_invalid qe_identity_signature_invalid "
       "policy_invalid audit_unavailable cp_attestation_unavailable tdx_unavailable internal_verification_error"}};
  std::size_t count = 0;
  for (const auto& [expected, slugs] : classes) {
    std::istringstream list(slugs);
    for (std::string name; list >> name; ++count) {
      const auto found = std::ranges::find(error_table(), std::string_view(name), &ErrorInfo::slug);
      ASSERT_NE(found, error_table().end()) << name;
      EXPECT_EQ(decision_class(found->code), expected) << name;
    }
  }
  EXPECT_EQ(count, 80U);
}

}  // namespace
}  // namespace ee::attestation
