#pragma once

#ifdef EE_EMULATOR

#include <filesystem>
#include <memory>
#include <mutex>

#include "attestation/emulation.h"
#include "attestation/tsm/emulated_quote.h"
#include "attestation/tsm/quote_source.h"
#include "common/clock.h"

namespace ee::attestation {

/// A TDX machine for development: quotes of the same structure and size as real ones, by published keys. It keeps in
/// its directory (0700): `pki.json`, what is signed, made again when older than 20 days; `emulated.json`, read at the
/// start, optional, with any of `mrtd`, `rtmr0`..`rtmr3`, `mrconfigid` (96 hexadecimal digits each); `rtmr3`, once that
/// register was extended; `lock`. One process per directory. Thread-safe.
class EmulatedTdx final : public QuoteSource {
 public:
  /// Makes the directory when it is missing. `clock` must outlive the object.
  /// Errors: tdx_unavailable when the directory cannot be used, is another process's, or `emulated.json` is wrong.
  [[nodiscard]] static Result<std::unique_ptr<EmulatedTdx>> open(EmulationAllowed allowed,
                                                                 const std::filesystem::path& dir, EmulatedRole role,
                                                                 const Clock& clock);
  ~EmulatedTdx() override;

  [[nodiscard]] Result<ByteVector> generate(const ByteArray<64>& report_data) override;
  bool emulated() const override { return true; }

  /// A quote with faults or of another form: `spec` is taken as it is.
  ByteVector generate(const EmulatedQuoteSpec& spec);
  /// What `generate` puts into a quote now.
  EmulatedMeasurements measurements() const;
  /// RTMR3 becomes SHA-384(RTMR3 || digest), also on disk. Error: tdx_unavailable when that fails.
  [[nodiscard]] Result<void> extend_rtmr3(const ByteArray<48>& digest);
  /// Fresh collateral for quotes of any emulator.
  std::shared_ptr<const EmulatorPki> pki();

 private:
  class Lock;
  EmulatedTdx(EmulationAllowed allowed, std::filesystem::path dir, std::unique_ptr<Lock> lock,
              const EmulatedMeasurements& measurements, const Clock& clock);
  std::shared_ptr<const EmulatedQuoteSigner> signer();

  EmulationAllowed allowed_;
  std::filesystem::path dir_;
  std::unique_ptr<Lock> lock_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  EmulatedMeasurements measurements_;
  std::shared_ptr<const EmulatorPki> pki_;
  std::shared_ptr<const EmulatedQuoteSigner> signer_;
};

}  // namespace ee::attestation

#endif
