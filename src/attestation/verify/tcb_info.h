#pragma once
#include <string_view>
#include <vector>

#include "attestation/verify/tcb_level.h"
#include "common/error.h"

namespace ee::attestation {

/// What a TDX module must be.
struct TdxModule {
  ByteArray<48> mrsigner{};
  ByteArray<8> attributes{};
  ByteArray<8> attributes_mask{};
};
struct TdxModuleIdentity {
  std::uint8_t version = 0;  ///< the two hexadecimal digits of `TDX_01`: TEE_TCB_SVN[1]
  TdxModule module = {};
  std::vector<IsvLevel> levels = {};  ///< sorted by isvsvn, highest first
};

/// Intel's TCB info for TDX, version 3. Owns its contents.
/// Source: Intel SGX and TDX Provisioning Certification Service API v4, "Get TDX TCB Info".
struct TcbInfo {
  DocumentDates dates = {};
  ByteArray<6> fmspc{};
  ByteArray<2> pceid{};
  TdxModule module = {};
  std::vector<TdxModuleIdentity> module_identities = {};
  std::vector<TcbLevel> levels = {};  ///< sorted by SGX components, PCESVN, TDX components, highest first
};

/// The dates are needed before the contents may be judged (01 section 10.2, steps 6 and 8), so both are told apart.
struct TcbInfoDocument {
  DocumentDates dates;
  Result<TcbInfo> contents;  ///< or tcb_info_mismatch
};

/// Reads the JSON value of `tcbInfo`: strict JSON, id TDX, version 3, tcbType 0, exactly 16 components of each kind in
/// every level, known status texts.
/// errors: tcb_info_mismatch; the detail names the member
[[nodiscard]] Result<TcbInfoDocument> parse_tcb_info(std::string_view json);

}  // namespace ee::attestation
