// Event logs: reading stays inside its input and its bounds, and a log cut at its end says the same.
#include "attestation/event_log.h"
#include "common/require.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ee::attestation;
  const ee::Bytes raw(data, size);
  const auto log = replay_ccel(raw);
  if (!log) return 0;
  ee::require(log->size <= size && log->events.size() <= kEventLogMaxEvents);
  std::size_t data_bytes = 0;
  for (const LogEvent& event : log->events) {
    ee::require(event.register_ < 4);
    data_bytes += event.data.size();
  }
  ee::require(data_bytes <= size);
  const auto again = replay_ccel(raw.first(log->size));
  ee::require(again && again->rtmrs == log->rtmrs && again->events.size() == log->events.size());
  (void)unknown_events(*log, {}, 5);
  return 0;
}
