// The engine's log stream. The first byte says in what pieces the rest arrives, which must not matter.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "agent/runtime/engine_frames.h"
#include "agent/runtime/log_ring.h"
#include "common/require.h"
#include "common/utf8.h"

namespace {

using namespace ee::agent;
using ee::require;

struct Line {
  LogStream stream;
  EngineTime at;
  std::string text;
  bool truncated;
  bool operator==(const Line&) const = default;
};

struct Outcome {
  std::vector<Line> lines = {};
  bool good = true;
  bool operator==(const Outcome&) const = default;
};

Outcome decode(std::string_view bytes, std::size_t piece) {
  Outcome outcome;
  FrameDecoder decoder([&](const ContainerLogLine& line) {
    require(line.text.size() <= kMaxLogLineBytes && line.text.find('\n') == std::string_view::npos);
    outcome.lines.push_back(
        {.stream = line.stream, .at = line.at, .text = std::string(line.text), .truncated = line.truncated});
  });
  for (std::size_t at = 0; outcome.good && at < bytes.size(); at += piece)
    outcome.good = decoder.feed(bytes.substr(at, piece));
  if (outcome.good) decoder.finish();
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t piece = data[0] % 16 + 1;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Outcome whole = decode(bytes, std::max<std::size_t>(bytes.size(), 1));
  require(decode(bytes, piece) == whole);
  for (const Line& line : whole.lines) {
    const auto [clean, cut] = clean_log_line(line.text, 1024);
    require(clean.size() <= 1024 && ee::is_utf8(clean));
    require(clean.find_first_of(std::string_view("\x1b\r\n\x7f\0", 5)) == std::string::npos);
  }
  if (const auto time = parse_engine_time(bytes); time) require(*time >= 0 && !since_text(*time).empty());
  return 0;
}
