#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "common/bytes.h"
#include "common/error.h"

namespace ee::attestation {

template <std::size_t N>
using FixedBytes = std::span<const std::uint8_t, N>;

/// What to do with bytes behind the signature data. `zeros` drops zeros (the kernel pads its buffer) and refuses any
/// other; `ignore` drops whatever is there.
enum class TrailingPolicy { zeros, ignore };

/// Which TD report a quote carries. The numbers are those of a version 5 quote.
enum class BodyType : std::uint8_t { td_report_1_0 = 2, td_report_1_5 = 3 };

/// A TDX quote whose structure is sound; nothing about its signatures or its trust is said. It owns its canonical
/// bytes (those without what trails), and every view it gives lives as long as the quote does and does not move.
/// Immutable, so that threads may share it.
class Quote {
 public:
  /// `[0, A + 4 + S)`: what is hashed, stored and sent on.
  Bytes bytes() const { return raw_; }
  /// 4 or 5.
  int version() const { return version_; }
  BodyType body_type() const { return body_type_; }
  /// Made by the emulator: its QE vendor id is `EE-EMULATED-TDX!`. Anything else is Intel's.
  bool is_emulated() const { return emulated_; }

  FixedBytes<16> tee_tcb_svn() const;
  FixedBytes<48> mrseam() const;
  FixedBytes<48> mrsignerseam() const;
  std::uint64_t seam_attributes() const;
  std::uint64_t td_attributes() const;
  std::uint64_t xfam() const;
  FixedBytes<48> mrtd() const;
  FixedBytes<48> mrconfigid() const;
  FixedBytes<48> mrowner() const;
  FixedBytes<48> mrownerconfig() const;
  /// `index` 0..3; anything else is a broken invariant.
  FixedBytes<48> rtmr(std::size_t index) const;
  FixedBytes<64> report_data() const;
  /// TD report 1.5 only.
  std::optional<FixedBytes<16>> tee_tcb_svn2() const;
  std::optional<FixedBytes<48>> mrservicetd() const;

  /// `[0, A)`: header and body, what the attestation key signed.
  Bytes signed_bytes() const { return bytes().first(body_end_); }
  /// r || s, big-endian, over `signed_bytes()`.
  FixedBytes<64> signature() const;
  /// x || y of the P-256 key.
  FixedBytes<64> attestation_key() const;
  FixedBytes<384> qe_report() const;
  /// r || s, big-endian, over `qe_report()`, by the PCK leaf.
  FixedBytes<64> qe_report_signature() const;
  Bytes qe_auth_data() const { return bytes().subspan(auth_offset_, auth_size_); }
  /// Exactly three certificates in PEM: PCK leaf, PCK CA, root. Without what trails.
  std::string_view pck_chain_pem() const { return text_of(bytes().subspan(chain_offset_, chain_size_)); }

 private:
  friend class QuoteParser;
  Quote() = default;
  Bytes body() const { return signed_bytes().subspan(body_offset_); }
  Bytes signature_data() const { return bytes().subspan(body_end_); }

  ByteVector raw_;
  int version_ = 0;
  BodyType body_type_ = BodyType::td_report_1_0;
  bool emulated_ = false;
  std::size_t body_offset_ = 0;
  std::size_t body_end_ = 0;  // A
  std::size_t auth_offset_ = 0;
  std::size_t auth_size_ = 0;
  std::size_t chain_offset_ = 0;
  std::size_t chain_size_ = 0;
};

inline constexpr std::size_t kQuoteMaxBytes = 16384;

/// Reads a version 4 or 5 TDX quote. Checks structure only: signatures are `DcapVerifier`, trust is `evaluate_policy`.
/// Allocates one copy of the canonical bytes and nothing else.
///
/// raw      the whole quote, 1,226 bytes to `max_bytes`
/// errors   quote_version_unsupported, quote_key_type_unsupported, quote_not_tdx, quote_vendor_unknown,
///          quote_body_unsupported, quote_certification_unsupported; quote_malformed for everything else. The detail
///          names field and offset, never content.
[[nodiscard]] Result<Quote> parse_quote(Bytes raw, TrailingPolicy trailing, std::size_t max_bytes = kQuoteMaxBytes);

/// `parse_quote` of strict standard base64. The length is checked before decoding. Errors: as there; quote_missing when
/// `base64` is empty, quote_malformed when it is no base64.
[[nodiscard]] Result<Quote> parse_quote_base64(std::string_view base64, TrailingPolicy trailing,
                                               std::size_t max_bytes = kQuoteMaxBytes);

/// Whether quotes of the emulator count. No default on purpose.
enum class EmulatedQuotes { refuse, allow };

/// quote_emulated_refused when the quote is the emulator's and those are refused.
[[nodiscard]] Result<void> check_emulation(const Quote& quote, EmulatedQuotes emulated);

/// The QE vendor ids that are known: Intel's, and the emulator's (ASCII).
inline constexpr ByteArray<16> kIntelQeVendorId = {0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9,
                                                   0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07};
inline constexpr ByteArray<16> kEmulatedQeVendorId = {'E', 'E', '-', 'E', 'M', 'U', 'L', 'A',
                                                      'T', 'E', 'D', '-', 'T', 'D', 'X', '!'};

}  // namespace ee::attestation
