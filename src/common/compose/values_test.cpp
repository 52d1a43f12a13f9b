#include "common/compose/values.h"

#include <gtest/gtest.h>

namespace ee::compose {
namespace {

using Words = std::vector<std::string>;
using Value = boost::json::value;

// POSIX.1-2017, Shell Command Language, section 2.2.
TEST(ComposeValues, WordsAreSplitAsAShellDoes) {
  const std::pair<const char*, Words> cases[] = {
      {"", {}},
      {" \t\n ", {}},
      {"a b", {"a", "b"}},
      {"  a   b  ", {"a", "b"}},
      {"a\\ b", {"a b"}},
      {"'a b' c", {"a b", "c"}},
      {"\"a b\" c", {"a b", "c"}},
      {"a'b'\"c\"d", {"abcd"}},
      {"'' \"\"", {"", ""}},
      {"'a\\b'", {"a\\b"}},
      {"\"a\\b\"", {"a\\b"}},
      {"\"a\\\"b\\\\c\\$d\\`e\"", {"a\"b\\c$d`e"}},
      {"a\\\nb", {"ab"}},
      {"\"a\\\nb\"", {"ab"}},
      {"'it'\\''s'", {"it's"}},
      {"$HOME *.txt ~ #x", {"$HOME", "*.txt", "~", "#x"}},
      {"a; b && c | d > e", {"a;", "b", "&&", "c", "|", "d", ">", "e"}},
  };
  for (const auto& [text, words] : cases) EXPECT_EQ(split_words(text), words) << text;
  for (const char* text : {"'", "\"", "a 'b", "\"a\\\"", "a\\"}) EXPECT_EQ(split_words(text), std::nullopt) << text;
}

TEST(ComposeValues, ReadsTimes) {
  const std::pair<const char*, std::int64_t> cases[] = {
      {"0", 0},
      {"1ns", 1},
      {"1us", 1000},
      {"1ms", 1'000'000},
      {"1s", 1000000000},
      {"1m", 60000000000},
      {"1h", 3600000000000},
      {"1h2m3s", 3723000000000},
      {"0.5s", 500000000},
      {"1.5m", 90000000000},
      {"0.000000001s", 1},
  };
  for (const auto& [text, ns] : cases) EXPECT_EQ(duration_ns(text), ns) << text;
  for (const char* text : {"", "s", "5", "1d", "-1s", "+1s", "1 s", "1S", "1s ", "1..5s", "1.s", ".5s", "0.0000000001s",
                           "1e3s", "9999999999999999999s", "2562048h2562048h"})
    EXPECT_EQ(duration_ns(text), std::nullopt) << text;
  EXPECT_EQ(duration_ns(Value(5)), std::nullopt);
  EXPECT_EQ(duration_ns(Value(true)), std::nullopt);
  EXPECT_EQ(duration_ns(Value()), std::nullopt);
}

TEST(ComposeValues, ReadsSizes) {
  const std::pair<Value, std::int64_t> cases[] = {
      {5, 5},
      {"5", 5},
      {"5b", 5},
      {"1k", 1024},
      {"1K", 1024},
      {"1kb", 1024},
      {"1KiB", 1024},
      {"1 m", 1 << 20},
      {"1.5g", 1610612736},
      {"0.5m", 1 << 19},
      {"1t", 1LL << 40},
      {"1.1k", 1126},
  };
  for (const auto& [value, bytes] : cases) EXPECT_EQ(byte_count(value), bytes) << value;
  for (const Value& value :
       {Value(""), Value("k"), Value("1x"), Value("1kx"), Value("1kib5"), Value("-1"), Value("1 0"),
        Value("9223372036854775807"), Value("8388608t"), Value(true), Value(), Value(-1), Value(" 1")})
    EXPECT_EQ(byte_count(value), std::nullopt) << value;
}

TEST(ComposeValues, ReadsCpus) {
  EXPECT_EQ(nano_count(1), 1000000000);
  EXPECT_EQ(nano_count(0.1), 100000000);
  EXPECT_EQ(nano_count("0.123456789"), 123456789);
  EXPECT_EQ(nano_count("0.1234567891"), std::nullopt);
  EXPECT_EQ(nano_count("1e1"), std::nullopt);
  EXPECT_EQ(nano_count("-1"), std::nullopt);
  EXPECT_EQ(nano_count("9223372036854775807"), std::nullopt);
}

TEST(ComposeValues, SeesInterpolation) {
  for (const char* text : {"$A", "x$_", "${", "${A}", "$$$A", "a$$b$c"}) EXPECT_TRUE(has_interpolation(text)) << text;
  for (const char* text : {"", "$", "$$", "$$A", "$${A}", "$5", "a$", "$(x)", "$ A", "$$$$A"})
    EXPECT_FALSE(has_interpolation(text)) << text;
  EXPECT_EQ(literal("$$A $$$$ $ $5"), "$A $$ $ $5");
}

TEST(ComposeValues, MountTargetsAreInTheirSimplestForm) {
  for (const char* text : {"/a", "/var/lib/x", "/a.b/..c", "/sysx", "/procs", "/run", "/run/secretsx"})
    EXPECT_TRUE(is_mount_target(text)) << text;
  for (const char* text :
       {"",     "/",     "a",     "./a",     "/a/",   "//a",     "/a//b",          "/./a",
        "/a/.", "/a/..", "/../a", "/a/../b", "/proc", "/sys/fs", "/run/secrets/x", "/var/run/secrets",
        "/a:b", "/a,b",  "/a\\b", "/a\nb"})
    EXPECT_FALSE(is_mount_target(text)) << text;
  EXPECT_FALSE(is_mount_target("/" + std::string(255, 'a')));
}

TEST(ComposeValues, ReadsFileModes) {
  EXPECT_EQ(file_mode("1777"), 01777);
  EXPECT_EQ(file_mode("0755"), 0755);
  for (const char* text : {"", "8", "-1", "17777", "0x7", " 7"}) EXPECT_EQ(file_mode(text), std::nullopt) << text;
}

}  // namespace
}  // namespace ee::compose
