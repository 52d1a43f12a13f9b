#pragma once
#include "common/bytes.h"
#include "common/error.h"

namespace ee::attestation {

/// Where quotes of this machine come from. Thread-safe; a call may take many seconds.
class QuoteSource {
 public:
  virtual ~QuoteSource() = default;

  /// The canonical bytes of a fresh quote with exactly this report data.
  /// Errors: tdx_unavailable (no such device here), quote_generation_failed, quote_generation_timeout,
  /// quote_generation_raced.
  [[nodiscard]] virtual Result<ByteVector> generate(const ByteArray<64>& report_data) = 0;

  /// Whether the quotes are the emulator's.
  virtual bool emulated() const = 0;
};

}  // namespace ee::attestation
