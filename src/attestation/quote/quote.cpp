#include "attestation/quote/quote.h"

#include <algorithm>
#include <string>
#include <utility>

#include "attestation/quote/layout.h"
#include "common/base64_size.h"
#include "common/require.h"

namespace ee::attestation {

namespace {

using layout::little_endian;

std::unexpected<Error> malformed(std::string_view field, std::size_t offset) {
  return fail(ErrorCode::quote_malformed, std::string(field) + " at offset " + std::to_string(offset));
}

bool is_white_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

std::string_view without_leading_space(std::string_view text) {
  const auto* const first = std::ranges::find_if_not(text, is_white_space);
  return text.substr(static_cast<std::size_t>(first - text.begin()));
}

/// Cuts one PEM certificate off the front of `text`, or says that there is none. What lies between the armour lines is
/// checked by whoever decodes it; here it only may not hold another line of dashes or a NUL.
bool skip_certificate(std::string_view& text) {
  constexpr std::string_view kBegin = "-----BEGIN CERTIFICATE-----";
  constexpr std::string_view kEnd = "-----END CERTIFICATE-----";
  if (!text.starts_with(kBegin)) return false;
  const std::string_view content = text.substr(kBegin.size());
  const std::size_t size = content.find("-----");
  if (size == std::string_view::npos || !content.substr(size).starts_with(kEnd)) return false;
  if (content.substr(0, size).find('\0') != std::string_view::npos) return false;
  text = content.substr(size + kEnd.size());
  return true;
}

/// The length of `padded` without what trails, when it is exactly three certificates with white space around them and
/// at most NUL and white space at the end.
std::optional<std::size_t> chain_length(std::string_view padded) {
  std::string_view rest = padded;
  for (std::size_t i = 0; i < layout::kPckChainLength; ++i) {
    rest = without_leading_space(rest);
    if (!skip_certificate(rest)) return std::nullopt;
  }
  const std::size_t length = padded.size() - rest.size();
  if (!std::ranges::all_of(rest, [](char c) { return c == '\0' || is_white_space(c); })) return std::nullopt;
  return length;
}

Result<void> check_size(std::size_t size, std::size_t max_bytes) {
  if (size < layout::kQuoteMinBytes) return fail(ErrorCode::quote_malformed, "shorter than any quote");
  if (size > max_bytes) return fail(ErrorCode::quote_malformed, "longer than the limit");
  return {};
}

}  // namespace

/// Fills a quote from front to back. Every length is compared with what remains, never added to an offset first.
class QuoteParser {
 public:
  QuoteParser(Bytes raw, TrailingPolicy trailing) : raw_(raw), trailing_(trailing) {}

  Result<Quote> parse(std::size_t max_bytes) && {
    if (const auto fits = check_size(raw_.size(), max_bytes); !fits) return fail(fits.error());
    if (const auto done = header(); !done) return fail(done.error());
    if (const auto done = locate_body(); !done) return fail(done.error());
    if (const auto done = signature_data(); !done) return fail(done.error());
    quote_.raw_.assign(raw_.begin(), raw_.end());
    return std::move(quote_);
  }

  /// Looks at the first 48 bytes alone.
  Result<void> header() {
    using namespace layout::header;
    const auto version = little_endian(Version::of(raw_));
    if (version != 4 && version != 5) return fail(ErrorCode::quote_version_unsupported);
    quote_.version_ = static_cast<int>(version);
    if (little_endian(KeyType::of(raw_)) != layout::kKeyTypeEcdsaP256)
      return fail(ErrorCode::quote_key_type_unsupported);
    if (little_endian(TeeType::of(raw_)) != layout::kTeeTypeTdx) return fail(ErrorCode::quote_not_tdx);
    const auto vendor = QeVendorId::of(raw_);
    quote_.emulated_ = std::ranges::equal(vendor, kEmulatedQeVendorId);
    if (!quote_.emulated_ && !std::ranges::equal(vendor, kIntelQeVendorId))
      return fail(ErrorCode::quote_vendor_unknown);
    return {};
  }

 private:
  Result<void> locate_body() {
    quote_.body_offset_ = layout::header::kSize;
    std::size_t size = layout::body::kSize10;
    if (quote_.version_ == 5) {
      using namespace layout::body_descriptor;
      const auto type = little_endian(Type::of(raw_));
      if (type != 2 && type != 3) return fail(ErrorCode::quote_body_unsupported);
      if (type == 3) {
        quote_.body_type_ = BodyType::td_report_1_5;
        size = layout::body::kSize15;
      }
      if (little_endian(Size::of(raw_)) != size) return malformed("body size", Size::offset);
      quote_.body_offset_ = kEnd;
    }
    quote_.body_end_ = quote_.body_offset_ + size;
    static_assert(layout::body_descriptor::kEnd + layout::body::kSize15 + layout::signature_data::Length::end <=
                      layout::kQuoteMinBytes,
                  "the shortest quote reaches past the longest body");
    return {};
  }

  Result<void> signature_data() {
    using namespace layout::signature_data;
    const std::size_t at = quote_.body_end_;
    const auto size = little_endian(Length::of(raw_.subspan(at)));
    if (size > raw_.size() - at - Length::end) return malformed("signature data size", at);
    if (size < kBeforeCertification + kAroundVariableParts) return malformed("signature data size", at);
    const std::size_t canonical_size = at + Length::end + static_cast<std::size_t>(size);
    if (trailing_ == TrailingPolicy::zeros &&
        !std::ranges::all_of(raw_.subspan(canonical_size), [](std::uint8_t byte) { return byte == 0; }))
      return malformed("bytes after the signature data", canonical_size);
    raw_ = raw_.first(canonical_size);

    const Bytes data = raw_.subspan(at);
    if (little_endian(CertificationType::of(data)) != layout::kCertificationQeReport)
      return fail(ErrorCode::quote_certification_unsupported, "outer certification type");
    if (little_endian(CertificationSize::of(data)) != size - kBeforeCertification)
      return malformed("certification size", at + CertificationSize::offset);
    return variable_parts(data);
  }

  Result<void> variable_parts(Bytes data) {
    using namespace layout::signature_data;
    const std::size_t at = quote_.body_end_;
    quote_.auth_offset_ = at + kFixedEnd;
    quote_.auth_size_ = little_endian(QeAuthSize::of(data));
    Bytes rest = data.subspan(kFixedEnd);
    if (quote_.auth_size_ > layout::kQeAuthMaxBytes || quote_.auth_size_ > rest.size() - InnerSize::end)
      return malformed("QE authentication data size", at + QeAuthSize::offset);
    rest = rest.subspan(quote_.auth_size_);

    const std::size_t inner_at = quote_.auth_offset_ + quote_.auth_size_;
    if (little_endian(InnerType::of(rest)) != layout::kCertificationPckChain)
      return fail(ErrorCode::quote_certification_unsupported, "inner certification type");
    const Bytes chain = rest.subspan(InnerSize::end);
    if (little_endian(InnerSize::of(rest)) != chain.size())
      return malformed("certificate chain size", inner_at + InnerSize::offset);
    quote_.chain_offset_ = inner_at + InnerSize::end;
    const auto length = chain_length(text_of(chain));
    if (!length) return malformed("certificate chain", quote_.chain_offset_);
    quote_.chain_size_ = *length;
    return {};
  }

  Bytes raw_;
  TrailingPolicy trailing_;
  Quote quote_;
};

FixedBytes<16> Quote::tee_tcb_svn() const { return layout::body::TeeTcbSvn::of(body()); }
FixedBytes<48> Quote::mrseam() const { return layout::body::MrSeam::of(body()); }
FixedBytes<48> Quote::mrsignerseam() const { return layout::body::MrSignerSeam::of(body()); }
std::uint64_t Quote::seam_attributes() const { return little_endian(layout::body::SeamAttributes::of(body())); }
std::uint64_t Quote::td_attributes() const { return little_endian(layout::body::TdAttributes::of(body())); }
std::uint64_t Quote::xfam() const { return little_endian(layout::body::Xfam::of(body())); }
FixedBytes<48> Quote::mrtd() const { return layout::body::MrTd::of(body()); }
FixedBytes<48> Quote::mrconfigid() const { return layout::body::MrConfigId::of(body()); }
FixedBytes<48> Quote::mrowner() const { return layout::body::MrOwner::of(body()); }
FixedBytes<48> Quote::mrownerconfig() const { return layout::body::MrOwnerConfig::of(body()); }

FixedBytes<48> Quote::rtmr(std::size_t index) const {
  require(index < 4);
  return layout::body::Rtmrs::of(body()).subspan(index * 48).first<48>();
}

FixedBytes<64> Quote::report_data() const { return layout::body::ReportData::of(body()); }

std::optional<FixedBytes<16>> Quote::tee_tcb_svn2() const {
  if (body_type_ != BodyType::td_report_1_5) return std::nullopt;
  return layout::body::TeeTcbSvn2::of(body());
}

std::optional<FixedBytes<48>> Quote::mrservicetd() const {
  if (body_type_ != BodyType::td_report_1_5) return std::nullopt;
  return layout::body::MrServiceTd::of(body());
}

FixedBytes<64> Quote::signature() const { return layout::signature_data::Signature::of(signature_data()); }
FixedBytes<64> Quote::attestation_key() const { return layout::signature_data::AttestationKey::of(signature_data()); }
FixedBytes<384> Quote::qe_report() const { return layout::signature_data::QeReport::of(signature_data()); }
FixedBytes<64> Quote::qe_report_signature() const {
  return layout::signature_data::QeReportSignature::of(signature_data());
}

Result<Quote> parse_quote(Bytes raw, TrailingPolicy trailing, std::size_t max_bytes) {
  return QuoteParser(raw, trailing).parse(max_bytes);
}

Result<Quote> parse_quote_base64(std::string_view base64, TrailingPolicy trailing, std::size_t max_bytes) {
  if (base64.empty()) return fail(ErrorCode::quote_missing);
  if (base64.size() / 4 > max_bytes / 3 + 1) return fail(ErrorCode::quote_malformed, "longer than the limit");
  const auto malformed_text = [] { return fail(ErrorCode::quote_malformed, "not strict base64"); };
  const auto size = base64_size(base64);
  if (!size) return malformed_text();
  if (const auto fits = check_size(*size, max_bytes); !fits) return fail(fits.error());
  // What is no quote mostly shows it in its header, and decoding all of it is most of the work.
  static_assert(layout::header::kSize % 3 == 0);
  const auto head = from_base64(base64.substr(0, layout::header::kSize / 3 * 4));
  if (!head) return malformed_text();
  if (const auto done = QuoteParser(*head, trailing).header(); !done) return fail(done.error());
  const auto raw = from_base64(base64);
  if (!raw) return malformed_text();
  return parse_quote(*raw, trailing, max_bytes);
}

Result<void> check_emulation(const Quote& quote, EmulatedQuotes emulated) {
  if (quote.is_emulated() && emulated != EmulatedQuotes::allow) return fail(ErrorCode::quote_emulated_refused);
  return {};
}

}  // namespace ee::attestation
