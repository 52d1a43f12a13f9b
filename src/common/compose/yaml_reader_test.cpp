#include <gtest/gtest.h>

#include <ctime>
#include <limits>

#include "common/compose/compose.h"
#include "common/compose/measure_form.h"
#include "tests/support/compose_cases.h"

namespace ee::compose {
namespace {

std::string repeat(std::string_view part, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += part;
  return out;
}

std::string read(std::string_view text) {
  const auto value = read_compose(text);
  return value ? canonical_compose(*value) : value.error().detail;
}

#ifdef __OPTIMIZE__
constexpr double kBoundMs = 50;
#else
constexpr double kBoundMs = 250;  // code of a debugging or sanitizer build: still of another order than a bomb's
#endif

/// The least processor time of three runs: other programs must not fail a test.
double milliseconds_to_refuse(const std::string& text) {
  double best = std::numeric_limits<double>::max();
  for (int i = 0; i < 3; ++i) {
    const std::clock_t start = std::clock();
    const auto refused = check(text, testing::options());
    best = std::min(best, 1000.0 * static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
    EXPECT_FALSE(refused) << text.substr(0, 100);
    if (refused) return best;
    EXPECT_EQ(refused.error().code, ErrorCode::compose_invalid) << text.substr(0, 100);
  }
  return best;
}

std::string nine_times_nine() {
  std::string out = "a: &a [x,x,x,x,x,x,x,x,x]\n";
  for (char c = 'b'; c < 'j'; ++c) {
    const std::string alias = std::string("*") + static_cast<char>(c - 1);
    out += std::string(1, c) + ": &" + c + " [" + alias + repeat("," + alias, 8) + "]\n";
  }
  return out;
}

// covers: S01_CMP_003
TEST(ComposeYaml, S03_CMP_041_refuses_bombs_at_once) {
  const std::string bombs[] = {
      nine_times_nine(),
      "x-a: &a {" + repeat("k: ", 1) + "v}\nx-b: [*a" + repeat(", *a", 100) + "]\n",  // 101 aliases
      "x-a: &a \"" + std::string(3000, 'q') + "\"\nx-b: [*a" + repeat(",*a", 99) + "]\n",
      "x-a: &a [*a]\n",
      "x-a: &a {<<: *a}\n",
      "x-a: [" + repeat("a,", 10001) + "]\n",
      "x-a: " + repeat("[", 32) + repeat("]", 32) + "\n",  // with the top: 33
      "x-a: " + repeat("[", 60000),
      "x-a: " + repeat("{", 60000),
      repeat("? ", 30000),
      repeat("%TAG !a! !\n", 5000),
      "a: 1\n---\nb: 2\n",
      "a: 1\n...\n---\n",
      "a: 1\na: 2\n",
      "x: {a: 1, \"a\": 2}\n",
      "<<: {a: 1}\n<<: {b: 1}\n",
      "a: !custom x\n",
      "a: !reset null\n",
      "a: !override [x]\n",
      "a: ! x\n",
      "a: !<tag:yaml.org,2002:binary> aGk=\n",
      "a: !!python/object x\n",
      "a: !!set {x}\n",
      "%TAG ! tag:yaml.org,2002:\n---\na: !seq {}\n",
      std::string(10'000'000, 'a'),
      "a: \"" + std::string(kMaxComposeBytes, 'a') + "\"\n",
  };
  for (const std::string& bomb : bombs) EXPECT_LT(milliseconds_to_refuse(bomb), kBoundMs) << bomb.substr(0, 100);
}

TEST(ComposeYaml, S03_CMP_041_takes_what_is_just_within_the_bounds) {
  EXPECT_TRUE(read_compose("x: [" + repeat("a,", 9997) + "]\n"));  // and the top, the key, the list
  EXPECT_FALSE(read_compose("x: [" + repeat("a,", 9998) + "]\n"));
  EXPECT_TRUE(read_compose("x: " + repeat("[", 31) + repeat("]", 31) + "\n"));
  EXPECT_TRUE(read_compose("a: &a x\nb: [" + repeat("*a,", 100) + "]\n"));
  EXPECT_TRUE(read_compose("a: &a [[x]]\nb: " + repeat("[", 29) + "*a" + repeat("]", 29)));
  EXPECT_FALSE(read_compose("a: &a [[x]]\nb: " + repeat("[", 30) + "*a" + repeat("]", 30)));
}

TEST(ComposeYaml, SaysWhereTheProblemIs) {
  const auto refused = read_compose("services:\n  web:\n    image: a\n    image: b\n");

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::compose_invalid);
  EXPECT_EQ(refused.error().members, (std::vector<ErrorMember>{{"line", "4"}, {"column", "5"}}));
  EXPECT_EQ(refused.error().detail, "Line 4, column 5: a mapping has the same key twice.");
}

TEST(ComposeYaml, RefusesWhatIsNotOneMappingOfText) {
  for (const std::string_view text : {"",
                                      "\n",
                                      "# only a comment\n",
                                      "---\n",
                                      "text",
                                      "[a]",
                                      "null",
                                      "a: b: c",
                                      "a: [",
                                      "a: }",
                                      "a: 'x",
                                      "\ta: b",
                                      "a:\n\t- b",
                                      "a: *nobody",
                                      "1: a",
                                      "true: a",
                                      "~: a",
                                      "? [a]\n: b",
                                      "? {a: b}\n: c",
                                      "a: .inf",
                                      "a: -.INF",
                                      "a: .nan",
                                      "a: 9007199254740993",
                                      "a: -9007199254740993",
                                      "a: 99999999999999999999",
                                      "a: 1e16",
                                      "a: 1e999",
                                      "a: 1e-999",
                                      "a: \"\\0\"",
                                      "a: !!int x",
                                      "a: !!bool 1",
                                      "a: !!null x",
                                      "a: !!seq {}",
                                      "<<: x",
                                      "<<: [x]",
                                      "<<: null",
                                      "a: \"\\uD800\"",
                                      "a: @b",
                                      "a: `b"})
    EXPECT_FALSE(read_compose(text)) << text;
  EXPECT_FALSE(read_compose(std::string_view()));
  EXPECT_FALSE(read_compose("a: \xFF"));
  EXPECT_FALSE(
      read_compose("\xFF\xFE"
                   "a\0"));
  EXPECT_FALSE(read_compose(std::string_view("a: \0", 4)));
  EXPECT_FALSE(read_compose("a: \x01"));
}

TEST(ComposeYaml, ReadsTheCoreSchema) {
  EXPECT_EQ(read("{a: ~, b: null, c: , d: NULL, e: nULL}"), R"({"a":null,"b":null,"c":null,"d":null,"e":"nULL"})");
  EXPECT_EQ(read("{a: true, b: FALSE, c: yes, d: no, e: on, f: \"true\", g: tRue}"),
            R"({"a":true,"b":false,"c":"yes","d":"no","e":"on","f":"true","g":"tRue"})");
  EXPECT_EQ(read("{a: 12, b: -3, c: +4, d: 0o17, e: 0xfF, f: 007, g: 0b1, h: 1_000, i: 8080:80, j: 0o8}"),
            R"({"a":12,"b":-3,"c":4,"d":15,"e":255,"f":7,"g":"0b1","h":"1_000","i":"8080:80","j":"0o8"})");
  EXPECT_EQ(read("{a: 1.50, b: .5, c: 5., d: 1e3, e: -0.0, f: +1.5, g: 1.2.3, h: 1e, i: ., j: 1e-300}"),
            R"({"a":1.5,"b":0.5,"c":5,"d":1000,"e":0,"f":1.5,"g":"1.2.3","h":"1e","i":".","j":1e-300})");
  EXPECT_EQ(read("{a: 2026-01-02, b: 2026-01-02T03:04:05Z, c: 12:30:45}"),
            R"({"a":"2026-01-02","b":"2026-01-02T03:04:05Z","c":"12:30:45"})");
  EXPECT_EQ(
      read("{a: !!str 5, b: !!int \"5\", c: !!float 5.5, d: !!bool \"true\", e: !!null '', f: !!map {}, g: !!seq []}"),
      R"({"a":"5","b":5,"c":5.5,"d":true,"e":null,"f":{},"g":[]})");
  EXPECT_EQ(read("a: 9007199254740992"), R"({"a":9007199254740992})");
  EXPECT_EQ(read("a: |\n  x\n  y\nb: >-\n  x\n  y\n"), R"({"a":"x\ny\n","b":"x y"})");
}

TEST(ComposeYaml, ExpandsAliasesAndMergeKeys) {
  EXPECT_EQ(read("a: &x {k: 1}\nb: *x"), R"({"a":{"k":1},"b":{"k":1}})");
  EXPECT_EQ(read("a: &x 1\nb: &x 2\nc: *x"), R"({"a":1,"b":2,"c":2})");
  EXPECT_EQ(read("a: &x {k: 1, l: 1}\nb: {l: 2, <<: *x}"), R"({"a":{"k":1,"l":1},"b":{"k":1,"l":2}})");
  EXPECT_EQ(read("b: {<<: [{k: 1}, {k: 2, l: 3}]}"), R"({"b":{"k":1,"l":3}})");
  EXPECT_EQ(read("b: {\"<<\": {k: 1}}"), R"({"b":{"<<":{"k":1}}})");
}

TEST(ComposeYaml, AByteOrderMarkInFrontIsNoPartOfAKey) {
  EXPECT_EQ(read("\xEF\xBB\xBF{a: 1}"), R"({"a":1})");
  EXPECT_FALSE(read_compose(std::string_view("\xFE\xFF\0a\0:\0 \0b", 10)));
  EXPECT_FALSE(read_compose(std::string_view("a\0:\0 \0b\0", 8)));
}

TEST(ComposeYaml, KeepsTheOrderOfKeys) {
  const auto value = read_compose("{b: 1, a: 2, c: 3}");
  ASSERT_TRUE(value);
  EXPECT_EQ(value->get_object().begin()->key(), "b");
}

}  // namespace
}  // namespace ee::compose
