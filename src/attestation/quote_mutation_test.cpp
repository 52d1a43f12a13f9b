// A million changed quotes through the parser: it never reads outside its input, and what it accepts it accepts again.
// The sanitizers of the test builds watch; builds without them run a tenth.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <vector>

#include "attestation/quote/quote.h"

namespace ee::attestation {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr int kRuns = 1'000'000;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr int kRuns = 1'000'000;
#else
constexpr int kRuns = 100'000;
#endif
#else
constexpr int kRuns = 100'000;
#endif

std::vector<ByteVector> corpus() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator("fuzz/corpus/quote")) files.push_back(entry.path());
  std::ranges::sort(files);
  std::vector<ByteVector> out;
  for (const auto& path : files) {
    std::ifstream file(path, std::ios::binary);
    out.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return out;
}

/// Parses from a heap block of exactly that size, so that a sanitizer sees every read past the end.
bool accepted(Bytes raw) {
  const auto block = std::make_unique<std::uint8_t[]>(raw.size());
  std::ranges::copy(raw, block.get());
  const Bytes exact(block.get(), raw.size());
  const auto ignored = parse_quote(exact, TrailingPolicy::ignore);
  const auto strict = parse_quote(exact, TrailingPolicy::zeros);
  EXPECT_TRUE(!strict || ignored);
  if (!ignored) return false;
  EXPECT_LE(ignored->bytes().size(), raw.size());
  const auto again = parse_quote(ignored->bytes(), TrailingPolicy::zeros);
  EXPECT_TRUE(again);
  if (again) EXPECT_TRUE(std::ranges::equal(again->bytes(), ignored->bytes()));
  return true;
}

/// Mostly where lengths and versions lie: elsewhere a change is seldom seen.
std::size_t place(std::mt19937& random, std::size_t size) {
  static constexpr std::size_t kBegins[] = {0, 48, 632, 638, 702, 764, 1218, 1252};
  if (random() % 4 == 0) return random() % size;
  return std::min(size - 1, kBegins[random() % std::size(kBegins)] + random() % 8);
}

// covers: S01_QUO_010
TEST(QuoteMutation, AMillionChangedQuotesAreReadSafely) {
  const std::vector<ByteVector> seeds = corpus();
  ASSERT_GE(seeds.size(), 15U);
  std::mt19937 random(20260101);  // NOLINT: the same runs each time
  int good = 0;
  for (int run = 0; run < kRuns; ++run) {
    ByteVector raw = seeds[random() % seeds.size()];
    for (std::uint32_t change = random() % 4; !raw.empty() && change > 0; --change) {
      const std::size_t at = place(random, raw.size());
      raw[at] = random() % 2 == 0 ? static_cast<std::uint8_t>(random())
                                  : static_cast<std::uint8_t>(raw[at] ^ (1U << random() % 8));
    }
    if (random() % 4 == 0) raw.resize(raw.empty() ? 0 : random() % (raw.size() + 1));
    if (random() % 8 == 0) raw.resize(raw.size() + random() % 64, static_cast<std::uint8_t>(random() % 3));
    if (accepted(raw)) ++good;
  }
  EXPECT_GT(good, kRuns / 100) << "the changes leave some quotes readable";
  EXPECT_LT(good, kRuns);
}

}  // namespace
}  // namespace ee::attestation
