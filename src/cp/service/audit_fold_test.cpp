#include "cp/service/audit_fold.h"

#include <gtest/gtest.h>

#include <random>
#include <unordered_map>
#include <utility>

namespace ee::cp {
namespace {

TEST(AuditFold, OneRowAMinutePerKey) {
  AuditFold fold;
  SteadyTime now{std::chrono::hours(1)};
  EXPECT_EQ(fold.admit("a", now), 0);
  for (int i = 0; i < 7; ++i) EXPECT_EQ(fold.admit("a", now), std::nullopt);
  EXPECT_EQ(fold.admit("b", now), 0);
  now += Seconds(59);
  EXPECT_EQ(fold.admit("a", now), std::nullopt);
  now += Seconds(1);
  EXPECT_EQ(fold.admit("a", now), 8);
  EXPECT_EQ(fold.admit("a", now), std::nullopt);
}

TEST(AuditFold, IsBoundedWhateverTheKeys) {
  AuditFold fold;
  const SteadyTime now{std::chrono::hours(1)};
  int rows = 0;
  for (std::size_t i = 0; i < AuditFold::kMaxKeys + 1000; ++i) rows += fold.admit("k" + std::to_string(i), now) ? 1 : 0;
  EXPECT_EQ(rows, static_cast<int>(AuditFold::kMaxKeys) + 1);  // the rest share one entry
  EXPECT_EQ(fold.admit("another", now + AuditFold::kPeriod), 999) << "room again, and what was folded is told";
}

/// What AuditFold does, written plainly: it looks at everything whenever it is full.
class PlainFold {
 public:
  std::optional<std::int64_t> admit(const std::string& key, SteadyTime now) {
    const bool is_new = !entries_.contains(key);
    if (is_new && entries_.size() >= AuditFold::kMaxKeys)
      std::erase_if(entries_, [&](const auto& item) {
        const bool old = now - item.second.written_at >= AuditFold::kPeriod;
        untold_ += old ? item.second.folded : 0;
        return old;
      });
    const bool shares = is_new && entries_.size() >= AuditFold::kMaxKeys;
    const auto [place, made] = entries_.try_emplace(shares ? "" : key, Entry{.written_at = now});
    if (made) return std::exchange(untold_, 0);
    Entry& entry = place->second;
    if (now - entry.written_at >= AuditFold::kPeriod) return std::exchange(entry, Entry{.written_at = now}).folded;
    ++entry.folded;
    return std::nullopt;
  }

 private:
  struct Entry {
    SteadyTime written_at;
    std::int64_t folded = 0;
  };
  std::unordered_map<std::string, Entry> entries_;
  std::int64_t untold_ = 0;
};

/// It does not look at everything each time that it is full, and yet never shares an entry when there is room.
TEST(AuditFold, DoesWhatOneDoesThatAlwaysLooksAtEverything) {
  AuditFold fold;
  PlainFold plain;
  SteadyTime now{std::chrono::hours(1)};
  std::mt19937 random(7);
  std::size_t next_key = 0;
  const auto compare = [&](const std::string& key) { ASSERT_EQ(fold.admit(key, now), plain.admit(key, now)) << key; };
  for (int round = 0; round < 4; ++round) {
    for (std::size_t i = 0; i < AuditFold::kMaxKeys; ++i) {
      compare("k" + std::to_string(next_key++));
      if (i % 512 == 0) now += Seconds(1);
    }
    for (int i = 0; i < 500; ++i) {
      const bool is_new = random() % 2 == 0;
      compare("k" + std::to_string(is_new ? next_key++ : random() % next_key));
      now += Milliseconds(random() % 400);
    }
    // In one round everything is forgotten at once.
    if (round == 1) now += 2 * AuditFold::kPeriod;
  }
}

TEST(AuditFold, IsNotFullForGoodWhenEveryKeyWasFoldedOnce) {
  AuditFold fold;
  SteadyTime now{std::chrono::hours(1)};
  for (std::size_t i = 0; i < 2 * AuditFold::kMaxKeys; ++i) {
    (void)fold.admit("k" + std::to_string(i / 2), now);  // each twice
  }
  now += AuditFold::kPeriod;
  EXPECT_EQ(fold.admit("first", now), static_cast<std::int64_t>(AuditFold::kMaxKeys));
  EXPECT_EQ(fold.admit("second", now), 0) << "each kind has a row of its own again";
}

}  // namespace
}  // namespace ee::cp
