#include "attestation/tsm/emulated_tdx.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <fstream>

#include "attestation/verify/p256.h"
#include "common/crypto.h"
#include "tests/support/emulator.h"
#include "tests/support/temp_dir.h"

namespace ee::attestation {
namespace {

using testing::emulation_allowed;
using testing::emulator_pki;
using testing::TempDir;

Quote parsed(const ByteVector& raw) { return parse_quote(raw, TrailingPolicy::zeros).value(); }

ByteArray<64> report_data(std::uint8_t fill) {
  ByteArray<64> out{};
  out.fill(fill);
  return out;
}

std::unique_ptr<EmulatedTdx> open_in(const TempDir& dir, const Clock& clock, EmulatedRole role = EmulatedRole::agent) {
  return EmulatedTdx::open(emulation_allowed(), dir.path(), role, clock).value();
}

void write(const std::filesystem::path& path, std::string_view text) { std::ofstream(path) << text; }

// covers: S01_EMU_001
TEST(EmulationAllowed, NeedsTheDevEnvironmentAndTheSwitch) {
  EXPECT_TRUE(EmulationAllowed::check("dev", true));
  for (const auto& [environment, on] : {std::pair<std::string_view, bool>{"dev", false},
                                        {"staging", true},
                                        {"production", true},
                                        {"production", false},
                                        {"", true},
                                        {"DEV", true},
                                        {"dev ", true},
                                        {"development", true}}) {
    const auto allowed = EmulationAllowed::check(environment, on);
    ASSERT_FALSE(allowed) << environment;
    EXPECT_EQ(slug(allowed.error().code), "emulated_tdx_forbidden");
  }
}

TEST(EmulatedTdx, MakesQuotesThatAreKnownAtSight) {
  const TempDir dir;
  FakeClock clock;
  const auto tdx = open_in(dir, clock);
  const auto raw = tdx->generate(report_data(7)).value();

  const Quote quote = parsed(raw);
  EXPECT_TRUE(tdx->emulated());
  EXPECT_TRUE(quote.is_emulated());
  EXPECT_EQ(quote.version(), 4);
  EXPECT_EQ(to_hex(quote.bytes()), to_hex(raw));
  EXPECT_EQ(to_hex(quote.report_data()), to_hex(report_data(7)));
  EXPECT_EQ(quote.td_attributes(), std::uint64_t{1} << 28);
  EXPECT_EQ(text_of(quote.signed_bytes().subspan(12, 16)), "EE-EMULATED-TDX!");
  // Recorded quotes have 4,300 bytes of signature data; certificates vary by some bytes.
  EXPECT_NEAR(static_cast<double>(raw.size()), 4936, 400);
}

// SHA-384 of the names, computed with coreutils' sha384sum.
TEST(EmulatedTdx, HasTheDefaultMeasurementsOfItsRole) {
  const auto agent = EmulatedMeasurements::defaults(EmulatedRole::agent);
  EXPECT_EQ(to_hex(agent.mrtd),
            "898dbafbc5577344ae112dbfbb312b4000f0882bec1a783fa2283d2678b8ecc50b7d5f139f1cfec4c050851a8de27513");
  EXPECT_EQ(to_hex(agent.rtmrs[2]),
            "132345f7953f792119a38408b1464562ba1d069e941508933e387d5319e7ecdc78a6806c96e18db3234869e863943314");
  EXPECT_EQ(to_hex(agent.rtmrs[3]), std::string(96, '0'));
  EXPECT_EQ(to_hex(agent.mrconfigid), std::string(96, '0'));
  const auto control_plane = EmulatedMeasurements::defaults(EmulatedRole::control_plane);
  EXPECT_EQ(to_hex(control_plane.mrtd),
            "39a29fc11fde37c2f379eb4508d857c4a1985c157b6d4d91b7f88299982bdc0d6f438c005219ae91b9ddf3ebcdfc1bba");
  EXPECT_EQ(to_hex(control_plane.rtmrs[0]),
            "4079ac48d862ea14d80d59afd01bc4006226e4743821953a051288bbd36048f992af27551707c74f8d94ab5cef3105ad");
  EXPECT_EQ(to_hex(control_plane.rtmrs[3]), std::string(96, '0'));

  const TempDir dir;
  FakeClock clock;
  const auto tdx = open_in(dir, clock, EmulatedRole::control_plane);
  EXPECT_EQ(to_hex(parsed(tdx->generate(report_data(0)).value()).mrtd()), to_hex(control_plane.mrtd));
}

TEST(EmulatedTdx, TakesMeasurementsFromItsFile) {
  const TempDir dir;
  FakeClock clock;
  write(dir / "emulated.json", R"({"mrtd":")" + std::string(96, 'a') + R"(","mrconfigid":")" + std::string(96, 'b') +
                                   R"(","rtmr1":")" + std::string(96, 'c') + R"("})");
  const Quote quote = parsed(open_in(dir, clock)->generate(report_data(1)).value());
  EXPECT_EQ(to_hex(quote.mrtd()), std::string(96, 'a'));
  EXPECT_EQ(to_hex(quote.mrconfigid()), std::string(96, 'b'));
  EXPECT_EQ(to_hex(quote.rtmr(1)), std::string(96, 'c'));
  EXPECT_EQ(to_hex(quote.rtmr(0)), to_hex(EmulatedMeasurements::defaults(EmulatedRole::agent).rtmrs[0]));
}

TEST(EmulatedTdx, RefusesAWrongMeasurementsFile) {
  for (const std::string_view text : {"", "[]", "{", R"({"mrtd":"aa"})", R"({"mrtd":1})", R"({"unknown":"aa"})"}) {
    const TempDir dir;
    FakeClock clock;
    write(dir / "emulated.json", text);
    const auto tdx = EmulatedTdx::open(emulation_allowed(), dir.path(), EmulatedRole::agent, clock);
    ASSERT_FALSE(tdx) << text;
    EXPECT_EQ(slug(tdx.error().code), "tdx_unavailable");
  }
}

TEST(EmulatedTdx, ExtendsRtmr3AcrossRestarts) {
  const TempDir dir;
  FakeClock clock;
  ByteArray<48> digest{};
  digest.fill(9);
  ByteVector folded(48);
  append(folded, digest);
  {
    const auto tdx = open_in(dir, clock);
    ASSERT_TRUE(tdx->extend_rtmr3(digest));
    EXPECT_EQ(to_hex(parsed(tdx->generate(report_data(1)).value()).rtmr(3)), to_hex(sha384(folded)));
  }
  EXPECT_EQ(to_hex(open_in(dir, clock)->measurements().rtmrs[3]), to_hex(sha384(folded)));
}

TEST(EmulatedTdx, KeepsItsDirectoryPrivateAndToItself) {
  const TempDir dir;
  FakeClock clock;
  std::filesystem::permissions(dir.path(), std::filesystem::perms::all);
  {
    const auto tdx = open_in(dir, clock);
    struct stat status{};
    ASSERT_EQ(::stat(dir.path().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0700U);
    const auto second = EmulatedTdx::open(emulation_allowed(), dir.path(), EmulatedRole::agent, clock);
    ASSERT_FALSE(second);
    EXPECT_EQ(slug(second.error().code), "tdx_unavailable");
  }
  EXPECT_TRUE(EmulatedTdx::open(emulation_allowed(), dir.path(), EmulatedRole::agent, clock));
}

TEST(EmulatedTdx, KeepsItsCollateralForTwentyDays) {
  const TempDir dir;
  FakeClock clock;
  std::string first;
  {
    const auto tdx = open_in(dir, clock);
    first = tdx->pki()->collateral().tcb_info_body();
    clock.advance(std::chrono::days(20));
    EXPECT_EQ(tdx->pki()->collateral().tcb_info_body(), first);
  }
  EXPECT_EQ(open_in(dir, clock)->pki()->collateral().tcb_info_body(), first);  // from its file
  clock.advance(Milliseconds(1));
  const auto tdx = open_in(dir, clock);
  const auto renewed = tdx->pki();
  EXPECT_NE(renewed->collateral().tcb_info_body(), first);
  EXPECT_EQ(unix_ms(renewed->issued_at()), unix_ms(std::chrono::floor<Seconds>(clock.now())));

  clock.advance(std::chrono::days(21));  // the running process renews, too
  EXPECT_NE(tdx->pki()->collateral().tcb_info_body(), renewed->collateral().tcb_info_body());
  clock.set_utc(clock.now() - std::chrono::days(60));  // collateral from the future
  EXPECT_LE(tdx->pki()->issued_at(), clock.now());
}

TEST(EmulatedTdx, MakesItsCollateralAgainWhenTheFileIsDamaged) {
  const TempDir dir;
  FakeClock clock;
  write(dir / "pki.json", R"({"issued_at":"2026-01-01T00:00:00.000Z"})");
  const auto tdx = open_in(dir, clock);
  EXPECT_TRUE(tdx->pki()->collateral().tcb_info.starts_with(R"({"id":"TDX","version":3,)"));
}

TEST(EmulatorPki, SurvivesItsStoredForm) {
  const auto& pki = *emulator_pki();
  const auto back = read_emulator_pki(emulation_allowed(), write_emulator_pki(pki));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->issued_at(), pki.issued_at());
  EXPECT_EQ(back->collateral().tcb_info_body(), pki.collateral().tcb_info_body());
  EXPECT_EQ(back->collateral().qe_identity_body(), pki.collateral().qe_identity_body());
  EXPECT_EQ(back->collateral().pck_crl, pki.collateral().pck_crl);
  EXPECT_EQ(back->collateral().root_ca_crl, pki.collateral().root_ca_crl);
  EXPECT_EQ(back->collateral().pck_crl_issuer_chain, pki.collateral().pck_crl_issuer_chain);
  EXPECT_EQ(back->collateral().tcb_info_issuer_chain, pki.collateral().tcb_info_issuer_chain);
  EXPECT_EQ(back->qe().pck_chain, pki.qe().pck_chain);
  EXPECT_EQ(back->qe().report, pki.qe().report);
  EXPECT_EQ(back->qe().report_signature, pki.qe().report_signature);
  EXPECT_FALSE(read_emulator_pki(emulation_allowed(), ""));
  EXPECT_FALSE(read_emulator_pki(emulation_allowed(), "{}"));
}

TEST(EmulatorPki, HasTheSameKeysInEveryProcess) {
  // Public keys of SHA-256 of the labels, computed with a few lines of Python.
  EXPECT_EQ(to_hex(emulator_root_public_key()),
            "048fe8a0e2365b53813bb90ddcee72a290627feaf3b4d589487a9a8954c692c4e44d5659baf654f8b68f50171e2d65933ba770ac75"
            "9b1b028de0ddbe119ed8372d");
  EXPECT_EQ(to_hex(emulator_pki()->qe().attestation_key),
            "fa4e14e31a247c6bb8ba4facbf1d36933f94b31ca152fe37c23078c7b14c2ce12caf226d3b1e7ebf504b8429b51535c9a33bd96e92"
            "04f0fa8a886d82b740c421");
}

TEST(EmulatedQuote, IsSignedByItsAttestationKey) {
  for (const QuoteForm form : {QuoteForm::v4, QuoteForm::v5_td_1_0, QuoteForm::v5_td_1_5}) {
    const Quote quote = parsed(testing::emulated_quote({.form = form}));
    const auto key = P256PublicKey::from_point(quote.attestation_key());
    ASSERT_TRUE(key);
    EXPECT_TRUE(key->verify(quote.signed_bytes(), quote.signature()));
    ByteVector bound(quote.attestation_key().begin(), quote.attestation_key().end());
    append(bound, quote.qe_auth_data());
    EXPECT_EQ(to_hex(quote.qe_report().subspan(320, 32)), to_hex(sha256(bound)));
    EXPECT_EQ(to_hex(quote.qe_report().subspan(352, 32)), std::string(64, '0'));
  }
  const Quote broken = parsed(testing::emulated_quote({.fault = QuoteFault::broken_signature}));
  EXPECT_FALSE(P256PublicKey::from_point(broken.attestation_key())->verify(broken.signed_bytes(), broken.signature()));
}

}  // namespace
}  // namespace ee::attestation
