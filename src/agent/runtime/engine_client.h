#pragma once
#include <atomic>
#include <boost/json/value.hpp>
#include <functional>
#include <string>
#include <string_view>

#include "agent/runtime/container_runtime.h"
#include "common/clock.h"
#include "common/http_client.h"

namespace ee::agent {

/// Time-outs of the calls, agent contract section 16.1; tests shorten them.
struct EngineTimeouts {
  Milliseconds connect{2'000};
  Milliseconds query{10'000};       ///< probe, image, list, inspect, stats
  Milliseconds change{30'000};      ///< networks, volumes, create, remove
  Milliseconds start{60'000};       ///< also removing an image
  Milliseconds stop_extra{15'000};  ///< beyond the grace
  Milliseconds pull{600'000};
  Milliseconds pull_silence{60'000};
};

inline constexpr std::size_t kMaxEngineListBytes = 8UL * 1024 * 1024;
inline constexpr std::size_t kMaxEngineAnswerBytes = 1024UL * 1024;
inline constexpr std::size_t kMaxEngineLineBytes = 256UL * 1024;

struct EngineCall {
  std::string method = "GET";
  std::string target;     ///< path and query below `/v1.41`; with `versioned` false the whole
  std::string body = {};  ///< JSON; empty = none
  std::vector<HttpHeader> headers = {};
  std::optional<Milliseconds> total = Milliseconds(10'000);
  std::optional<Milliseconds> silence = {};
  std::size_t max_bytes = kMaxEngineAnswerBytes;
  bool versioned = true;
};

struct EngineAnswer {
  int status = 0;
  std::string body;
};

/// Calls to one engine over its unix socket. Thread-safe. An answer of any status is an answer; what the engine says
/// about an error is in `engine_message`.
class EngineClient {
 public:
  /// `clock` must outlive it; it times the pauses between tries.
  EngineClient(std::string socket, Clock& clock, EngineTimeouts timeouts)
      : socket_(std::move(socket)), clock_(clock), timeouts_(timeouts) {}

  /// A socket that refuses, closes or hangs is tried again after 1, 2 and 4 s; then `unavailable`. Other errors:
  /// cancelled, bad_answer (too long).
  RuntimeResult<EngineAnswer> call(const EngineCall& call, const std::stop_token& stop) const;
  /// One try. A 2xx body is handed to `on_bytes` as it arrives (false ends the call: bad_answer); another body, at most
  /// `max_bytes` of it, is in the answer.
  RuntimeResult<EngineAnswer> stream(const EngineCall& call, const std::function<void()>& on_open,
                                     const std::function<bool(std::string_view)>& on_bytes,
                                     const std::stop_token& stop) const;

  bool reachable() const { return reachable_; }
  Clock& clock() const { return clock_; }
  const EngineTimeouts& timeouts() const { return timeouts_; }

 private:
  RuntimeResult<EngineAnswer> once(const EngineCall& call, const std::stop_token& stop) const;

  const std::string socket_;
  Clock& clock_;
  const EngineTimeouts timeouts_;
  mutable std::atomic<bool> reachable_ = true;
};

/// Lines of a stream, each without its end, at most kMaxEngineLineBytes of it.
class LineSplitter {
 public:
  /// False: a line is too long.
  [[nodiscard]] bool feed(std::string_view bytes, const std::function<void(std::string_view)>& on_line);
  /// What stands behind the last line end.
  const std::string& rest() const { return rest_; }

 private:
  std::string rest_;
};

/// `text` fit for `RuntimeError::detail`: at most 512 bytes of UTF-8 on one line, credentials replaced.
std::string error_text(std::string_view text);
/// The `message` of an error answer, as error_text; `HTTP <status>` when there is none.
std::string engine_message(const EngineAnswer& answer);
/// The JSON object of an answer. Error: bad_answer.
RuntimeResult<boost::json::value> engine_object(const EngineAnswer& answer);
/// The JSON array of a list. Error: bad_answer.
RuntimeResult<boost::json::value> engine_array(const EngineAnswer& answer);

}  // namespace ee::agent
