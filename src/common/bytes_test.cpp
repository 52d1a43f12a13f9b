#include "common/bytes.h"
#include "common/base64_size.h"

#include <gtest/gtest.h>

#include <string>

namespace ee {
namespace {

// RFC 4648 section 10.
TEST(Base64, EncodesAndDecodesTheRfcVectors) {
  const std::pair<std::string, std::string> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, encoded] : vectors) {
    EXPECT_EQ(to_base64(bytes_of(plain)), encoded);
    const auto decoded = from_base64(encoded);
    ASSERT_TRUE(decoded) << encoded;
    EXPECT_EQ(text_of(*decoded), plain);
  }
}

TEST(Base64, RefusesWhatIsNotStrict) {
  for (const std::string bad : {"Zg", "Zg=", "Zg===", "Z===", "Zh==", "Zm9=", "Zm 9", "Zm9v\n", "Zm-_", "=Zm9", "Zm=v",
                                "Zm9vZm9v!m9v", "Zm9vZm9vZm9\xff", "====", "A===", "AAAAA==="}) {
    EXPECT_FALSE(from_base64(bad)) << bad;
    EXPECT_FALSE(base64_size(bad)) << bad;
  }
}

TEST(Base64, AllLengthsComeBackAndHaveTheirSize) {
  ByteVector bytes;
  for (std::size_t size = 0; size < 300; ++size) {
    const std::string text = to_base64(bytes);
    EXPECT_EQ(from_base64(text), bytes);
    EXPECT_EQ(base64_size(text), size);
    EXPECT_EQ(from_base64url(to_base64url(bytes)), bytes);
    bytes.push_back(static_cast<std::uint8_t>(size * 151 + 7));
  }
}

TEST(Base64, EveryForeignCharacterIsRefusedInEveryPlace) {
  const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (int c = 0; c < 256; ++c)
    for (std::size_t at = 0; at < 8; ++at) {
      std::string text = "AAAAAAAA";
      text[at] = static_cast<char>(c);
      const bool known = alphabet.find(static_cast<char>(c)) != std::string::npos || (c == '=' && at == 7);
      EXPECT_EQ(from_base64(text).has_value(), known) << c << " at " << at;
      EXPECT_EQ(base64_size(text).has_value(), known) << c << " at " << at;
    }
}

/// Long texts are judged in blocks.
TEST(Base64, SizeIsThatOfTheDecodedTextWhereverAForeignCharacterStands) {
  const ByteVector bytes(300, 0x5a);
  const std::string good = to_base64(bytes);  // 400 characters: six blocks and a rest
  ASSERT_EQ(base64_size(good), 300U);
  for (int c = 0; c < 256; ++c) {
    for (const std::size_t at : {0UL, 1UL, 63UL, 64UL, 127UL, 128UL, 383UL, 384UL, 398UL, 399UL}) {
      std::string text = good;
      text[at] = static_cast<char>(c);
      const auto decoded = from_base64(text);
      const auto size = base64_size(text);
      EXPECT_EQ(size.has_value(), decoded.has_value()) << c << " at " << at;
      if (size && decoded) {
        EXPECT_EQ(*size, decoded->size()) << c << " at " << at;
      }
    }
  }
}

TEST(Base64Url, RefusesPaddingAndTheStandardAlphabet) {
  EXPECT_EQ(to_base64url(ByteArray<2>{0xff, 0xfe}), "__4");
  EXPECT_EQ(*from_base64url("__4"), (ByteVector{0xff, 0xfe}));
  for (const std::string bad : {"__4=", "//4", "_", "__5"}) EXPECT_FALSE(from_base64url(bad)) << bad;
}

TEST(Hex, RoundTripsAndRefusesOtherText) {
  EXPECT_EQ(to_hex(ByteArray<3>{0x00, 0xab, 0x7f}), "00ab7f");
  EXPECT_EQ(*from_hex("00AB7f"), (ByteVector{0x00, 0xab, 0x7f}));
  EXPECT_FALSE(from_hex("0"));
  EXPECT_FALSE(from_hex("0g"));
  EXPECT_FALSE(from_hex_exact<2>("00ab7f"));
  EXPECT_TRUE(is_lower_hex("0aff", 4));
  EXPECT_FALSE(is_lower_hex("0aFf", 4));
}

TEST(ConstantTimeEqual, ComparesLengthAndContent) {
  EXPECT_TRUE(constant_time_equal(bytes_of("abc"), bytes_of("abc")));
  EXPECT_FALSE(constant_time_equal(bytes_of("abc"), bytes_of("abd")));
  EXPECT_FALSE(constant_time_equal(bytes_of("abc"), bytes_of("ab")));
}

}  // namespace
}  // namespace ee
