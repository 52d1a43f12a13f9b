#include "common/crypto.h"

#include <gtest/gtest.h>

#include <string>

namespace ee {
namespace {

std::string hex(Bytes bytes) { return to_hex(bytes); }

// FIPS 180-4 examples of "abc".
TEST(Digests, MatchThePublishedExamples) {
  EXPECT_EQ(hex(sha256(bytes_of("abc"))), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex(sha256({})), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hex(sha384(bytes_of("abc"))),
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7");
  EXPECT_EQ(hex(sha512(bytes_of("abc"))),
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
            "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
}

// RFC 4231: cases 1, 2 and 6 (key shorter than, and longer than, a block).
TEST(HmacSha256, MatchesRfc4231) {
  EXPECT_EQ(hex(hmac_sha256(ByteVector(20, 0x0b), bytes_of("Hi There"))),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(hex(hmac_sha256(bytes_of("Jefe"), bytes_of("what do ya want for nothing?"))),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(hex(hmac_sha256(ByteVector(131, 0xaa), bytes_of("Test Using Larger Than Block-Size Key - Hash Key First"))),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(HmacSha256, PreparedKeyGivesTheSameForEveryLength) {
  const HmacSha256Key key(bytes_of("key"));
  std::string data;
  for (int i = 0; i < 200; ++i, data.push_back('x'))
    EXPECT_EQ(key.of(bytes_of(data)), hmac_sha256(bytes_of("key"), bytes_of(data)));
}

// RFC 5869 test case 3 (no salt, no info), first 32 bytes of its output.
TEST(Hkdf, MatchesRfc5869) {
  EXPECT_EQ(hex(hkdf_sha256(ByteVector(22, 0x0b), "")),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d");
}

TEST(Crc32, MatchesTheCheckValue) {
  EXPECT_EQ(crc32(bytes_of("123456789")), 0xcbf43926U);
  EXPECT_EQ(crc32({}), 0U);
}

}  // namespace
}  // namespace ee
