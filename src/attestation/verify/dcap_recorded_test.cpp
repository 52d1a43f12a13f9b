#include <gtest/gtest.h>

#include "attestation/verify/dcap_verifier.h"
#include "common/crypto.h"
#include "tests/support/recorded_collateral.h"

// Real quotes and collateral, at times at which they counted. What must come out is said by the evidence's own
// description (its README), not by this code.
namespace ee::attestation {
namespace {

using testing::at;
using testing::read_recorded_collateral;
using testing::read_recorded_quote;

constexpr const char* kQuote = "dcap-qvl/tdx_quote";
constexpr const char* kCollateral = "dcap-qvl/tdx_quote_collateral.json";
const UtcTime kInside = at("2025-07-01T00:00:00Z");
constexpr TrustAnchors kIntelOnly{};

ErrorCode error_of(const Result<DcapResult>& result) {
  return result ? ErrorCode::internal_error : result.error().code;
}

// covers: S01_DCAP_001
TEST(DcapRecorded, AcceptsARealQuoteWithItsCollateral) {
  EE_NEED_VECTORS();
  const DcapVerifier verifier;
  const auto result =
      verifier.verify(read_recorded_quote(kQuote), read_recorded_collateral(kCollateral).items(), kIntelOnly, kInside);
  ASSERT_TRUE(result) << slug(result.error().code) << " " << result.error().detail;
  EXPECT_EQ(result->status, TcbStatus::UpToDate);
  EXPECT_TRUE(result->advisories.empty());
  EXPECT_EQ(result->fmspc, "b0c06f000000");
  EXPECT_EQ(result->pceid, "0000");
  EXPECT_EQ(result->ca_kind, CaKind::platform);
  EXPECT_EQ(result->tcb_date, at("2024-03-13T00:00:00Z"));
  EXPECT_EQ(result->tcb_evaluation_data_number, 17);
  EXPECT_EQ(result->collateral_next_update, at("2025-07-19T10:00:35Z"));
  EXPECT_FALSE(result->emulated);
  EXPECT_EQ(result->ppid_sha256.size(), 64U);
}

// covers: S01_DCAP_001
TEST(DcapRecorded, AnswersTheSameFromMemory) {
  EE_NEED_VECTORS();
  const DcapVerifier verifier;
  const Quote quote = read_recorded_quote(kQuote);
  const Collateral collateral = read_recorded_collateral(kCollateral).items();
  for (int i = 0; i < 3; ++i) {
    const auto result = verifier.verify(quote, collateral, kIntelOnly, kInside);
    ASSERT_TRUE(result) << i;
    EXPECT_EQ(result->status, TcbStatus::UpToDate) << i;
  }
}

// covers: S01_DCAP_002
TEST(DcapRecorded, HoldsTheWindowOfTheCollateralToTheSecond) {
  EE_NEED_VECTORS();
  const Quote quote = read_recorded_quote(kQuote);
  const Collateral collateral = read_recorded_collateral(kCollateral).items();
  struct Row {
    const char* now;
    bool good;
  };
  // The QE identity is issued last, the PCK CRL ends first: the window is 2025-06-19T10:32:27Z to 2025-07-19T10:00:35Z.
  constexpr Row kRows[] = {
      {"2025-06-18T10:32:27Z", false},    {"2025-06-19T10:32:26.999Z", false}, {"2025-06-19T10:32:27Z", true},
      {"2025-07-19T10:00:34.999Z", true}, {"2025-07-19T10:00:35Z", false},     {"2025-07-20T10:00:35Z", false},
      {"2025-07-01T00:00:00Z", true},
  };
  const DcapVerifier warm;
  ASSERT_TRUE(warm.verify(quote, collateral, kIntelOnly, kInside));
  for (const Row& row : kRows) {
    const DcapVerifier cold;
    for (const DcapVerifier* verifier : {&cold, &warm}) {
      const auto result = verifier->verify(quote, collateral, kIntelOnly, at(row.now));
      EXPECT_EQ(result.has_value(), row.good) << row.now << (verifier == &warm ? " warm" : " cold");
      if (!row.good) {
        EXPECT_EQ(error_of(result), ErrorCode::collateral_expired) << row.now;
      }
    }
  }
}

TEST(DcapRecorded, HoldsTheValidityOfThePckCertificate) {
  EE_NEED_VECTORS();
  const Quote quote = read_recorded_quote(kQuote);
  const DcapVerifier warm;
  ASSERT_TRUE(warm.verify_offline(quote, kIntelOnly, kInside));
  // The leaf is valid from 2025-02-06T23:25:51Z to 2032-02-06T23:25:51Z; the CA ends in 2033, the root in 2049.
  for (const char* now : {"2025-02-06T23:25:50Z", "2032-02-06T23:25:52Z", "2050-01-01T00:00:00Z"}) {
    const DcapVerifier cold;
    for (const DcapVerifier* verifier : {&cold, &warm}) {
      const auto result = verifier->verify_offline(quote, kIntelOnly, at(now));
      ASSERT_FALSE(result) << now;
      EXPECT_EQ(result.error().code, ErrorCode::pck_certificate_expired) << now;
    }
  }
  EXPECT_TRUE(warm.verify_offline(quote, kIntelOnly, at("2025-02-06T23:25:51Z")));
  EXPECT_TRUE(warm.verify_offline(quote, kIntelOnly, at("2032-02-06T23:25:51Z")));
}

// covers: S01_DCAP_013
TEST(DcapRecorded, RefusesARealQuoteThatNoLevelMatches) {
  EE_NEED_VECTORS();
  const DcapVerifier verifier;
  const auto result = verifier.verify(read_recorded_quote("dcap-qvl/tdx_quote_outdated"),
                                      read_recorded_collateral("dcap-qvl/tdx_quote_outdated_collateral.json").items(),
                                      kIntelOnly, at("2026-03-01T00:00:00Z"));
  EXPECT_EQ(error_of(result), ErrorCode::tcb_not_supported);
}

TEST(DcapRecorded, ChecksTheWindowOfTheSecondCollateralToo) {
  EE_NEED_VECTORS();
  const Quote quote = read_recorded_quote("dcap-qvl/tdx_quote_outdated");
  const Collateral collateral = read_recorded_collateral("dcap-qvl/tdx_quote_outdated_collateral.json").items();
  const DcapVerifier verifier;
  EXPECT_EQ(error_of(verifier.verify(quote, collateral, kIntelOnly, at("2026-02-18T10:58:50Z"))),
            ErrorCode::collateral_expired);
  EXPECT_EQ(error_of(verifier.verify(quote, collateral, kIntelOnly, at("2026-02-18T10:58:51Z"))),
            ErrorCode::tcb_not_supported);
  EXPECT_EQ(error_of(verifier.verify(quote, collateral, kIntelOnly, at("2026-03-20T10:41:14Z"))),
            ErrorCode::tcb_not_supported);
  EXPECT_EQ(error_of(verifier.verify(quote, collateral, kIntelOnly, at("2026-03-20T10:41:15Z"))),
            ErrorCode::collateral_expired);
}

// covers: S01_DCAP_013
TEST(DcapRecorded, VerifiesTheSignaturesOfEveryRealQuote) {
  EE_NEED_VECTORS();
  struct Row {
    const char* name;
    TrailingPolicy trailing;
    const char* fmspc;
  };
  constexpr Row kRows[] = {
      {kQuote, TrailingPolicy::zeros, "b0c06f000000"},
      {"dcap-qvl/tdx_quote_outdated", TrailingPolicy::zeros, "90c06f000000"},
      {"go-tdx-guest/tdx_prod_quote_SPR_E4.dat", TrailingPolicy::ignore, "50806f000000"},
      {"go-tdx-guest/quote_v5_sample.dat", TrailingPolicy::zeros, "90c06f000000"},
      {"go-tdx-guest/cos-113-tdx-quote.dat", TrailingPolicy::zeros, nullptr},
  };
  const DcapVerifier verifier;
  for (const Row& row : kRows) {
    const auto chain =
        verifier.verify_offline(read_recorded_quote(row.name, row.trailing), kIntelOnly, at("2026-03-01T00:00:00Z"));
    ASSERT_TRUE(chain) << row.name << " " << slug(chain.error().code) << " " << chain.error().detail;
    EXPECT_EQ((*chain)->ca_kind, CaKind::platform) << row.name;
    if (row.fmspc != nullptr) {
      EXPECT_EQ(to_hex((*chain)->platform.fmspc), row.fmspc) << row.name;
    }
  }
}

/// The collateral of go-tdx-guest as its files are: bodies of the PCS and CRLs in DER. It has no issuer chains, which
/// are those of 2023; the TCB signing certificate of that time is not recorded.
TEST(DcapRecorded, ReadsThePckCrlsOf2023) {
  EE_NEED_VECTORS();
  const auto chains = read_recorded_collateral(kCollateral);
  const CollateralItem pck(testing::read_vector_text("go-tdx-guest/pckcrl"), chains.pck_crl_issuer_chain);
  IssuerChains issuers(intel_anchor());
  const auto pck_crl = verify_pck_crl(pck, issuers);
  ASSERT_TRUE(pck_crl) << pck_crl.error().detail;
  EXPECT_TRUE(check_dates(*pck_crl, at("2023-06-20T00:00:00Z")));
  EXPECT_FALSE(check_dates(*pck_crl, at("2023-07-08T07:27:52Z")));
  EXPECT_TRUE(pck_crl->crl.revokes(*from_hex("6FC34E5023E728923435D61AA4B83C618166AD35")));

  const auto root_crl = verify_root_crl({testing::read_vector_text("go-tdx-guest/rootcrl.der"), ""}, intel_anchor());
  ASSERT_TRUE(root_crl) << root_crl.error().detail;
  EXPECT_TRUE(root_crl->crl.revoked.empty());
}

// covers: S01_DCAP_007
TEST(DcapRecorded, RefusesTheCollateralOfAnotherPlatform) {
  EE_NEED_VECTORS();
  Collateral collateral = read_recorded_collateral("dcap-qvl/tdx_quote_outdated_collateral.json").items();
  const DcapVerifier verifier;
  const auto result = verifier.verify(read_recorded_quote(kQuote), collateral, kIntelOnly, at("2026-03-01T00:00:00Z"));
  EXPECT_EQ(error_of(result), ErrorCode::tcb_info_mismatch);
}

}  // namespace
}  // namespace ee::attestation
