#pragma once
#include <cstdint>

#include "common/bytes.h"
#include "common/error.h"

namespace ee::attestation {

/// What a PCK certificate says about its platform: the SGX extension, OID 1.2.840.113741.1.13.1.
/// Source: Intel SGX PCK Certificate and Certificate Revocation List Profile Specification 1.5, section 1.3.5.
struct PckExtension {
  ByteArray<16> ppid;        ///< identifies the platform for life: hash it before it is stored or shown
  ByteArray<16> components;  ///< SVNs of the 16 TCB components
  std::uint16_t pcesvn;
  ByteArray<16> cpusvn;
  ByteArray<2> pceid;
  ByteArray<6> fmspc;
  bool operator==(const PckExtension&) const = default;
};

/// Reads the extension's value (the contents of its OCTET STRING). DER only; allocates nothing.
/// errors: pck_extension_invalid for what is missing, doubled, of the wrong type or length, or left over
[[nodiscard]] Result<PckExtension> parse_pck_extension(Bytes der);

}  // namespace ee::attestation
