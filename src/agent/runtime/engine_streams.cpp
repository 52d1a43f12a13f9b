#include <algorithm>
#include <boost/json/serialize.hpp>

#include "agent/runtime/engine_answers.h"
#include "agent/runtime/engine_frames.h"
#include "agent/runtime/engine_runtime.h"
#include "common/json.h"
#include "common/log.h"
#include "common/url.h"

namespace ee::agent {
namespace {

constexpr int kFruitlessTries = 3;  ///< failed streams in a row that brought nothing, before logs are given up

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
    log::info("container_runtime", "the stream of events ended; it is opened again",
              {{"detail", answer ? engine_message(*answer) : answer.error().detail}});
    if (!client_.clock().sleep_for(options_.reopen_pause, stop)) break;
  }
  return runtime_fail(RuntimeFailure::cancelled);
}

RuntimeResult<LogsEnd> EngineRuntime::logs(const std::string& id, EngineTime since, const OnContainerLogLine& on_line,
                                           const std::stop_token& stop) {
  LogsEnd result{.last_at = since};
  RuntimeError problem{.failure = RuntimeFailure::unavailable};
  for (int fruitless = 0; fruitless < kFruitlessTries;) {
    const EngineTime from = result.last_at;  // the engine's `since` includes its own moment
    FrameDecoder decoder([&](const ContainerLogLine& line) {
      if (line.at <= from && from > 0) return;
      result.last_at = std::max(result.last_at, line.at);
      on_line(line);
    });
    bool malformed = false;
    const auto answer = client_.stream(
        {.target = "/containers/" + percent_encode(id) +
                   "/logs?follow=true&stdout=true&stderr=true&timestamps=true&since=" + since_text(from),
         .total = std::nullopt},
        {}, [&](std::string_view bytes) { return !(malformed = !decoder.feed(bytes)); }, stop);
    if (stop.stop_requested()) return runtime_fail(RuntimeFailure::cancelled);
    if (answer && answer->status == 200) {
      decoder.finish();
      const auto state = inspect(id, stop);
      if (state && !state->running) return result;
      if (!state && state.error().failure == RuntimeFailure::not_found) return result;  // removed meanwhile
      if (!state) problem = state.error();
    } else if (answer && answer->status == 404) {
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
