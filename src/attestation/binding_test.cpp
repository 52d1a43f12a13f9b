#include "attestation/binding.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "common/crypto.h"

namespace ee::attestation {
namespace {

ByteArray<32> key(std::string_view hex) { return from_hex_exact<32>(hex).value(); }

ByteArray<32> counting_nonce() {
  ByteArray<32> nonce{};
  for (std::size_t i = 0; i < nonce.size(); ++i) nonce[i] = static_cast<std::uint8_t>(i);
  return nonce;
}

const ByteArray<32> kSigningKey = key("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
const ByteArray<32> kSealingKey = key("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
constexpr std::string_view kVmName = "tdx-agent-001";
constexpr std::string_view kAudience = "https://cp.example.com";

// covers: S01_BIND_001, S02_BIND_001
TEST(ReportData, EqualsTheWorkedVector) {
  const auto binding = agent_binding(kSigningKey, kSealingKey, kVmName);
  EXPECT_EQ(to_hex(binding), "ed43504bf028b27a576bf5a3f93ffbd167ca39b26cb55148d6ee88e00d96195a");

  const auto report_data = build_report_data(Purpose::register_, counting_nonce(), binding, kAudience);
  EXPECT_EQ(report_data.preimage.size(), 105U);
  EXPECT_EQ(to_hex(sha256(report_data.preimage)), "1998301134bf8f36fdbbdf1064329be51f19f456aba8014366e3609c386b9ae6");
  EXPECT_EQ(to_hex(report_data.value),
            "4fea7e8b73efc7448375cf24fe45949cda617554687d45065e5d8ae4151016b6"
            "a8681c53e9b0b11ded1da8a432f06e2e69aa2815e00a23543e7669acad6e9c08");
}

// The part of BIND-002 that is the hash's: the refusal is tested where registrations are.
TEST(ReportData, ChangesWithEveryField) {
  const auto value_of = [](Purpose purpose, ByteArray<32> nonce, ByteArray<32> signing, ByteArray<32> sealing,
                           std::string_view name, std::string_view audience) {
    return to_hex(build_report_data(purpose, nonce, agent_binding(signing, sealing, name), audience).value);
  };
  std::set<std::string> values;
  std::size_t made = 0;
  const auto add = [&](std::string value) {
    values.insert(std::move(value));
    ++made;
  };
  for (const Purpose purpose : {Purpose::register_, Purpose::refresh, Purpose::control_plane, Purpose::public_})
    add(value_of(purpose, counting_nonce(), kSigningKey, kSealingKey, kVmName, kAudience));
  for (std::size_t byte = 0; byte < 32; ++byte) {
    auto nonce = counting_nonce();
    auto signing = kSigningKey;
    auto sealing = kSealingKey;
    nonce[byte] ^= 1;
    signing[byte] ^= 1;
    sealing[byte] ^= 1;
    add(value_of(Purpose::register_, nonce, kSigningKey, kSealingKey, kVmName, kAudience));
    add(value_of(Purpose::register_, counting_nonce(), signing, kSealingKey, kVmName, kAudience));
    add(value_of(Purpose::register_, counting_nonce(), kSigningKey, sealing, kVmName, kAudience));
  }
  add(value_of(Purpose::register_, counting_nonce(), kSealingKey, kSigningKey, kVmName, kAudience));
  add(value_of(Purpose::register_, counting_nonce(), kSigningKey, kSealingKey, "tdx-agent-002", kAudience));
  add(value_of(Purpose::register_, counting_nonce(), kSigningKey, kSealingKey, "tdx-agent-00", kAudience));
  add(value_of(Purpose::register_, counting_nonce(), kSigningKey, kSealingKey, kVmName, "https://cp.example.co"));
  add(value_of(Purpose::register_, counting_nonce(), kSigningKey, kSealingKey, kVmName, "http://cp.example.com"));
  EXPECT_EQ(values.size(), made);
}

TEST(ReportData, TakesAudiencesUpToTheirLimit) {
  const std::string longest(255, 'a');
  const auto report_data = build_report_data(Purpose::refresh, counting_nonce(), kSigningKey, longest);
  ASSERT_EQ(report_data.preimage.size(), 16U + 1 + 32 + 32 + 2 + 255);
  EXPECT_EQ(report_data.preimage[81], 0);
  EXPECT_EQ(report_data.preimage[82], 255);
  EXPECT_DEATH((void)build_report_data(Purpose::refresh, counting_nonce(), kSigningKey, longest + "a"), "");
  EXPECT_DEATH((void)build_report_data(Purpose::refresh, counting_nonce(), kSigningKey, ""), "");
}

// The expected value was computed with Python's hashlib.
TEST(ControlPlaneBinding, CoversTheKeysInTheirOrder) {
  EXPECT_EQ(to_hex(control_plane_binding({kSigningKey, kSealingKey})),
            "42ddba20191b0697ca13d11c1bd08fb819dfc2384d89abcbbda1f67de2866ea1");
  EXPECT_NE(to_hex(control_plane_binding({kSigningKey, kSealingKey})),
            to_hex(control_plane_binding({kSealingKey, kSigningKey})));
  EXPECT_NE(to_hex(control_plane_binding({kSigningKey, kSealingKey})), to_hex(control_plane_binding({kSigningKey})));
}

}  // namespace
}  // namespace ee::attestation
