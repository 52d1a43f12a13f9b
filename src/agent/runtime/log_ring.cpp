#include "agent/runtime/log_ring.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/utf8.h"

namespace ee::agent {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD

bool names(const LogQuery& query, const LogSource& source) {
  return (!query.deployment_id || *query.deployment_id == source.deployment_id) &&
         (!query.service || *query.service == source.service);
}

}  // namespace

std::pair<std::string, bool> clean_log_line(std::string_view text, std::size_t max_bytes) {
  std::string clean;
  clean.reserve(std::min(text.size(), max_bytes));
  while (!text.empty()) {
    const std::size_t length = utf8_sequence(text);
    const char first = text.front();
    const bool control = length == 1 && ((first >= 0 && first < ' ' && first != '\t') || first == 0x7f);
    const bool control_of_two = length == 2 && first == '\xc2' && static_cast<unsigned char>(text[1]) < 0xa0;  // C1
    const std::string escaped =
        control          ? fmt::format("\\u{:04x}", static_cast<unsigned>(first))
        : control_of_two ? fmt::format("\\u{:04x}", static_cast<unsigned>(static_cast<unsigned char>(text[1])))
        : length == 0    ? std::string(kReplacement)
                         : std::string(text.substr(0, length));
    if (clean.size() + escaped.size() > max_bytes) return {std::move(clean), true};
    clean += escaped;
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return {std::move(clean), false};
}

bool LogRing::within_rate(Kept& kept, std::size_t bytes) const {
  const SteadyTime now = clock_.steady_now();
  if (kept.second_lines == 0 || now - kept.second_began >= Seconds(1)) {
    kept.second_began = now;
    kept.second_lines = 0;
    kept.second_bytes = 0;
  }
  if (kept.second_lines >= limits_.lines_per_second || kept.second_bytes + bytes > limits_.bytes_per_second)
    return false;
  ++kept.second_lines;
  kept.second_bytes += bytes;
  return true;
}

void LogRing::drop_oldest(Kept& kept) {
  const std::size_t cost = kept.entries.front().cost();
  kept.bytes -= cost;
  total_bytes_ -= cost;
  kept.entries.pop_front();
  ++kept.dropped;
}

void LogRing::make_room(Kept& newest) {
  while (newest.bytes > limits_.source_bytes) drop_oldest(newest);
  while (total_bytes_ > limits_.total_bytes) {
    Kept* oldest = nullptr;
    for (auto& [source, kept] : sources_)
      if (!kept.entries.empty() && (!oldest || kept.entries.front().sequence < oldest->entries.front().sequence))
        oldest = &kept;
    if (!oldest) return;
    drop_oldest(*oldest);
  }
}

void LogRing::forget_expired() {
  const SteadyTime now = clock_.steady_now();
  for (auto each = sources_.begin(); each != sources_.end();) {
    const bool expired = each->second.stopped_at && now - *each->second.stopped_at >= limits_.keep_after_stop;
    if (expired) total_bytes_ -= each->second.bytes;
    each = expired ? sources_.erase(each) : std::next(each);
  }
}

void LogRing::append(const LogSource& source, const ContainerLogLine& line) {
  auto [text, cut] = clean_log_line(line.text, limits_.line_bytes);
  const std::lock_guard lock(mutex_);
  forget_expired();
  if (!sources_.contains(source) && sources_.size() >= limits_.sources) {
    ++dropped_elsewhere_;
    return;
  }
  Kept& kept = sources_[source];
  kept.stopped_at.reset();
  if (!within_rate(kept, line.text.size())) {
    ++kept.dropped;
    return;
  }
  kept.entries.push_back({.sequence = next_sequence_++,
                          .at = from_unix_ms(line.at / 1'000'000),
                          .stream = line.stream,
                          .truncated = line.truncated || cut,
                          .text = std::move(text)});
  const std::size_t cost = kept.entries.back().cost();
  kept.bytes += cost;
  total_bytes_ += cost;
  make_room(kept);
  arrived_.notify_all();
}

void LogRing::mark_stopped(const std::string& deployment_id) {
  const std::lock_guard lock(mutex_);
  for (auto& [source, kept] : sources_)
    if (source.deployment_id == deployment_id && !kept.stopped_at) kept.stopped_at = clock_.steady_now();
}

/// Lines at or after `position`; of more than `tail` the newest, or else the oldest.
LogPage LogRing::collect(const LogQuery& query, std::uint64_t position, bool newest) const {
  LogPage page{.lines = {},
               .dropped = query.service || query.deployment_id ? 0 : dropped_elsewhere_,
               .position = next_sequence_};
  std::vector<std::pair<const LogSource*, const Entry*>> found;
  for (const auto& [source, kept] : sources_) {
    if (!names(query, source)) continue;
    page.dropped += kept.dropped;
    const auto first = std::ranges::lower_bound(kept.entries, position, {}, &Entry::sequence);
    for (auto entry = first; entry != kept.entries.end(); ++entry) {
      const bool fits = (!query.since || entry->at >= *query.since) && (!query.until || entry->at < *query.until) &&
                        (!query.stream || entry->stream == *query.stream) && entry->text.contains(query.contains);
      if (fits) found.emplace_back(&source, &*entry);
    }
  }
  std::ranges::sort(found, {}, [](const auto& each) { return each.second->sequence; });
  if (found.size() > query.tail && newest)
    found.erase(found.begin(), found.end() - static_cast<std::ptrdiff_t>(query.tail));
  if (found.size() > query.tail) {
    page.position = found[query.tail].second->sequence;
    found.resize(query.tail);
  }
  page.lines.reserve(found.size());
  for (const auto& [source, entry] : found)
    page.lines.push_back({.at = entry->at,
                          .service = source->service,
                          .stream = entry->stream,
                          .text = entry->text,
                          .truncated = entry->truncated});
  return page;
}

LogPage LogRing::query(const LogQuery& query) {
  const std::lock_guard lock(mutex_);
  forget_expired();
  return collect(query, 0, true);
}

LogPage LogRing::follow(const LogQuery& query, std::uint64_t position, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (true) {
    LogPage page = collect(query, position, false);
    if (!page.lines.empty() || stop.stop_requested()) return page;
    position = page.position;  // looked at; do not look again
    arrived_.wait(lock, stop, [&] { return next_sequence_ > position; });
  }
}

std::string LogRing::tail_text(const std::string& deployment_id, std::size_t max_bytes) {
  const LogPage page = query({.deployment_id = deployment_id, .tail = max_bytes / 2 + 1});
  std::vector<std::string> lines;
  std::size_t bytes = 0;
  for (auto line = page.lines.rbegin(); line != page.lines.rend(); ++line) {
    std::string text = line->service + ": " + line->text + "\n";
    if (bytes + text.size() > max_bytes) break;
    bytes += text.size();
    lines.push_back(std::move(text));
  }
  std::string all;
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) all += *line;
  return all;
}

std::size_t LogRing::size_bytes() const {
  const std::lock_guard lock(mutex_);
  return total_bytes_;
}

}  // namespace ee::agent
