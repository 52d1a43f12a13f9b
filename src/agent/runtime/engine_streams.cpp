#include <algorithm>
#include <boost/json/serialize.hpp>
#include <limits>

#include "agent/runtime/engine_answers.h"
#include "agent/runtime/engine_frames.h"
#include "agent/runtime/engine_runtime.h"
#include "common/json.h"
#include "common/log.h"
#include "common/url.h"

namespace ee::agent {
namespace {

constexpr int kFruitlessTries = 3;  ///< failed streams in a row that brought nothing, before logs are given up

/// `since` of a request. Podman reads it as a floating-point number, which is not exact to some hundred nanoseconds,
/// and leaves its own moment out: it is asked for more, and what was seen is left out here.
std::string asked_since(EngineTime from, bool podman) {
  constexpr EngineTime kSecond = 1'000'000'000;
  return since_text(podman ? std::max<EngineTime>(from / kSecond - 1, 0) * kSecond : from);
}

}  // namespace

RuntimeResult<void> EngineRuntime::events(EngineTime since, const OnContainerEvent& on_event,
                                          const std::stop_token& stop) {
  EngineTime last = since > 0 ? since : unix_ms(client_.clock().now()) * 1'000'000;
  using Array = boost::json::array;
  const boost::json::object filter{
      {"type", Array{"container"}},
      {"event", Array{"start", "die", "oom", "health_status", "destroy", "died", "remove"}},  // the last two: podman
      {"label", Array{std::string(kInstanceLabel) + "=" + options_.instance}}};
  const std::string filters = percent_encode(boost::json::serialize(filter));
  const auto on_line = [&](std::string_view line) {
    const auto value = json::parse(line);
    const auto event = value ? read_event(*value) : std::nullopt;
    if (!event) return;
    last = std::max(last, event->at);
    on_event(*event);
  };
  while (!stop.stop_requested()) {
    LineSplitter lines;
    const auto answer = client_.stream(
        {.target = "/events?since=" + since_text(last) + "&filters=" + filters, .total = std::nullopt},
        [&] { on_event({.kind = ContainerEventKind::listen_again}); },
        [&](std::string_view bytes) { return lines.feed(bytes, on_line); }, stop);
    if (stop.stop_requested()) break;
    ++interruptions_;
    log::info("container_runtime", "the stream of events ended; it is opened again",
              {{"detail", answer ? engine_message(*answer) : answer.error().detail}});
    if (!client_.clock().sleep_for(options_.reopen_pause, stop)) break;
  }
  return runtime_fail(RuntimeFailure::cancelled);
}

EngineRuntime::LogMark EngineRuntime::log_mark(const std::string& id, EngineTime since) const {
  const std::lock_guard lock(mutex_);
  const auto found = log_marks_.find(id);
  if (since > 0 && found != log_marks_.end() && found->second.at == since) return found->second;
  return {.at = since, .lines = since > 0 ? std::numeric_limits<std::int64_t>::max() : 0};
}

void EngineRuntime::forget_log_mark(const std::string& id) {
  const std::lock_guard lock(mutex_);
  log_marks_.erase(id);
}

RuntimeResult<LogsEnd> EngineRuntime::logs(const std::string& id, EngineTime since, const OnContainerLogLine& on_line,
                                           const std::stop_token& stop) {
  LogsEnd result{.last_at = since};
  RuntimeError problem{.failure = RuntimeFailure::unavailable};
  for (int fruitless = 0; fruitless < kFruitlessTries;) {
    const EngineTime from = result.last_at;  // the engine's `since` includes its own moment
    const LogMark seen = log_mark(id, from);
    LogMark mark = seen;
    std::int64_t again = 0;
    FrameDecoder decoder([&](const ContainerLogLine& line) {
      if (line.at < seen.at || (line.at == seen.at && again++ < seen.lines)) return;
      if (line.at > mark.at) mark = {.at = line.at, .lines = 0};
      if (line.at == mark.at) ++mark.lines;
      result.last_at = mark.at;
      on_line(line);
    });
    bool malformed = false;
    const auto answer = client_.stream(
        {.target = "/containers/" + percent_encode(id) +
                   "/logs?follow=true&stdout=true&stderr=true&timestamps=true&since=" +
                   asked_since(from, known().name == "podman"),
         .total = std::nullopt},
        {}, [&](std::string_view bytes) { return !(malformed = !decoder.feed(bytes)); }, stop);
    if (answer && answer->status == 200) decoder.finish();
    {
      const std::lock_guard lock(mutex_);
      if (mark.at > 0) log_marks_[id] = mark;
    }
    if (stop.stop_requested()) return runtime_fail(RuntimeFailure::cancelled);
    if (answer && answer->status == 200) {
      const auto state = inspect(id, stop);
      if (state && !state->running) return result;
      if (!state && state.error().failure == RuntimeFailure::not_found) {  // removed meanwhile
        forget_log_mark(id);
        return result;
      }
      if (!state) problem = state.error();
    } else if (answer && answer->status == 404) {
      forget_log_mark(id);
      return runtime_fail(RuntimeFailure::not_found, engine_message(*answer));
    } else {
      problem = answer ? RuntimeError{.failure = RuntimeFailure::bad_answer, .detail = engine_message(*answer)}
                       : answer.error();
    }
    if (malformed) {
      ++result.dropped_streams;
      problem = {.failure = RuntimeFailure::bad_answer, .detail = "the engine's log stream is malformed"};
      log::warn("container_runtime", "a log stream was malformed and is opened again", {{"container", id}});
    }
    const bool was_good = answer && answer->status == 200;
    fruitless = was_good || result.last_at > from ? 0 : fruitless + 1;
    if (!client_.clock().sleep_for(options_.reopen_pause, stop)) return runtime_fail(RuntimeFailure::cancelled);
  }
  return std::unexpected(std::move(problem));
}

}  // namespace ee::agent
