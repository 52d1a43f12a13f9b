// The heartbeat's memory, database and time with a whole fleet; `make bench` has the same over the network.
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include "common/fake_clock.h"
#include "cp/service/heartbeat.h"
#include "cp/service/live_flusher.h"
#include "tests/support/agents.h"
#include "tests/support/test_database.h"

namespace ee::cp {
namespace {

constexpr int kAgents = 100'000;
constexpr int kIntervalSeconds = 30;
constexpr int kSeconds = 60;
constexpr int kFlushEverySeconds = 5;
constexpr std::size_t kSlotsMaxBytes = 98UL * 1024 * 1024;      // 02 section 5.4
constexpr std::size_t kDirectoryMaxBytes = 30UL * 1024 * 1024;  // an entry, a node and a place in the table for each

/// Allocated by this program; 0 where the allocator does not say.
std::size_t heap_bytes() {
  const auto info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

/// What of an agent its beats need.
struct Member {
  HeartbeatCaller caller;
  std::string boot_id;
};

class HeartbeatScaleTest : public ::testing::Test {
 protected:
  void fill_directory() {
    for (int number = 0; number < kAgents; ++number) {
      AgentRow row = testing::make_agent(number, clock_.now());
      row.hostname = row.vm_name + ".agents.example.com";
      row.tunnel_state = TunnelState::ready;
      directory_.put(row);
    }
  }
  void add_fleet() {
    for (int number = 0; number < kAgents; ++number) {
      const AgentRow row = testing::make_agent(number, clock_.now());
      fleet_.push_back(
          {.caller = {.agent = row.id, .credential_created_at = row.registered_at}, .boot_id = row.boot_id});
    }
  }
  /// All whose turn it is in this second.
  void beat(int second) {
    for (std::size_t i = static_cast<std::size_t>(second % kIntervalSeconds); i < fleet_.size();
         i += kIntervalSeconds) {
      agent_api::HeartbeatRequest request;
      request.seq = second / kIntervalSeconds + 1;
      request.boot_id = fleet_[i].boot_id;
      request.sent_at = clock_.now();
      request.agent_version = "2.0.0";
      request.tunnel.state = agent_api::TunnelLink::connected;
      const auto began = std::chrono::steady_clock::now();
      const auto answer = service_.heartbeat(fleet_[i].caller, request, clock_.now());
      took_.push_back(std::chrono::steady_clock::now() - began);
      ASSERT_TRUE(answer) << answer.error().detail;
      ASSERT_EQ(answer->heartbeat_interval_seconds, kIntervalSeconds);
    }
  }

  FakeClock clock_;
  testing::TestDatabase database_;
  Directory directory_{database_, clock_};
  LiveMap live_{database_};
  LiveFlusher flusher_{database_, live_, clock_};
  NoDeployments deployments_;
  HeartbeatService service_{
      database_,
      directory_,
      live_,
      deployments_,
      {.settings = [] { return HeartbeatSettings{}; }, .interval_raise = {}, .signing_keys_version = [] { return 1; }}};
  std::vector<Member> fleet_;
  std::vector<std::chrono::steady_clock::duration> took_;
};

// covers: S02_AGT_HB_007
TEST_F(HeartbeatScaleTest, S02_AGT_HB_007_a_minute_of_100000_agents) {
  const std::size_t heap_empty = heap_bytes();
  fill_directory();
  if (heap_empty != 0) {
    EXPECT_LE(heap_bytes() - heap_empty, kDirectoryMaxBytes);
  }
  add_fleet();
  took_.reserve(2UL * kAgents);
  const std::size_t heap_before = heap_bytes();
  std::int64_t transactions = 0;
  for (int second = 0; second < kSeconds; ++second) {
    // A flush goes on while the next ones beat, as it does in the program.
    std::thread flush;
    if (second % kFlushEverySeconds == 0)
      flush = std::thread([&] {
        const auto flushed = flusher_.flush({});
        ASSERT_TRUE(flushed) << flushed.error().detail;
        transactions += flushed->value("transactions");
      });
    beat(second);
    if (flush.joinable()) flush.join();
    clock_.advance(Seconds(1));
  }
  const std::size_t heap_after = heap_bytes();
  ASSERT_EQ(took_.size(), 2UL * kAgents);
  std::ranges::nth_element(took_, took_.begin() + static_cast<std::ptrdiff_t>(took_.size() / 100 * 99));
  EXPECT_LT(took_[took_.size() / 100 * 99], std::chrono::milliseconds(50));
  EXPECT_GT(transactions, 0);
  EXPECT_LE(transactions, 3 * kSeconds);
  EXPECT_EQ(live_.size(), static_cast<std::size_t>(kAgents));
  if (heap_before != 0) {
    EXPECT_LE(heap_after - heap_before, kSlotsMaxBytes);
  }
  EXPECT_EQ(flusher_.interval_raise(), 0) << "the flush kept up";

  ASSERT_TRUE(flusher_.flush({}));
  EXPECT_EQ(live_.dirty(), 0U);
  EXPECT_EQ(database_.value<std::int64_t>("SELECT COUNT(*) FROM agent_live WHERE seq=2"), kAgents);
}

}  // namespace
}  // namespace ee::cp
