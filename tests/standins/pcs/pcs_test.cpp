#include "tests/standins/pcs/pcs.h"

#include <gtest/gtest.h>

#include <thread>

#include "attestation/verify/collateral_cache.h"
#include "attestation/verify/dcap_verifier.h"
#include "attestation/verify/pcs_client.h"
#include "common/fake_clock.h"
#include "common/fake_random.h"
#include "net/curl_http_client.h"
#include "tests/support/emulated_evidence.h"
#include "tests/support/fake_collateral_store.h"
#include "tests/support/recorded_collateral.h"

// The verifier with everything around it that is real: cache, client, HTTP, and a server in the PCS's place.
namespace ee::standins {
namespace {

using attestation::CollateralCache;
using attestation::DcapVerifier;
using attestation::PcsClient;
using attestation::PcsEndpoints;
using testing::EmulatedEvidence;

constexpr attestation::TrustAnchors kDev{.allow_emulator = true};
const UtcTime kIssued = FakeClock().now();
const UtcTime kNow = kIssued + Seconds(1);

class PcsStandin : public ::testing::Test {
 protected:
  PcsStandin() {
    clock_.set_auto_advance(true);
    pcs_.start();
  }
  std::unique_ptr<CollateralCache> cache(const attestation::TrustAnchor& anchor = attestation::emulator_anchor()) {
    return std::make_unique<CollateralCache>(
        CollateralCache::Parts{.fetcher = client_, .store = store_, .anchor = anchor});
  }
  std::string judge(const EmulatedEvidence& evidence, attestation::CollateralSource& source, UtcTime now = kNow) {
    const auto result = verifier_.verify(evidence.quote(), source, kDev, now, {});
    return std::string(result ? to_string(result->status) : slug(result.error().code));
  }

  Pcs pcs_{PcsContent::emulated({.issued_at = kIssued})};
  FakeClock clock_;
  FakeRandom random_;
  net::CurlHttpClient http_;
  bool pccs_ = false;
  PcsClient client_{http_, clock_, random_, [this] {
                      return PcsEndpoints{.pcs_url = pcs_.url(), .root_crl_url = pccs_ ? "" : pcs_.root_crl_url()};
                    }};
  testing::FakeCollateralStore store_;
  DcapVerifier verifier_;
};

// covers: S01_DCAP_014
TEST_F(PcsStandin, ServesWhatTheVerifierNeeds) {
  const auto source = cache();
  EXPECT_EQ(judge({}, *source), "UpToDate");
  EXPECT_EQ(judge({}, *source), "UpToDate");
  const auto requests = pcs_.requests();
  ASSERT_EQ(requests.size(), 4U);
  EXPECT_EQ(requests[0].path, "/IntelSGXRootCA.der");
  EXPECT_EQ(requests[1].path + "?" + requests[1].query, "/sgx/certification/v4/pckcrl?ca=platform&encoding=der");
  EXPECT_EQ(requests[2].path + "?" + requests[2].query, "/tdx/certification/v4/tcb?fmspc=ee0000000001&update=standard");
  EXPECT_EQ(requests[3].path + "?" + requests[3].query, "/tdx/certification/v4/qe/identity?update=standard");
}

// covers: S01_DCAP_015
TEST_F(PcsStandin, MayServeCrlsInEveryForm) {
  for (const PcsCrlForm form : {PcsCrlForm::der, PcsCrlForm::pem, PcsCrlForm::hex}) {
    store_.rows.clear();
    pcs_.set_crl_form(form);
    pccs_ = form == PcsCrlForm::hex;  // as a PCCS does, which also has the root CRL at its own path
    EXPECT_EQ(judge({}, *cache()), "UpToDate");
  }
  EXPECT_EQ(pcs_.requests()[8].path, "/sgx/certification/v4/rootcacrl");
}

TEST_F(PcsStandin, ServesRecordedCollateralForRecordedQuotes) {
  EE_NEED_VECTORS();
  pcs_.set_content(PcsContent::of(testing::read_recorded_collateral("dcap-qvl/tdx_quote_collateral.json").items(),
                                  "b0c06f000000", "platform"));
  const auto source = cache(attestation::intel_anchor());
  const auto result = verifier_.verify(testing::read_recorded_quote("dcap-qvl/tdx_quote"), *source, {},
                                       testing::at("2025-07-01T00:00:00Z"), {});
  ASSERT_TRUE(result) << slug(result.error().code) << " " << result.error().detail;
  EXPECT_EQ(result->status, attestation::TcbStatus::UpToDate);
}

// covers: S01_DCAP_016
TEST_F(PcsStandin, IsNotAskedBeforeTheChainIsVerified) {
  const auto source = cache();
  EmulatedEvidence foreign;
  foreign.options.key_label = "somebody else";
  EXPECT_EQ(judge(foreign, *source), "pck_chain_untrusted");
  EmulatedEvidence broken;
  broken.spec.fault = attestation::QuoteFault::broken_signature;
  EXPECT_EQ(judge(broken, *source), "quote_signature_invalid");
  EXPECT_TRUE(pcs_.requests().empty());
}

TEST_F(PcsStandin, FailsAsToldAndIsTriedAgain) {
  pcs_.fail_next({{.status = 503}, {.status = 429, .retry_after_seconds = 1}});
  EXPECT_EQ(judge({}, *cache()), "UpToDate");
  EXPECT_EQ(pcs_.requests().size(), 6U);
  store_.rows.clear();
  pcs_.fail_next(std::vector<PcsFault>(8, {.drop = true}));  // curl itself tries a kept connection that broke again
  EXPECT_EQ(judge({}, *cache()), "collateral_unavailable");
  pcs_.fail_next({{.status = 500}, {.status = 500}, {.status = 500}});
  const std::size_t before = pcs_.requests().size();
  EXPECT_EQ(judge({}, *cache()), "collateral_unavailable");
  EXPECT_EQ(pcs_.requests().size(), before + 3);
}

TEST_F(PcsStandin, MayNotKnowThePlatform) {
  EmulatedEvidence other;
  other.options.fmspc = {0xee, 0, 0, 0, 0, 7};
  EXPECT_EQ(judge(other, *cache()), "fmspc_unknown");
}

TEST_F(PcsStandin, MayHaveBadSignatures) {
  pcs_.set_bad_signatures(true);
  EXPECT_EQ(judge({}, *cache()), "tcb_info_signature_invalid");
  EXPECT_FALSE(store_.rows.contains("tcb:ee0000000001:standard"));
}

// covers: S01_DCAP_014
TEST_F(PcsStandin, MayExpireAndGoBack) {
  const auto source = cache();
  pcs_.set_content(PcsContent::emulated({.issued_at = kIssued, .tcb_evaluation_data_number = 5}));
  EXPECT_EQ(judge({}, *source), "UpToDate");
  const UtcTime end = kIssued + std::chrono::days(30);
  EXPECT_EQ(judge({}, *source, end), "collateral_expired");
  pcs_.set_content(PcsContent::emulated({.issued_at = end, .tcb_evaluation_data_number = 4}));
  EXPECT_EQ(judge({}, *source, end + Seconds(5)), "collateral_rollback");
  pcs_.set_content(PcsContent::emulated({.issued_at = end, .tcb_evaluation_data_number = 5}));
  EXPECT_EQ(judge({}, *source, end + Seconds(10)), "UpToDate");
}

TEST_F(PcsStandin, MayHangWhileAnotherCallerGivesUp) {
  const auto source = cache();
  pcs_.hold();
  std::stop_source stop;
  std::jthread waiting([&] {
    const auto result = verifier_.verify(EmulatedEvidence().quote(), *source, kDev, kNow, stop.get_token());
    EXPECT_EQ(result.error().code, ErrorCode::collateral_unavailable);
  });
  pcs_.wait_for_requests(1);
  stop.request_stop();
  waiting.join();
  pcs_.release();
  EXPECT_EQ(judge({}, *source), "UpToDate");
}

}  // namespace
}  // namespace ee::standins
