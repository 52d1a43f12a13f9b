// One registration's evidence from the TD to the decision, and every field of the binding changed on the way: what was
// made for something else is not evidence for this.
#include <gtest/gtest.h>

#include <functional>

#include "attestation/tsm/emulated_collateral.h"
#include "attestation/validate/emulated_trust.h"
#include "attestation/verify/dcap_verifier.h"
#include "common/fake_random.h"
#include "tests/support/emulated_agent.h"
#include "tests/support/policy_fixture.h"

namespace ee::attestation {
namespace {

using testing::AgentEvidence;
using testing::EmulatedAgent;
using testing::EvidenceClaims;

const UtcTime kNow = FakeClock().now();
constexpr const char* kAudience = "https://cp.example.com";

class EvidenceTest : public ::testing::Test {
 protected:
  EvidenceClaims claims() const { return agent_.claims(Purpose::register_, nonce_, kAudience); }

  /// What a control plane does with evidence: it rebuilds the preimage from its own values and compares, then verifies
  /// and applies the policy.
  std::string verdict(const AgentEvidence& evidence) const {
    const auto quote = parse_quote_base64(evidence.quote_base64, TrailingPolicy::zeros);
    if (!quote) return std::string(slug(quote.error().code));
    const auto binding =
        agent_binding(agent_.signing_key().public_key(), agent_.sealing_key().public_key(), agent_.vm_name());
    const auto wanted = build_report_data(Purpose::register_, nonce_, binding, kAudience);
    if (!constant_time_equal(wanted.value, quote->report_data())) return "report_data_mismatch";

    const auto platform = DcapVerifier().verify(*quote, to_collateral(testing::emulator_pki()->collateral()),
                                                {.allow_emulator = true}, kNow);
    if (!platform) return std::string(slug(platform.error().code));
    Facts facts = facts_of(*quote, kNow, MrtdKind::agent, "tiny");
    facts.tcb_status = platform->status;
    facts.advisories = platform->advisories;
    PolicySnapshot policy = policy_test::strict_policy();
    policy.emulation_allowed = true;
    return policy_test::reason_of(evaluate_policy(facts, policy, emulated_trust(testing::emulation_allowed())).reason);
  }
  std::string verdict_of(const std::function<void(EvidenceClaims&)>& change) const {
    EvidenceClaims changed = claims();
    change(changed);
    return verdict(EmulatedAgent::evidence(changed));
  }
  std::string verdict_of(const EmulatedQuoteSpec& spec) const {
    return verdict(EmulatedAgent::evidence(claims(), spec));
  }

  FakeRandom random_;
  EmulatedAgent agent_{"tdx-agent-001", random_};
  EmulatedAgent other_{"tdx-agent-002", random_};
  ByteArray<32> nonce_{1, 2, 3};
};

TEST_F(EvidenceTest, IsAcceptedWhenEverythingFits) { EXPECT_EQ(verdict(EmulatedAgent::evidence(claims())), "ok"); }

// covers: S01_BIND_002
TEST_F(EvidenceTest, IsRefusedWhenMadeForSomethingElse) {
  const std::string mismatch = "report_data_mismatch";
  for (const Purpose purpose : {Purpose::refresh, Purpose::control_plane, Purpose::public_})
    EXPECT_EQ(verdict_of([&](EvidenceClaims& c) { c.purpose = purpose; }), mismatch);
  EXPECT_EQ(verdict_of([](EvidenceClaims& c) { c.nonce[31] ^= 1; }), mismatch);
  EXPECT_EQ(verdict_of([](EvidenceClaims& c) { c.audience = "https://rogue.example.com"; }), mismatch);
  EXPECT_EQ(verdict_of([](EvidenceClaims& c) { c.vm_name = "tdx-agent-003"; }), mismatch);
  EXPECT_EQ(verdict_of([&](EvidenceClaims& c) { c.signing_key = other_.signing_key().public_key(); }), mismatch);
  EXPECT_EQ(verdict_of([&](EvidenceClaims& c) { c.sealing_key = other_.sealing_key().public_key(); }), mismatch);
  EXPECT_EQ(verdict_of([](EvidenceClaims& c) { std::swap(c.signing_key, c.sealing_key); }), mismatch);
}

TEST_F(EvidenceTest, IsRefusedForEachFaultOfTheTd) {
  EXPECT_EQ(verdict_of({.td_attributes = kTdSeptVeDisable | kTdDebug}), "td_debug_enabled");
  EXPECT_EQ(verdict_of({.td_attributes = kTdSeptVeDisable | kTdMigratable}), "td_attributes_refused");
  EXPECT_EQ(verdict_of({.tee_tcb_svn = kOutOfDateTcbSvn}), "tcb_not_acceptable");
  EXPECT_EQ(verdict_of({.tee_tcb_svn = kUnsupportedTcbSvn}), "tcb_not_supported");
  EXPECT_EQ(verdict_of({.fault = QuoteFault::broken_signature}), "quote_signature_invalid");
  EmulatedQuoteSpec other_firmware;
  other_firmware.measurements.mrtd[0] ^= 1;
  EXPECT_EQ(verdict_of(other_firmware), "mrtd_untrusted");
  EmulatedQuoteSpec other_image;
  other_image.measurements.rtmrs[2][0] ^= 1;
  EXPECT_EQ(verdict_of(other_image), "rtmr_mismatch");
  EXPECT_EQ(verdict_of({.measurements = EmulatedMeasurements::defaults(EmulatedRole::control_plane)}),
            "mrtd_wrong_kind");
}

TEST_F(EvidenceTest, CarriesASignatureOfTheKeyThatItBinds) {
  const std::string signature = agent_.sign_request("POST", "/api/v1/agents/register", "challenge", "{}");
  const auto input = request_signature_input("POST", "/api/v1/agents/register", "challenge", bytes_of("{}"));
  EXPECT_TRUE(ed25519_verify(claims().signing_key, input, from_base64(signature).value()));
  EXPECT_FALSE(ed25519_verify(other_.signing_key().public_key(), input, from_base64(signature).value()));
}

}  // namespace
}  // namespace ee::attestation
