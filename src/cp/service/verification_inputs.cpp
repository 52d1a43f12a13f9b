#include "cp/service/verification_inputs.h"

#include <cstdlib>

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

Result<ByteVector> check_complete(const EvidenceClaim& claim, const EvidenceTransport& transport) {
  if (!claim.challenge || claim.challenge->empty() || !claim.nonce || claim.nonce->empty())
    return fail(ErrorCode::nonce_missing);
  if (!claim.evidence.quote || claim.evidence.quote->empty()) return fail(ErrorCode::quote_missing);
  return signature_of(transport);
}

Result<void> check_evidence_kind(const agent_api::Evidence& evidence, const attestation::PolicySnapshot& policy) {
  namespace att = attestation;
  const bool wants_token =
      policy.ita_minter.get() == att::ItaMinter::agent && policy.verifier_mode.get() != att::VerifierMode::dcap;
  if (wants_token && (!evidence.intel_ta_token || evidence.intel_ta_token->empty()))
    return fail(ErrorCode::ita_token_missing);
  if (!wants_token && evidence.intel_ta_token) return fail(ErrorCode::ita_token_not_allowed);
  if (evidence.kind != (wants_token ? agent_api::EvidenceKind::ita : agent_api::EvidenceKind::dcap))
    return fail(Error{
        .code = ErrorCode::invalid_request,
        .fields = {{.field = "evidence.kind", .code = "not_in_enum", .detail = "a kind that the challenge accepts"}}});
  return {};
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
