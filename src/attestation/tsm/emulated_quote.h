#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "attestation/quote/quote.h"
#include "attestation/tsm/emulator_pki.h"

#ifdef EE_EMULATOR

namespace ee::attestation {

/// Whose default measurements an emulator has: `mrtd`, `rtmr0`, .. or `cp-mrtd`, `cp-rtmr0`, ..
enum class EmulatedRole { agent, control_plane };

struct EmulatedMeasurements {
  ByteArray<48> mrtd{};
  std::array<ByteArray<48>, 4> rtmrs{};
  ByteArray<48> mrconfigid{};
  bool operator==(const EmulatedMeasurements&) const = default;

  /// SHA-384 of the register's name; RTMR3 and MRCONFIGID zero.
  static EmulatedMeasurements defaults(EmulatedRole role);
};

enum class QuoteForm { v4, v5_td_1_0, v5_td_1_5 };

/// Faults that need the signer's help; everything else is a field of `EmulatedQuoteSpec` or a changed byte.
enum class QuoteFault { none, broken_signature, broken_qe_signature, broken_qe_binding };

inline constexpr std::uint64_t kTdDebug = 1;
inline constexpr std::uint64_t kTdSeptVeDisable = std::uint64_t{1} << 28;
inline constexpr std::uint64_t kTdMigratable = std::uint64_t{1} << 29;

/// Everything that a quote says. The defaults are those of a healthy, emulated, up-to-date TD.
struct EmulatedQuoteSpec {
  QuoteForm form = QuoteForm::v4;
  ByteArray<16> qe_vendor_id = kEmulatedQeVendorId;
  EmulatedMeasurements measurements = EmulatedMeasurements::defaults(EmulatedRole::agent);
  ByteArray<64> report_data{};
  std::uint64_t td_attributes = kTdSeptVeDisable;
  std::uint64_t xfam = 0xe7;
  std::uint64_t seam_attributes = 0;
  /// TDX module 1 (`TDX_01`) with SVN 5.
  ByteArray<16> tee_tcb_svn = {5, 1, 2};
  ByteArray<16> tee_tcb_svn2 = {5, 1, 2};
  ByteArray<48> mrservicetd{};
  QuoteFault fault = QuoteFault::none;
};

/// A module that the default TCB info calls OutOfDate, and one that it does not know any more.
inline constexpr ByteArray<16> kOutOfDateTcbSvn = {3, 1, 2};
inline constexpr ByteArray<16> kUnsupportedTcbSvn = {1, 1, 2};

/// Makes quotes by the keys of one label. One P-256 signature per quote; the quoting enclave's part is ready made.
/// Immutable, so threads may share it.
class EmulatedQuoteSigner {
 public:
  explicit EmulatedQuoteSigner(std::shared_ptr<const EmulatorPki> pki,
                               std::string_view key_label = EmulatorPkiOptions{.issued_at = {}}.key_label);
  ~EmulatedQuoteSigner();
  EmulatedQuoteSigner(EmulatedQuoteSigner&&) noexcept;
  EmulatedQuoteSigner& operator=(EmulatedQuoteSigner&&) noexcept;

  ByteVector sign(const EmulatedQuoteSpec& spec) const;
  const EmulatorPki& pki() const { return *pki_; }

 private:
  struct Key;
  std::shared_ptr<const EmulatorPki> pki_;
  std::unique_ptr<const Key> key_;
};

}  // namespace ee::attestation

#endif
