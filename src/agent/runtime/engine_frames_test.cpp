#include "agent/runtime/engine_frames.h"

#include <gtest/gtest.h>

namespace ee::agent {
namespace {

using namespace std::string_literals;

std::string frame(char stream, const std::string& content) {
  std::string header{stream, 0, 0, 0};
  for (const int shift : {24, 16, 8, 0}) header += static_cast<char>(content.size() >> shift & 0xff);
  return header + content;
}

const std::string kTime = "2026-11-23T00:36:14.439234631Z";
constexpr EngineTime kTimeNs = 1795394174439234631;

struct Seen {
  LogStream stream;
  EngineTime at;
  std::string text;
  bool truncated;
  bool operator==(const Seen&) const = default;
};

std::vector<Seen> decode(const std::string& bytes, std::size_t piece, bool* good = nullptr) {
  std::vector<Seen> seen;
  FrameDecoder decoder([&](const ContainerLogLine& line) {
    seen.push_back({line.stream, line.at, std::string(line.text), line.truncated});
  });
  bool ok = true;
  for (std::size_t at = 0; ok && at < bytes.size(); at += piece)
    ok = decoder.feed(std::string_view(bytes).substr(at, piece));
  if (ok) decoder.finish();
  if (good) *good = ok;
  return seen;
}

TEST(EngineFrames, S02_EEA_WL_005_lines_are_put_together_whatever_the_pieces) {
  const std::string bytes = frame(1, kTime + " one\n" + kTime + " two\n" + kTime + " thr") +
                            frame(2, kTime + " error\n") + frame(1, "ee\n") + frame(0, "") + frame(1, kTime + " \n") +
                            frame(1, "no time\n") + frame(2, kTime + " no end");
  const std::vector<Seen> wanted{{LogStream::out, kTimeNs, "one", false},   {LogStream::out, kTimeNs, "two", false},
                                 {LogStream::err, kTimeNs, "error", false}, {LogStream::out, kTimeNs, "three", false},
                                 {LogStream::out, kTimeNs, "", false},      {LogStream::out, kTimeNs, "no time", false},
                                 {LogStream::err, kTimeNs, "no end", false}};
  for (const std::size_t piece : {1UL, 2UL, 7UL, 8UL, 9UL, 64UL, 100'000UL})
    EXPECT_EQ(decode(bytes, piece), wanted) << piece;
}

TEST(EngineFrames, S02_EEA_WL_005_malformed_frames_end_the_stream) {
  const std::string good_one = frame(1, kTime + " one\n");
  for (const std::string& bad : {"\3\0\0\0\0\0\0\1x"s, "\1\1\0\0\0\0\0\1x"s, "\1\0\0\1\0\0\0\1x"s,
                                 "\1\0\0\0\0\x10\0\1x"s, "HTTP/1.1 200 OK\r\n"s, "\1\0\0\0\xff\xff\xff\xffx"s}) {
    for (const std::size_t piece : {1UL, 1000UL}) {
      bool good = true;
      EXPECT_EQ(decode(good_one + bad, piece, &good).size(), 1U);
      EXPECT_FALSE(good) << piece;
    }
  }
  bool good = false;
  EXPECT_TRUE(decode(frame(1, kTime + " one\n").substr(0, 5), 10, &good).empty());
  EXPECT_TRUE(good) << "a cut header is no malformed one";
}

TEST(EngineFrames, S02_EEA_LOG_002_long_lines_are_cut_in_bounded_memory) {
  // The engine cuts lines at 16 KiB itself, and puts a time in front of each part.
  const std::string part(16384, 'a');
  const auto seen =
      decode(frame(1, kTime + " " + part) + frame(1, kTime + " bbb\n") + frame(1, kTime + " next\n"), 4096);
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_EQ(seen[0].text, part);
  EXPECT_TRUE(seen[0].truncated);
  EXPECT_EQ(seen[1].text, "next");
  EXPECT_FALSE(seen[1].truncated);
  const auto exact = decode(frame(1, kTime + " " + part + "\n"), 4096);
  ASSERT_EQ(exact.size(), 1U);
  EXPECT_FALSE(exact[0].truncated);
}

TEST(EngineFrames, S02_EEA_LOG_002_a_cut_line_without_an_end_does_not_swallow_the_next) {
  // As docker 20.10 sends a line of 40,000 bytes from its log driver `local`, which drops the end of that line.
  const std::string part(16384, 'a');
  const std::string bytes = frame(1, kTime + " " + part) + frame(1, kTime + " " + part) + frame(1, kTime + " 7232") +
                            frame(1, "2026-11-23T00:36:15Z after\n") + frame(1, "2026-11-23T00:36:16Z cut") +
                            frame(1, "2026-11-23T00:36:16Z , goes on\n") + frame(1, "2026-11-23T00:36:17Z x") +
                            frame(1, "2026-11-23T") + frame(1, "00:36 no time\n");
  for (const std::size_t piece : {1UL, 9UL, 5000UL, 100'000UL}) {
    const auto seen = decode(bytes, piece);
    ASSERT_EQ(seen.size(), 4U) << piece;
    EXPECT_EQ(seen[0].text, part);
    EXPECT_TRUE(seen[0].truncated);
    EXPECT_EQ(seen[1].text, "after");
    EXPECT_FALSE(seen[1].truncated);
    EXPECT_EQ(seen[2].text, "cut, goes on");
    EXPECT_EQ(seen[3].text, "x2026-11-23T00:36 no time");
  }
}

TEST(EngineFrames, times) {
  EXPECT_EQ(parse_engine_time(kTime), kTimeNs);
  EXPECT_EQ(parse_engine_time("2026-11-23T02:36:14.439234631+02:00"), kTimeNs);
  EXPECT_EQ(parse_engine_time("1970-01-01T00:00:01Z"), 1'000'000'000);
  EXPECT_EQ(parse_engine_time("1970-01-01T00:00:00.5Z"), 500'000'000);
  EXPECT_EQ(since_text(kTimeNs), "1795394174.439234631");
  EXPECT_EQ(since_text(5), "0.000000005");
  for (const char* bad :
       {"", "2026-11-23", "0001-01-01T00:00:00Z", "2026-13-23T00:36:14Z", "2026-02-30T00:36:14Z", "2026-11-23T00:36:14",
        "2026-11-23T00:36:14.Z", "2026-11-23T00:36:14.1234567890Z", "2026-11-23T24:36:14Z", "2026-11-23T00:36:14+2:00",
        "2026-1 -23T00:36:14Z", "1970-01-01T00:00:00+01:00", "9999-12-31T00:00:00Z"})
    EXPECT_EQ(parse_engine_time(bad), std::nullopt) << bad;
}

}  // namespace
}  // namespace ee::agent
