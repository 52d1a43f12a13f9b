#include "agent/runtime/log_ring.h"

#include <gtest/gtest.h>

#include <thread>

#include "agent/runtime/fake_runtime.h"
#include "agent/runtime/log_collectors.h"
#include "common/fake_clock.h"
#include "common/utf8.h"

namespace ee::agent {
namespace {

using namespace std::chrono_literals;

const LogSource kWeb{.deployment_id = "d1", .service = "web"};
const LogSource kDb{.deployment_id = "d1", .service = "db"};
constexpr EngineTime kSecond = 1'000'000'000;

ContainerLogLine line(std::string_view text, EngineTime at = 0, LogStream stream = LogStream::out) {
  return {.stream = stream, .at = at, .text = text};
}

std::vector<std::string> texts(const LogPage& page) {
  std::vector<std::string> all;
  for (const LogLine& each : page.lines) all.push_back(each.text);
  return all;
}

// covers: S02_EEA_LOG_001
TEST(LogRing, S02_EEA_LOG_001_the_oldest_lines_go_and_are_counted) {
  FakeClock clock;
  const std::size_t cost = 100 + kLogLineCost;
  LogRing ring(clock, {.source_bytes = 10 * cost, .total_bytes = 15 * cost});
  const std::string text(99, 'x');
  for (int i = 0; i < 10; ++i) ring.append(kWeb, line(text + std::to_string(i)));
  EXPECT_EQ(ring.query({}).dropped, 0);
  EXPECT_EQ(ring.size_bytes(), 10 * cost);
  ring.append(kWeb, line(text + "a"));
  const LogPage page = ring.query({});
  EXPECT_EQ(page.dropped, 1);
  ASSERT_EQ(page.lines.size(), 10U);
  EXPECT_TRUE(page.lines.front().text.ends_with('1'));
  EXPECT_TRUE(page.lines.back().text.ends_with('a'));
  // The bound of all: the oldest line of any service goes.
  for (int i = 0; i < 8; ++i) ring.append(kDb, line(text + "b"));
  EXPECT_EQ(ring.size_bytes(), 15 * cost);
  EXPECT_EQ(ring.query({.service = "web"}).lines.size(), 7U);
  EXPECT_EQ(ring.query({.service = "web"}).dropped, 4);
  EXPECT_EQ(ring.query({.service = "db"}).dropped, 0);
  // What is never kept at all has a bound too.
  LogRing few(clock, {.sources = 1});
  few.append(kWeb, line("one"));
  few.append(kDb, line("two"));
  EXPECT_EQ(texts(few.query({})), std::vector<std::string>{"one"});
  EXPECT_EQ(few.query({}).dropped, 1);
}

TEST(LogRing, S02_EEA_LOG_001_lines_are_kept_an_hour_after_the_stop) {
  FakeClock clock;
  LogRing ring(clock);
  ring.append(kWeb, line("gone soon"));
  ring.append({.deployment_id = "d2", .service = "web"}, line("stays"));
  ring.mark_stopped("d1");
  clock.advance(3599s);
  EXPECT_EQ(ring.query({.deployment_id = "d1"}).lines.size(), 1U);
  EXPECT_EQ(ring.tail_text("d1", 100), "web: gone soon\n");
  clock.advance(1s);
  EXPECT_EQ(texts(ring.query({})), std::vector<std::string>{"stays"});
  EXPECT_EQ(ring.size_bytes(), 5 + kLogLineCost);
}

// covers: S02_EEA_LOG_002
TEST(LogRing, S02_EEA_LOG_002_a_long_line_is_cut_and_marked) {
  FakeClock clock;
  LogRing ring(clock);
  ring.append(kWeb, line(std::string(16384, 'a')));
  ring.append(kWeb, line(std::string(16385, 'b')));
  ring.append(kWeb, line(std::string(16383, 'c') + "\xc3\xa4"));  // the last character does not fit whole
  ring.append(kWeb, {.text = "cut before", .truncated = true});
  const LogPage page = ring.query({});
  EXPECT_FALSE(page.lines[0].truncated);
  EXPECT_TRUE(page.lines[1].truncated);
  EXPECT_EQ(page.lines[1].text.size(), 16384U);
  EXPECT_TRUE(page.lines[2].truncated);
  EXPECT_EQ(page.lines[2].text.size(), 16383U);
  EXPECT_TRUE(page.lines[3].truncated);
}

// covers: S02_EEA_LOG_003
TEST(LogRing, S02_EEA_LOG_003_bytes_become_text) {
  using namespace std::string_literals;
  const auto clean = [](const std::string& text) { return clean_log_line(text, 1000).first; };
  EXPECT_EQ(clean("plain \xc3\xa4 \xf0\x9f\x98\x80\ttab"), "plain \xc3\xa4 \xf0\x9f\x98\x80\ttab");
  EXPECT_EQ(clean("a\xff\xfe"
                  "b"),
            "a\xef\xbf\xbd\xef\xbf\xbd"
            "b");
  EXPECT_EQ(clean("\xc3"), "\xef\xbf\xbd");
  EXPECT_EQ(clean("\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");  // a lone surrogate
  EXPECT_EQ(clean("\x1b[31mred\r\x7f\0end"s), "\\u001b[31mred\\u000d\\u007f\\u0000end");
  EXPECT_EQ(clean("\xc2\x9b"
                  "31m"),
            "\\u009b31m");  // CSI as one C1 character
  for (int byte = 0; byte < 256; ++byte) {
    const std::string kept = clean(std::string(3, static_cast<char>(byte)));
    EXPECT_TRUE(is_utf8(kept));
    EXPECT_EQ(kept.find_first_of("\x1b\r\n\x7f"), std::string::npos);
  }
}

// covers: S02_EEA_LOG_004
TEST(LogRing, S02_EEA_LOG_004_what_comes_too_fast_is_counted_not_kept) {
  FakeClock clock;
  LogRing ring(clock);
  for (int i = 0; i < 10'050; ++i) ring.append(kWeb, line("x"));
  ring.append(kDb, line("another service has its own rate"));
  EXPECT_EQ(ring.query({.service = "web"}).dropped, 50);
  EXPECT_EQ(ring.query({.service = "db"}).dropped, 0);
  clock.advance(999ms);
  ring.append(kWeb, line("still too soon"));
  EXPECT_EQ(ring.query({.service = "web"}).dropped, 51);
  clock.advance(1ms);
  ring.append(kWeb, line("next second"));
  EXPECT_EQ(ring.query({.service = "web"}).dropped, 51);
  EXPECT_EQ(ring.query({.service = "web", .tail = 1}).lines.front().text, "next second");
  // 4 MiB in a second.
  clock.advance(1s);
  LogRing bytes(clock, {.source_bytes = 64UL << 20, .total_bytes = 64UL << 20});
  for (int i = 0; i < 260; ++i) bytes.append(kWeb, line(std::string(16384, 'x')));
  EXPECT_EQ(bytes.query({}).dropped, 4);
}

TEST(LogRing, S02_EEA_LOG_queries) {
  FakeClock clock;
  LogRing ring(clock);
  ring.append(kWeb, line("alpha", 10 * kSecond));
  ring.append(kDb, line("beta", 11 * kSecond, LogStream::err));
  ring.append(kWeb, line("gamma", 12 * kSecond));
  ring.append({.deployment_id = "d2", .service = "web"}, line("other", 13 * kSecond));
  using Texts = std::vector<std::string>;
  EXPECT_EQ(texts(ring.query({})), (Texts{"alpha", "beta", "gamma", "other"}));
  EXPECT_EQ(texts(ring.query({.tail = 2})), (Texts{"gamma", "other"}));
  EXPECT_EQ(texts(ring.query({.deployment_id = "d1"})), (Texts{"alpha", "beta", "gamma"}));
  EXPECT_EQ(texts(ring.query({.deployment_id = "d1", .service = "web"})), (Texts{"alpha", "gamma"}));
  EXPECT_EQ(texts(ring.query({.stream = LogStream::err})), (Texts{"beta"}));
  EXPECT_EQ(texts(ring.query({.contains = "amm"})), (Texts{"gamma"}));
  EXPECT_EQ(texts(ring.query({.since = from_unix_ms(11'000), .until = from_unix_ms(13'000)})),
            (Texts{"beta", "gamma"}));
  EXPECT_EQ(ring.tail_text("d1", 24), "db: beta\nweb: gamma\n");
  EXPECT_EQ(ring.tail_text("d3", 24), "");
}

TEST(LogRing, S02_EEA_LOG_followers_see_each_line_once) {
  FakeClock clock;
  LogRing ring(clock);
  ring.append(kWeb, line("before"));
  LogPage page = ring.query({.service = "web"});
  std::vector<std::string> seen;
  std::stop_source stop;
  std::jthread follower([&] {
    while (!stop.stop_requested()) {
      page = ring.follow({.service = "web", .tail = 2}, page.position, stop.get_token());
      for (const LogLine& each : page.lines) seen.push_back(each.text);
      if (seen.size() == 5) return;
    }
  });
  ring.append(kDb, line("not asked for"));
  for (const char* text : {"1", "2", "3", "4", "5"}) ring.append(kWeb, line(text));
  follower.join();
  EXPECT_EQ(seen, (std::vector<std::string>{"1", "2", "3", "4", "5"}));
  stop.request_stop();
  EXPECT_TRUE(ring.follow({.service = "web"}, page.position, stop.get_token()).lines.empty());
}

TEST(LogCollectors, S02_EEA_LOG_lines_survive_restarts_and_failures) {
  FakeClock clock;
  FakeRuntime runtime(clock, "i");
  runtime.add_image("r@sha256:1", {.info = {}, .program = {.lines = {{LogStream::out, "hello"}}, .exits_with = 0}},
                    true);
  LogRing ring(clock);
  LogCollectors collectors(runtime, ring, clock);
  const std::string id = runtime.create({.name = "c", .body = R"({"Image":"r@sha256:1"})"}, {}).value();
  for (int run = 0; run < 3; ++run) {
    ASSERT_TRUE(runtime.start(id, {}).has_value());
    collectors.attach(kWeb, id);
    collectors.drain(id, {});
  }
  EXPECT_EQ(texts(ring.query({})), (std::vector<std::string>{"hello", "hello", "hello"}));
  // The engine is away for a while: nothing is lost, nothing comes twice.
  runtime.fail_next(FakeRuntime::Call::logs, {.failure = RuntimeFailure::unavailable}, 1);
  ASSERT_TRUE(runtime.start(id, {}).has_value());
  collectors.attach(kWeb, id);
  clock.wait_for_sleepers(1);
  clock.advance(5s);
  collectors.drain(id, {});
  EXPECT_EQ(ring.query({}).lines.size(), 4U);
  // A container that runs on does not hold anybody up.
  runtime.add_image("r@sha256:2", {}, true);
  const std::string runs = runtime.create({.name = "d", .body = R"({"Image":"r@sha256:2"})"}, {}).value();
  ASSERT_TRUE(runtime.start(runs, {}).has_value());
  collectors.attach(kDb, runs);
  collectors.detach(runs);
  collectors.detach(runs);
  std::stop_source stop;
  stop.request_stop();
  collectors.attach(kDb, runs);
  collectors.drain(runs, stop.get_token());
}

}  // namespace
}  // namespace ee::agent
