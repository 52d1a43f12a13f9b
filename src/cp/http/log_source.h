#pragma once
#include <string>
#include <string_view>

#include "cp/http/event_streams.h"
#include "cp/service/log_buffer.h"

namespace ee::cp {

/// The control plane's own log as events (03 section 10.1). A reader that is more than kQueue records behind gets the
/// event `gap` (`dropped`: how many) and the newest of them.
class LogSource final : public EventSource {
 public:
  static constexpr std::size_t kQueue = 1'000;

  /// `last_event_id`: what the reader had last, `<replica>:<seq>`, or empty. Of another replica, or no longer kept: the
  /// event `gap`, then what comes. Without one: what comes, or, with `filter.since`, what is kept since then.
  LogSource(const LogBuffer& buffer, LogFilter filter, std::string replica, std::string_view last_event_id);
  State pull(std::string& out, std::size_t max_bytes) override;

 private:
  const LogBuffer& buffer_;
  const LogFilter filter_;
  const std::string replica_;
  std::uint64_t position_ = 0;
  bool starts_with_gap_ = false;
};

}  // namespace ee::cp
