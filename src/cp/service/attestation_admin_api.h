#pragma once
#include <array>
#include <boost/describe.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "attestation/validate/trust_store.h"
#include "common/agent_api.h"
#include "common/json.h"
#include "cp/domain/agent.h"
#include "cp/store/attestation_audit_store.h"
#include "cp/store/observed_store.h"

/// JSON bodies of the routes about attestation for administrators and owners (01 sections 14.4, 14.6 to 14.8).
namespace ee::cp {

// ---- observed measurements -----------------------------------------------------------------------------------------

struct ObservedView {
  std::string id;
  std::string mrtd;
  std::string rtmr0;
  std::string rtmr1;
  std::string rtmr2;
  std::string rtmr3;
  std::string node_size;
  std::string vm_name;  ///< of the latest machine
  std::string tcb_status;
  std::string reason_code;
  std::int64_t count = 0;
  UtcTime first_seen_at;
  UtcTime last_seen_at;
};
BOOST_DESCRIBE_STRUCT(ObservedView, (),
                      (id, mrtd, rtmr0, rtmr1, rtmr2, rtmr3, node_size, vm_name, tcb_status, reason_code, count,
                       first_seen_at, last_seen_at))
constexpr std::string_view json_name(json::For<ObservedView> /*type*/) { return "ObservedMeasurement"; }

struct ObservedPage {
  std::vector<ObservedView> items;
  std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(ObservedPage, (), (items, next_cursor))
constexpr std::string_view json_name(json::For<ObservedPage> /*type*/) { return "ObservedMeasurementPage"; }

/// Which registers of it are to be expected from now on. A null node size: of machines of every size.
struct ObservedTrustRequest {
  attestation::MrtdKind kind = attestation::MrtdKind::agent;
  std::optional<std::string> note;
  std::optional<std::string> node_size;
  std::vector<std::int64_t> registers;
};
BOOST_DESCRIBE_STRUCT(ObservedTrustRequest, (), (kind, note, node_size, registers))
constexpr auto json_rules(json::For<ObservedTrustRequest> /*type*/) {
  return std::array{json::field("note").length(0, 500), json::field("node_size").length(1, 32),
                    json::field("registers").items(1, 4).between(0, 3)};
}
constexpr std::string_view json_name(json::For<ObservedTrustRequest> /*type*/) { return "ObservedMeasurementTrust"; }

// ---- what a change of trust would do -------------------------------------------------------------------------------

struct FailingAgent {
  std::string agent_id;
  std::string vm_name;
  std::string reason_code;
};
BOOST_DESCRIBE_STRUCT(FailingAgent, (), (agent_id, vm_name, reason_code))
constexpr std::string_view json_name(json::For<FailingAgent> /*type*/) { return "FailingAgent"; }

struct TrustPreviewView {
  static constexpr std::size_t kMaxAgents = 1000;
  std::int64_t affected_agents = 0;  ///< that would fail
  std::vector<FailingAgent> agents;  ///< the first of them
};
BOOST_DESCRIBE_STRUCT(TrustPreviewView, (), (affected_agents, agents))
constexpr std::string_view json_name(json::For<TrustPreviewView> /*type*/) { return "TrustPreview"; }

// ---- the record of decisions ---------------------------------------------------------------------------------------

struct AttestationAuditView {
  std::string id;
  UtcTime at;
  AttestationEvent event = AttestationEvent::policy_relaxed;
  AttestationResult result = AttestationResult::info;
  std::optional<std::string> reason_code;
  boost::json::value warnings;
  std::optional<std::string> request_id;
  std::optional<std::string> agent_id;
  std::optional<std::string> vm_name;
  std::optional<std::string> actor;
  std::optional<std::string> source_ip;
  std::optional<std::string> purpose;
  std::optional<std::string> nonce_id;
  std::optional<std::string> quote_sha256;
  std::optional<std::string> mrtd;
  std::vector<std::optional<std::string>> rtmrs;
  std::optional<std::string> td_attributes;
  std::optional<std::string> tcb_status;
  std::optional<std::string> fmspc;
  boost::json::value advisory_ids;
  std::optional<std::string> ita_token_sha256;
  std::optional<std::string> verifier_mode;
  boost::json::value policy;
  boost::json::value details;
  std::optional<std::int64_t> duration_ms;
};
BOOST_DESCRIBE_STRUCT(AttestationAuditView, (),
                      (id, at, event, result, reason_code, warnings, request_id, agent_id, vm_name, actor, source_ip,
                       purpose, nonce_id, quote_sha256, mrtd, rtmrs, td_attributes, tcb_status, fmspc, advisory_ids,
                       ita_token_sha256, verifier_mode, policy, details, duration_ms))
constexpr std::string_view json_name(json::For<AttestationAuditView> /*type*/) { return "AttestationDecision"; }

struct AttestationAuditPage {
  std::vector<AttestationAuditView> items;
  std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(AttestationAuditPage, (), (items, next_cursor))
constexpr std::string_view json_name(json::For<AttestationAuditPage> /*type*/) { return "AttestationDecisionPage"; }

// ---- status --------------------------------------------------------------------------------------------------------

struct JwksStatus {
  std::optional<std::int64_t> age_seconds;  ///< null: never fetched
  std::int64_t keys = 0;
};
BOOST_DESCRIBE_STRUCT(JwksStatus, (), (age_seconds, keys))
constexpr std::string_view json_name(json::For<JwksStatus> /*type*/) { return "JwksStatus"; }

struct CollateralStatus {
  std::string key;  ///< `tcb:<fmspc>:<update>`, `qe:<update>`, `pckcrl:<ca>`, `rootcrl`
  std::optional<std::string> fmspc;
  UtcTime fetched_at;
  UtcTime next_update_at;
  std::optional<std::string> last_error;
};
BOOST_DESCRIBE_STRUCT(CollateralStatus, (), (key, fmspc, fetched_at, next_update_at, last_error))
constexpr std::string_view json_name(json::For<CollateralStatus> /*type*/) { return "CollateralStatus"; }

struct DependencyError {
  std::string code;
  UtcTime at;
};
BOOST_DESCRIBE_STRUCT(DependencyError, (), (code, at))
constexpr std::string_view json_name(json::For<DependencyError> /*type*/) { return "DependencyError"; }

struct AttestationStatusView {
  std::optional<std::string> verifier_mode;  ///< null: the policy is invalid
  std::optional<std::string> ita_minter;
  std::optional<std::string> tcb_mode;
  std::optional<std::string> rtmr_mode;
  std::optional<std::string> policy_error;
  bool emulation_allowed = false;
  std::int64_t settings_version = 0;
  std::int64_t trust_version = 0;
  std::int64_t verifications_in_flight = 0;
  std::int64_t sweep_held = 0;  ///< agents that wait for `confirm-sweep`
  std::optional<UtcTime> own_quote_at;
  JwksStatus jwks;
  std::vector<CollateralStatus> collateral;
  std::map<std::string, DependencyError> last_errors;  ///< by dependency: intel_ta, jwks, pcs, tdx
};
BOOST_DESCRIBE_STRUCT(AttestationStatusView, (),
                      (verifier_mode, ita_minter, tcb_mode, rtmr_mode, policy_error, emulation_allowed,
                       settings_version, trust_version, verifications_in_flight, sweep_held, own_quote_at, jwks,
                       collateral, last_errors))
constexpr std::string_view json_name(json::For<AttestationStatusView> /*type*/) { return "AttestationStatus"; }

// ---- a quote tried without effect ----------------------------------------------------------------------------------

struct TryQuoteRequest {
  std::string quote;
  std::optional<std::string> event_log;
  std::optional<std::string> node_size;
};
BOOST_DESCRIBE_STRUCT(TryQuoteRequest, (), (quote, event_log, node_size))
constexpr auto json_rules(json::For<TryQuoteRequest> /*type*/) {
  return std::array{json::field("quote").base64(agent_api::kMaxQuoteBytes),
                    json::field("event_log").base64(agent_api::kMaxEventLogBytes),
                    json::field("node_size").length(1, 32)};
}
constexpr std::string_view json_name(json::For<TryQuoteRequest> /*type*/) { return "TryQuote"; }

enum class TriedResult : std::uint8_t { passed, refused, skipped };
BOOST_DESCRIBE_ENUM(TriedResult, passed, refused, skipped)

struct TriedStep {
  std::string step;
  TriedResult result = TriedResult::skipped;
  std::optional<std::string> reason_code;
  std::vector<std::string> warnings;
  boost::json::value details;
};
BOOST_DESCRIBE_STRUCT(TriedStep, (), (step, result, reason_code, warnings, details))
constexpr std::string_view json_name(json::For<TriedStep> /*type*/) { return "TriedStep"; }

struct TriedQuote {
  bool accepted = false;
  std::vector<TriedStep> steps;
  std::optional<std::string> mrtd;
  std::vector<std::string> rtmrs;
  std::optional<std::string> tcb_status;
  std::vector<std::string> advisory_ids;
  std::optional<std::string> fmspc;
  std::optional<std::string> rtmr_profile;
};
BOOST_DESCRIBE_STRUCT(TriedQuote, (), (accepted, steps, mrtd, rtmrs, tcb_status, advisory_ids, fmspc, rtmr_profile))
constexpr std::string_view json_name(json::For<TriedQuote> /*type*/) { return "TriedQuote"; }

// ---- what an agent proved ------------------------------------------------------------------------------------------

struct AgentAttestationView {
  std::string agent_id;
  std::string mrtd;
  std::vector<std::string> rtmrs;
  std::string tcb_status;
  std::string evidence_kind;
  UtcTime attested_at;
  UtcTime attestation_due_at;
  bool fresh = false;  ///< trusted now, and not due for new evidence
  boost::json::value policy;
  std::string reason_code;  ///< `ok`, or why trust was lost
  std::string signing_key;
  boost::json::value claims;
  boost::json::value warnings;
  std::optional<std::string> mrtd_note;
  std::optional<std::string> rtmr_profile;
  std::string td_attributes;
  boost::json::value advisory_ids;
  std::optional<std::string> fmspc;
  std::string verifier_mode;
  std::string quote;  ///< base64, canonical bytes
  std::string quote_sha256;
  std::string preimage;  ///< base64 of what report_data hashes; its nonce is spent
  std::string audit_id;
};
BOOST_DESCRIBE_STRUCT(AgentAttestationView, (),
                      (agent_id, mrtd, rtmrs, tcb_status, evidence_kind, attested_at, attestation_due_at, fresh, policy,
                       reason_code, signing_key, claims, warnings, mrtd_note, rtmr_profile, td_attributes, advisory_ids,
                       fmspc, verifier_mode, quote, quote_sha256, preimage, audit_id))
constexpr std::string_view json_name(json::For<AgentAttestationView> /*type*/) { return "AgentAttestation"; }

}  // namespace ee::cp
