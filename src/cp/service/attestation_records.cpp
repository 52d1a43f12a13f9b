#include "cp/service/attestation_records.h"

#include "attestation/binding.h"
#include "common/json.h"

namespace ee::cp {
namespace {

namespace att = attestation;

std::string json_array(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (const std::string& text : texts) {
    if (out.size() > 1) out += ',';
    json::append_quoted(out, text);
  }
  return out + "]";
}

std::vector<std::string> texts_of(const std::vector<att::Warning>& warnings) {
  std::vector<std::string> out;
  for (const att::Warning warning : warnings) out.emplace_back(att::to_string(warning));
  return out;
}

}  // namespace

AttestationAuditRow audit_row_of(const AttestationAttempt& attempt, UtcTime now) {
  return {.at = now,
          .request_id = attempt.request_id,
          .warnings = json_array(attempt.warnings),
          .agent_id = attempt.agent_id,
          .vm_name = attempt.vm_name,
          .source_ip = attempt.source_ip,
          .purpose = attempt.purpose,
          .nonce_id = attempt.nonce_id,
          .quote_sha256 = attempt.quote_sha256,
          .mrtd = attempt.mrtd,
          .rtmr0 = attempt.rtmrs[0],
          .rtmr1 = attempt.rtmrs[1],
          .rtmr2 = attempt.rtmrs[2],
          .rtmr3 = attempt.rtmrs[3],
          .td_attributes = attempt.td_attributes,
          .tcb_status = attempt.tcb_status,
          .fmspc = attempt.fmspc,
          .advisory_ids = json_array(attempt.advisory_ids),
          .ita_token_sha256 = attempt.ita_token_sha256,
          .verifier_mode = attempt.verifier_mode,
          .policy_snapshot = attempt.policy_snapshot,
          .details = attempt.details};
}

EvidenceRow evidence_row_of(const EvidenceRecord& record) {
  const AcceptedEvidence& evidence = record.evidence;
  const AgentRow& agent = record.agent;
  const auto profile =
      evidence.decision.rtmr_profile ? std::optional(evidence.decision.rtmr_profile->id) : std::nullopt;
  const auto signing = from_base64(agent.signing_key).value_or(ByteVector(32));
  const auto sealing = from_base64(agent.sealing_key).value_or(ByteVector(32));
  const auto binding = att::agent_binding(std::span<const std::uint8_t, 32>(signing.data(), 32),
                                          std::span<const std::uint8_t, 32>(sealing.data(), 32), agent.vm_name);
  return {.agent_id = agent.id,
          .kind = evidence.kind,
          .quote = to_base64(evidence.quote.bytes()),
          .preimage = to_base64(evidence.preimage),
          .mrtd = to_hex(evidence.quote.mrtd()),
          .rtmr0 = to_hex(evidence.quote.rtmr(0)),
          .rtmr1 = to_hex(evidence.quote.rtmr(1)),
          .rtmr2 = to_hex(evidence.quote.rtmr(2)),
          .rtmr3 = to_hex(evidence.quote.rtmr(3)),
          .td_attributes = record.attempt.td_attributes.value_or(""),
          .tcb_status = std::string(att::to_string(evidence.tcb_status)),
          .fmspc = evidence.fmspc.empty() ? std::nullopt : std::optional(evidence.fmspc),
          .node_size = agent.node_size,
          .binding = to_hex(binding),
          .advisory_ids = json_array(evidence.advisories),
          .warnings = json_array(texts_of(evidence.decision.warnings)),
          .policy_snapshot = att::to_json(evidence.policy, profile),
          .rtmr_profile_id = profile,
          .verifier_mode = record.attempt.verifier_mode,
          .policy_version = policy_version_of(evidence.policy),
          .attested_at = record.now,
          .audit_id = record.audit_id};
}

void apply_evidence(AgentRow& row, const AcceptedEvidence& evidence, UtcTime now, UtcTime due_at) {
  row.mrtd = to_hex(evidence.quote.mrtd());
  row.rtmrs = rtmrs_json(evidence.quote);
  row.tcb_status = std::string(att::to_string(evidence.tcb_status));
  row.evidence_kind = evidence.kind;
  row.attestation_summary = attestation_summary_json(evidence);
  row.attestation_state = AttestationState::verified;
  row.attestation_error.reset();
  row.attest_requested_at.reset();
  row.attested_at = now;
  row.attestation_due_at = due_at;
}

std::int64_t policy_version_of(const att::PolicySnapshot& policy) {
  return policy.trusted_mrtd_version + policy.settings_version;
}

std::string rtmrs_json(const att::Quote& quote) {
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < 4; ++i) texts.push_back(to_hex(quote.rtmr(i)));
  return json_array(texts);
}

std::string attestation_summary_json(const AcceptedEvidence& evidence) {
  std::string out = R"({"tcb_status":)" + json::quote(att::to_string(evidence.tcb_status));
  out += R"(,"advisory_ids":)" + json_array(evidence.advisories);
  out += R"(,"fmspc":)" + (evidence.fmspc.empty() ? "null" : json::quote(evidence.fmspc));
  out += R"(,"warnings":)" + json_array(texts_of(evidence.decision.warnings));
  out += R"(,"rtmr_profile":)" +
         (evidence.decision.rtmr_profile ? json::quote(evidence.decision.rtmr_profile->name) : std::string("null"));
  return out + "}";
}

}  // namespace ee::cp
