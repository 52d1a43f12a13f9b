#include "cp/service/verification_inputs.h"

#include "common/crypto.h"

namespace ee::cp {

void describe_quote(const attestation::Quote& quote, AttestationAttempt& attempt) {
  attempt.quote_sha256 = to_hex(sha256(quote.bytes()));
  attempt.mrtd = to_hex(quote.mrtd());
  for (std::size_t i = 0; i < 4; ++i) attempt.rtmrs[i] = to_hex(quote.rtmr(i));
  ByteArray<8> attributes{};
  for (std::size_t i = 0; i < 8; ++i) attributes[i] = static_cast<std::uint8_t>(quote.td_attributes() >> (8 * i));
  attempt.td_attributes = to_hex(attributes);
}

Result<ByteVector> signature_of(const EvidenceTransport& transport) {
  auto signature = transport.signature ? from_base64(*transport.signature) : std::nullopt;
  if (!signature || signature->size() != 64)
    return fail(
        Error{.code = ErrorCode::invalid_request,
              .fields = {{.field = "X-EE-Agent-Signature", .code = "bad_format", .detail = "base64 of 64 bytes"}}});
  return std::move(*signature);
}

std::string_view name_of(VerificationStep step) {
  switch (step) {
    case VerificationStep::policy: return "policy";
    case VerificationStep::quote: return "quote";
    case VerificationStep::challenge: return "challenge";
    case VerificationStep::nonce: return "nonce";
    case VerificationStep::report_data: return "report_data";
    case VerificationStep::td_attributes: return "td_attributes";
    case VerificationStep::verifiers:
    case VerificationStep::token_claims: return "verifiers";
    case VerificationStep::mrtd:
    case VerificationStep::tcb:
    case VerificationStep::rtmr: return "trust";
    case VerificationStep::event_log: return "event_log";
    case VerificationStep::unchanged: return "unchanged";
  }
  std::abort();
}

}  // namespace ee::cp
