#include "common/challenge.h"

#include <gtest/gtest.h>

#include <numeric>

#include "common/crypto.h"

namespace ee {
namespace {

constexpr std::string_view kEncoded =
    "AZCgAAAAcACAAAAAAAAAAgABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fAQ10ZHgtYWdlbnQtMDAxAAAWaHR0cHM6Ly9jcC5leGFtcGxlLm"
    "NvbQAAAZt8qY8uXEKz_ol-v2l83_xA-fDT7HGOQfLBs6dmPF38eJ_Nzv0";
constexpr std::string_view kNonceHex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

ByteArray<32> counting() {
  ByteArray<32> out;
  std::iota(out.begin(), out.end(), std::uint8_t{0});
  return out;
}

Challenge vector_challenge() {
  return {.id = "0190a000-0000-7000-8000-000000000002",
          .nonce = counting(),
          .purpose = 1,
          .vm_name = "tdx-agent-001",
          .agent_id = "",
          .audience = "https://cp.example.com",
          .expires_at = parse_rfc3339("2026-01-02T03:04:05.678Z").value()};
}
ChallengeKeys vector_keys() { return {.current = challenge_key(counting())}; }
UtcTime before_expiry() { return vector_challenge().expires_at - Milliseconds(1); }

bool unknown(const Result<Challenge>& result) { return !result && result.error().code == ErrorCode::nonce_unknown; }

// covers: S01_NON_011
TEST(Challenge, MatchesTheVector) {
  EXPECT_EQ(to_hex(challenge_key(counting())), "b24d30fd782b351b359a343e4d3be5a4efc222d3a6ac1af88bb19999cf98b8b2");
  const std::string encoded = encode_challenge(vector_challenge(), vector_keys().current);
  EXPECT_EQ(encoded, kEncoded);
  EXPECT_EQ(encoded.size(), 171U);
  const auto bytes = from_base64url(encoded).value();
  EXPECT_EQ(bytes.size(), 96U + 32U);
  EXPECT_EQ(to_hex(Bytes(bytes).last(32)), "5c42b3fe897ebf697cdffc40f9f0d3ec718e41f2c1b3a7663c5dfc789fcdcefd");
  EXPECT_EQ(nonce_id(counting()), "630dcd2966c43366");
  const auto decoded = decode_challenge(kEncoded, kNonceHex, vector_keys(), before_expiry());
  ASSERT_TRUE(decoded);
  EXPECT_EQ(*decoded, vector_challenge());
}

TEST(Challenge, LongestPartsRoundTripWithinTheBound) {
  Challenge challenge = vector_challenge();
  challenge.purpose = 2;
  challenge.vm_name = std::string(63, 'a');
  challenge.agent_id = "0190a000-0000-7000-8000-000000000009";
  challenge.audience = "https://" + std::string(247, 'b');
  const std::string encoded = encode_challenge(challenge, vector_keys().current);
  EXPECT_EQ(encoded.size(), kMaxChallengeChars);
  const auto decoded = decode_challenge(encoded, kNonceHex, vector_keys(), before_expiry());
  ASSERT_TRUE(decoded);
  EXPECT_EQ(*decoded, challenge);
}

// covers: S01_NON_004
TEST(Challenge, EveryAlterationIsUnknown) {
  const std::string text(kEncoded);
  const UtcTime now = before_expiry();
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string altered = text;
    altered[i] = altered[i] == 'A' ? 'B' : 'A';
    EXPECT_TRUE(unknown(decode_challenge(altered, kNonceHex, vector_keys(), now))) << i;
    EXPECT_TRUE(unknown(decode_challenge(text.substr(0, i), kNonceHex, vector_keys(), now))) << i;
  }
  for (const std::string more : {"A", "AA", "AAA", "AAAA", "=", " "})
    EXPECT_TRUE(unknown(decode_challenge(text + more, kNonceHex, vector_keys(), now))) << more;
  EXPECT_TRUE(unknown(decode_challenge(std::string(kMaxChallengeChars + 2, 'A'), kNonceHex, vector_keys(), now)));
  EXPECT_TRUE(unknown(decode_challenge(text, kNonceHex, {.current = challenge_key(bytes_of("other"))}, now)));
  std::string other_nonce(kNonceHex);
  other_nonce.back() = 'e';
  EXPECT_TRUE(unknown(decode_challenge(text, other_nonce, vector_keys(), now)));
  EXPECT_TRUE(unknown(decode_challenge(text, "", vector_keys(), now)));
  std::string upper(kNonceHex);
  upper.back() = 'F';
  EXPECT_TRUE(unknown(decode_challenge(text, upper, vector_keys(), now)));
}

TEST(Challenge, BodyUnderAGoodMacMustStillBeWhole) {
  // Lengths inside that do not add up: whoever holds the key could make such a thing, so it is refused too.
  const auto key = vector_keys().current;
  const auto good = from_base64url(kEncoded).value();
  for (std::size_t cut = 0; cut < 96; ++cut) {
    ByteVector body(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(cut));
    ByteVector covered;
    append(covered, std::string_view("easyenclave.challenge.1\0", 24));
    append(covered, body);
    append(body, hmac_sha256(key, covered));
    EXPECT_TRUE(unknown(decode_challenge(to_base64url(body), kNonceHex, vector_keys(), before_expiry()))) << cut;
  }
}

// covers: S01_NON_002
TEST(Challenge, ExpiresAtItsTime) {
  const Challenge challenge = vector_challenge();
  EXPECT_TRUE(check_challenge_time(challenge, challenge.expires_at - Milliseconds(1), {}));
  const auto at_expiry = check_challenge_time(challenge, challenge.expires_at, {});
  ASSERT_FALSE(at_expiry);
  EXPECT_EQ(at_expiry.error().code, ErrorCode::nonce_expired);
}

// covers: S01_NON_014
TEST(Challenge, MadeBeforeARestoreIsExpired) {
  const Challenge challenge = vector_challenge();
  const UtcTime made_at = from_unix_ms(0x0190a0000000);
  EXPECT_TRUE(check_challenge_time(challenge, before_expiry(), made_at));
  const auto late = check_challenge_time(challenge, before_expiry(), made_at + Milliseconds(1));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::nonce_expired);
}

// covers: S01_NON_005
TEST(Challenge, EveryPartOfTheContextCounts) {
  Challenge challenge = vector_challenge();
  challenge.agent_id = "0190a000-0000-7000-8000-000000000009";
  const ChallengeContext same{1, challenge.vm_name, challenge.agent_id, challenge.audience};
  EXPECT_TRUE(check_challenge_context(challenge, same));
  ChallengeContext purpose = same, name = same, agent = same, audience = same;
  purpose.purpose = 2;
  name.vm_name = "tdx-agent-002";
  agent.agent_id = "";
  audience.audience = "https://cp.example.com:443";
  for (const auto& other : {purpose, name, agent, audience}) {
    const auto refused = check_challenge_context(challenge, other);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::nonce_context_mismatch);
  }
}

// covers: S01_NON_012
TEST(Challenge, OldKeysCountForOneTtlAfterTheStart) {
  const auto old_key = challenge_key(bytes_of("the key before"));
  const std::string encoded = encode_challenge(vector_challenge(), old_key);
  const UtcTime start = before_expiry() - Seconds(300);
  const ChallengeKeys keys{.current = vector_keys().current, .old = {old_key}, .old_until = start + Seconds(300)};
  EXPECT_TRUE(decode_challenge(encoded, kNonceHex, keys, start + Seconds(299)));
  EXPECT_TRUE(unknown(decode_challenge(encoded, kNonceHex, keys, start + Seconds(300))));
  EXPECT_TRUE(decode_challenge(kEncoded, kNonceHex, keys, start + Seconds(300)));
}

}  // namespace
}  // namespace ee
