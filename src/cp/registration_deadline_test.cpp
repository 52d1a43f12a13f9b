// The deadline of a verification against outside services that hang: real HTTP to a stand-in that does not answer, the
// control plane's clock moved by the test.
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "net/curl_http_client.h"
#include "tests/support/registration_case.h"

namespace ee::testing {
namespace {

constexpr std::string_view kOutside = "https://ita.example";

/// The stand-in as a server, behind the name that the control plane's settings have for it.
class HangingIntelTa : public ::testing::Test {
 protected:
  /// Sends the registration and moves the clock to the deadline once the stand-in has been asked.
  TestAnswer send_and_pass_the_deadline(RegistrationCase& tried, Seconds deadline = Seconds(60)) {
    tried.intel_ta->hold();
    tried.intel_ta->start();
    tried.cp->http.set_answer([&](const HttpClientRequest& request) {
      HttpClientRequest real = request;
      real.url = tried.intel_ta->url() + request.url.substr(kOutside.size());
      return curl_.send(real);
    });
    TestAnswer answer;
    std::atomic<bool> answered = false;
    std::jthread sender([&] {
      answer = tried.send();
      answered = true;
    });
    tried.intel_ta->wait_for_requests(1);
    tried.cp->clock.advance(deadline - Milliseconds(1));
    EXPECT_FALSE(answered) << "before the deadline it waits";
    tried.cp->clock.advance(Milliseconds(1));
    sender.join();
    tried.intel_ta->release();
    return answer;
  }
  void expect_timeout(RegistrationCase& tried, const TestAnswer& answer) {
    EXPECT_EQ(answer.status, 503) << answer.body;
    EXPECT_EQ(answer.code(), "verifier_timeout");
    EXPECT_FALSE(answer.header("Retry-After").empty());
    EXPECT_EQ(tried.cp->agents(), 0);
    EXPECT_EQ(tried.refusals(), std::vector<std::string>{"verifier_timeout"});
    EXPECT_EQ(tried.used_nonces(), 1);
  }
  net::CurlHttpClient curl_;
};

// covers: S01_FAIL_001
TEST_F(HangingIntelTa, TheDeadlineEndsTheAttestCall) {
  RegistrationCase tried({{.environment = with_intel_ta()}});
  expect_timeout(tried, send_and_pass_the_deadline(tried));
}

TEST_F(HangingIntelTa, OfBothVerifiersTheSlowOneIsWaitedForUntilTheDeadline) {
  RegistrationCase tried({{.environment = with_intel_ta({{"EE_ATTESTATION_VERIFIER_MODE", "both"}})}});
  expect_timeout(tried, send_and_pass_the_deadline(tried));
}

TEST_F(HangingIntelTa, TheDeadlineIsTheSettings) {
  RegistrationCase tried({{.environment = with_intel_ta()}});
  const std::string path = "/api/v1/admin/settings/attestation.verify_timeout_seconds";
  ASSERT_EQ(tried.cp->admin("PUT", path, R"({"value":5})").status, 200);
  expect_timeout(tried, send_and_pass_the_deadline(tried, Seconds(5)));
}

/// Collateral comes from a publisher that takes the request and says nothing.
TEST(HangingPcs, TheDeadlineEndsTheFetchOfCollateral) {
  TestControlPlane cp;
  std::atomic<int> asked = 0;
  cp.http.set_answer([&](const HttpClientRequest& request) -> std::expected<HttpClientResponse, HttpFailure> {
    std::mutex mutex;
    std::condition_variable_any changed;
    std::unique_lock lock(mutex);
    ++asked;
    asked.notify_all();
    changed.wait(lock, request.stop, [] { return false; });
    return std::unexpected(HttpFailure::cancelled);
  });
  SystemRandom random;
  const EmulatedAgent agent("tdx-agent-001", random);
  auto registration = cp.prepare(agent);
  EmulatedEvidence evidence;
  evidence.options.fmspc = {0x00, 0x80, 0x6f, 0x05, 0x00, 0x00};  // not the emulator's own platform
  const auto claims = agent.claims(attestation::Purpose::register_,
                                   from_hex_exact<32>(registration.challenge.nonce).value(), TestControlPlane::kOrigin);
  evidence.spec.report_data = EmulatedAgent::evidence(claims).report_data.value;
  registration.request.evidence.quote = to_base64(evidence.raw_quote());
  TestAnswer answer;
  std::jthread sender([&] { answer = cp.send(agent, registration); });
  asked.wait(0);
  cp.clock.advance(Seconds(60));
  sender.join();
  EXPECT_EQ(answer.status, 503) << answer.body;
  EXPECT_EQ(answer.code(), "verifier_timeout");
  EXPECT_EQ(cp.agents(), 0);
  EXPECT_EQ(cp.values<std::string>("SELECT reason_code FROM attestation_audit"),
            std::vector<std::string>{"verifier_timeout"});
}

}  // namespace
}  // namespace ee::testing
