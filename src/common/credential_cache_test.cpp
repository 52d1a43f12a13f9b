#include "common/credential_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <ctime>
#include <deque>
#include <map>
#include <random>
#include <string>
#include <thread>

#include "common/fake_clock.h"
#include "common/fake_random.h"

namespace ee {
namespace {

ByteArray<16> id(std::uint64_t number) {
  ByteArray<16> out{};
  for (std::size_t i = 0; i < 8; ++i) out[15 - i] = static_cast<std::uint8_t>(number >> (8 * i));
  return out;
}
VerifiedCredential verified(std::uint64_t subject, std::uint64_t account = 0) {
  return {.subject = id(subject), .account = id(account), .scopes = 3, .kind = CredentialKind::agent};
}

class CredentialCacheTest : public ::testing::Test {
 protected:
  CredentialCache::Now now() const { return {clock_.now(), clock_.steady_now()}; }
  std::unique_ptr<CredentialCache> make(std::size_t max_entries) {
    return CredentialCache::create(max_entries, Milliseconds(5000), random_);
  }
  static std::string key(std::size_t number) { return "ee_agent_" + std::to_string(number); }

  FakeClock clock_;
  FakeRandom random_;
};

TEST_F(CredentialCacheTest, AnswersWhatWasInsertedUntilTheTtl) {
  const auto cache = make(64);
  EXPECT_FALSE(cache->find("a", now()));
  EXPECT_TRUE(cache->insert("a", verified(1, 2), cache->generation(), now()));
  clock_.advance(Milliseconds(4999));
  EXPECT_EQ(cache->find("a", now()), verified(1, 2));
  EXPECT_FALSE(cache->find("b", now()));
  clock_.advance(Milliseconds(1));  // a hit does not extend the TTL
  EXPECT_FALSE(cache->find("a", now()));
}

TEST_F(CredentialCacheTest, AnOldEntryKnowsTheHashThatItFitted) {
  const auto cache = make(64);
  EXPECT_FALSE(cache->fitted("a", "hash"));
  cache->insert("a", verified(1), cache->generation(), now(), "hash");
  clock_.advance(Seconds(3600));
  EXPECT_FALSE(cache->find("a", now()));
  EXPECT_TRUE(cache->fitted("a", "hash"));
  EXPECT_FALSE(cache->fitted("a", "another hash"));
  EXPECT_FALSE(cache->fitted("b", "hash"));
  EXPECT_FALSE(cache->fitted("a", ""));
  cache->set_ttl(Milliseconds(0));
  EXPECT_FALSE(cache->fitted("a", "hash"));
  cache->set_ttl(Milliseconds(5000));
  cache->remove_subject(id(1));
  EXPECT_FALSE(cache->fitted("a", "hash"));
  cache->insert("b", verified(2), cache->generation(), now());
  EXPECT_FALSE(cache->fitted("b", ""));
}

// covers: S04_AUTH_CACHE_001
TEST_F(CredentialCacheTest, OneVerificationPerTtl) {
  const auto cache = make(64);
  int argon2_runs = 0;
  const auto request = [&] {
    if (cache->find("key", now())) return;
    const auto generation = cache->generation();
    ++argon2_runs;
    cache->insert("key", verified(1), generation, now());
  };
  for (int i = 0; i < 10000; ++i) request();
  EXPECT_EQ(argon2_runs, 1);
  clock_.advance(Milliseconds(5000));
  request();
  EXPECT_EQ(argon2_runs, 2);
}

TEST_F(CredentialCacheTest, ExpiryOfTheCredentialWins) {
  const auto cache = make(64);
  auto entry = verified(1);
  entry.expires_at = clock_.now() + Milliseconds(100);
  cache->insert("a", entry, cache->generation(), now());
  clock_.advance(Milliseconds(99));
  EXPECT_TRUE(cache->find("a", now()));
  clock_.advance(Milliseconds(1));
  EXPECT_FALSE(cache->find("a", now()));
}

TEST_F(CredentialCacheTest, AShorterTtlCountsAtOnce) {
  const auto cache = make(64);
  cache->insert("a", verified(1), cache->generation(), now());
  clock_.advance(Milliseconds(500));
  cache->set_ttl(Milliseconds(500));
  EXPECT_FALSE(cache->find("a", now()));
}

// covers: S04_AUTH_CACHE_005
TEST_F(CredentialCacheTest, BadKeysLeaveTheCacheAsItIs) {
  const auto cache = make(1024);
  cache->insert("good", verified(1), cache->generation(), now());
  for (std::size_t i = 0; i < 200000; ++i) EXPECT_FALSE(cache->find(key(i), now()));
  EXPECT_EQ(cache->size(), 1U);
  const std::clock_t start = std::clock();
  EXPECT_TRUE(cache->find("good", now()));
  EXPECT_LT(1000.0 * static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, 5) << "milliseconds of processor time";
}

// covers: S04_AUTH_CACHE_005
TEST_F(CredentialCacheTest, TheLeastRecentGoesWhenFull) {
  const auto cache = make(std::size_t{16} * 8);
  // "kept" is used after each insert, so it never becomes the least recent of its shard.
  cache->insert("kept", verified(1), cache->generation(), now());
  cache->insert("first", verified(2), cache->generation(), now());
  for (std::size_t i = 0; i < 2000; ++i) {
    cache->insert(key(i), verified(i + 10), cache->generation(), now());
    EXPECT_TRUE(cache->find("kept", now())) << i;
    EXPECT_LE(cache->size(), 128U);
  }
  EXPECT_FALSE(cache->find("first", now()));
  EXPECT_TRUE(cache->find(key(1999), now()));
  EXPECT_EQ(cache->size(), 128U);
}

// covers: S04_AUTH_CACHE_006
TEST_F(CredentialCacheTest, ARemovalBetweenReadAndInsertWins) {
  const auto cache = make(64);
  const auto generation = cache->generation();  // the row is read here ...
  cache->remove_subject(id(1));                 // ... and revoked here
  EXPECT_FALSE(cache->insert("a", verified(1), generation, now()));
  EXPECT_FALSE(cache->find("a", now()));
  EXPECT_TRUE(cache->insert("a", verified(1), cache->generation(), now()));
}

TEST_F(CredentialCacheTest, RemovalTakesAllOfASubjectAndNothingElse) {
  const auto cache = make(4096);
  for (std::size_t i = 0; i < 1000; ++i) cache->insert(key(i), verified(i / 2, i % 10), cache->generation(), now());
  cache->remove_subject(id(100));
  for (std::size_t i = 0; i < 1000; ++i) EXPECT_EQ(cache->find(key(i), now()).has_value(), i / 2 != 100) << i;
  cache->remove_account(id(3));
  for (std::size_t i = 0; i < 1000; ++i)
    EXPECT_EQ(cache->find(key(i), now()).has_value(), i / 2 != 100 && i % 10 != 3) << i;
  cache->clear();
  EXPECT_EQ(cache->size(), 0U);
}

TEST_F(CredentialCacheTest, NeedsRandomBytesForItsKey) {
  random_.set_failing(true);
  EXPECT_EQ(make(64), nullptr);
}

/// The same operations on a plain map without any limit: every entry of the cache must be in it with the same value,
/// and as long as nothing is evicted the other way round.
TEST_F(CredentialCacheTest, AgreesWithAPlainMap) {
  const auto cache = make(std::size_t{16} * 64);
  std::map<std::string, std::pair<VerifiedCredential, SteadyTime>> model;
  std::mt19937_64 engine(3);
  for (int step = 0; step < 50000; ++step) {
    const std::string text = key(engine() % 300);
    const std::uint64_t action = engine() % 100;
    if (action < 60) {
      const auto found = cache->find(text, now());
      const auto known = model.find(text);
      const bool expected = known != model.end() && now().steady - known->second.second < Milliseconds(5000);
      ASSERT_EQ(found.has_value(), expected) << step;
      if (found) {
        ASSERT_EQ(*found, known->second.first);
      }
    } else if (action < 90) {
      const auto entry = verified(engine() % 100, engine() % 5);
      cache->insert(text, entry, cache->generation(), now());
      model[text] = {entry, now().steady};
    } else if (action < 97) {
      const auto subject = id(engine() % 100);
      cache->remove_subject(subject);
      std::erase_if(model, [&](const auto& item) { return item.second.first.subject == subject; });
    } else if (action < 98) {
      const auto account = id(engine() % 5);
      cache->remove_account(account);
      std::erase_if(model, [&](const auto& item) { return item.second.first.account == account; });
    } else {
      clock_.advance(Milliseconds(static_cast<std::int64_t>(engine() % 2000)));
    }
  }
}

/// A change is committed, its entries are removed, and only then is it announced: whoever looks after the announcement
/// never finds what was read before the change.
TEST_F(CredentialCacheTest, ConcurrentRemovalsAreFinal) {
  const auto cache = make(256);
  std::atomic<std::uint32_t> row = 0;
  std::atomic<std::uint32_t> announced = 0;
  std::atomic<bool> stop = false;
  std::atomic<int> stale = 0;
  std::atomic<int> hits = 0;
  const auto reader = [&] {
    while (!stop) {
      const std::uint32_t known = announced.load();
      if (const auto hit = cache->find("key", now())) {
        ++hits;
        if (hit->scopes < known) ++stale;
        continue;
      }
      const auto generation = cache->generation();
      auto entry = verified(1);
      entry.scopes = row.load();
      std::this_thread::yield();
      cache->insert("key", entry, generation, now());
    }
  };
  {
    std::deque<std::jthread> readers;
    for (int i = 0; i < 3; ++i) readers.emplace_back(reader);
    for (std::uint32_t i = 1; i <= 2000 || hits == 0; ++i) {
      row = i;
      cache->remove_subject(id(1));
      announced = i;
      std::this_thread::yield();
    }
    stop = true;
  }
  EXPECT_EQ(stale, 0);
}

}  // namespace
}  // namespace ee
