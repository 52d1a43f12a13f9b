#pragma once
#include <cstdint>
#include <string_view>

#include "attestation/verify/p256.h"
#include "common/bytes.h"

namespace ee::attestation {

/// Which CA issued a PCK certificate: that of multi-package platforms or that of single ones.
enum class CaKind : std::uint8_t { platform, processor };
/// As the PCS calls it in its URLs.
std::string_view to_string(CaKind kind);

/// The root that a chain must end in, and what the certificates are called. Immutable, lives as long as the program.
struct TrustAnchor {
  P256PublicKey root_key;
  std::string_view root_name;  ///< common names
  std::string_view platform_ca_name;
  std::string_view processor_ca_name;
  std::string_view pck_name;
  std::string_view tcb_signing_name;
  /// A root certificate that needs no further check, since a test has made them all; empty: there is none.
  Bytes known_root_der;
};

/// Intel SGX Root CA, pinned by its public key.
const TrustAnchor& intel_anchor();

#ifdef EE_EMULATOR
/// The emulator's root, whose private key is published. It counts for quotes of the emulator's vendor id only, and
/// only where the caller allows emulation.
const TrustAnchor& emulator_anchor();
#endif

}  // namespace ee::attestation
