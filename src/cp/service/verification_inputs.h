#pragma once
#include <string_view>

#include "attestation/quote/quote.h"
#include "common/bytes.h"
#include "common/error.h"
#include "cp/domain/attestation_attempt.h"
#include "cp/service/verification.h"

namespace ee::cp {

/// What the audit row says of a quote, whatever becomes of it.
void describe_quote(const attestation::Quote& quote, AttestationAttempt& attempt);

/// The header with the request's signature, decoded. Errors: invalid_request.
Result<ByteVector> signature_of(const EvidenceTransport& transport);

/// The step in metrics: one of kVerificationSteps.
std::string_view name_of(VerificationStep step);

}  // namespace ee::cp
