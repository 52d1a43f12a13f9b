#include "attestation/verify/trust_anchor.h"

#include <cstdlib>

#include "attestation/verify/certificate.h"
#include "attestation/verify/intel_root.h"
#include "common/require.h"
#ifdef EE_EMULATOR
#include "attestation/tsm/emulator_pki.h"
#endif

namespace ee::attestation {
namespace {

TrustAnchor make_anchor(P256PublicKey root_key, std::string_view root_name, Bytes known_root_der) {
  return {.root_key = std::move(root_key),
          .root_name = root_name,
          .platform_ca_name = "Intel SGX PCK Platform CA",
          .processor_ca_name = "Intel SGX PCK Processor CA",
          .pck_name = "Intel SGX PCK Certificate",
          .tcb_signing_name = "Intel SGX TCB Signing",
          .known_root_der = known_root_der};
}

}  // namespace

std::string_view to_string(CaKind kind) {
  switch (kind) {
    case CaKind::platform: return "platform";
    case CaKind::processor: return "processor";
  }
  std::abort();
}

const TrustAnchor& intel_anchor() {
  static const TrustAnchor anchor = [] {
    auto root = read_certificate(intel_root_der());
    require(root.has_value());
    return make_anchor(std::move(root->key), "Intel SGX Root CA", intel_root_der());
  }();
  return anchor;
}

#ifdef EE_EMULATOR
const TrustAnchor& emulator_anchor() {
  static const TrustAnchor anchor = [] {
    const ByteArray<65> point = emulator_root_public_key();
    auto key = P256PublicKey::from_point(std::span(point).last<64>());
    require(key.has_value());
    return make_anchor(std::move(*key), kEmulatorRootName, {});
  }();
  return anchor;
}
#endif

}  // namespace ee::attestation
