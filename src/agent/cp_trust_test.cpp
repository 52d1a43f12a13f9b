#include "agent/cp_trust.h"

#include <gtest/gtest.h>

#include "agent/agent_test_fixture.h"
#include "attestation/binding.h"
#include "attestation/tsm/emulated_collateral.h"
#include "attestation/tsm/emulated_tdx.h"

#ifdef EE_EMULATOR

namespace ee::agent {
namespace {

using namespace std::chrono_literals;
namespace at = attestation;

/// A control plane whose quotes are an emulator's, and an agent that allows emulation unless the test says otherwise.
class CpTrustTest : public testing::AgentFixture {
 protected:
  CpTrustTest() {
    const auto allowed = at::EmulationAllowed::check("dev", true);
    tdx_ = at::EmulatedTdx::open(*allowed, dir_.path() / "cp-tdx", at::EmulatedRole::control_plane, clock_).value();
    emulation_ = *allowed;
    collateral_ = std::make_shared<at::EmulatedCollateralSource>(*allowed, nullptr);
    config_.cp_signing_keys.clear();
    config_.env = Environment::dev;
    config_.cp_attestation_mode = CpAttestationMode::required;
    cp_.on_call([this](const auto& call) {
      if (call.what == "attestation") cp_.knobs.attestation_body = answer(call.request.url);
    });
  }

  std::string answer(const std::string& url) {
    const auto nonce = *from_hex_exact<32>(url.substr(url.find("nonce=") + 6));
    ByteArray<32> quoted = nonce;
    if (other_nonce_) quoted[0] ^= 1;
    agent_api::SigningKeys keys = cp_.signing_keys();
    const auto signers = SignerSet::from_wire(bind_ ? *bind_ : keys).value();
    const auto binding = at::control_plane_binding(signers.keys());
    spec_.report_data = at::build_report_data(purpose_, quoted, binding, audience_).value;
    agent_api::ControlPlaneAttestation out;
    out.environment = "dev";
    out.emulated = true;
    out.quote = to_base64(tdx_->generate(spec_));
    out.quote_sha256 = std::string(64, '0');
    out.nonce = to_hex(nonce);
    out.audience = cp_.kOrigin;
    out.purpose = "control_plane";
    out.binding = to_hex(binding);
    out.signing_keys = keys;
    out.mrtd = std::string(96, '0');  // claims beside the quote count for nothing
    out.rtmrs = std::vector<std::string>(4, std::string(96, '0'));
    out.report_data = std::string(128, '0');
    out.generated_at = clock_.now();
    return json::write(out);
  }

  std::unique_ptr<at::EmulatedTdx> tdx_;
  at::EmulatedQuoteSpec spec_{.measurements = at::EmulatedMeasurements::defaults(at::EmulatedRole::control_plane)};
  at::Purpose purpose_ = at::Purpose::control_plane;
  std::string audience_ = testing::FakeControlPlane::kOrigin;
  std::optional<agent_api::SigningKeys> bind_;
  bool other_nonce_ = false;
};

TEST_F(CpTrustTest, TrustsTheKeysThatAGoodQuoteBinds) {
  cp_.knobs.more_keys = {cp_.other_key};
  start();
  const auto signers = trust_->establish({});
  ASSERT_TRUE(signers) << signers.error().detail;
  EXPECT_EQ(signers->keys().size(), 2U);
  EXPECT_NE(signers->find(key_id(cp_.key.public_key())), nullptr);
  ASSERT_TRUE(trust_->establish({}));
  EXPECT_EQ(cp_.calls("attestation").size(), 1U);  // asked for once
  trust_->forget();
  ASSERT_TRUE(trust_->establish({}));
  EXPECT_EQ(cp_.calls("attestation").size(), 2U);
  EXPECT_NE(cp_.calls("attestation")[0].request.url, cp_.calls("attestation")[1].request.url);  // a nonce of its own
}

TEST_F(CpTrustTest, RegistersWithAControlPlaneThatItVerified) {
  start();
  const auto registration = registrar_->attempt({}, {});
  ASSERT_TRUE(registration) << registration.error().detail;
  cp_.knobs.challenge_by_other_key = true;
  EXPECT_EQ(registrar_->attempt({}, {}).error().code, "cp_untrusted");
  EXPECT_EQ(cp_.calls("register").size(), 1U);
  EXPECT_FALSE(registrar_->attempt({}, {}));  // and asks for the quote again, since the key was none of those it knew
  EXPECT_EQ(cp_.calls("attestation").size(), 2U);
}

TEST_F(CpTrustTest, RefusesEverythingThatTheQuoteDoesNotShow) {
  struct Row {
    const char* detail;
    std::function<void()> break_it;
  };
  const auto otherwise = spec_;
  const std::vector<Row> rows = {
      {"report_data_mismatch", [this] { other_nonce_ = true; }},
      {"report_data_mismatch", [this] { purpose_ = at::Purpose::register_; }},
      {"report_data_mismatch", [this] { audience_ = "https://rogue.example.com"; }},
      {"report_data_mismatch",
       [this] {
         bind_ = cp_.signing_keys();
         cp_.knobs.more_keys = {cp_.other_key};  // one more key than the quote binds
       }},
      {"td_debug_enabled", [this] { spec_.td_attributes |= at::kTdDebug; }},
      {"mrtd_untrusted", [this] { spec_.measurements.mrtd[0] ^= 1; }},
      {"mrtd_wrong_kind", [this] { spec_.measurements = at::EmulatedMeasurements::defaults(at::EmulatedRole::agent); }},
      {"rtmr_mismatch", [this] { spec_.measurements.rtmrs[1][0] ^= 1; }},
      {"tcb_not_acceptable", [this] { spec_.tee_tcb_svn = at::kOutOfDateTcbSvn; }},
      {"quote_signature_invalid", [this] { spec_.fault = at::QuoteFault::broken_signature; }},
  };
  for (const Row& row : rows) {
    spec_ = otherwise;
    purpose_ = at::Purpose::control_plane;
    audience_ = testing::FakeControlPlane::kOrigin;
    bind_.reset();
    other_nonce_ = false;
    cp_.knobs.more_keys.clear();
    row.break_it();
    start();
    const auto refused = trust_->establish({});
    ASSERT_FALSE(refused) << row.detail;
    EXPECT_EQ(refused.error().code, "cp_untrusted") << row.detail;
    EXPECT_NE(refused.error().detail.find(row.detail), std::string::npos) << refused.error().detail;
  }
}

TEST_F(CpTrustTest, AKeyUnderAnotherKeysIdIsRefused) {
  agent_api::SigningKeys keys = cp_.signing_keys();
  keys.keys[0].kid = "0000000000000000";
  EXPECT_FALSE(SignerSet::from_wire(keys));
  keys = cp_.signing_keys();
  keys.keys.push_back(keys.keys[0]);
  EXPECT_FALSE(SignerSet::from_wire(keys));
}

// covers: S02_EEA_EMU_001
TEST_F(CpTrustTest, S02_EEA_EMU_001_an_agent_without_emulation_refuses_an_emulated_control_plane) {
  emulation_.reset();
  start();
  const auto refused = trust_->establish({});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().detail.find("quote_emulated_refused"), std::string::npos);
}

TEST_F(CpTrustTest, AnOptionalCheckThatFailsIsOnlyAWarningInDevelopment) {
  spec_.measurements.mrtd[0] ^= 1;
  config_.cp_attestation_mode = CpAttestationMode::optional;
  start();
  const auto signers = trust_->establish({});
  ASSERT_TRUE(signers);
  EXPECT_TRUE(signers->empty());
  config_.env = Environment::staging;
  start();
  EXPECT_EQ(trust_->establish({}).error().code, "cp_untrusted");
}

TEST_F(CpTrustTest, DisabledAsksForNoQuote) {
  config_.cp_attestation_mode = CpAttestationMode::disabled;
  start();
  EXPECT_TRUE(trust_->establish({})->empty());
  EXPECT_TRUE(cp_.calls("attestation").empty());
}

TEST_F(CpTrustTest, WithoutCollateralNothingIsGenuine) {
  collateral_.reset();
  start();
  const auto refused = trust_->establish({});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().detail.find("collateral_unavailable"), std::string::npos);
}

// Pins of the image decide when they are there, also for emulated quotes.
TEST_F(CpTrustTest, ComparesOnlyTheRegistersThatAPinNames) {
  auto measured = at::EmulatedMeasurements::defaults(at::EmulatedRole::control_plane);
  measured.mrtd.fill(0x77);  // not the emulator's default, so only the pin can vouch
  spec_.measurements = measured;
  TrustedControlPlane pin{.mrtd = measured.mrtd};
  pin.rtmrs[1] = measured.rtmrs[1];
  config_.trusted_cp_mrtds = {pin};
  start();
  EXPECT_TRUE(trust_->establish({}));

  spec_.measurements.rtmrs[2][0] ^= 1;  // not pinned
  start();
  EXPECT_TRUE(trust_->establish({}));

  spec_.measurements.rtmrs[1][0] ^= 1;
  start();
  EXPECT_FALSE(trust_->establish({}));
}

}  // namespace
}  // namespace ee::agent

#endif
