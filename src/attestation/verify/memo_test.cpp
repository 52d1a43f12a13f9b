#include "attestation/verify/memo.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace ee::attestation {
namespace {

TEST(Memo, FindsWhatWasPut) {
  Memo<int> memo(2);
  EXPECT_EQ(memo.find("a"), nullptr);
  memo.put("a", std::make_shared<const int>(1));
  ASSERT_NE(memo.find("a"), nullptr);
  EXPECT_EQ(*memo.find("a"), 1);
  memo.put("a", std::make_shared<const int>(2));
  EXPECT_EQ(*memo.find("a"), 2);
  EXPECT_EQ(memo.size(), 1U);
}

TEST(Memo, DropsTheLeastRecentlyUsed) {
  Memo<int> memo(2);
  memo.put("a", std::make_shared<const int>(1));
  memo.put("b", std::make_shared<const int>(2));
  EXPECT_NE(memo.find("a"), nullptr);
  memo.put("c", std::make_shared<const int>(3));
  EXPECT_EQ(memo.find("b"), nullptr);
  EXPECT_NE(memo.find("a"), nullptr);
  EXPECT_NE(memo.find("c"), nullptr);
  EXPECT_EQ(memo.size(), 2U);
}

TEST(Memo, StaysBoundedUnderManyThreads) {
  Memo<int> memo(8);
  std::vector<std::jthread> threads;
  threads.reserve(4);
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&memo, t] {
      for (int i = 0; i < 500; ++i) {
        const std::string key = std::to_string((i * 7 + t) % 20);
        if (const auto found = memo.find(key)) {
          EXPECT_EQ(std::to_string(*found), key);
        } else {
          memo.put(key, std::make_shared<const int>((i * 7 + t) % 20));
        }
      }
    });
  threads.clear();
  EXPECT_EQ(memo.size(), 8U);
}

}  // namespace
}  // namespace ee::attestation
