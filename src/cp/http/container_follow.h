#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "common/http_streams.h"
#include "cp/http/event_streams.h"
#include "cp/service/container_logs.h"

namespace ee::cp {

/// What an agent's followed log brings, from the thread of HttpStreams to that of the event streams. Lines that nobody
/// takes are bounded: the oldest go and are counted. Thread-safe.
class AgentFeed {
 public:
  static constexpr std::size_t kMaxLines = 1'000;
  static constexpr std::size_t kMaxBytes = 1024UL * 1024;

  enum class Phase { open, ended, failed };
  struct Taken {
    std::deque<AgentLogRecord> lines = {};
    std::int64_t lost = 0;
    Phase phase = Phase::open;
    ErrorCode failure = ErrorCode::agent_unreachable;  ///< of `failed`
    bool answered = false;                             ///< a proper head came
  };

  AgentFeed(AgentId agent, std::function<void()> wake) : agent_(std::move(agent)), wake_(std::move(wake)) {}

  bool head(const HttpClientResponse& head);
  bool bytes(std::string_view bytes);
  void end(std::optional<HttpFailure> failure);
  Taken take();

 private:
  /// Under the lock.
  bool record(std::string_view text);
  bool fail_with(ErrorCode code);

  const AgentId agent_;
  const std::function<void()> wake_;
  std::mutex mutex_;
  std::string partial_;
  Taken state_;
  std::size_t bytes_ = 0;
  bool done_ = false;
};

/// Drops what a stream that was opened again with `since=last at` brings a second time: by time, container and line, as
/// often as it came before.
class RepeatFilter {
 public:
  /// A stream begins again.
  void reopened();
  /// False: it was here before.
  bool is_new(const AgentLogRecord& record);
  std::optional<UtcTime> last_at() const { return last_at_; }

 private:
  static constexpr std::size_t kMost = 8'192;  ///< lines of one millisecond; further ones may come twice

  std::optional<UtcTime> last_at_;
  std::optional<UtcTime> repeats_until_;
  std::map<std::size_t, int> seen_;      // at `last_at_`
  std::map<std::size_t, int> expected_;  // at `repeats_until_`
};

/// Followed container logs as events (03 section 10.2): a message per line, `error` for an agent that cannot be read
/// (once, until it can be read again), `gap` for lines that the reader was too slow for. Each agent's stream lasts five
/// minutes at most and is opened again where it was; a deployment that moves is followed to its new agent. Ends when
/// all that was selected is final.
class ContainerFollow final : public EventSource {
 public:
  static constexpr Milliseconds kLook{2'000};
  static constexpr Milliseconds kFirstByte{10'000};
  static constexpr Milliseconds kStreamLife{310'000};
  static constexpr Milliseconds kMaxPause{30'000};

  struct Parts {
    const ContainerLogs& logs;
    AgentClient& client;
    HttpStreams& streams;
    const Clock& clock;
    std::function<void()> wake;
  };
  /// `find` tells where the lines are now.
  ContainerFollow(Parts parts, ContainerLogsWanted wanted, std::function<Result<LogTargets>()> find)
      : parts_(std::move(parts)), wanted_(std::move(wanted)), find_(std::move(find)) {}

  State pull(std::string& out, std::size_t max_bytes) override;

 private:
  struct Agent {
    LogTarget target;
    std::shared_ptr<AgentFeed> feed = {};
    std::unique_ptr<HttpStreams::Stream> stream = {};
    RepeatFilter repeats = {};
    std::deque<AgentLogRecord> waiting = {};  ///< taken, and not sent yet
    SteadyTime open_at = {};                  ///< not before
    Milliseconds pause{0};
    bool told_failure = false;
    bool opened = false;
  };

  void look(std::string& out);
  void open(Agent& agent);
  void failed(Agent& agent, ErrorCode code, std::string& out);
  void gather(Agent& agent, std::string& out);

  Parts parts_;
  const ContainerLogsWanted wanted_;
  const std::function<Result<LogTargets>()> find_;
  std::map<std::string, Agent> agents_;  // by agent and deployment
  std::optional<SteadyTime> next_look_;
  bool over_ = false;
  std::optional<SteadyTime> ends_at_;  ///< for the last lines of what is final
};

}  // namespace ee::cp
