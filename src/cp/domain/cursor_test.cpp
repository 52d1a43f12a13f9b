#include "cp/domain/cursor.h"

#include <gtest/gtest.h>

#include "common/crypto.h"

namespace ee::cp {
namespace {

const PagePosition kPosition{.at = from_unix_ms(1767225600123), .id = "0190a000-0000-7000-8000-000000000001"};

class Cursor : public ::testing::Test {
 protected:
  CursorCodec codec_{bytes_of("secret of the installation")};
};

TEST_F(Cursor, ComesBackAsItWentOut) {
  const auto back = codec_.decode("audit", codec_.encode("audit", kPosition));
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, kPosition);
}

TEST_F(Cursor, IsBase64UrlOfItsJsonAndEightBytesOfHmac) {
  const auto bytes = from_base64url(codec_.encode("audit", kPosition));
  ASSERT_TRUE(bytes);
  EXPECT_EQ(text_of(Bytes(*bytes).first(bytes->size() - 8)),
            R"({"t":1767225600123,"i":"0190a000-0000-7000-8000-000000000001"})");
}

TEST_F(Cursor, AnyChangeIsRefused) {
  const std::string good = codec_.encode("audit", kPosition);
  auto bytes = *from_base64url(good);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    for (const int bit : {0, 7}) {
      bytes[i] = static_cast<std::uint8_t>(bytes[i] ^ (1 << bit));
      const auto refused = codec_.decode("audit", to_base64url(bytes));
      ASSERT_FALSE(refused) << i;
      EXPECT_EQ(refused.error().code, ErrorCode::invalid_cursor);
      bytes[i] = static_cast<std::uint8_t>(bytes[i] ^ (1 << bit));
    }
  }
  for (std::size_t size = 0; size < good.size(); ++size) EXPECT_FALSE(codec_.decode("audit", good.substr(0, size)));
  EXPECT_FALSE(codec_.decode("audit", good + "A"));
  EXPECT_FALSE(codec_.decode("audit", good + "=="));
}

TEST_F(Cursor, OfAnotherListOrInstallationIsRefused) {
  EXPECT_FALSE(codec_.decode("jobs", codec_.encode("audit", kPosition)));
  EXPECT_FALSE(CursorCodec(bytes_of("another")).decode("audit", codec_.encode("audit", kPosition)));
  // The scope's end is part of what is authenticated.
  EXPECT_FALSE(codec_.decode("audi", codec_.encode("audit", kPosition)));
}

TEST_F(Cursor, OversizedTextIsRefusedUnread) { EXPECT_FALSE(codec_.decode("audit", std::string(100000, 'A'))); }

TEST_F(Cursor, QueryParametersHaveBounds) {
  const auto plain = codec_.page_request("audit", "", "");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->limit, 50);
  EXPECT_EQ(plain->after, std::nullopt);
  for (const char* good : {"1", "200"}) EXPECT_EQ(codec_.page_request("audit", good, "")->limit, std::stoi(good));
  for (const char* bad : {"0", "201", "-1", "+5", "5 ", "five", "1e2", "99999999999999999999"}) {
    const auto refused = codec_.page_request("audit", bad, "");
    ASSERT_FALSE(refused) << bad;
    EXPECT_EQ(refused.error().code, ErrorCode::invalid_request);
  }
  const auto next = codec_.page_request("audit", "7", codec_.encode("audit", kPosition));
  ASSERT_TRUE(next);
  EXPECT_EQ(next->limit, 7);
  EXPECT_EQ(next->after, kPosition);
  EXPECT_EQ(codec_.page_request("audit", "", "bad").error().code, ErrorCode::invalid_cursor);
}

TEST(PageOf, KeepsTheLimitAndSaysWhereTheNextBegins) {
  const auto position = [](int value) { return PagePosition{.at = from_unix_ms(value), .id = "x"}; };
  const auto full = page_of(std::vector<int>{1, 2, 3}, 2, position);
  EXPECT_EQ(full.items, (std::vector<int>{1, 2}));
  EXPECT_EQ(full.next, position(2));
  const auto last = page_of(std::vector<int>{1, 2}, 2, position);
  EXPECT_EQ(last.items.size(), 2U);
  EXPECT_EQ(last.next, std::nullopt);
}

}  // namespace
}  // namespace ee::cp
