#include "common/ed25519.h"

#include <gtest/gtest.h>

#include "common/fake_random.h"

namespace ee {
namespace {

constexpr std::string_view kSeed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
constexpr std::string_view kPublic = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

Ed25519PrivateKey rfc_key() { return Ed25519PrivateKey::from_seed(from_hex(kSeed).value()).value(); }

// RFC 8032 section 7.1, test 1.
TEST(Ed25519, SignsAndVerifiesTheRfcVector) {
  const auto key = rfc_key();
  EXPECT_EQ(to_hex(key.public_key()), kPublic);
  const auto signature = key.sign({});
  EXPECT_EQ(to_hex(signature),
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
            "d25bf5f0595bbe24655141438e7a100b");
  EXPECT_TRUE(ed25519_verify(key.public_key(), {}, signature));
}

TEST(Ed25519, RefusesEveryAlteredBitOfSignatureAndKey) {
  const auto key = rfc_key();
  const auto message = bytes_of("message");
  const auto signature = key.sign(message);
  for (std::size_t bit = 0; bit < signature.size() * 8; ++bit) {
    auto altered = signature;
    altered[bit / 8] = static_cast<std::uint8_t>(altered[bit / 8] ^ (1U << (bit % 8)));
    EXPECT_FALSE(ed25519_verify(key.public_key(), message, altered)) << bit;
  }
  for (std::size_t bit = 0; bit < 256; ++bit) {
    auto altered = key.public_key();
    altered[bit / 8] = static_cast<std::uint8_t>(altered[bit / 8] ^ (1U << (bit % 8)));
    EXPECT_FALSE(ed25519_verify(altered, message, signature)) << bit;
  }
  EXPECT_FALSE(ed25519_verify(key.public_key(), bytes_of("messagf"), signature));
}

TEST(Ed25519, RefusesWrongLengthsAndSmallOrderKeys) {
  const auto key = rfc_key();
  const auto signature = key.sign({});
  EXPECT_FALSE(ed25519_verify(Bytes(key.public_key()).first(31), {}, signature));
  EXPECT_FALSE(ed25519_verify(key.public_key(), {}, Bytes(signature).first(63)));
  EXPECT_FALSE(ed25519_verify({}, {}, {}));
  // With the neutral point as key, R = the neutral point and S = 0 would fit every message.
  ByteArray<32> neutral{1};
  ByteArray<64> universal{1};
  EXPECT_FALSE(ed25519_verify(neutral, bytes_of("anything"), universal));
}

TEST(Ed25519, PemRoundTripsAndIsWhatOpensslWrites) {
  // `openssl genpkey -algorithm ed25519` layout: RFC 8410 section 7 with the RFC 8032 seed.
  const std::string pem =
      "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
      "-----END PRIVATE KEY-----\n";
  EXPECT_EQ(rfc_key().to_pkcs8_pem(), pem);
  const auto key = Ed25519PrivateKey::from_pkcs8_pem(pem);
  ASSERT_TRUE(key);
  EXPECT_EQ(to_hex(key->public_key()), kPublic);
}

TEST(Ed25519, PemRefusesOtherKeysAndText) {
  const std::string p256 =
      "-----BEGIN PRIVATE KEY-----\n"
      "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgi/uEf2iG9S35zeqe\n"
      "+sFuvl1JKBnmzEHGjJERkHjVuP2hRANCAAS7ZVt/f6ZyMsFeaNNFMuk0BZX/7Q0g\n"
      "cxJICXS924X+PGZ7Ww72H62PQ2ZqbKAH7jH6rfAa/2Y824CiCE+whNhZ\n"
      "-----END PRIVATE KEY-----\n";
  EXPECT_FALSE(Ed25519PrivateKey::from_pkcs8_pem(p256));
  // An Ed25519 key under the passphrase "x" is refused at once instead of asking for it on the terminal.
  const std::string encrypted =
      "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
      "MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhjP4iEHCPx9AICCAAw\n"
      "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEChrc7PiS1ECVIsv4BBfRLMEQMcK\n"
      "VsasijCDgQ+IveIRPoiSO9pQXZtQ9Rf6TBrVzxxZD80k1LEgSpA7cYmnbjJbH7/m\n"
      "JDh5kQofIm4TXgig8OM=\n"
      "-----END ENCRYPTED PRIVATE KEY-----\n";
  EXPECT_FALSE(Ed25519PrivateKey::from_pkcs8_pem(encrypted));
  EXPECT_FALSE(Ed25519PrivateKey::from_pkcs8_pem(""));
  EXPECT_FALSE(Ed25519PrivateKey::from_pkcs8_pem("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"));
}

TEST(Ed25519, GenerateFailsWithTheRandomSource) {
  FakeRandom random;
  const auto first = Ed25519PrivateKey::generate(random);
  const auto second = Ed25519PrivateKey::generate(random);
  ASSERT_TRUE(first && second);
  EXPECT_NE(first->public_key(), second->public_key());
  random.set_failing(true);
  EXPECT_FALSE(Ed25519PrivateKey::generate(random));
  EXPECT_FALSE(Ed25519PrivateKey::from_seed(ByteVector(31)));
}

TEST(Ed25519, KeyIdIsTheStartOfTheHash) { EXPECT_EQ(key_id(rfc_key().public_key()), "21fe31dfa154a261"); }

}  // namespace
}  // namespace ee
