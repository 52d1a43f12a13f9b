// PCK chains: PEM, certificates and the SGX extension. The input is taken for each of them. No input may come out as a
// chain under Intel's root unless Intel signed it, and the corpus has none of those.
#include "attestation/verify/chain.h"
#include "attestation/verify/der.h"
#include "common/require.h"

namespace {

using namespace ee::attestation;

const ee::UtcTime kNow = ee::from_unix_ms(1767225600000);  // 2026-01-01

void read_extension(ee::Bytes der) {
  const auto extension = parse_pck_extension(der);
  if (!extension) ee::require(extension.error().code == ee::ErrorCode::pck_extension_invalid);
}

void read_one(ee::Bytes der) {
  const auto certificate = read_certificate(der);
  if (!certificate) return;
  ee::require(certificate->der.size() == der.size() && certificate->signed_part.size() < der.size());
  ee::require(!certificate->serial.empty() && certificate->serial.front() != 0);
  (void)certificate->is_signed_by(*certificate);
  if (certificate->sgx_extension) read_extension(*certificate->sgx_extension);
}

void read_chain(std::string_view text, const TrustAnchor& anchor) {
  const auto chain = verify_pck_chain(text, anchor, kNow);
  if (chain) ee::require(chain->validity.contains(kNow) && &anchor != &intel_anchor());
  for (const SignerRole role : {SignerRole::tcb_signing, SignerRole::pck_ca}) {
    const auto signer = verify_issuer_chain(text, anchor, role);
    if (signer) ee::require(!signer->serial.empty() && &anchor != &intel_anchor());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ee::Bytes raw(data, size);
  const std::string_view text = ee::text_of(raw);
  read_chain(text, intel_anchor());
#ifdef EE_EMULATOR
  read_chain(text, emulator_anchor());
#endif
  for (std::size_t count = 1; count <= 3; ++count)
    if (const auto ders = split_pem_certificates(text, count))
      for (const ee::ByteVector& der : *ders) read_one(der);
  read_one(raw);
  (void)split_signed_der(raw);
  read_extension(raw);
  return 0;
}
