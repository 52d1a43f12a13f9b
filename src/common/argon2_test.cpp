#include "common/argon2.h"

#include <gtest/gtest.h>

#include <numeric>

#include "common/fake_random.h"

namespace ee {
namespace {

constexpr std::string_view kCredential = "ee_agent_abcdefghijklmnop_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg2pz6nI";
constexpr std::string_view kHash =
    "$argon2id$v=19$m=8,t=1,p=1$AAECAwQFBgcICQoLDA0ODw$OQhEq4/A3RBJxfw9Dfk8Sm3LSZ5Zttu8v4tn+Z+RGaw";

/// 00 01 02 ...
struct CountingRandom final : Random {
  bool fill(std::span<std::uint8_t> out) override {
    std::iota(out.begin(), out.end(), std::uint8_t{0});
    return true;
  }
};

// covers: S04_AUTH_CRED_008
TEST(Argon2, MatchesTheTokenVector) {
  CountingRandom random;
  EXPECT_EQ(hash_token(Secret(std::string(kCredential)), random).value(), kHash);
  EXPECT_EQ(verify_hash(kHash, Secret(std::string(kCredential))), HashMatch::match);
  EXPECT_EQ(verify_hash(kHash, Secret(std::string(kCredential) + "x")), HashMatch::mismatch);
}

// covers: S04_AUTH_CRED_008
TEST(Argon2, NewHashesHaveTheParametersOfTheirClass) {
  FakeRandom random;
  const auto token = hash_token(Secret("t"), random).value();
  EXPECT_TRUE(token.starts_with("$argon2id$v=19$m=8,t=1,p=1$")) << token;
  EXPECT_NE(token, hash_token(Secret("t"), random).value());  // another salt
  const auto password = hash_password(Secret("correct horse battery")).value();
  EXPECT_TRUE(password.starts_with("$argon2id$v=19$m=65536,t=3,p=1$")) << password;
  EXPECT_EQ(verify_hash(password, Secret("correct horse battery")), HashMatch::match);
  EXPECT_EQ(verify_hash(password, Secret("correct horse batterz")), HashMatch::mismatch);
}

// covers: S04_AUTH_CRED_008
TEST(Argon2, VerifiesOtherParametersInsideTheLimits) {
  // From test.c of the reference implementation.
  for (const std::string_view phc :
       {"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc"}) {
    EXPECT_EQ(verify_hash(phc, Secret("password")), HashMatch::match) << phc;
    EXPECT_EQ(verify_hash(phc, Secret("Password")), HashMatch::mismatch) << phc;
  }
}

// covers: S04_AUTH_CRED_007
TEST(Argon2, OtherHashesAreUnusable) {
  const std::string salt_and_hash = "$AAECAwQFBgcICQoLDA0ODw$OQhEq4/A3RBJxfw9Dfk8Sm3LSZ5Zttu8v4tn+Z+RGaw";
  const std::string unusable[] = {
      "",
      "plain",
      "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
      "$argon2i$v=19$m=8,t=3,p=1" + salt_and_hash,
      "$argon2d$v=19$m=8,t=1,p=1" + salt_and_hash,
      "$argon2id$v=16$m=8,t=1,p=1" + salt_and_hash,
      "$argon2id$m=8,t=1,p=1" + salt_and_hash,
      "$argon2id$v=19$m=262145,t=1,p=1" + salt_and_hash,
      "$argon2id$v=19$m=4294967295,t=1,p=1" + salt_and_hash,
      "$argon2id$v=19$m=4294967296,t=1,p=1" + salt_and_hash,
      "$argon2id$v=19$m=99999999999999999999,t=1,p=1" + salt_and_hash,
      "$argon2id$v=19$m=8,t=11,p=1" + salt_and_hash,
      "$argon2id$v=19$m=64,t=1,p=5" + salt_and_hash,
      "$argon2id$v=19$m=8,t=1,p=2" + salt_and_hash,  // less memory than the lanes need
      "$argon2id$v=19$m=08,t=1,p=1" + salt_and_hash,
      "$argon2id$v=19$m=8,t=0,p=1" + salt_and_hash,
      "$argon2id$v=19$m=8,t=1" + salt_and_hash,
      "$argon2id$v=19$t=1,m=8,p=1" + salt_and_hash,
      "$argon2id$v=19$m=8,t=1,p=1",
      "$argon2id$v=19$m=8,t=1,p=1$AAECAwQFBgcICQoLDA0ODw",
      "$argon2id$v=19$m=8,t=1,p=1$AAECAwQFBgcICQoLDA0ODw==$OQhEq4/A3RBJxfw9Dfk8Sm3LSZ5Zttu8v4tn+Z+RGaw",
      std::string(kHash) + "=",
      std::string(kHash) + "$more",
      std::string(kHash) + std::string(200, 'A'),
  };
  for (const std::string& phc : unusable) {
    EXPECT_FALSE(is_usable_hash(phc)) << phc;
    EXPECT_EQ(verify_hash(phc, Secret(std::string(kCredential))), HashMatch::unusable) << phc;
  }
  EXPECT_TRUE(is_usable_hash(kHash));
}

TEST(Argon2, TokenHashNeedsRandomBytes) {
  FakeRandom random;
  random.set_failing(true);
  const auto hash = hash_token(Secret("x"), random);
  ASSERT_FALSE(hash);
  EXPECT_EQ(hash.error().code, ErrorCode::internal_error);
}

}  // namespace
}  // namespace ee
