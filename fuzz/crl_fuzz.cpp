// Revocation lists in any of their forms: what is read finds each of its own serials, sorted.
#include "attestation/verify/crl.h"

#include <algorithm>

#include "common/require.h"

namespace {

void judge(ee::Bytes der) {
  const auto crl = ee::attestation::read_crl(der);
  if (!crl) return;
  ee::require(std::ranges::is_sorted(crl->revoked));
  for (const ee::ByteVector& serial : crl->revoked) ee::require(!serial.empty() && crl->revokes(serial));
  ee::require(crl->signed_part.size() < der.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ee::Bytes raw(data, size);
  judge(raw);
  if (const auto der = ee::attestation::crl_der(ee::text_of(raw))) judge(*der);
  return 0;
}
