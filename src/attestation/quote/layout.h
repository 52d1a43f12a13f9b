#pragma once
#include <cstdint>

#include "common/bytes.h"

// Where the fields of a TDX quote lie. Sources: Intel SGX DCAP Quoting Library API 1.22, appendix A.3 (quote version 4)
// and A.4 (version 5); Intel TDX Module 1.5 ABI, TDREPORT and TDINFO; Intel SDM volume 3D table 38-21 (SGX report).
// Integers are little-endian. The two libraries that document header bytes 8 to 11 name them in opposite order (QE SVN,
// PCE SVN): they are not interpreted here.
namespace ee::attestation::layout {

/// A fixed field: offset and size in bytes, counted from the start of its structure.
template <std::size_t Offset, std::size_t Size>
struct Field {
  static constexpr std::size_t offset = Offset;
  static constexpr std::size_t size = Size;
  static constexpr std::size_t end = Offset + Size;
  /// The field within `structure`, which must reach its end.
  static std::span<const std::uint8_t, Size> of(Bytes structure) { return structure.subspan<Offset, Size>(); }
};

/// 48 bytes, the same in versions 4 and 5.
namespace header {
using Version = Field<0, 2>;
using KeyType = Field<2, 2>;
using TeeType = Field<4, 4>;
using Reserved = Field<8, 4>;
using QeVendorId = Field<12, 16>;
using UserData = Field<28, 20>;
inline constexpr std::size_t kSize = 48;
static_assert(Version::end == KeyType::offset && KeyType::end == TeeType::offset);
static_assert(TeeType::end == Reserved::offset && Reserved::end == QeVendorId::offset);
static_assert(QeVendorId::end == UserData::offset && UserData::end == kSize);
}  // namespace header

/// Version 5 only, from the start of the quote: says which body follows.
namespace body_descriptor {
using Type = Field<48, 2>;
using Size = Field<50, 4>;
inline constexpr std::size_t kEnd = 54;
static_assert(header::kSize == Type::offset && Type::end == Size::offset && Size::end == kEnd);
}  // namespace body_descriptor

/// The TD report body, from its own start. TEE_TCB_SVN2 and MRSERVICETD exist in TD report 1.5 only.
namespace body {
using TeeTcbSvn = Field<0, 16>;
using MrSeam = Field<16, 48>;
using MrSignerSeam = Field<64, 48>;
using SeamAttributes = Field<112, 8>;
using TdAttributes = Field<120, 8>;
using Xfam = Field<128, 8>;
using MrTd = Field<136, 48>;
using MrConfigId = Field<184, 48>;
using MrOwner = Field<232, 48>;
using MrOwnerConfig = Field<280, 48>;
using Rtmrs = Field<328, 192>;  // four of 48
using ReportData = Field<520, 64>;
inline constexpr std::size_t kSize10 = 584;
using TeeTcbSvn2 = Field<584, 16>;
using MrServiceTd = Field<600, 48>;
inline constexpr std::size_t kSize15 = 648;
static_assert(TeeTcbSvn::end == MrSeam::offset && MrSeam::end == MrSignerSeam::offset);
static_assert(MrSignerSeam::end == SeamAttributes::offset && SeamAttributes::end == TdAttributes::offset);
static_assert(TdAttributes::end == Xfam::offset && Xfam::end == MrTd::offset && MrTd::end == MrConfigId::offset);
static_assert(MrConfigId::end == MrOwner::offset && MrOwner::end == MrOwnerConfig::offset);
static_assert(MrOwnerConfig::end == Rtmrs::offset && Rtmrs::end == ReportData::offset);
static_assert(ReportData::end == kSize10 && kSize10 == TeeTcbSvn2::offset);
static_assert(TeeTcbSvn2::end == MrServiceTd::offset && MrServiceTd::end == kSize15);
}  // namespace body

/// The signature data, from its length field (which directly follows the body) on.
namespace signature_data {
using Length = Field<0, 4>;
using Signature = Field<4, 64>;
using AttestationKey = Field<68, 64>;
using CertificationType = Field<132, 2>;
using CertificationSize = Field<134, 4>;
using QeReport = Field<138, 384>;
using QeReportSignature = Field<522, 64>;
using QeAuthSize = Field<586, 2>;
inline constexpr std::size_t kFixedEnd = 588;  ///< where the QE authentication data begins
/// What `Length` counts beside the certification data.
inline constexpr std::size_t kBeforeCertification = CertificationSize::end - Length::end;
static_assert(Length::end == Signature::offset && Signature::end == AttestationKey::offset);
static_assert(AttestationKey::end == CertificationType::offset && CertificationType::end == CertificationSize::offset);
static_assert(CertificationSize::end == QeReport::offset && QeReport::end == QeReportSignature::offset);
static_assert(QeReportSignature::end == QeAuthSize::offset && QeAuthSize::end == kFixedEnd);
static_assert(kBeforeCertification == 134);

/// The inner certification data, from the end of the QE authentication data on.
using InnerType = Field<0, 2>;
using InnerSize = Field<2, 4>;
static_assert(InnerType::end == InnerSize::offset);
/// What `CertificationSize` counts beside the QE authentication data and the PEM chain.
inline constexpr std::size_t kAroundVariableParts = kFixedEnd - CertificationSize::end + InnerSize::end;
static_assert(kAroundVariableParts == 456);
}  // namespace signature_data

/// The QE's report: an SGX enclave report.
namespace qe_report {
using CpuSvn = Field<0, 16>;
using MiscSelect = Field<16, 4>;
using Attributes = Field<48, 16>;
using MrEnclave = Field<64, 32>;
using MrSigner = Field<128, 32>;
using IsvProdId = Field<256, 2>;
using IsvSvn = Field<258, 2>;
using ReportData = Field<320, 64>;
inline constexpr std::size_t kSize = 384;
static_assert(CpuSvn::end == MiscSelect::offset && MiscSelect::end + 28 == Attributes::offset);
static_assert(Attributes::end == MrEnclave::offset && MrEnclave::end + 32 == MrSigner::offset);
static_assert(MrSigner::end + 96 == IsvProdId::offset && IsvProdId::end == IsvSvn::offset);
static_assert(IsvSvn::end + 60 == ReportData::offset && ReportData::end == kSize);
}  // namespace qe_report

inline constexpr std::uint16_t kKeyTypeEcdsaP256 = 2;
inline constexpr std::uint32_t kTeeTypeTdx = 0x00000081;
inline constexpr std::uint16_t kCertificationQeReport = 6;
inline constexpr std::uint16_t kCertificationPckChain = 5;
inline constexpr std::size_t kQeAuthMaxBytes = 1024;
inline constexpr std::size_t kPckChainLength = 3;  ///< leaf, CA, root

/// The smallest quote there can be: version 4 without authentication data and without a chain.
inline constexpr std::size_t kQuoteMinBytes = header::kSize + body::kSize10 + signature_data::Length::end +
                                              signature_data::kBeforeCertification +
                                              signature_data::kAroundVariableParts;
static_assert(kQuoteMinBytes == 1226);

/// A little-endian integer of at most eight bytes.
template <std::size_t N>
constexpr std::uint64_t little_endian(std::span<const std::uint8_t, N> bytes) {
  static_assert(N <= 8);
  std::uint64_t value = 0;
  for (std::size_t i = N; i > 0; --i) value = value << 8 | bytes[i - 1];
  return value;
}

}  // namespace ee::attestation::layout
