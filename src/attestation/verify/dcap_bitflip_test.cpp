#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "attestation/quote/layout.h"
#include "attestation/verify/certificate.h"
#include "attestation/verify/dcap_verifier.h"
#include "tests/support/recorded_collateral.h"
#include "tests/support/test_pki.h"

// A real quote, one bit wrong at a time: every bit must be refused, and for the right reason.
namespace ee::attestation {
namespace {

using testing::at;
using testing::read_recorded_collateral;
using testing::to_pem;

const UtcTime kInside = at("2025-07-01T00:00:00Z");

/// Of the chain's text, whose certificates are flipped bit by bit below; 11 has no factor in common with 8.
constexpr std::size_t kStride = 11;

/// The quote's canonical bytes with its collateral, and a verifier that knows both.
class BitFlips : public ::testing::Test {
 protected:
  void SetUp() override {
    EE_NEED_VECTORS();
    const Quote quote = testing::read_recorded_quote("dcap-qvl/tdx_quote");
    quote_.assign(quote.bytes().begin(), quote.bytes().end());
    collateral_ = read_recorded_collateral("dcap-qvl/tdx_quote_collateral.json").items();
    ASSERT_EQ(outcome(quote_), std::nullopt);
  }

  /// The reason of refusal, or nothing.
  std::optional<ErrorCode> outcome(const ByteVector& raw) const {
    const auto quote = parse_quote(raw, TrailingPolicy::zeros);
    if (!quote) return quote.error().code;
    const auto result = verifier_.verify(*quote, collateral_, {}, kInside);
    if (!result) return result.error().code;
    return std::nullopt;
  }

  /// Flips every `stride`-th bit of [from, from + size) and wants one of `allowed` each time.
  void expect_refused(std::size_t from, std::size_t size, const std::vector<ErrorCode>& allowed,
                      std::size_t stride = 1) {
    ASSERT_LE(from + size, quote_.size());
    for (std::size_t bit = 0; bit < size * 8; bit += stride) {
      ByteVector changed = quote_;
      changed[from + bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
      const auto code = outcome(changed);
      ASSERT_TRUE(code) << "accepted with bit " << bit << " of offset " << from << " flipped";
      ASSERT_NE(std::ranges::find(allowed, *code), allowed.end())
          << slug(*code) << " for bit " << bit << " of offset " << from;
    }
  }

  static constexpr std::size_t kSignatureData = layout::header::kSize + layout::body::kSize10;
  template <class Field>
  static constexpr std::size_t offset_of = kSignatureData + Field::offset;

  ByteVector quote_;
  Collateral collateral_;
  DcapVerifier verifier_;
};

// covers: S01_DCAP_003
TEST_F(BitFlips, InTheHeader) {
  using namespace layout::header;
  // 4 becomes 5 by one bit, and then the body's description is wrong.
  expect_refused(Version::offset, Version::size,
                 {ErrorCode::quote_version_unsupported, ErrorCode::quote_body_unsupported});
  expect_refused(KeyType::offset, KeyType::size, {ErrorCode::quote_key_type_unsupported});
  expect_refused(TeeType::offset, TeeType::size, {ErrorCode::quote_not_tdx});
  expect_refused(Reserved::offset, Reserved::size, {ErrorCode::quote_signature_invalid});
  expect_refused(QeVendorId::offset, QeVendorId::size, {ErrorCode::quote_vendor_unknown});
  expect_refused(UserData::offset, UserData::size, {ErrorCode::quote_signature_invalid});
}

// covers: S01_DCAP_003
TEST_F(BitFlips, InTheBody) {
  expect_refused(layout::header::kSize, layout::body::kSize10, {ErrorCode::quote_signature_invalid});
}

// covers: S01_DCAP_003
TEST_F(BitFlips, InTheSignatureAndItsKey) {
  using namespace layout::signature_data;
  expect_refused(offset_of<Length>, Length::size, {ErrorCode::quote_malformed});
  expect_refused(offset_of<Signature>, Signature::size, {ErrorCode::quote_signature_invalid});
  expect_refused(offset_of<AttestationKey>, AttestationKey::size, {ErrorCode::qe_report_binding_invalid});
}

// covers: S01_DCAP_003
TEST_F(BitFlips, InTheQuotingEnclavesReport) {
  using namespace layout::signature_data;
  expect_refused(offset_of<CertificationType>, CertificationType::size, {ErrorCode::quote_certification_unsupported});
  expect_refused(offset_of<CertificationSize>, CertificationSize::size, {ErrorCode::quote_malformed});
  expect_refused(offset_of<QeReport>, QeReport::size, {ErrorCode::qe_report_signature_invalid});
  expect_refused(offset_of<QeReportSignature>, QeReportSignature::size, {ErrorCode::qe_report_signature_invalid});
}

// covers: S01_DCAP_003
TEST_F(BitFlips, InTheAuthenticationData) {
  using namespace layout::signature_data;
  const std::size_t auth = kSignatureData + kFixedEnd;
  expect_refused(offset_of<QeAuthSize>, QeAuthSize::size,
                 {ErrorCode::quote_malformed, ErrorCode::quote_certification_unsupported});
  expect_refused(auth, 32, {ErrorCode::qe_report_binding_invalid});
  expect_refused(auth + 32 + InnerType::offset, InnerType::size, {ErrorCode::quote_certification_unsupported});
  expect_refused(auth + 32 + InnerSize::offset, InnerSize::size, {ErrorCode::quote_malformed});
}

// covers: S01_DCAP_003
TEST_F(BitFlips, InTheTextOfTheChain) {
  const std::size_t chain = kSignatureData + layout::signature_data::kFixedEnd + 32 + 6;
  // The NUL behind the last certificate is outside: it may as well be a space, which is one bit away.
  const std::size_t size = quote_.size() - 1 - chain;
  ASSERT_EQ(quote_.back(), 0);
  ASSERT_EQ(text_of(Bytes(quote_).subspan(chain, 10)), "-----BEGIN");
  expect_refused(chain, size,
                 {ErrorCode::quote_malformed, ErrorCode::pck_chain_invalid, ErrorCode::pck_chain_untrusted}, kStride);
}

// covers: S01_DCAP_003
TEST_F(BitFlips, InEachCertificate) {
  const auto quote = parse_quote(quote_, TrailingPolicy::zeros);
  const auto ders = split_pem_certificates(quote->pck_chain_pem(), 3);
  ASSERT_TRUE(ders);
  ASSERT_TRUE(verify_pck_chain(to_pem(*ders), intel_anchor(), kInside));
  for (std::size_t which = 0; which < ders->size(); ++which) {
    const std::size_t bits = (*ders)[which].size() * 8;
    for (std::size_t bit = 0; bit < bits; ++bit) {
      auto changed = *ders;
      changed[which][bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
      const auto chain = verify_pck_chain(to_pem(changed), intel_anchor(), kInside);
      ASSERT_FALSE(chain) << "accepted with bit " << bit << " of certificate " << which << " flipped";
      const ErrorCode code = chain.error().code;
      ASSERT_TRUE(code == ErrorCode::pck_chain_invalid || (which == 2 && code == ErrorCode::pck_chain_untrusted))
          << slug(code) << " for bit " << bit << " of certificate " << which;
    }
  }
}

}  // namespace
}  // namespace ee::attestation
