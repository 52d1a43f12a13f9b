// The order in which heartbeats are written, and what a pass that was cut short leaves to the next one.
#include "cp/service/live_flusher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "common/fake_random.h"
#include "common/json.h"
#include "tests/support/test_database.h"

namespace ee::cp {
namespace {

constexpr int kAgents = 5000;  // three chunks

/// Counts writes, stops or breaks from the n-th on.
class CuttingDatabase final : public db::Database {
 public:
  explicit CuttingDatabase(db::Database& inner) : inner_(inner) {}
  Result<void> run_write(const std::function<Result<void>(db::Transaction&)>& work) override {
    if (++writes > broken_after) return fail(ErrorCode::database_unavailable, "broken");
    auto done = inner_.run_write(work);
    if (writes == stop_after) stop.request_stop();
    return done;
  }
  Result<void> run_read(const std::function<Result<void>(db::Transaction&)>& work) override {
    return inner_.run_read(work);
  }
  int writes = 0;
  int stop_after = 0;
  int broken_after = 1000;
  std::stop_source stop = {};

 private:
  db::Database& inner_;
};

class LiveFlusherTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < kAgents; ++i) {
      clock_.advance(Milliseconds(1));
      ids_.emplace_back(new_uuid_v7(clock_.now(), random_).value());
    }
  }
  void beat_all() {
    ++seq_;
    static const std::optional<agent_api::WorkloadReport> kNothing;
    for (const AgentId& id : ids_)
      live_.merge(key_of(id), {.registration_id = AgentKey{1}, .seq = seq_, .good = true, .workload = &kNothing}, {},
                  clock_.now());
  }
  std::int64_t count(const std::string& where) {
    return plain_.value<std::int64_t>("SELECT COUNT(*) FROM agent_live WHERE " + where);
  }
  std::string id_at(std::size_t place) const {
    std::vector<std::string> sorted;
    sorted.reserve(ids_.size());
    for (const AgentId& id : ids_) sorted.push_back(id.str());
    std::ranges::sort(sorted);
    return sorted[place];
  }

  FakeClock clock_;
  FakeRandom random_;
  testing::TestDatabase plain_;
  CuttingDatabase database_{*plain_};
  LiveMap live_{database_};
  LiveFlusher flusher_{database_, live_, clock_};
  std::vector<AgentId> ids_;
  std::int64_t seq_ = 0;
};

TEST_F(LiveFlusherTest, AChunkIsWhatStandsTogetherInTheTable) {
  beat_all();
  database_.stop_after = 1;
  const auto flushed = flusher_.flush(database_.stop.get_token());
  ASSERT_TRUE(flushed);
  EXPECT_TRUE(flushed->stopped);
  EXPECT_EQ(count("seq=1"), 2000);
  EXPECT_EQ(count("agent_id<='" + id_at(1999) + "'"), 2000) << "the first two thousand by id";
  EXPECT_EQ(live_.dirty(), static_cast<std::size_t>(kAgents) - 2000);
}

// A pass that never has time for more than one chunk: everybody has a turn all the same.
TEST_F(LiveFlusherTest, APassThatIsCutShortIsContinuedByTheNext) {
  for (int pass = 0; pass < 3; ++pass) {
    beat_all();
    database_.stop = std::stop_source();
    database_.stop_after = database_.writes + 1;
    ASSERT_TRUE(flusher_.flush(database_.stop.get_token()));
  }
  EXPECT_EQ(count("seq>0"), kAgents);
}

TEST_F(LiveFlusherTest, AChunkThatFailsIsWrittenByTheNextPass) {
  beat_all();
  database_.broken_after = 1;
  EXPECT_FALSE(flusher_.flush({}));
  EXPECT_EQ(count("seq=1"), 2000);
  EXPECT_EQ(live_.dirty(), static_cast<std::size_t>(kAgents) - 2000);
  database_.broken_after = 1000;
  const auto flushed = flusher_.flush({});
  ASSERT_TRUE(flushed);
  EXPECT_EQ(flushed->value("rows"), kAgents - 2000);
  EXPECT_EQ(count("seq=1"), kAgents);
  EXPECT_EQ(live_.dirty(), 0U);
}

TEST_F(LiveFlusherTest, WhoIsDeletedMeanwhileIsLeftOut) {
  beat_all();
  const auto keys = live_.dirty_keys();
  ASSERT_EQ(keys.size(), static_cast<std::size_t>(kAgents));
  EXPECT_TRUE(std::ranges::is_sorted(keys));
  live_.remove(keys[1]);
  const auto batch = live_.take(std::span(keys).first(3), clock_.now());
  EXPECT_EQ(batch.keys, (std::vector<AgentKey>{keys[0], keys[2]}));
  EXPECT_TRUE(live_.take(std::span(keys).first(3), clock_.now()).rows.empty()) << "clean now";
  live_.put_back(batch);
  EXPECT_EQ(live_.take(std::span(keys).first(3), clock_.now()).rows.size(), 2U);
}

TEST_F(LiveFlusherTest, StatisticsAreKeptAsTheyWereTold) {
  static const std::optional<agent_api::WorkloadReport> kNothing;
  const AgentKey key = key_of(ids_.front());
  const auto told = [&](std::int64_t seq, std::optional<agent_api::HostStats> stats) {
    live_.merge(key, {.registration_id = AgentKey{1}, .seq = seq, .good = true, .workload = &kNothing, .stats = stats},
                {}, clock_.now());
  };
  told(1, std::nullopt);
  EXPECT_FALSE(live_.stats(key));
  agent_api::HostStats stats;
  stats.cpu_millis_used = 0;
  stats.net_rx_bytes = std::numeric_limits<std::int64_t>::max();
  stats.uptime_seconds = 86'400;
  told(2, stats);
  EXPECT_EQ(live_.stats(key), stats);
  told(3, std::nullopt);
  EXPECT_EQ(live_.stats(key), stats) << "sent with every other beat only";
  ASSERT_TRUE(flusher_.flush({}));
  EXPECT_EQ(plain_.value<std::string>("SELECT stats FROM agent_live"), json::write(stats));
}

}  // namespace
}  // namespace ee::cp
