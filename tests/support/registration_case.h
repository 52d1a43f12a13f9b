#pragma once
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/standins/intel_ta/intel_ta.h"
#include "tests/support/emulated_evidence.h"
#include "tests/support/test_control_plane.h"

namespace ee::testing {

class RegistrationCase;

/// One thing that is wrong with a registration, and the code that tells it. Whatever is not set is as it should be.
struct Fault {
  std::string code = {};
  int status = 0;
  std::string what = {};  ///< tells faults with one code apart
  TestControlPlane::Environment environment = {};
  std::function<void(EmulatedEvidence&)> evidence = {};
  std::function<void(standins::IntelTa&)> intel_ta = {};
  std::function<void(RegistrationCase&)> request = {};  ///< before it is signed
  std::function<void(RegistrationCase&, cp::VerificationStep)> before_step = {};
  std::optional<ErrorCode> collateral = {};  ///< what the source of collateral answers instead
  FakeHttpClient::Answer http = {};          ///< instead of the stand-in of Intel Trust Authority
  bool audited = true;                       ///< no row for what is refused in front of the pipeline
};

/// Settings under which quotes go to the stand-in of Intel Trust Authority.
inline TestControlPlane::Environment with_intel_ta(const TestControlPlane::Environment& more = {}) {
  TestControlPlane::Environment out = {{"EE_ATTESTATION_VERIFIER_MODE", "ita"},
                                       {"ITA_API_URL", "https://ita.example"},
                                       {"ITA_API_KEY", "test-api-key"},
                                       {"ITA_ISSUER", "https://issuer.example"},
                                       {"ITA_JWKS_URL", "https://ita.example/certs"}};
  for (const auto& [name, value] : more) out[name] = value;
  return out;
}

/// A whole control plane and a registration that is good but for the faults.
class RegistrationCase {
 public:
  explicit RegistrationCase(std::vector<Fault> faults = {}) : faults_(std::move(faults)) {
    for (const Fault& fault : faults_)
      if (fault.evidence) fault.evidence(evidence);
    TestControlPlane::Options options;
    for (const Fault& fault : faults_)
      for (const auto& [name, value] : fault.environment) options.environment[name] = value;
    options.before_step = [this](cp::VerificationStep step) {
      if (quiet) return;
      for (const Fault& fault : faults_)
        if (fault.before_step) fault.before_step(*this, step);
    };
    options.collateral = std::make_shared<Source>(evidence.collateral());
    for (const Fault& fault : faults_)
      if (fault.collateral) static_cast<Source&>(*options.collateral).error = fault.collateral;
    cp = std::make_unique<TestControlPlane>(std::move(options));
    cp->clock.set_auto_advance(true);  // waits between tries cost no time
    intel_ta = std::make_unique<standins::IntelTa>(cp->clock);
    cp->http.set_answer([this](const HttpClientRequest& request) { return ask_intel_ta(request); });
    for (const Fault& fault : faults_) {
      if (fault.intel_ta) fault.intel_ta(*intel_ta);
      if (fault.http) cp->http.set_answer(fault.http);
    }
    registration = cp->prepare(agent);
    quote_for(claims());
    for (const Fault& fault : faults_)
      if (fault.request) fault.request(*this);
  }

  EvidenceClaims claims() const {
    return agent.claims(attestation::Purpose::register_, from_hex_exact<32>(registration.challenge.nonce).value(),
                        TestControlPlane::kOrigin);
  }
  /// Puts a quote into the request that binds these claims.
  void quote_for(const EvidenceClaims& wanted) {
    const auto binding = attestation::agent_binding(wanted.signing_key, wanted.sealing_key, wanted.vm_name);
    report_data = attestation::build_report_data(wanted.purpose, wanted.nonce, binding, wanted.audience);
    evidence.spec.report_data = report_data.value;
    set_quote(evidence.raw_quote());
  }
  void set_quote(const ByteVector& raw) { registration.request.evidence.quote = to_base64(raw); }
  ByteVector quote() const { return from_base64(*registration.request.evidence.quote).value(); }
  void change_quote(std::size_t offset, std::uint8_t value) {
    ByteVector raw = quote();
    raw.at(offset) = value;
    set_quote(raw);
  }

  TestAnswer send() { return cp->send(agent, registration); }
  std::vector<std::string> refusals() {
    return cp->values<std::string>(
        "SELECT reason_code FROM attestation_audit WHERE event = 'registration_attestation_rejected' ORDER BY id");
  }
  std::vector<std::string> accepted_warnings() {
    return cp->values<std::string>(
        "SELECT warnings FROM attestation_audit WHERE event = 'registration_attestation_accepted'");
  }
  std::int64_t used_nonces() { return cp->values<std::int64_t>("SELECT COUNT(*) FROM attestation_nonces").front(); }

  SystemRandom random;
  EmulatedAgent agent{"tdx-agent-001", random};
  EmulatedEvidence evidence;
  std::unique_ptr<TestControlPlane> cp;
  std::unique_ptr<standins::IntelTa> intel_ta;
  TestControlPlane::Registration registration;
  attestation::ReportData report_data;
  bool quiet = false;  ///< no faults at steps any more

 private:
  struct Source final : attestation::CollateralSource {
    explicit Source(attestation::Collateral wanted) : collateral(std::move(wanted)) {}
    Result<attestation::Collateral> get(const std::string&, attestation::CaKind, UtcTime, std::stop_token) override {
      if (error) return fail(*error);
      return collateral;
    }
    attestation::Collateral collateral;
    std::optional<ErrorCode> error;
  };

  std::expected<HttpClientResponse, HttpFailure> ask_intel_ta(const HttpClientRequest& request) {
    net::Request asked;
    asked.method = request.method;
    asked.path = request.url.substr(std::string_view("https://ita.example").size());
    asked.headers = request.headers;
    asked.body = request.body;
    net::Response answer = intel_ta->answer(asked);
    if (answer.drop) return std::unexpected(HttpFailure::protocol);
    return HttpClientResponse{.status = answer.status, .headers = answer.headers, .body = answer.body};
  }

  std::vector<Fault> faults_;
};

/// Sends it and demands the refusal: status, code, no agent, exactly one row of the audit with the code (or none).
inline void expect_refusal(RegistrationCase& tried, const Fault& expected) {
  SCOPED_TRACE(expected.code + " " + expected.what);
  const TestAnswer answer = tried.send();
  EXPECT_EQ(answer.status, expected.status) << answer.body;
  EXPECT_EQ(answer.code(), expected.code) << answer.body;
  if (expected.status == 503) {
    EXPECT_FALSE(answer.header("Retry-After").empty());
  }
  EXPECT_EQ(tried.cp->agents(), 0);
  EXPECT_EQ(tried.refusals(), expected.audited ? std::vector{expected.code} : std::vector<std::string>{});
}

inline void expect_each_refused(const std::vector<Fault>& faults) {
  for (const Fault& fault : faults) {
    RegistrationCase tried({fault});
    expect_refusal(tried, fault);
  }
}

}  // namespace ee::testing
