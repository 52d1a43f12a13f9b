#pragma once
#include <string>

#include "cp/domain/attestation_attempt.h"
#include "cp/service/admission.h"
#include "cp/store/attestation_audit_store.h"
#include "cp/store/evidence_store.h"

namespace ee::cp {

/// The audit row of an attempt, without id, event, result and reason: those are the decision's.
AttestationAuditRow audit_row_of(const AttestationAttempt& attempt, UtcTime now);

/// What is kept of accepted evidence, so that a third party can verify the quote again.
EvidenceRow evidence_row_of(const AdmissionInput& input, const AgentRow& agent);

/// Column `agents.rtmrs`: a JSON array of four texts.
std::string rtmrs_json(const attestation::Quote& quote);
/// Column `agents.attestation_summary`: claims only, never a token or nonce.
std::string attestation_summary_json(const AcceptedEvidence& evidence);

}  // namespace ee::cp
