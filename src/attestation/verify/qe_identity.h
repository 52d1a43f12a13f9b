#pragma once
#include <string_view>
#include <vector>

#include "attestation/verify/tcb_level.h"
#include "common/error.h"

namespace ee::attestation {

/// Intel's identity of the quoting enclave that signs for TDX. Masked bytes are in memory order. Owns its contents.
/// Source: Intel SGX and TDX Provisioning Certification Service API v4, "Get TDX QE Identity".
struct QeIdentity {
  DocumentDates dates = {};
  ByteArray<4> miscselect{};
  ByteArray<4> miscselect_mask{};
  ByteArray<16> attributes{};
  ByteArray<16> attributes_mask{};
  ByteArray<32> mrsigner{};
  std::uint16_t isvprodid = 0;
  std::vector<IsvLevel> levels = {};  ///< sorted by isvsvn, highest first
};

/// As TcbInfoDocument.
struct QeIdentityDocument {
  DocumentDates dates;
  Result<QeIdentity> contents;  ///< or qe_identity_mismatch
};

/// Reads the JSON value of `enclaveIdentity`: strict JSON, id TD_QE, version 2 or 3, known status texts.
/// errors: qe_identity_mismatch; the detail names the member
[[nodiscard]] Result<QeIdentityDocument> parse_qe_identity(std::string_view json);

/// Whether a QE report is one of this enclave, and not of a debug one. Returns the verdict of its level.
/// errors: qe_identity_mismatch, tcb_not_supported
[[nodiscard]] Result<TcbVerdict> check_qe_report(const QeIdentity& identity,
                                                 std::span<const std::uint8_t, 384> qe_report);

}  // namespace ee::attestation
