#include "cp/http/log_source.h"

#include <charconv>
#include <optional>

namespace ee::cp {
namespace {

constexpr std::size_t kBatch = 64;

/// The number behind `<replica>:`.
std::optional<std::uint64_t> seq_of(std::string_view id, std::string_view replica) {
  if (!id.starts_with(replica)) return std::nullopt;
  id.remove_prefix(replica.size());
  if (!id.starts_with(':')) return std::nullopt;
  id.remove_prefix(1);
  std::uint64_t seq = 0;
  const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), seq);
  if (error != std::errc() || end != id.data() + id.size()) return std::nullopt;
  return seq;
}

}  // namespace

LogSource::LogSource(const LogBuffer& buffer, LogFilter filter, std::string replica, std::string_view last_event_id)
    : buffer_(buffer), filter_(std::move(filter)), replica_(std::move(replica)) {
  const std::uint64_t next = buffer_.next_seq();
  position_ = filter_.since ? buffer_.first_seq() : next;
  if (last_event_id.empty()) return;
  const auto seen = seq_of(last_event_id, replica_);
  starts_with_gap_ = !seen || *seen >= next || *seen + 1 < buffer_.first_seq();
  position_ = starts_with_gap_ ? next : *seen + 1;
}

EventSource::State LogSource::pull(std::string& out, std::size_t max_bytes) {
  if (std::exchange(starts_with_gap_, false)) append_event(out, "gap", "", R"({"dropped":null})");
  for (;;) {
    const LogBuffer::Following found = buffer_.follow(filter_, position_, kQueue, kBatch);
    if (found.lost > 0) append_event(out, "gap", "", "{\"dropped\":" + std::to_string(found.lost) + "}");
    for (const LogEntryPtr& entry : found.items) {
      append_event(out, "", replica_ + ":" + std::to_string(entry->seq), entry->json());
      position_ = entry->seq + 1;
      if (out.size() >= max_bytes) return State::more;
    }
    position_ = found.position;
    if (found.items.size() < kBatch) return State::waiting;
  }
}

}  // namespace ee::cp
