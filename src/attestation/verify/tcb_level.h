#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "attestation/tcb_status.h"
#include "common/bytes.h"
#include "common/time.h"

namespace ee::attestation {

/// What having a TCB level means.
struct TcbVerdict {
  TcbStatus status = TcbStatus::Unknown;
  UtcTime date = {};
  std::vector<std::string> advisories = {};
};

/// One level of a platform's TCB: what it needs at least.
struct TcbLevel {
  ByteArray<16> sgx_components{};
  std::uint16_t pcesvn = 0;
  ByteArray<16> tdx_components{};
  TcbVerdict verdict = {};
};

/// One level of an enclave's or a TDX module's TCB.
struct IsvLevel {
  std::uint16_t isvsvn = 0;
  TcbVerdict verdict = {};
};

/// When a signed document counts, and how it stands to its predecessors.
struct DocumentDates {
  UtcTime issue_date = {};
  UtcTime next_update = {};
  std::int64_t tcb_evaluation_data_number = 0;
};

}  // namespace ee::attestation
