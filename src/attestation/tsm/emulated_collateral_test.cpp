#include "attestation/tsm/emulated_collateral.h"

#include <gtest/gtest.h>

#include "attestation/verify/dcap_verifier.h"
#include "tests/support/emulator.h"

// What the emulator makes is what the verifier wants, and each fault that it can make is found by the right check. The
// verifier's own tests are beside it.
namespace ee::attestation {
namespace {

using testing::emulation_allowed;

constexpr TrustAnchors kAllowed{.allow_emulator = true};
const UtcTime kNow = FakeClock().now();

/// How a quote and collateral by `options` are judged: the status, or the slug of the refusal.
std::string verdict(const EmulatedQuoteSpec& spec, const EmulatorPkiOptions& options, UtcTime now = kNow,
                    TrustAnchors anchors = kAllowed) {
  const auto pki = std::make_shared<const EmulatorPki>(emulation_allowed(), options);
  const auto quote = parse_quote(EmulatedQuoteSigner(pki, options.key_label).sign(spec), TrailingPolicy::zeros);
  const auto result = DcapVerifier().verify(quote.value(), to_collateral(pki->collateral()), anchors, now);
  return std::string(result ? to_string(result->status) : slug(result.error().code));
}
std::string verdict(const EmulatedQuoteSpec& spec = {}) { return verdict(spec, {.issued_at = kNow}); }

TEST(EmulatedEvidence, IsUpToDateInEveryForm) {
  EXPECT_EQ(verdict(), "UpToDate");
  EXPECT_EQ(verdict({.form = QuoteForm::v5_td_1_0}), "UpToDate");
  EXPECT_EQ(verdict({.form = QuoteForm::v5_td_1_5}), "UpToDate");
  EXPECT_EQ(verdict({}, {.issued_at = kNow}, kNow + std::chrono::days(29)), "UpToDate");
}

TEST(EmulatedEvidence, SaysWhatItsPlatformIs) {
  const auto pki = testing::emulator_pki();
  const auto quote = parse_quote(testing::emulated_quote(), TrailingPolicy::zeros);
  const auto result = DcapVerifier().verify(*quote, to_collateral(pki->collateral()), kAllowed, kNow);
  ASSERT_TRUE(result) << slug(result.error().code);
  EXPECT_EQ(result->fmspc, "ee0000000001");
  EXPECT_EQ(result->pceid, "0000");
  EXPECT_TRUE(result->advisories.empty());
  EXPECT_TRUE(result->emulated);
}

// covers: S01_EMU_001, S01_EMU_003
TEST(EmulatedEvidence, CountsOnlyWhereAllowedAndOnlyByItsVendorId) {
  const EmulatorPkiOptions options{.issued_at = kNow};
  EXPECT_EQ(verdict({}, options, kNow, {.allow_emulator = false}), "quote_emulated_refused");
  EXPECT_EQ(verdict({.qe_vendor_id = kIntelQeVendorId}, options), "pck_chain_untrusted");
  EXPECT_EQ(verdict({.qe_vendor_id = kIntelQeVendorId}, options, kNow, {.allow_emulator = false}),
            "pck_chain_untrusted");
}

TEST(EmulatedEvidence, FaultsAreFoundByTheRightCheck) {
  EXPECT_EQ(verdict({.fault = QuoteFault::broken_signature}), "quote_signature_invalid");
  EXPECT_EQ(verdict({.fault = QuoteFault::broken_qe_signature}), "qe_report_signature_invalid");
  EXPECT_EQ(verdict({.fault = QuoteFault::broken_qe_binding}), "qe_report_binding_invalid");
  EXPECT_EQ(verdict({.tee_tcb_svn = kOutOfDateTcbSvn}), "OutOfDate");
  EXPECT_EQ(verdict({.tee_tcb_svn = kUnsupportedTcbSvn}), "tcb_not_supported");
  EXPECT_EQ(verdict({.seam_attributes = 1}), "tdx_module_mismatch");
  EXPECT_EQ(verdict({}, {.issued_at = kNow, .key_label = "somebody else"}), "pck_chain_untrusted");
  EXPECT_EQ(verdict({}, {.issued_at = kNow, .revoke_pck = true}), "pck_revoked");
  EXPECT_EQ(verdict({}, {.issued_at = kNow, .revoke_platform_ca = true}), "pck_revoked");
  EXPECT_EQ(verdict({}, {.issued_at = kNow}, kNow + std::chrono::days(30)), "collateral_expired");
  EXPECT_EQ(verdict({}, {.issued_at = kNow}, kNow - Seconds(1)), "collateral_expired");
  EXPECT_EQ(verdict({}, {.issued_at = kNow, .certificates_until = kNow}, kNow + Seconds(1)), "pck_certificate_expired");
}

TEST(EmulatedCollateralSource, AnswersForItsOwnPlatformAndAsksTheNextForOthers) {
  struct Next final : CollateralSource {
    Result<Collateral> get(const std::string& fmspc, CaKind /*ca*/, UtcTime /*now*/,
                           std::stop_token /*stop*/) override {
      asked = fmspc;
      return fail(ErrorCode::collateral_unavailable);
    }
    std::string asked;
  };
  const auto next = std::make_shared<Next>();
  EmulatedCollateralSource source(emulation_allowed(), next);
  const auto quote = parse_quote(testing::emulated_quote(), TrailingPolicy::zeros);
  const DcapVerifier verifier;

  for (const UtcTime now : {kNow, kNow + std::chrono::days(100)}) {
    const auto result = verifier.verify(*quote, source, kAllowed, now, {});
    ASSERT_TRUE(result) << slug(result.error().code);
    EXPECT_EQ(to_string(result->status), "UpToDate");
  }
  EXPECT_TRUE(next->asked.empty());
  EXPECT_EQ(source.get("00906ed50000", CaKind::platform, kNow, {}).error().code, ErrorCode::collateral_unavailable);
  EXPECT_EQ(next->asked, "00906ed50000");
  EmulatedCollateralSource alone(emulation_allowed(), nullptr);
  EXPECT_EQ(alone.get("00906ed50000", CaKind::platform, kNow, {}).error().code, ErrorCode::fmspc_unknown);
}

}  // namespace
}  // namespace ee::attestation
