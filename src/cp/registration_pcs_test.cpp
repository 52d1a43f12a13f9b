// Registrations whose collateral the control plane fetches itself: its own settings, client, cache and table, over
// HTTP, from the stand-in of the PCS.
#include <gtest/gtest.h>

#include "net/curl_http_client.h"
#include "tests/standins/pcs/pcs.h"
#include "tests/support/emulated_evidence.h"
#include "tests/support/test_control_plane.h"

namespace ee::testing {
namespace {

using standins::Pcs;
using standins::PcsContent;

class RegistrationOverPcs : public ::testing::Test {
 protected:
  RegistrationOverPcs() {
    pcs_.start();
    cp_ = std::make_unique<TestControlPlane>(TestControlPlane::Options{
        .environment = {{"EE_DCAP_PCS_URL", pcs_.url()}, {"EE_DCAP_ROOT_CRL_URL", pcs_.root_crl_url()}},
        .collateral_anchor = &attestation::emulator_anchor()});
    cp_->clock.set_auto_advance(true);  // waits between tries cost no time
    cp_->http.set_answer([this](const HttpClientRequest& request) { return http_.send(request); });
  }
  /// What a registration is answered whose quote `evidence` makes.
  TestAnswer send(const std::string& vm_name, EmulatedEvidence evidence = {}) {
    const EmulatedAgent agent(vm_name, random_);
    auto registration = cp_->prepare(agent);
    const auto nonce = from_hex_exact<32>(registration.challenge.nonce).value();
    const auto claims = agent.claims(attestation::Purpose::register_, nonce, TestControlPlane::kOrigin);
    evidence.spec.report_data = EmulatedAgent::evidence(claims).report_data.value;
    registration.request.evidence.quote = to_base64(evidence.raw_quote());
    return cp_->send(agent, registration);
  }
  void expect_refused(const TestAnswer& answer, int status, const std::string& code) {
    EXPECT_EQ(answer.status, status) << answer.body;
    EXPECT_EQ(answer.code(), code) << answer.body;
    EXPECT_EQ(answer.header("Retry-After").empty(), status != 503);
    const auto refusals = cp_->values<std::string>(
        "SELECT reason_code FROM attestation_audit WHERE event='registration_attestation_rejected' ORDER BY at, id");
    EXPECT_EQ(refusals, std::vector<std::string>{code});
  }

  const UtcTime issued_ = FakeClock().now();
  Pcs pcs_{PcsContent::emulated({.issued_at = issued_, .tcb_evaluation_data_number = 5})};
  net::CurlHttpClient http_;
  SystemRandom random_;
  std::unique_ptr<TestControlPlane> cp_;
};

// covers: S01_REG_001
TEST_F(RegistrationOverPcs, AdmitsByCollateralThatItFetches) {
  const TestAnswer answer = send("vm-1");
  EXPECT_EQ(answer.status, 201) << answer.body;
  EXPECT_EQ(pcs_.requests().size(), 4U);
  EXPECT_EQ(send("vm-2").status, 201);
  EXPECT_EQ(pcs_.requests().size(), 4U) << "it is kept";
  EXPECT_EQ(cp_->values<std::int64_t>("SELECT COUNT(*) FROM attestation_collateral").front(), 4);
}

// covers: S01_REG_016
TEST_F(RegistrationOverPcs, RefusesAPlatformThatThePcsDoesNotKnow) {
  EmulatedEvidence evidence;
  evidence.options.fmspc = {0xee, 0, 0, 0, 0, 7};
  expect_refused(send("vm-1", evidence), 403, "fmspc_unknown");
  EXPECT_EQ(cp_->agents(), 0);
  const auto requests = pcs_.requests();
  ASSERT_FALSE(requests.empty());
  EXPECT_NE(requests.back().query.find("fmspc=ee0000000007"), std::string::npos) << "of the quote's own chain";
}

// covers: S01_DCAP_014
TEST_F(RegistrationOverPcs, RefusesCollateralThatIsOlderThanWhatItHad) {
  ASSERT_EQ(send("vm-1").status, 201);
  const auto month = std::chrono::days(30);
  cp_->clock.advance(month);
  pcs_.set_content(PcsContent::emulated({.issued_at = issued_ + month, .tcb_evaluation_data_number = 4}));
  expect_refused(send("vm-2"), 503, "collateral_rollback");
  EXPECT_EQ(cp_->agents(), 1);
  pcs_.set_content(PcsContent::emulated({.issued_at = issued_ + month, .tcb_evaluation_data_number = 5}));
  cp_->clock.advance(Seconds(10));
  EXPECT_EQ(send("vm-2").status, 201);
}

TEST_F(RegistrationOverPcs, RefusesWhatThePcsCannotOrWillNotServe) {
  pcs_.fail_next({{.status = 500}, {.status = 429, .retry_after_seconds = 1}, {.status = 503}});
  expect_refused(send("vm-1"), 503, "collateral_unavailable");
  cp_->clock.advance(Seconds(10));
  EXPECT_EQ(send("vm-1").status, 201) << "a failed fetch is remembered for 5 s only";
}

}  // namespace
}  // namespace ee::testing
