#include "attestation/verify/der.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ee::attestation {
namespace {

ByteVector bytes(std::string_view hex) { return from_hex(hex).value(); }

TEST(DerReader, ReadsElementsInOrder) {
  const ByteVector der = bytes(
      "020105"
      "0402aabb"
      "3000");
  DerReader reader(der);
  EXPECT_EQ(to_hex(reader.read(der_tag::kInteger).value()), "05");
  EXPECT_FALSE(reader.read(der_tag::kInteger));  // another tag: no step
  EXPECT_EQ(to_hex(reader.read(der_tag::kOctetString).value()), "aabb");
  const auto last = reader.read_any();
  ASSERT_TRUE(last);
  EXPECT_EQ(last->tag, der_tag::kSequence);
  EXPECT_EQ(to_hex(last->whole), "3000");
  EXPECT_TRUE(reader.at_end());
  EXPECT_FALSE(reader.read_any());
}

TEST(DerReader, RefusesLengthsThatAreNotTheShortestOrNotThere) {
  for (const char* hex : {"04", "0402aa", "048102aabb", "04820002aabb", "0480aabb0000", "0485000000000102",
                          "0484ffffffff", "0484", "048400", "1f0100", "ff0100", "04fe"}) {
    const ByteVector der = bytes(hex);
    DerReader reader(der);
    EXPECT_FALSE(reader.read_any()) << hex;
  }
}

TEST(DerReader, ReadsLongLengths) {
  ByteVector der = bytes("04820100");
  der.resize(4 + 256, 0x11);
  DerReader reader(der);
  EXPECT_EQ(reader.read(der_tag::kOctetString).value().size(), 256U);
}

TEST(DerUnsigned, ReadsShortestPositiveNumbersUpToTheBound) {
  EXPECT_EQ(der_unsigned(bytes("00"), 255), 0U);
  EXPECT_EQ(der_unsigned(bytes("7f"), 255), 127U);
  EXPECT_EQ(der_unsigned(bytes("00ff"), 255), 255U);
  EXPECT_EQ(der_unsigned(bytes("00ffff"), 65535), 65535U);
  for (const char* hex : {"", "80", "ff", "0000", "007f", "0100", "00ffffffffffffffffff"})
    EXPECT_FALSE(der_unsigned(bytes(hex), 255)) << hex;
}

TEST(SplitSignedDer, WantsEcdsaWithSha256AndNothingElse) {
  const std::string part = "3003020105";
  const std::string algorithm = "300a06082a8648ce3d040302";
  const std::string signature = "0309003006020101020102";
  const auto whole = [](const std::string& contents) {
    ByteVector der = bytes(contents);
    der.insert(der.begin(), {0x30, static_cast<std::uint8_t>(der.size())});
    return der;
  };
  const ByteVector good = whole(part + algorithm + signature);
  const auto split = split_signed_der(good);
  ASSERT_TRUE(split);
  EXPECT_EQ(to_hex(split->signed_part), part);
  EXPECT_EQ(split->signature[31], 1);
  EXPECT_EQ(split->signature[63], 2);

  ByteVector longer = good;
  longer.push_back(0);
  EXPECT_FALSE(split_signed_der(longer));
  const std::vector<std::string> wrong = {
      part + "300a06082a8648ce3d040303" + signature,      // SHA-384
      part + "300c06082a8648ce3d0403020500" + signature,  // NULL parameters
      part + algorithm + "0309013006020101020102",        // unused bits
      part + algorithm + "030a00300702020001020102",      // a scalar not in its shortest form
      part + algorithm + "0309003006020181020102",        // a negative one
      part + algorithm + "030a00300602010102010200",      // something left over
      part + algorithm,
      algorithm + signature,
      "",
  };
  for (const std::string& contents : wrong) EXPECT_FALSE(split_signed_der(whole(contents))) << contents;
}

}  // namespace
}  // namespace ee::attestation
