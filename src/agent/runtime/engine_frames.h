#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "agent/runtime/container_runtime.h"

namespace ee::agent {

inline constexpr std::size_t kMaxFrameBytes = 1024UL * 1024;
inline constexpr std::size_t kMaxLogLineBytes = 16UL * 1024;

/// Takes the engine's log stream apart: frames (stream, three zero bytes, length as u32 big-endian, bytes), and in them
/// lines that each begin with an RFC 3339 time in nanoseconds and a blank. A line may span frames, a frame may hold
/// several lines. Source: Docker Engine API 1.41, ContainerAttach, "Stream format". The engine cuts lines over 16 KiB
/// and puts the line's time in front of each part; docker's log driver `local` then leaves out the end of the line, so
/// a frame that begins with another time begins another line.
///
/// Holds at most one cut line per stream: 2 x 16 KiB.
class FrameDecoder {
 public:
  explicit FrameDecoder(OnContainerLogLine on_line) : on_line_(std::move(on_line)) {}

  /// Takes the next bytes, in any pieces. False: the frames are malformed, and nothing more can be read from this
  /// stream.
  [[nodiscard]] bool feed(std::string_view bytes);
  /// At a proper end: hands out what has no line end.
  void finish();
  /// Of the last line that was handed out; 0 before.
  EngineTime last_at() const { return last_at_; }

 private:
  struct Line {
    std::string text = {};
    bool open = false;  ///< something of it has come
    bool truncated = false;
  };
  bool read_header();
  bool read_frame_start(std::string_view& content);
  void take(Line& line, LogStream stream, std::string_view bytes);
  void append(Line& line, std::string_view bytes);
  void hand_out(Line& line, LogStream stream);

  OnContainerLogLine on_line_;
  std::array<char, 8> header_{};
  std::size_t header_bytes_ = 0;
  std::size_t left_ = 0;  ///< of the frame's content
  LogStream stream_ = LogStream::out;
  bool at_frame_start_ = false;  ///< of a frame that follows an open line
  std::string frame_start_ = {};
  std::array<Line, 2> lines_{};
  EngineTime last_at_ = 0;
};

/// `2026-01-02T03:04:05.678901234Z` (one to nine digits behind the point, or none; `Z` or an offset) in nanoseconds of
/// Unix time; nothing when it is none, or outside 1970 to 2200.
std::optional<EngineTime> parse_engine_time(std::string_view text);
/// `<seconds>.<nanoseconds>`, as `since` wants it.
std::string since_text(EngineTime time);

}  // namespace ee::agent
