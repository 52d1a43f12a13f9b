#include "common/json_jcs.h"

#include <gtest/gtest.h>

#include <bit>
#include <boost/json/value.hpp>
#include <cmath>
#include <random>

#include "common/json.h"

namespace ee::json {
namespace {

// RFC 8785, appendix B: IEEE 754 bits and their text.
TEST(Jcs, WritesNumbersAsTheSamplesOfTheStandard) {
  const std::pair<std::uint64_t, const char*> samples[] = {
      {0x0000000000000000, "0"},
      {0x8000000000000000, "0"},
      {0x0000000000000001, "5e-324"},
      {0x8000000000000001, "-5e-324"},
      {0x7fefffffffffffff, "1.7976931348623157e+308"},
      {0xffefffffffffffff, "-1.7976931348623157e+308"},
      {0x4340000000000000, "9007199254740992"},
      {0xc340000000000000, "-9007199254740992"},
      {0x4430000000000000, "295147905179352830000"},
      {0x44b52d02c7e14af5, "9.999999999999997e+22"},
      {0x44b52d02c7e14af6, "1e+23"},
      {0x44b52d02c7e14af7, "1.0000000000000001e+23"},
      {0x444b1ae4d6e2ef4e, "999999999999999700000"},
      {0x444b1ae4d6e2ef4f, "999999999999999900000"},
      {0x444b1ae4d6e2ef50, "1e+21"},
      {0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
      {0x3eb0c6f7a0b5ed8d, "0.000001"},
      {0x41b3de4355555553, "333333333.3333332"},
      {0x41b3de4355555554, "333333333.33333325"},
      {0x41b3de4355555555, "333333333.3333333"},
      {0x41b3de4355555556, "333333333.3333334"},
      {0x41b3de4355555557, "333333333.33333343"},
      {0xbecbf647612f3696, "-0.0000033333333333333333"},
      {0x43143ff3c1cb0959, "1424953923781206.2"},
  };
  for (const auto& [bits, text] : samples) EXPECT_EQ(ecmascript_number(std::bit_cast<double>(bits)), text);
}

TEST(Jcs, WhatIsWrittenIsReadAsTheSameNumber) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20000; ++i) {
    const double number = std::bit_cast<double>(random());
    if (!std::isfinite(number) || std::abs(number) > 9007199254740992.0) continue;
    const std::string text = ecmascript_number(number);
    const auto value = parse(text);
    ASSERT_TRUE(value) << text;
    ASSERT_EQ(canonical_with_fractions(*value), text);
  }
}

TEST(Jcs, RefusesNumbersBeyondTheExactOnes) {
  EXPECT_EQ(canonical_with_fractions(9007199254740992), "9007199254740992");
  EXPECT_EQ(canonical_with_fractions(9007199254740993), std::nullopt);
  EXPECT_EQ(canonical_with_fractions(1e17), std::nullopt);
  EXPECT_EQ(canonical_with_fractions(std::nan("")), std::nullopt);
  EXPECT_EQ(canonical(0.5), std::nullopt);
  EXPECT_EQ(canonical_with_fractions({{"b", 0.5}, {"a", {1, true, nullptr, "x"}}}),
            R"({"a":[1,true,null,"x"],"b":0.5})");
}

}  // namespace
}  // namespace ee::json
