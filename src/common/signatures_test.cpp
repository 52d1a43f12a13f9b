#include "common/signatures.h"

#include <gtest/gtest.h>

#include <set>

#include "common/ed25519.h"

namespace ee {
namespace {

// covers: S02_AGT_SIG_001
TEST(RequestSignature, MatchesTheVector) {
  const auto key = Ed25519PrivateKey::from_seed(
      from_hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").value());
  ASSERT_TRUE(key);
  const auto input = request_signature_input("POST", "/api/v1/agents/register", "0190a000-0000-7000-8000-000000000002",
                                             bytes_of("{}"));
  EXPECT_EQ(input.size(), 112U);
  EXPECT_EQ(to_base64(key->sign(input)),
            "kZej4u9yAejNlBTY8zhP6+npqDchqumG7Vir8A1jQPRg7BAf6ND0Yh9zcTekENluJV7cB2QTC9QkT1SMMUbcBg==");
}

TEST(RequestSignature, EveryPartCounts) {
  const std::set<ByteVector> inputs = {
      request_signature_input("POST", "/p", "id", bytes_of("b")),
      request_signature_input("PUT", "/p", "id", bytes_of("b")),
      request_signature_input("POST", "/q", "id", bytes_of("b")),
      request_signature_input("POST", "/p", "ie", bytes_of("b")),
      request_signature_input("POST", "/p", "id", bytes_of("c")),
      request_signature_input("POST", "/pid", "", bytes_of("b")),
  };
  EXPECT_EQ(inputs.size(), 6U);
}

TEST(SignedBody, HasTheWrittenLayout) {
  const std::string expected("ee-signed-v1\0tunnel\0agent\0registration\0{\"a\":1}", 46);
  EXPECT_EQ(text_of(signed_body_input("tunnel", "agent", "registration", bytes_of("{\"a\":1}"))), expected);
}

TEST(ChallengeSignature, HasTheWrittenLayout) {
  const ByteVector nonce(32, 0x41);
  const std::string expected = std::string("ee-challenge-v1\0", 16) + std::string(32, 'A') + "{}";
  EXPECT_EQ(text_of(challenge_signature_input(nonce, bytes_of("{}"))), expected);
}

}  // namespace
}  // namespace ee
