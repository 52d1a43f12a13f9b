#include "agent/runtime/engine_frames.h"

#include <fmt/format.h>

#include <algorithm>

namespace ee::agent {
namespace {

constexpr std::int64_t kNanosPerSecond = 1'000'000'000;
/// Longest time in front of a line, with the blank: `2026-01-02T03:04:05.678901234+00:00 `.
constexpr std::size_t kMaxTimeBytes = 36;
/// What a line may hold before it is cut: the time is taken off when it is handed out.
constexpr std::size_t kMaxKeptBytes = kMaxLogLineBytes + kMaxTimeBytes;

/// The time in front and what follows it.
std::pair<std::optional<EngineTime>, std::string_view> split_time(std::string_view text) {
  const std::size_t blank = text.substr(0, kMaxTimeBytes).find(' ');
  if (blank == std::string_view::npos) return {std::nullopt, text};
  const auto at = parse_engine_time(text.substr(0, blank));
  return {at, at ? text.substr(blank + 1) : text};
}

/// Decimal digits at `from`, or -1.
std::int64_t digits(std::string_view text, std::size_t from, std::size_t count) {
  std::int64_t value = 0;
  for (const char c : text.substr(from, count)) {
    if (c < '0' || c > '9') return -1;
    value = value * 10 + (c - '0');
  }
  return value;
}

/// Seconds east of UTC from `Z`, `+01:00`, `-01:00`.
std::optional<std::int64_t> offset_seconds(std::string_view text) {
  if (text == "Z") return 0;
  if (text.size() != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':') return std::nullopt;
  const std::int64_t hours = digits(text, 1, 2);
  const std::int64_t minutes = digits(text, 4, 2);
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return std::nullopt;
  return (text[0] == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
}

}  // namespace

std::optional<EngineTime> parse_engine_time(std::string_view text) {
  if (text.size() < 20 || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' || text[16] != ':')
    return std::nullopt;
  const auto year = digits(text, 0, 4);
  const auto month = digits(text, 5, 2);
  const auto day = digits(text, 8, 2);
  const auto hour = digits(text, 11, 2);
  const auto minute = digits(text, 14, 2);
  const auto second = digits(text, 17, 2);
  if (year < 1970 || year > 2200 || month < 1 || month > 12 || day < 1 || hour < 0 || hour > 23 || minute < 0 ||
      minute > 59 || second < 0 || second > 60)
    return std::nullopt;
  std::string_view rest = text.substr(19);
  std::int64_t nanos = 0;
  if (rest.front() == '.') {
    const std::size_t end = std::min(rest.find_first_not_of("0123456789", 1), rest.size());
    if (end < 2 || end > 10) return std::nullopt;
    nanos = digits(rest, 1, end - 1);
    for (std::size_t i = end - 1; i < 9; ++i) nanos *= 10;
    rest.remove_prefix(end);
  }
  const auto offset = offset_seconds(rest);
  const std::chrono::year_month_day date(std::chrono::year(static_cast<int>(year)),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day)));
  if (!offset || !date.ok()) return std::nullopt;
  const std::int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  const std::int64_t seconds = days * 86400 + hour * 3600 + minute * 60 + second - *offset;
  if (seconds < 0) return std::nullopt;
  return seconds * kNanosPerSecond + nanos;
}

std::string since_text(EngineTime time) {
  return fmt::format("{}.{:09}", time / kNanosPerSecond, time % kNanosPerSecond);
}

bool FrameDecoder::read_header() {
  header_bytes_ = 0;
  const auto byte = [this](std::size_t at) {
    return static_cast<std::uint32_t>(static_cast<unsigned char>(header_[at]));
  };
  if (byte(0) > 2 || byte(1) != 0 || byte(2) != 0 || byte(3) != 0) return false;
  left_ = byte(4) << 24 | byte(5) << 16 | byte(6) << 8 | byte(7);
  if (left_ > kMaxFrameBytes) return false;
  stream_ = byte(0) == 2 ? LogStream::err : LogStream::out;
  at_frame_start_ = left_ > 0 && lines_[static_cast<std::size_t>(stream_)].open;
  return true;
}

bool FrameDecoder::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    if (left_ == 0) {
      const std::size_t take_bytes = std::min(header_.size() - header_bytes_, bytes.size());
      std::ranges::copy(bytes.substr(0, take_bytes), header_.begin() + static_cast<std::ptrdiff_t>(header_bytes_));
      header_bytes_ += take_bytes;
      bytes.remove_prefix(take_bytes);
      if (header_bytes_ == header_.size() && !read_header()) return false;
      continue;
    }
    std::string_view content = bytes.substr(0, left_);
    left_ -= content.size();
    bytes.remove_prefix(content.size());
    if (at_frame_start_ && !read_frame_start(content)) continue;
    take(lines_[static_cast<std::size_t>(stream_)], stream_, content);
  }
  return true;
}

/// Gathers what may be a time in front of a frame that follows an open line, and takes it off `content`. False: more is
/// needed.
bool FrameDecoder::read_frame_start(std::string_view& content) {
  const std::size_t taken = std::min(content.size(), kMaxTimeBytes - frame_start_.size());
  frame_start_ += content.substr(0, taken);
  content.remove_prefix(taken);
  if (frame_start_.size() < kMaxTimeBytes && left_ > 0 && !frame_start_.contains(' ')) return false;
  Line& line = lines_[static_cast<std::size_t>(stream_)];
  const auto [at, text] = split_time(frame_start_);
  if (at && *at != split_time(line.text).first) hand_out(line, stream_);
  const bool goes_on = at && line.open;
  take(line, stream_, goes_on ? text : std::string_view(frame_start_));
  at_frame_start_ = false;
  frame_start_.clear();
  return true;
}

void FrameDecoder::take(Line& line, LogStream stream, std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    append(line, bytes.substr(0, end));
    if (end == std::string_view::npos) return;
    hand_out(line, stream);
    bytes.remove_prefix(end + 1);
  }
}

void FrameDecoder::append(Line& line, std::string_view bytes) {
  line.open = true;
  const std::size_t room = kMaxKeptBytes - line.text.size();
  line.truncated = line.truncated || bytes.size() > room;
  line.text += bytes.substr(0, room);
}

void FrameDecoder::hand_out(Line& line, LogStream stream) {
  auto [at, text] = split_time(line.text);
  if (at) last_at_ = *at;
  const bool cut = text.size() > kMaxLogLineBytes;
  on_line_(
      {.stream = stream, .at = last_at_, .text = text.substr(0, kMaxLogLineBytes), .truncated = line.truncated || cut});
  line.text.clear();
  line.open = false;
  line.truncated = false;
}

void FrameDecoder::finish() {
  for (const LogStream stream : {LogStream::out, LogStream::err})
    if (Line& line = lines_[static_cast<std::size_t>(stream)]; line.open) hand_out(line, stream);
}

}  // namespace ee::agent
