#pragma once
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "agent/runtime/container_runtime.h"
#include "common/clock.h"

namespace ee::agent {

/// Bounds of kept logs; agent contract, section 16.4. A line costs its bytes and kLogLineCost.
struct LogLimits {
  std::size_t source_bytes = 2UL * 1024 * 1024;
  std::size_t total_bytes = 16UL * 1024 * 1024;
  std::size_t line_bytes = 16UL * 1024;
  std::size_t lines_per_second = 10'000;             ///< of one source
  std::size_t bytes_per_second = 4UL * 1024 * 1024;  ///< of one source, as they came
  std::size_t sources = 256;                         ///< lines of a further one only count as dropped
  Seconds keep_after_stop{3600};
};
inline constexpr std::size_t kLogLineCost = 64;

/// Whose lines: a service of a deployment.
struct LogSource {
  std::string deployment_id;
  std::string service;
  auto operator<=>(const LogSource&) const = default;
};

struct LogLine {
  UtcTime at;
  std::string service;
  LogStream stream = LogStream::out;
  std::string text;        ///< UTF-8; control characters but tab as `\u001b`, other bytes as U+FFFD
  bool truncated = false;  ///< it was longer
};

/// Which lines; what is not set matches all.
struct LogQuery {
  std::optional<std::string> deployment_id = {};
  std::optional<std::string> service = {};
  std::optional<UtcTime> since = {};  ///< at or after
  std::optional<UtcTime> until = {};  ///< before
  std::optional<LogStream> stream = {};
  std::string contains = {};
  std::size_t tail = 200;  ///< the newest that match
};

struct LogPage {
  std::vector<LogLine> lines;  ///< in the order of their arrival
  std::int64_t dropped = 0;    ///< lines of the named sources that were not kept, or are gone, since their beginning
  std::uint64_t position = 0;  ///< for `follow`: all before it has been looked at
};

/// The newest lines of each service, in bounded memory. Thread-safe.
class LogRing {
 public:
  /// `clock` must outlive it.
  explicit LogRing(Clock& clock, LogLimits limits = {}) : clock_(clock), limits_(limits) {}

  /// A line as the container wrote it, of any bytes.
  void append(const LogSource& source, const ContainerLogLine& line);
  /// The lines of a deployment go after `keep_after_stop`, unless it writes again.
  void mark_stopped(const std::string& deployment_id);

  LogPage query(const LogQuery& query);
  /// Waits for lines that match and arrived at or after `position`; at most `query.tail` of them, the oldest first.
  /// Returns without any when `stop` is requested.
  LogPage follow(const LogQuery& query, std::uint64_t position, const std::stop_token& stop);
  /// The end of what a deployment wrote, at most `max_bytes`, whole lines with `service: ` in front.
  std::string tail_text(const std::string& deployment_id, std::size_t max_bytes);
  /// What is kept now, in bytes of cost.
  std::size_t size_bytes() const;

 private:
  struct Entry {
    std::uint64_t sequence;
    UtcTime at;
    LogStream stream;
    bool truncated;
    std::string text;
    std::size_t cost() const { return text.size() + kLogLineCost; }
  };
  struct Kept {
    std::deque<Entry> entries = {};
    std::size_t bytes = 0;
    std::int64_t dropped = 0;
    SteadyTime second_began = {};
    std::size_t second_lines = 0;
    std::size_t second_bytes = 0;
    std::optional<SteadyTime> stopped_at = {};
  };
  bool within_rate(Kept& kept, std::size_t bytes) const;
  void drop_oldest(Kept& kept);
  void make_room(Kept& newest);
  void forget_expired();
  LogPage collect(const LogQuery& query, std::uint64_t position, bool newest) const;

  Clock& clock_;
  const LogLimits limits_;
  mutable std::mutex mutex_;
  std::condition_variable_any arrived_;
  std::map<LogSource, Kept> sources_;
  std::size_t total_bytes_ = 0;
  std::uint64_t next_sequence_ = 0;
  std::int64_t dropped_elsewhere_ = 0;  // of sources beyond the limit
};

/// `text` as the ring keeps it: at most `max_bytes`; true when something was cut.
std::pair<std::string, bool> clean_log_line(std::string_view text, std::size_t max_bytes);

}  // namespace ee::agent
