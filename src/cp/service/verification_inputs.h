#pragma once
#include <string_view>

#include "attestation/quote/quote.h"
#include "attestation/validate/policy.h"
#include "common/agent_api.h"
#include "common/bytes.h"
#include "common/error.h"
#include "cp/domain/attestation_attempt.h"
#include "cp/service/verification.h"

namespace ee::cp {

/// What the audit row says of a quote, whatever becomes of it.
void describe_quote(const attestation::Quote& quote, AttestationAttempt& attempt);

/// The header with the request's signature, decoded. Errors: invalid_request.
Result<ByteVector> signature_of(const EvidenceTransport& transport);

/// Step 1, as far as no policy is needed: challenge, nonce, quote and signature are there. Answers the signature.
/// Errors: nonce_missing, quote_missing, invalid_request.
Result<ByteVector> check_complete(const EvidenceClaim& claim, const EvidenceTransport& transport);

/// Whether the evidence is of the kind that the policy wants. Errors: ita_token_missing, ita_token_not_allowed,
/// invalid_request.
Result<void> check_evidence_kind(const agent_api::Evidence& evidence, const attestation::PolicySnapshot& policy);

/// The step in metrics: one of kVerificationSteps.
std::string_view name_of(VerificationStep step);

}  // namespace ee::cp
