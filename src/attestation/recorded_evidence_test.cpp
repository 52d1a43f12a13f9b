// What is known about the recorded quotes, said by their description (README of the evidence), not by this code. Their
// signatures and platforms are tested beside the verifier, their event logs beside the replay.
#include <gtest/gtest.h>

#include <algorithm>

#include "attestation/quote/quote.h"
#include "attestation/validate/policy.h"
#include "tests/support/policy_fixture.h"
#include "tests/support/vectors.h"

namespace ee::attestation {
namespace {

using policy_test::reason_of;
using policy_test::strict_policy;
using testing::read_vector;

constexpr std::uint64_t kSeptVeDisable = std::uint64_t{1} << 28;
constexpr std::uint64_t kPks = std::uint64_t{1} << 30;

struct Recorded {
  const char* name;
  int version;
  BodyType body;
  std::size_t size;
  std::size_t trailing;  ///< bytes behind the signature data
  bool trailing_zeros;
  const char* mrtd;         ///< its beginning
  const char* tee_tcb_svn;  ///< its beginning
};

constexpr Recorded kRecorded[] = {
    {"dcap-qvl/tdx_quote", 4, BodyType::td_report_1_0, 5006, 70, true,
     "91eb2b44d141d4ece09f0c75c2c53d247a3c68edd7fafe8a3520c942a604a407de03ae6dc5f87f27428b2538873118b7", "060103"},
    {"dcap-qvl/tdx_quote_outdated", 5, BodyType::td_report_1_5, 5006, 0, true, "", ""},
    {"go-tdx-guest/tdx_prod_quote_SPR_E4.dat", 4, BodyType::td_report_1_0, 4974, 39, false, "", ""},
    {"go-tdx-guest/quote_v5_sample.dat", 5, BodyType::td_report_1_5, 5006, 0, true, "7348651a34b2d2d3", ""},
    {"go-tdx-guest/cos-113-tdx-quote.dat", 4, BodyType::td_report_1_0, 8000, 3065, true,
     "dae67181d3d65e073ad8f95b7907d5e927bfe9761c9ff3e9b89734a45d8954dba41394c7717cb2735396c1d04231f94a", "040107"},
};

// covers: S01_QUO_001, S01_QUO_002
TEST(RecordedQuotes, HaveTheFactsOfTheirDescription) {
  EE_NEED_VECTORS();
  for (const Recorded& recorded : kRecorded) {
    SCOPED_TRACE(recorded.name);
    const ByteVector raw = read_vector(recorded.name);
    EXPECT_EQ(raw.size(), recorded.size);
    const auto quote = parse_quote(raw, TrailingPolicy::ignore);
    ASSERT_TRUE(quote) << slug(quote.error().code) << " " << quote.error().detail;
    EXPECT_EQ(quote->version(), recorded.version);
    EXPECT_EQ(quote->body_type(), recorded.body);
    EXPECT_EQ(raw.size() - quote->bytes().size(), recorded.trailing);
    EXPECT_FALSE(quote->is_emulated());
    EXPECT_TRUE(to_hex(quote->mrtd()).starts_with(recorded.mrtd));
    EXPECT_TRUE(to_hex(quote->tee_tcb_svn()).starts_with(recorded.tee_tcb_svn));
    EXPECT_EQ(quote->qe_auth_data().size(), 32U);
    EXPECT_EQ(quote->td_attributes() & 1, 0U) << "no debug TD among them";
  }
}

// covers: S01_QUO_005
TEST(RecordedQuotes, AreRefusedOnlyForTrailingBytesThatAreNotZero) {
  EE_NEED_VECTORS();
  for (const Recorded& recorded : kRecorded) {
    const auto quote = parse_quote(read_vector(recorded.name), TrailingPolicy::zeros);
    if (recorded.trailing_zeros) {
      EXPECT_TRUE(quote) << recorded.name;
    } else {
      ASSERT_FALSE(quote) << recorded.name;
      EXPECT_EQ(slug(quote.error().code), "quote_malformed");
      EXPECT_EQ(quote.error().detail, "bytes after the signature data at offset 4935");
    }
  }
}

TEST(RecordedQuotes, CutAnywhereAreRefused) {
  EE_NEED_VECTORS();
  for (const Recorded& recorded : kRecorded) {
    const ByteVector raw = read_vector(recorded.name);
    const auto whole = parse_quote(raw, TrailingPolicy::ignore);
    ASSERT_TRUE(whole);
    for (std::size_t size = 0; size < whole->bytes().size(); size += 7)
      EXPECT_FALSE(parse_quote(Bytes(raw).first(size), TrailingPolicy::ignore)) << recorded.name << " " << size;
  }
}

TEST(RecordedQuotes, HaveTheFlagsOfTheirDescription) {
  EE_NEED_VECTORS();
  const auto spr = parse_quote(read_vector("go-tdx-guest/tdx_prod_quote_SPR_E4.dat"), TrailingPolicy::ignore);
  EXPECT_NE(spr->td_attributes() & kPks, 0U);
  EXPECT_EQ(spr->td_attributes() & kSeptVeDisable, 0U);

  const auto cos = parse_quote(read_vector("go-tdx-guest/cos-113-tdx-quote.dat"), TrailingPolicy::zeros);
  EXPECT_TRUE(std::ranges::equal(cos->report_data(), read_vector("go-tdx-guest/nonce.dat")));
  EXPECT_TRUE(std::ranges::all_of(cos->report_data(), [](std::uint8_t byte) { return byte == 0; }));
}

/// How strict policy judges a recorded quote whose own measurements are trusted.
std::string verdict_of(const char* name, const PolicySnapshot& policy) {
  const auto quote = parse_quote(read_vector(name), TrailingPolicy::ignore);
  Facts facts = facts_of(quote.value(), policy_test::kNow, MrtdKind::agent, "standard");
  facts.tcb_status = TcbStatus::UpToDate;
  TrustStore trust{.mrtds = {{.mrtd = *facts.mrtd}}, .profiles = {{.id = "p", .mrtd = *facts.mrtd, .name = "p"}}};
  trust.profiles[0].rtmrs = {facts.rtmrs[0], facts.rtmrs[1], facts.rtmrs[2], std::nullopt};
  return reason_of(evaluate_policy(facts, policy, trust).reason);
}

TEST(RecordedQuotes, AreJudgedByTheirAttributes) {
  EE_NEED_VECTORS();
  EXPECT_EQ(verdict_of("dcap-qvl/tdx_quote", strict_policy()), "ok");
  EXPECT_EQ(verdict_of("go-tdx-guest/cos-113-tdx-quote.dat", strict_policy()), "ok");
  EXPECT_EQ(verdict_of("go-tdx-guest/quote_v5_sample.dat", strict_policy()), "ok");
  EXPECT_EQ(verdict_of("go-tdx-guest/tdx_prod_quote_SPR_E4.dat", strict_policy()), "td_attributes_refused");
  PolicySnapshot without_sept = strict_policy();
  without_sept.require_sept_ve_disable = false;
  EXPECT_EQ(verdict_of("go-tdx-guest/tdx_prod_quote_SPR_E4.dat", without_sept), "ok");
}

}  // namespace
}  // namespace ee::attestation
