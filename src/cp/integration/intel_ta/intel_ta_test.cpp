#include "cp/integration/intel_ta/intel_ta.h"

#include <gtest/gtest.h>

#include <thread>

#include "attestation/binding.h"
#include "common/fake_clock.h"
#include "common/fake_random.h"
#include "net/curl_http_client.h"
#include "tests/standins/intel_ta/intel_ta.h"
#include "tests/support/emulator.h"
#include "tests/support/ita_tokens.h"

namespace ee::cp {
namespace {

using standins::IntelTaToken;

/// The whole way over real HTTP, against the stand-in.
class IntelTaTest : public ::testing::Test {
 protected:
  IntelTaTest() {
    clock_.set_auto_advance(true);
    server_.start();
    config_.call = {.api_url = server_.url(), .api_key = Secret(server_.api_key())};
    config_.keys = {.url = server_.jwks_url(), .issuer = "https://issuer.example"};
    config_.rules = {.issuer = "https://issuer.example"};
  }
  std::string outcome() { return outcome(report_data_.preimage); }
  std::string outcome(Bytes preimage) {
    const auto verdict = intel_ta_.appraise(quote_, preimage, config_, "req-1", {});
    if (!verdict) return std::string(slug(verdict.error().code));
    return verdict->stale_keys ? "stale" : "ok";
  }
  std::string outcome_with(const IntelTaToken& token) {
    server_.set_token(token);
    return outcome();
  }

  FakeClock clock_;
  FakeRandom random_;
  net::CurlHttpClient http_;
  standins::IntelTa server_{clock_};
  metrics::Registry metrics_;
  IntelTa intel_ta_{http_, clock_, random_, metrics_};
  IntelTaConfig config_;
  attestation::ReportData report_data_ = attestation::build_report_data(
      attestation::Purpose::register_, ByteArray<32>{1}, ByteArray<32>{2}, "https://cp.example");
  attestation::Quote quote_ = attestation::parse_quote(testing::emulated_quote({.report_data = report_data_.value}),
                                                       attestation::TrailingPolicy::zeros)
                                  .value();
};

// covers: S01_ITA_001
TEST_F(IntelTaTest, AppraisesByBothVersionsAndAlgorithms) {
  EXPECT_EQ(outcome(), "ok");
  config_.call.version = attestation::IntelTaVersion::v1;
  EXPECT_EQ(outcome_with({.algorithm = jose::Algorithm::rs256}), "ok");
  EXPECT_EQ(server_.count("/appraisal/v2/attest"), 1U);
  EXPECT_EQ(server_.count("/appraisal/v1/attest"), 1U);
  EXPECT_EQ(server_.count("/certs"), 1U);
  EXPECT_EQ(server_.requests().front().request_id, "req-1");
}

TEST_F(IntelTaTest, WrongTokensAreRefusedForTheirReason) {
  EXPECT_EQ(outcome_with({.issuer = "https://other.example"}), "ita_issuer_invalid");
  EXPECT_EQ(outcome_with({.audience = "someone"}), "ita_audience_invalid");
  EXPECT_EQ(outcome_with({.exp_offset = -400}), "ita_token_expired");
  EXPECT_EQ(outcome_with({.nbf_offset = 61}), "ita_token_not_yet_valid");
  EXPECT_EQ(outcome_with({.iat_offset = -700}), "ita_token_stale");
  EXPECT_EQ(outcome_with({.header_alg = "none"}), "ita_alg_not_allowed");
  EXPECT_EQ(outcome_with({.foreign_signature = true}), "ita_signature_invalid");
  EXPECT_EQ(outcome_with({.tdx_overrides = {{"tdx_mrtd", "\"" + std::string(96, '0') + "\""}}}), "ita_quote_mismatch");
  EXPECT_EQ(outcome_with({.tdx_overrides = {{"tdx_mrtd", ""}}}), "mrtd_missing");
  EXPECT_EQ(outcome_with({.overrides = {{"intuse", "\"csr\""}}}), "ita_claims_invalid");
  EXPECT_EQ(outcome_with({}), "ok");
}

TEST_F(IntelTaTest, PolicyIdsAreAskedForAndChecked) {
  const std::string policy = "11111111-1111-4111-8111-111111111111";
  config_.call.policy_ids = config_.rules.policy_ids = {policy};
  EXPECT_EQ(outcome(), "ok");
  EXPECT_EQ(outcome_with({.unmatched_policies = {policy}}), "ita_policy_unmatched");
}

TEST_F(IntelTaTest, RuntimeDataAndApiKeyAreCheckedThere) {
  EXPECT_EQ(outcome(bytes_of("another preimage")), "ita_quote_rejected");
  config_.call.api_key = Secret("wrong");
  EXPECT_EQ(outcome(), "ita_auth_failed");
}

// covers: S01_ITA_003, S01_ITA_004
TEST_F(IntelTaTest, KeyRotation) {
  EXPECT_EQ(outcome(), "ok");
  server_.rotate_key();
  EXPECT_EQ(outcome(), "ok");
  EXPECT_EQ(server_.count("/certs"), 2U);
  EXPECT_EQ(outcome_with({.kid = "never-published"}), "ita_key_unknown");
  EXPECT_EQ(server_.count("/certs"), 2U);  // one forced fetch in 60 s
  clock_.advance(Seconds(60));
  EXPECT_EQ(outcome_with({.kid = "never-published"}), "ita_key_unknown");
  EXPECT_EQ(server_.count("/certs"), 3U);
}

// covers: S01_ITA_005
TEST_F(IntelTaTest, AJkuIsNeverFetched) {
  standins::IntelTa attacker(clock_);
  attacker.start();
  const std::string header =
      R"({"alg":"PS384","kid":"ita-1","jku":")" + attacker.jwks_url() + R"(","x5u":")" + attacker.url() + "\"}";
  const auto claims = testing::ita_claims_of(quote_, report_data_.preimage, {.now = clock_.now()});
  const std::string token = testing::ita_token_of_texts(header, boost::json::serialize(claims));
  EXPECT_TRUE(intel_ta_.verify(token, quote_, report_data_.preimage, config_, {}));
  EXPECT_TRUE(attacker.requests().empty());
}

TEST_F(IntelTaTest, OutagesAreRetriedAndThenUnavailable) {
  server_.fail_next_attest({{.status = 503}, {.drop = true}});
  EXPECT_EQ(outcome(), "ok");
  server_.fail_next_attest({{.status = 500}, {.status = 502}, {.status = 503}});
  EXPECT_EQ(outcome(), "verifier_unavailable");
  server_.fail_next_attest({{.status = 200, .body = "{}"}});
  EXPECT_EQ(outcome(), "verifier_unavailable");
  server_.fail_next_attest({{.status = 302}});
  EXPECT_EQ(outcome(), "verifier_unavailable");
}

// covers: S01_ITA_008
TEST_F(IntelTaTest, StaleKeys) {
  EXPECT_EQ(outcome(), "ok");
  clock_.advance(Seconds(3600));
  server_.fail_next_keys({{.status = 503}, {.status = 500}});
  EXPECT_EQ(outcome(), "verifier_unavailable");
  clock_.advance(Seconds(5));
  server_.fail_next_keys({{.status = 503}, {.status = 503}});
  config_.keys.max_stale = Seconds(60);
  EXPECT_EQ(outcome(), "stale");
}

TEST_F(IntelTaTest, AHungServiceEndsWithTheRequest) {
  server_.hold();
  std::stop_source stop;
  std::jthread caller([&] {
    const auto verdict = intel_ta_.appraise(quote_, report_data_.preimage, config_, "req-1", stop.get_token());
    ASSERT_FALSE(verdict);
    EXPECT_EQ(verdict.error().code, ErrorCode::verifier_timeout);
  });
  server_.wait_for_requests(1);
  stop.request_stop();
  caller.join();
  server_.release();
}

}  // namespace
}  // namespace ee::cp
