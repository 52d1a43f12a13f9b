#include "common/sealed_box.h"

#include <gtest/gtest.h>
#include <sodium.h>

#include <numeric>

#include "common/fake_random.h"

namespace ee {
namespace {

constexpr std::string_view kContext =
    "easyenclave.seal.1:registration:0190a000-0000-7000-8000-000000000001:0190a000-0000-7000-8000-000000000002";
constexpr std::string_view kPayload = R"({"agent_credential":"x","tunnel_token":null})";
constexpr std::string_view kCiphertext =
    "bUHnsGGH4ggtse3OiZ0Zn9D7hUfhnp5XLxj4+OxyQxlOm802SVxdvawGpsy2ySkRI4NAElcEDlpeqOdtw0kzpG7/nG/BfSXDdmXH9qyL3nDAeCVm5+"
    "aeZ8NYA+HVmUzHIF/rAWvfleqSebuzkCoyISaZt5xBXxlKChAH3vGtkUvPP92nOeJzA8sixbRMmQ5R02doJzhnLF6Vlc6Xo3adkWHc/CBVDyK18J7n"
    "vcyM8jlBfssiNClEaQPyeWYSBkEj8JXX01lw";

X25519KeyPair vector_key() {
  ByteArray<32> secret;
  std::iota(secret.begin(), secret.end(), std::uint8_t{0});
  return X25519KeyPair::from_secret(secret);
}

// covers: S02_SEAL_001
TEST(SealedBox, OpensTheRecordedBox) {
  const auto key = vector_key();
  EXPECT_EQ(to_hex(key.public_key()), "8f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f");
  const auto ciphertext = from_base64(kCiphertext).value();
  EXPECT_EQ(kContext.size(), 105U);
  EXPECT_EQ(kPayload.size(), 44U);
  EXPECT_EQ(ciphertext.size(), 198U);
  const auto opened = open_sealed(kContext, ciphertext, key);
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->reveal(), kPayload);
}

TEST(SealedBox, SealsWhatItOpens) {
  FakeRandom random;
  const auto key = X25519KeyPair::generate(random).value();
  for (const std::string& payload :
       {std::string(), std::string("{}"), std::string("a\0b", 3), std::string(kMaxSealedPayloadBytes, 'x')}) {
    const auto sealed = seal(kContext, payload, key.public_key());
    ASSERT_TRUE(sealed);
    EXPECT_EQ(sealed->size(), 48 + kContext.size() + 1 + payload.size());
    const auto opened = open_sealed(kContext, *sealed, key);
    ASSERT_TRUE(opened);
    EXPECT_EQ(opened->reveal(), payload);
  }
}

TEST(SealedBox, RefusesAnotherContextKeyOrByte) {
  FakeRandom random;
  const auto key = vector_key();
  const auto ciphertext = from_base64(kCiphertext).value();
  const auto refused = [](const Result<Secret>& result) {
    return !result && result.error().code == ErrorCode::seal_context_mismatch;
  };
  EXPECT_TRUE(refused(open_sealed(kContext.substr(0, kContext.size() - 1), ciphertext, key)));
  EXPECT_TRUE(refused(open_sealed(std::string(kContext) + "x", ciphertext, key)));
  EXPECT_TRUE(
      refused(open_sealed("easyenclave.seal.1:tunnel:0190a000-0000-7000-8000-000000000001:1", ciphertext, key)));
  EXPECT_TRUE(refused(open_sealed(kContext, ciphertext, X25519KeyPair::generate(random).value())));
  for (std::size_t i = 0; i < ciphertext.size(); ++i) {
    auto altered = ciphertext;
    altered[i] ^= 0x40U;
    EXPECT_TRUE(refused(open_sealed(kContext, altered, key))) << i;
    EXPECT_TRUE(refused(open_sealed(kContext, Bytes(ciphertext).first(i), key))) << i;
  }
}

TEST(SealedBox, RefusesABoxWithoutAnyContext) {
  const auto key = vector_key();
  const std::string context(kContext);
  // The text before the first zero must be all of the context: here the payload continues it.
  const auto sealed = seal(context + "9", "", key.public_key());
  ASSERT_TRUE(sealed);
  EXPECT_FALSE(open_sealed(context, *sealed, key));
}

TEST(SealedBox, RefusesKeysOfLowOrder) {
  const std::string_view low_order[] = {
      "0000000000000000000000000000000000000000000000000000000000000000",
      "0100000000000000000000000000000000000000000000000000000000000000",
      "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
      "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
      "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  };
  for (const auto text : low_order) {
    const auto key = from_hex_exact<32>(text).value();
    EXPECT_FALSE(is_acceptable_x25519(key)) << text;
    const auto sealed = seal(kContext, kPayload, key);
    ASSERT_FALSE(sealed);
    EXPECT_EQ(sealed.error().code, ErrorCode::invalid_request);
  }
  EXPECT_TRUE(is_acceptable_x25519(vector_key().public_key()));
  EXPECT_FALSE(is_acceptable_x25519(Bytes(vector_key().public_key()).first(31)));
}

/// The list of such keys against libsodium's own multiplication, which fails for exactly those.
TEST(SealedBox, AcceptsExactlyTheKeysThatCanBeMultiplied) {
  FakeRandom random;
  ByteArray<32> scalar{};
  ASSERT_TRUE(random.fill(scalar));
  int refused = 0;
  const auto compare = [&](const ByteArray<32>& key) {
    ByteArray<32> product{};
    const bool fits = crypto_scalarmult(product.data(), scalar.data(), key.data()) == 0;
    EXPECT_EQ(is_acceptable_x25519(key), fits) << to_hex(key);
    refused += fits ? 0 : 1;
  };
  const auto with_neighbours = [&](const ByteArray<32>& key) {
    for (const std::uint8_t top : {std::uint8_t{0x00}, std::uint8_t{0x80}}) {
      ByteArray<32> other = key;
      other.back() ^= top;
      compare(other);
      for (std::size_t bit = 0; bit < 255; ++bit) {
        other[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
        compare(other);
        other[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
      }
    }
  };
  with_neighbours(ByteArray<32>{});
  with_neighbours(from_hex_exact<32>("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800").value());
  with_neighbours(from_hex_exact<32>("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157").value());
  // Everything that is not reduced, and what comes before it: p is 2^255 - 19.
  for (unsigned last = 0xe0; last <= 0xff; ++last)
    for (const std::uint8_t top : {std::uint8_t{0x7f}, std::uint8_t{0xff}}) {
      ByteArray<32> key;
      key.fill(0xff);
      key.front() = static_cast<std::uint8_t>(last);
      key.back() = top;
      compare(key);
    }
  // 0 and 1, each the other's neighbour; the two of order 8; p - 1, p, p + 1; all of them with and without the top bit.
  EXPECT_EQ(refused, 2 * (2 + 2 + 3));
  for (int i = 0; i < 100; ++i) {
    ByteArray<32> key{};
    ASSERT_TRUE(random.fill(key));
    compare(key);
  }
}

TEST(SealedBox, BoundsThePayload) {
  const auto sealed = seal(kContext, std::string(kMaxSealedPayloadBytes + 1, 'x'), vector_key().public_key());
  ASSERT_FALSE(sealed);
  EXPECT_EQ(sealed.error().code, ErrorCode::internal_error);
}

TEST(X25519KeyPair, GenerateFailsWithTheRandomSource) {
  FakeRandom random;
  random.set_failing(true);
  EXPECT_FALSE(X25519KeyPair::generate(random));
}

}  // namespace
}  // namespace ee
