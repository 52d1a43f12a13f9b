#pragma once
#include "attestation/validate/policy.h"
#include "cp/domain/attestation_attempt.h"
#include "cp/store/evidence_store.h"

namespace ee::cp {

/// Judges the last accepted evidence of an agent again, by its TD attributes, MRTD, TCB status and RTMRs (steps 7 and
/// 10 to 12 of 01 section 8): facts come from the stored quote, TCB status and advisories from the verdict of then.
/// Pure. Errors: `internal_error` for a damaged row.
Result<attestation::Decision> judge_stored(const EvidenceRow& row, const attestation::PolicySnapshot& policy,
                                           const attestation::TrustStore& trust, UtcTime now);

/// What an audit row says of stored evidence that is refused under `policy`.
AttestationAttempt attempt_of(const EvidenceRow& row, const std::string& vm_name,
                              const attestation::PolicySnapshot& policy);

}  // namespace ee::cp
