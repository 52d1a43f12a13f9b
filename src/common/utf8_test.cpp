#include "common/utf8.h"

#include <gtest/gtest.h>

namespace ee {
namespace {

TEST(Utf8, AcceptsTheEdgesOfEveryLength) {
  for (const std::string_view text : {"\x7F", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80",
                                      "\xEF\xBF\xBF", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"})
    EXPECT_EQ(utf8_sequence(text), text.size());
}

TEST(Utf8, RefusesOverlongSurrogateCutAndForeignSequences) {
  for (const std::string_view text :
       {"", "\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC2", "\xC2\x41", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xE2\x82",
        "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF0\x90\x80", "\xF5\x80\x80\x80", "\xFF"})
    EXPECT_EQ(utf8_sequence(text), 0U);
  EXPECT_TRUE(is_utf8("a\xC3\xA9"));
  EXPECT_FALSE(is_utf8("a\xC3"));
}

TEST(Utf8, CutsBetweenCharacters) {
  EXPECT_EQ(utf8_prefix("ab\xC3\xA9", 3), "ab");
  EXPECT_EQ(utf8_prefix("ab\xC3\xA9", 4), "ab\xC3\xA9");
  EXPECT_EQ(utf8_prefix("\xF0\x9F\x98\x80", 3), "");
}

}  // namespace
}  // namespace ee
