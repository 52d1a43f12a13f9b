#pragma once
#include <boost/describe.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/json.h"
#include "common/log.h"

namespace ee::cp {

/// A log record as it is kept and shown (03 section 10.1): redacted and cut before it came here.
struct LogEntry {
  std::uint64_t seq = 0;  ///< from 1, without a gap
  UtcTime at = {};
  log::Level level = log::Level::info;
  std::string component = {};
  std::string message = {};
  std::string request_id = {};  ///< this and the next three are empty when they do not apply
  std::string account_id = {};
  std::string deployment_id = {};
  std::string agent_id = {};
  std::string fields = {};  ///< JSON object

  /// One line of JSON, without its end.
  std::string json() const;
  /// What it costs in memory.
  std::size_t cost() const;
};
using LogEntryPtr = std::shared_ptr<const LogEntry>;

/// Which records; what is not set matches all.
struct LogFilter {
  log::Level min_level = log::Level::info;
  std::optional<UtcTime> since = {};  ///< at or after
  std::optional<UtcTime> until = {};  ///< before
  std::string component = {};
  std::string request_id = {};
  std::string deployment_id = {};
  std::string agent_id = {};
  std::string search = {};  ///< stands in the message or in the JSON of the fields

  bool matches(const LogEntry& entry) const;
};

/// The newest log records of this process, in bounded memory: the oldest go first and are counted. Readers copy in
/// small steps, so that the log's writer does not wait long for them. Thread-safe.
class LogBuffer final : public log::Sink {
 public:
  static constexpr std::size_t kMaxBytes = 32UL * 1024 * 1024;

  explicit LogBuffer(std::size_t max_records, std::size_t max_bytes = kMaxBytes)
      : max_records_(max_records), max_bytes_(max_bytes) {}

  void write(const log::Record& record, std::string_view line) override;

  struct Page {
    std::vector<LogEntryPtr> items = {};
    bool more = false;  ///< there are others behind the last item
  };
  /// At most `limit` records that match, ascending or descending, behind the record `after` in that order (nothing:
  /// from the beginning).
  Page page(const LogFilter& filter, std::optional<std::uint64_t> after, std::size_t limit, bool ascending) const;

  struct Following {
    std::vector<LogEntryPtr> items = {};
    std::uint64_t position = 0;  ///< for the next call: all before it has been looked at
    std::uint64_t lost = 0;      ///< records left out: forgotten ones, and the oldest of more than `queue`
  };
  /// What matches at or after `position`, the oldest first, at most `limit`. Of more than `queue` that wait the newest
  /// stay.
  Following follow(const LogFilter& filter, std::uint64_t position, std::size_t queue, std::size_t limit) const;

  std::uint64_t first_seq() const;  ///< of the oldest that is kept
  std::uint64_t next_seq() const;   ///< of the record that comes next
  std::uint64_t dropped() const;    ///< since the start
  std::size_t size_bytes() const;

  /// Called after each record, on the log's thread; must not block, log or throw. Nothing: nobody listens.
  void listen(std::function<void()> on_record);

 private:
  /// A copy of at most kStep entries from `seq` on, forwards or backwards from it.
  std::vector<LogEntryPtr> step(std::uint64_t seq, bool ascending) const;

  const std::size_t max_records_;
  const std::size_t max_bytes_;
  mutable std::mutex mutex_;
  std::deque<LogEntryPtr> entries_;
  std::size_t bytes_ = 0;
  std::uint64_t next_ = 1;
  std::uint64_t dropped_ = 0;
  std::mutex listener_mutex_;
  std::function<void()> listener_;
};

/// A record as the API shows it.
struct LogRecordObject {
  std::int64_t seq = 0;
  UtcTime at;
  log::Level level = log::Level::info;
  std::string component;
  std::string message;
  std::optional<std::string> request_id;
  std::optional<std::string> account_id;
  std::optional<std::string> deployment_id;
  std::optional<std::string> agent_id;
  boost::json::value fields;
};
BOOST_DESCRIBE_STRUCT(LogRecordObject, (),
                      (seq, at, level, component, message, request_id, account_id, deployment_id, agent_id, fields))
constexpr std::string_view json_name(json::For<LogRecordObject> /*type*/) { return "LogRecord"; }

LogRecordObject object_of(const LogEntry& entry);

}  // namespace ee::cp
