#pragma once
#include <string>

#include "cp/domain/attestation_attempt.h"
#include "cp/service/verification.h"
#include "cp/store/agent_store.h"
#include "cp/store/attestation_audit_store.h"
#include "cp/store/evidence_store.h"

namespace ee::cp {

/// The audit row of an attempt, without id, event, result and reason: those are the decision's.
AttestationAuditRow audit_row_of(const AttestationAttempt& attempt, UtcTime now);

/// What a row of `agent_evidence` is made of.
struct EvidenceRecord {
  const AcceptedEvidence& evidence;
  const AttestationAttempt& attempt;
  const AgentRow& agent;
  UtcTime now;
  std::string audit_id;
};
/// What is kept of accepted evidence, so that a third party can verify the quote again.
EvidenceRow evidence_row_of(const EvidenceRecord& record);

/// What accepted evidence writes into an agent's row, at a registration and at a refresh.
void apply_evidence(AgentRow& row, const AcceptedEvidence& evidence, UtcTime now, UtcTime due_at);

/// The version of trust and settings that evidence was judged by: rises with every change of either.
std::int64_t policy_version_of(const attestation::PolicySnapshot& policy);

/// Column `agents.rtmrs`: a JSON array of four texts.
std::string rtmrs_json(const attestation::Quote& quote);
/// Column `agents.attestation_summary`: claims only, never a token or nonce.
std::string attestation_summary_json(const AcceptedEvidence& evidence);

}  // namespace ee::cp
