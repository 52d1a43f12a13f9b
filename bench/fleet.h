#pragma once
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <queue>
#include <string>
#include <vector>

#include "agent/backoff.h"
#include "agent/heartbeat_schedule.h"
#include "bench/load_client.h"
#include "common/random.h"

namespace ee::bench {

/// Counts of one stretch of time. Latencies run from when a beat was due until its answer was there, so that a server
/// that keeps the fleet waiting cannot hide it.
struct FleetResult {
  std::uint64_t beats = 0;        ///< answered 200
  std::uint64_t refused = 0;      ///< answered otherwise
  std::uint64_t unanswered = 0;   ///< no connection, or none left before the answer
  std::uint64_t agents_seen = 0;  ///< how many agents had at least one 200
  double seconds = 0;
  double all_seen_seconds = 0;  ///< when the last agent had its first 200; 0: not all had one
  std::vector<std::uint32_t> latencies_us;
  std::vector<int> statuses = {};  ///< of the first few that were refused

  std::uint32_t percentile_us(double fraction) const;
};

/// Agents that beat as `ee-agent` does: the schedule and the back-off are the agent's own classes, the interval is the
/// one that the answers tell. They share a pool of connections, as agents behind a tunnel do. One thread.
class Fleet {
 public:
  /// `file`: lines of id, credential and boot id, as `agent_load seed` writes them.
  Fleet(const std::string& file, const LoadOptions& options);
  ~Fleet();
  Fleet(const Fleet&) = delete;
  Fleet& operator=(const Fleet&) = delete;

  std::size_t size() const { return agents_.size(); }
  /// Beats for so long, or until `enough` says so. The first call is the fleet's start, the next ones go on where the
  /// last one ended: whatever was due in between is late, and is measured so.
  FleetResult run(double seconds, const std::function<bool(const FleetResult&)>& enough = {});
  /// The longest interval that an agent was told last.
  std::int32_t longest_interval_seconds() const;

 private:
  using Steady = std::chrono::steady_clock;
  struct Agent {
    std::string id;
    std::string credential;
    std::string boot_id;
    std::int64_t seq = 0;
    std::int32_t interval_seconds = 30;
    bool seen = false;
    agent::HeartbeatSchedule schedule;
    agent::Backoff backoff{Milliseconds(1000), Milliseconds(60'000)};
    Steady::time_point due;
  };
  struct Connection {
    int fd = -1;
    std::size_t agent = 0;
    bool busy = false;
    Steady::time_point sent_at;
    std::string in;
  };
  using Due = std::pair<Steady::time_point, std::size_t>;

  void begin(Steady::time_point now);
  void send_due(Steady::time_point now);
  bool open(std::size_t index);
  void send(std::size_t connection, std::size_t agent);
  void receive(std::size_t connection);
  void answered(Connection& connection, int status, std::string_view body, int retry_after);
  void failed(std::size_t agent);
  void drop(std::size_t connection);
  void drop_overdue(Steady::time_point now);
  void plan(std::size_t agent, Steady::time_point due);

  LoadOptions options_;
  SystemRandom random_;
  std::vector<Agent> agents_;
  std::vector<Connection> connections_;
  std::vector<std::size_t> free_;
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;
  std::deque<std::size_t> waiting_;  ///< due, for a connection
  std::string out_;
  int epoll_ = -1;
  bool begun_ = false;
  Steady::time_point run_began_;
  FleetResult result_;
};

}  // namespace ee::bench
