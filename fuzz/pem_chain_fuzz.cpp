// PCK chains: PEM, certificates and the SGX extension. The input is taken for each of them. No input may come out as a
// chain under Intel's root unless Intel signed it, and the corpus has none of those.
#include "attestation/verify/chain.h"
#include "attestation/verify/der.h"
#include "common/require.h"

namespace {

using namespace ee::attestation;

const ee::UtcTime kNow = ee::from_unix_ms(1767225600000);  // 2026-01-01

void read_one(ee::Bytes der) {
  const auto certificate = read_certificate(der);
  if (!certificate) return;
  ee::require(certificate->der.size() == der.size() && certificate->signed_part.size() < der.size());
  ee::require(!certificate->serial.empty() && certificate->serial.front() != 0);
  (void)certificate->is_signed_by(*certificate);
  if (certificate->sgx_extension) (void)parse_pck_extension(*certificate->sgx_extension);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ee::Bytes raw(data, size);
  const std::string_view text = ee::text_of(raw);
  ee::require(!verify_pck_chain(text, intel_anchor(), kNow));
  (void)verify_issuer_chain(text, intel_anchor(), SignerRole::tcb_signing);
#ifdef EE_EMULATOR
  (void)verify_pck_chain(text, emulator_anchor(), kNow);
  (void)verify_issuer_chain(text, emulator_anchor(), SignerRole::pck_ca);
#endif
  for (const std::size_t count : {1, 2, 3})
    if (const auto ders = split_pem_certificates(text, count))
      for (const ee::ByteVector& der : *ders) read_one(der);
  read_one(raw);
  (void)split_signed_der(raw);
  (void)parse_pck_extension(raw);
  return 0;
}
