#pragma once
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "common/clock.h"
#include "common/error.h"
#include "common/time.h"
#include "net/http.h"
#include "net/stream.h"

namespace ee::cp {

/// What one follower of an event stream is sent. All calls come from the hub's thread.
class EventSource {
 public:
  virtual ~EventSource() = default;
  enum class State {
    waiting,  ///< nothing more now
    more,     ///< there is more at once
    ended,    ///< that was all
  };
  /// Appends events in the form of `text/event-stream`, about `max_bytes` of them at most. Asked again when the hub is
  /// woken, and each second. May block for a moment on the database.
  virtual State pull(std::string& out, std::size_t max_bytes) = 0;
};

/// One event. `data` has no line ends; empty `name`: a message; empty `id`: none.
void append_event(std::string& out, std::string_view name, std::string_view id, std::string_view data);

/// Serves any number of event streams on one thread, so that a follower costs no worker. A follower that takes nothing
/// is not asked for, and its connection is reset by the server when its write time-out is over. Ends a stream with the
/// event `end` (`reason`: `done`, `time`, `unauthorized`, `shutdown`). A comment goes out every 15 seconds, so that
/// dead connections are noticed. Thread-safe.
class EventStreams {
 public:
  static constexpr Milliseconds kPoll{1'000};
  static constexpr Seconds kPing{15};
  static constexpr Seconds kRecheck{30};
  static constexpr std::size_t kPiece = 32UL * 1024;

  struct Limits {
    std::size_t total = 20;
    Seconds longest{4 * 3600};
  };
  struct Wanted {
    std::unique_ptr<EventSource> source = {};
    /// What it is counted under; each may have `most_in_group` streams.
    std::vector<std::string> groups = {};
    std::size_t most_in_group = 4;
    /// Asked now and then: whether the caller still may. Empty: always.
    std::function<bool()> still_allowed = {};
  };

  EventStreams(Clock& clock, Limits limits);
  EventStreams(const EventStreams&) = delete;
  EventStreams& operator=(const EventStreams&) = delete;
  /// Cuts off what is open.
  ~EventStreams();

  /// Whether another follower would be taken: asked before a source is made. Errors: too_many_followers.
  Result<void> check_room(const std::vector<std::string>& groups, std::size_t most_in_group) const;
  /// 200 with the stream. Errors: too_many_followers.
  Result<net::Response> open(Wanted wanted);
  /// Something may have come: all sources are asked. Cheap; callable from anywhere, also after this is destroyed.
  std::function<void()> waker() const;
  std::size_t size() const;

 private:
  struct Follower;
  /// Ends the thread's wait.
  class Wait;
  void run(const std::stop_token& stop);
  bool serve(Follower& follower);
  bool end(Follower& follower, std::string_view reason);
  bool room(const std::vector<std::string>& groups, std::size_t most_in_group) const;

  Clock& clock_;
  const Limits limits_;
  std::shared_ptr<Wait> wait_;
  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<Follower>> followers_;
  std::jthread thread_;  // last: ends first
};

/// Whether a request asks for an event stream: `Accept: text/event-stream`.
bool wants_events(const net::Request& request);

}  // namespace ee::cp
