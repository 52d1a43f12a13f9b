#include "common/log.h"

#include <gtest/gtest.h>

#include <boost/json/value.hpp>
#include <condition_variable>
#include <thread>

#include "common/fake_log.h"
#include "common/json.h"

namespace ee::log {
namespace {

// covers: S05_OPS_05 (line shape)
TEST(Log, WritesOneJsonLineWithTheAgreedMembers) {
  CaptureLogs logs;
  {
    Context context{.request_id = "req-12345678", .account_id = "acc", .agent_id = "agt", .job = "sweeper"};
    context.set_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    const ContextScope scope(context);
    info("registration", "agent registered",
         {{"count", 3},
          {"ok", true},
          {"name", "vm-1"},
          {"seen_at", from_unix_ms(0)},
          {"code", ErrorCode::nonce_expired},
          {"none", std::optional<int>{}}});
  }
  EXPECT_EQ(
      logs->lines().at(0),
      R"({"at":"2026-01-01T00:00:00.000Z","level":"info","component":"registration","message":"agent registered",)"
      R"("request_id":"req-12345678","trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331",)"
      R"("account_id":"acc","agent_id":"agt","job":"sweeper","replica":"test","fields":{"count":3,"ok":true,)"
      R"("name":"vm-1","seen_at":"1970-01-01T00:00:00.000Z","code":"nonce_expired","none":null}})");
}

TEST(Log, LeavesOutWhatDoesNotApply) {
  CaptureLogs logs;
  warn("start", "no request");
  EXPECT_EQ(
      logs->lines().at(0),
      R"({"at":"2026-01-01T00:00:00.000Z","level":"warn","component":"start","message":"no request","request_id":null,)"
      R"("trace_id":null,"span_id":null,"replica":"test","fields":{}})");
}

TEST(Log, WritesTextOnOneLineWhenAsked) {
  Record record{
      .at = from_unix_ms(1767225600000), .level = Level::warn, .component = "db", .message = "slow\nwrite\x1b[31m"};
  record.context.request_id = "req-1";
  record.fields = {{"ms", std::int64_t{12}}, {"sql", std::string("a b")}};
  EXPECT_EQ(format_line(record, Format::text),
            "2026-01-01T00:00:00.000Z warn  db: slow\\nwrite\\u001b[31m ms=12 sql=\"a b\" request_id=req-1");
}

TEST(Log, KeepsWhatIsBelowTheLevelOut) {
  CaptureLogs logs(Level::warn);
  info("a", "hidden");
  EXPECT_FALSE(enabled(Level::info));
  EXPECT_TRUE(enabled(Level::warn));
  error("a", "shown");
  EXPECT_EQ(logs->lines().size(), 1U);
}

TEST(Log, ChangesItsLevelWhileRunning) {
  FakeClock clock;
  auto sink = std::make_shared<FakeLogSink>();
  Logger logger({.queue_size = 0}, {sink}, clock);
  logger.write(Level::debug, "a", "hidden", {});
  logger.set_level(Level::debug);
  logger.write(Level::debug, "a", "shown", {});
  EXPECT_EQ(sink->records().size(), 1U);
}

TEST(Log, GoesNowhereWithoutALogger) {
  Logger* before = install(nullptr);
  error("a", "nobody listens");
  EXPECT_FALSE(enabled(Level::error));
  install(before);
}

TEST(LogContext, NestsAndCanLearn) {
  CaptureLogs logs;
  EXPECT_EQ(ContextScope::current(), nullptr);
  const ContextScope outer(Context{.request_id = "outer-1234"});
  {
    const ContextScope inner(Context{.request_id = "inner-1234"});
    ContextScope::current()->account_id = "acc";
    info("a", "inside");
  }
  info("a", "outside");
  EXPECT_EQ(logs->records().at(0).context.request_id, "inner-1234");
  EXPECT_EQ(logs->records().at(0).context.account_id, "acc");
  EXPECT_EQ(logs->records().at(1).context.request_id, "outer-1234");
  EXPECT_EQ(logs->records().at(1).context.account_id, "");
}

TEST(LogContext, IgnoresAMalformedTraceparent) {
  for (const std::string_view header : {"", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
                                        "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                                        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
                                        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
                                        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
                                        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x"}) {
    Context context;
    context.set_traceparent(header);
    EXPECT_EQ(context.trace_id + context.span_id, "") << header;
  }
}

// Secrets by name and by shape, in every place that a record has.
// covers: S04_AUTH_RED_001 (logs), S05_OPS_05 (redaction corpus)
TEST(LogRedaction, KeepsSecretsOutOfEveryPlace) {
  const std::vector<std::string> secrets = {
      "ee_live_abcdefghijklmnop_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg2pz6nI",
      "ee_sess_abcdefghijklmnop_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg2pz6nI",
      "ee_agent_abcdefghijklmnop_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg2pz6nI",
      "ee_boot_abcdefghijklmnop_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg2pz6nI",
      "ee_enroll_abcdefghijklmnop_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg2pz6nI",
      "ee_svc_abcdefghijklmnop_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg2pz6nI",
      "ee_meas_abcdefghijklmnop_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg2pz6nI",
      "eyJhbGciOiJQUzM4NCJ9.eyJ0ZHhfbXJ0ZCI6IjAwIn0.c2lnbmF0dXJlLWJ5dGVz",
      "sk_live_51HCOXXAaYYbbiuYYuu990011",
      "rk_test_51HCOXXAaYYbbiuYYuu990011",
      "whsec_uNdErScOrEd0123456789",
      "pi_3MtwBwLkdIwHu7ix28a3tqPa_secret_YrKJUKribcBjcG8HVhfZluoGH",
      "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
      "$argon2id$v=19$m=65536,t=3,p=1$AAECAwQFBgc$OQhEq4A3RBJxfw9Dfk8Sm3LSZ5Zttu8v4tn",
      "ya29.a0AfH6SMBx-abcdefghij_klmnop",
      "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAABAgMEBQYH\n-----END PRIVATE KEY-----"};
  for (const Format format : {Format::json, Format::text}) {
    FakeClock clock;
    auto sink = std::make_shared<FakeLogSink>();
    Logger logger({.level = Level::trace, .format = format, .queue_size = 0}, {sink}, clock);
    for (const std::string& secret : secrets) {
      const ContextScope scope(Context{.request_id = secret, .account_id = secret, .agent_id = secret, .job = secret});
      logger.write(Level::error, "c", "failed with " + secret,
                   {{"header", secret}, {"url", "https://h/?x=" + secret}, {secret, 1}});
    }
    for (const char* name : {"authorization", "token", "secret", "password", "api_key", "cookie", "private_key", "jwt",
                             "nonce", "tunnel_token", "X-CSRF-Token"})
      logger.write(Level::info, "c", "m", {{name, "hunter2-of-no-known-shape"}});
    EXPECT_FALSE(sink->contains("hunter2"));
    for (const std::string& secret : secrets) {
      const std::string tail = secret.substr(secret.size() < 60 ? secret.size() - 12 : 40, 12);
      EXPECT_FALSE(sink->contains(tail)) << secret;
      for (const Record& record : sink->records()) EXPECT_EQ(record.message.find(tail), std::string::npos);
    }
  }
}

TEST(LogLine, IsCutToItsLimitAndSaysSo) {
  CaptureLogs logs;
  const std::string worst(40000, '\x01');  // six bytes each, once escaped
  info("c", std::string(20000, 'm'));
  info("c", worst, {{"a", worst}, {"b", "\xF0\x9F\x98\x80" + worst}});
  info("c", "fits", {{"a", std::string(6000, 'x')}});
  for (const std::string& line : logs->lines()) {
    EXPECT_LE(line.size(), kMaxLine);
    EXPECT_TRUE(json::parse(line)) << line.substr(0, 100);
  }
  const auto lines = logs->lines();
  EXPECT_NE(lines.at(0).find("\"truncated\":true"), std::string::npos);
  EXPECT_NE(lines.at(1).find("\"truncated\":true"), std::string::npos);
  EXPECT_EQ(lines.at(2).find("truncated"), std::string::npos);
}

TEST(LogLine, StaysWithinItsLimitWithManyFields) {
  Record record{.at = from_unix_ms(0), .component = "c", .message = "m"};
  for (int i = 0; i < 500; ++i)
    record.fields.emplace_back(std::to_string(i) + std::string(300, '\x02'), std::string(300, '\x03'));
  const std::string line = format_line(record, Format::json);
  EXPECT_LE(line.size(), kMaxLine);
  EXPECT_TRUE(json::parse(line));
  EXPECT_TRUE(record.truncated);
}

TEST(LogLine, HasEachFieldOnce) {
  CaptureLogs logs;
  info("c", "m", {{"a", 1}, {"b", 2}, {"a", 3}});
  EXPECT_NE(logs->lines().at(0).find(R"("fields":{"a":1,"b":2},"truncated":true)"), std::string::npos)
      << logs->lines().at(0);
}

/// Holds every write back until told.
class GateSink final : public Sink {
 public:
  void write(const Record& record, std::string_view) override {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return open_; });
    messages_.push_back(record.message);
  }
  void wait_for_arrival() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return arrived_ > 0; });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  std::vector<std::string> messages() {
    const std::lock_guard lock(mutex_);
    return messages_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  int arrived_ = 0;
  std::vector<std::string> messages_;
};

TEST(LogQueue, DropsInfoWhenFullAndTellsHowMany) {
  FakeClock clock;
  auto gate = std::make_shared<GateSink>();
  Logger logger({.queue_size = 2, .warn_wait = Milliseconds(0)}, {gate}, clock);
  logger.write(Level::info, "c", "first", {});
  gate->wait_for_arrival();  // the writer holds it; the queue is empty
  for (const char* message : {"second", "third", "lost", "lost"}) logger.write(Level::info, "c", message, {});
  logger.write(Level::error, "c", "lost", {});  // waits for nothing here
  EXPECT_EQ(logger.dropped(), 3U);
  gate->open();
  logger.flush();
  EXPECT_EQ(gate->messages(), (std::vector<std::string>{"first", "log records were dropped", "second", "third"}));
}

TEST(LogQueue, MakesAWarningWaitForRoom) {
  FakeClock clock;
  auto gate = std::make_shared<GateSink>();
  Logger logger({.queue_size = 1, .warn_wait = std::chrono::minutes(5)}, {gate}, clock);
  logger.write(Level::info, "c", "first", {});
  gate->wait_for_arrival();
  logger.write(Level::info, "c", "second", {});
  std::jthread warner([&] { logger.write(Level::warn, "c", "important", {}); });
  gate->open();
  warner.join();
  logger.flush();
  EXPECT_EQ(gate->messages(), (std::vector<std::string>{"first", "second", "important"}));
  EXPECT_EQ(logger.dropped(), 0U);
}

TEST(LogQueue, WritesEverythingOfManyThreadsBeforeItEnds) {
  FakeClock clock;
  auto sink = std::make_shared<FakeLogSink>();
  {
    Logger logger({.queue_size = 8192}, {sink}, clock);
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 4; ++thread)
      threads.emplace_back([&] {
        for (int i = 0; i < 1000; ++i) logger.write(Level::info, "c", "m", {{"i", i}});
      });
    threads.clear();
  }
  EXPECT_EQ(sink->records().size(), 4000U);
}

}  // namespace
}  // namespace ee::log
