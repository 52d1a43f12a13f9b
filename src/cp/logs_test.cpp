// The control plane's own log: listing, following (03 section 10.1), and the events of a deployment as a stream.
#include <boost/json.hpp>
#include <thread>

#include "common/log.h"
#include "cp/deployment_fixture.h"
#include "cp/http/log_source.h"
#include "cp/service/log_buffer.h"
#include "tests/support/event_reader.h"

namespace ee::testing {
namespace {

using cp::LogBuffer;
using cp::LogSource;

/// Written to as a process's logger would; installed, so that what the control plane logs is there as well.
struct KeptLogs {
  explicit KeptLogs(FakeClock& clock, std::size_t records)
      : buffer(std::make_shared<LogBuffer>(records)),
        logger({.level = log::Level::debug, .queue_size = 0}, {buffer}, clock),
        before(log::install(&logger)) {}
  KeptLogs(const KeptLogs&) = delete;
  KeptLogs& operator=(const KeptLogs&) = delete;
  ~KeptLogs() { log::install(before); }

  std::shared_ptr<LogBuffer> buffer;
  log::Logger logger;
  log::Logger* before;
};

/// The logger is there before the control plane and after it.
struct KeptLogsFirst {
  FakeClock log_clock;
  KeptLogs kept{log_clock, 5000};
};

class LogsTest : public KeptLogsFirst, public DeploymentFixture {
 protected:
  LogsTest()
      : DeploymentFixture([this] {
          auto wanted = options();
          wanted.logs = kept.buffer;
          return wanted;
        }()) {
    token = cp.admin_token();
  }
  static constexpr const char* kPath = "/api/v1/logs/control-plane";

  void write(const std::string& message, log::Fields fields = {}, log::Level level = log::Level::info) {
    log_clock.advance(Milliseconds(10));
    kept.logger.write(level, "test", message, fields);
  }
  TestAnswer list(const std::string& query) { return as(token, "GET", std::string(kPath) + query); }
  boost::json::value page(const std::string& query) {
    const TestAnswer answer = list(query);
    EXPECT_EQ(answer.status, 200) << answer.body;
    return body_of(answer);
  }
  std::vector<std::string> messages(const std::string& query) {
    std::vector<std::string> out;
    for (const auto& item : page(query).at("items").as_array()) out.push_back(text(item, "message"));
    return out;
  }
  EventReader follow(const std::string& fields = {}, const std::string& query = "?component=test") {
    return EventReader(cp.app().port(), kPath + query, token, fields);
  }
  /// Follows and waits until the stream is there.
  EventReader followed(const std::string& fields = {}, const std::string& query = "?component=test") {
    EventReader reader = follow(fields, query);
    EXPECT_TRUE(reader.wait_for("\r\n\r\n"));
    return reader;
  }
  std::string replica() { return text(page(""), "replica_id"); }
  std::string id_of(std::uint64_t seq) { return "id: " + replica_ + ":" + std::to_string(seq) + "\n"; }

  std::string token;
  std::string replica_;
  using Texts = std::vector<std::string>;
};

// covers: S03_LOG_001
TEST_F(LogsTest, S03_LOG_001_lists_by_filter_and_page) {
  const std::string deployment = "0190a000-0000-7000-8000-0000000000d1";
  const std::string agent = "0190a000-0000-7000-8000-0000000000a1";
  write("quiet", {}, log::Level::debug);
  write("one", {{"deployment_id", deployment}});
  write("two", {{"agent_id", agent}}, log::Level::warn);
  write("three", {{"size", 7}}, log::Level::error);
  const std::string mine = "?component=test&order=asc";
  EXPECT_EQ(messages(mine), (Texts{"one", "two", "three"}));
  EXPECT_EQ(messages("?component=test"), (Texts{"three", "two", "one"})) << "newest first";
  EXPECT_EQ(messages(mine + "&min_level=debug"), (Texts{"quiet", "one", "two", "three"}));
  EXPECT_EQ(messages(mine + "&min_level=error"), (Texts{"three"}));
  EXPECT_EQ(messages(mine + "&deployment_id=" + deployment), (Texts{"one"}));
  EXPECT_EQ(messages(mine + "&agent_id=" + agent), (Texts{"two"}));
  EXPECT_EQ(messages(mine + "&q=thr"), (Texts{"three"}));
  EXPECT_EQ(messages(mine + "&request_id=none-of-them"), Texts{});
  EXPECT_EQ(messages(mine + "&since=2026-01-01T00:00:00.030Z"), (Texts{"two", "three"}));
  EXPECT_EQ(messages(mine + "&until=2026-01-01T00:00:00.030Z"), (Texts{"one"}));
  EXPECT_EQ(messages(mine + "&since=7d"), (Texts{"one", "two", "three"}));

  const auto first = page(mine + "&limit=2");
  ASSERT_EQ(first.at("items").as_array().size(), 2U);
  EXPECT_EQ(first.at("dropped").as_int64(), 0);
  EXPECT_EQ(first.at("items").at(1).at("fields").at("agent_id").as_string(), agent);
  const std::string cursor = text(first, "next_cursor");
  EXPECT_EQ(messages(mine + "&limit=2&cursor=" + cursor), (Texts{"three"}));
  EXPECT_EQ(list("?order=desc&cursor=" + cursor).code(), "invalid_cursor") << "of the other direction";
  EXPECT_TRUE(page(mine + "&limit=3").at("next_cursor").is_null());

  for (const char* bad :
       {"?min_level=loud", "?since=yesterday", "?until=5", "?since=-5m", "?since=99999999d", "?limit=0", "?limit=1001",
        "?limit=x", "?order=up", "?agent_id=7", "?deployment_id=..", "?level=info", "?follow=maybe", "?q=%zz"}) {
    EXPECT_EQ(list(bad).status, 400) << bad;
    EXPECT_EQ(list(bad).code(), "invalid_request") << bad;
  }
  EXPECT_EQ(list("?q=" + std::string(201, 'x')).code(), "invalid_request");
  EXPECT_EQ(list("?q=" + std::string(200, 'x')).status, 200);
  for (int i = 0; i < 5100; ++i) write("flood");
  EXPECT_GE(page("").at("dropped").as_int64(), 100);
}

TEST_F(LogsTest, IsForAdministrators) {
  EXPECT_EQ(cp.call("GET", kPath).status, 401);
  EXPECT_EQ(as(account.key, "GET", kPath).code(), "admin_required");
  EXPECT_EQ(as(sign_in(7, "ada"), "GET", kPath).code(), "admin_required");
}

// A secret that reaches the log by any way is in no answer.
// covers: S03_LOG_002 (answers, followers)
TEST_F(LogsTest, S03_LOG_002_no_secret_is_answered) {
  const std::string tail = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg2pz6nI";
  EventReader reader = followed();
  for (const std::string kind : {"live", "sess", "agent", "svc", "meas", "boot", "enroll"}) {
    const std::string secret = "ee_" + kind + "_abcdefghijklmnop_" + tail;
    write("failed with " + secret, {{"header", secret}, {secret, 1}});
  }
  write("a token eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0." + tail, {{"password", tail}, {"nonce", tail}});
  write("-----BEGIN PRIVATE KEY-----\n" + tail + "\n-----END PRIVATE KEY-----");
  write("last");
  const std::string listed = list("?component=test&limit=1000").body;
  EXPECT_NE(listed.find("last"), std::string::npos);
  EXPECT_EQ(listed.find(tail.substr(20)), std::string::npos) << listed;
  ASSERT_TRUE(reader.wait_for("last"));
  EXPECT_EQ(reader.text().find(tail.substr(20)), std::string::npos);
  // Control characters stay within their record.
  write("a\nline\r\n\r\ndata: forged");
  ASSERT_TRUE(reader.wait_for("forged"));
  EXPECT_NE(reader.text().find(R"(a\nline\r\n\r\ndata: forged)"), std::string::npos);
}

// covers: S03_LOG_003 (resume, gap)
TEST_F(LogsTest, S03_LOG_003_follows_resumes_and_tells_of_gaps) {
  replica_ = replica();
  write("before");
  EventReader live = followed();
  write("one");
  ASSERT_TRUE(live.wait_for("\"one\""));
  EXPECT_NE(live.text().find("Content-Type: text/event-stream"), std::string::npos);
  EXPECT_EQ(live.text().find("before"), std::string::npos) << "what comes, not what was";
  const std::uint64_t seq = kept.buffer->next_seq() - 1;
  EXPECT_NE(live.text().find(id_of(seq)), std::string::npos);
  write("other component", {});
  live.close();

  write("two");
  write("three");
  EventReader again = followed("Last-Event-ID: " + replica_ + ":" + std::to_string(seq) + "\r\n");
  ASSERT_TRUE(again.wait_for("\"three\""));
  EXPECT_EQ(again.count("\"two\""), 1U);
  EXPECT_EQ(again.count("\"one\""), 0U);
  EXPECT_EQ(again.count("event: gap"), 0U);

  EventReader from_the_start = followed({}, "?component=test&follow=true&since=1h");
  ASSERT_TRUE(from_the_start.wait_for("\"three\""));
  EXPECT_EQ(from_the_start.count("\"before\""), 1U);

  // Of another replica; of a number that never was; of a record that is no longer kept.
  for (const std::string& id : {std::string("0190a000-0000-7000-8000-000000000001:5"), replica_ + ":99999999",
                                replica_ + ":x", std::string("nonsense")}) {
    EventReader lost = followed("Last-Event-ID: " + id + "\r\n");
    ASSERT_TRUE(lost.wait_for("event: gap")) << id;
    write("live " + id);
    ASSERT_TRUE(lost.wait_for("live " + id));
    EXPECT_EQ(lost.count("\"two\""), 0U);
  }
  for (int i = 0; i < 5001; ++i) write("flood", {}, log::Level::debug);
  EventReader late = followed("Last-Event-ID: " + replica_ + ":" + std::to_string(seq) + "\r\n");
  ASSERT_TRUE(late.wait_for("event: gap"));
}

// covers: S03_LOG_003 (slow reader)
TEST_F(LogsTest, S03_LOG_003_a_slow_reader_gets_a_gap_and_the_newest) {
  LogBuffer buffer(5000);
  LogSource source(buffer, {}, "r", "");
  std::string out;
  EXPECT_EQ(source.pull(out, 1000), cp::EventSource::State::waiting);
  for (int i = 1; i <= 2500; ++i)
    buffer.write({.at = from_unix_ms(0), .level = log::Level::info, .component = "c", .message = std::to_string(i)},
                 "");
  std::size_t events = 0;
  for (auto state = cp::EventSource::State::more; state == cp::EventSource::State::more;) {
    out.clear();
    state = source.pull(out, 1000);
    EXPECT_LT(out.size(), 2000U);
    if (events == 0) {
      EXPECT_TRUE(out.starts_with("event: gap\ndata: {\"dropped\":1500}\n\n")) << out;
      EXPECT_NE(out.find("id: r:1501\n"), std::string::npos);
    }
    for (std::size_t at = out.find("id: "); at != std::string::npos; at = out.find("id: ", at + 1)) ++events;
  }
  EXPECT_EQ(events, 1000U);

  // The same over a connection that is not read: what the process holds for it stays small, others go on.
  EventReader slow = followed();
  EventReader quick = followed();
  log::Record big{.at = from_unix_ms(0), .level = log::Level::info, .component = "test", .message = "m"};
  big.fields.emplace_back("pad", std::string(6000, 'x'));
  for (int i = 0; i < 3000; ++i) kept.buffer->write(big, "");
  write("the end");
  EXPECT_TRUE(quick.wait_for("the end"));
  ASSERT_TRUE(slow.wait_for("the end"));
  EXPECT_GE(slow.count("event: gap"), 1U);
}

// covers: S03_LOG_003 (limit)
TEST_F(LogsTest, S03_LOG_003_twenty_followers_and_four_hours) {
  std::vector<std::unique_ptr<EventReader>> readers;
  for (int i = 0; i < 20; ++i) readers.push_back(std::make_unique<EventReader>(followed()));
  EXPECT_EQ(list("?follow=true").code(), "too_many_followers");
  EXPECT_EQ(list("?follow=true").status, 503);
  // A follower that goes away makes room.
  readers.pop_back();
  int status = 0;
  for (int i = 0; i < 500 && status != 200; ++i) status = list("?follow=true").status;
  EXPECT_EQ(status, 200);
  // Each quarter of a minute something comes, so that a dead connection is noticed.
  cp.clock.advance(Seconds(15));
  for (const auto& reader : readers) ASSERT_TRUE(reader->wait_for(": ping\n"));
  cp.clock.advance(Seconds(4 * 3600));
  ASSERT_TRUE(readers.front()->wait_for("event: end"));
  EXPECT_NE(readers.front()->rest().find(R"({"reason":"time"})"), std::string::npos);
}

TEST_F(LogsTest, WhoeverIsSignedOutStopsSeeing) {
  EventReader reader = followed();
  write("one");
  ASSERT_TRUE(reader.wait_for("\"one\""));
  ASSERT_EQ(cp.call("POST", "/admin/logout", "", {{"Authorization", "Bearer " + token}}).status, 204);
  cp.clock.advance(Seconds(31));
  ASSERT_TRUE(reader.wait_for("event: end"));
  EXPECT_NE(reader.rest().find(R"({"reason":"unauthorized"})"), std::string::npos);
}

TEST_F(LogsTest, AShutdownEndsStreamsWithAnEvent) {
  EventReader reader = followed();
  std::jthread stopping([&] { cp.stop(); });
  EXPECT_TRUE(reader.wait_for(R"({"reason":"shutdown"})"));
  EXPECT_TRUE(reader.rest().ends_with("0\r\n\r\n")) << "the answer is whole";
}

TEST_F(LogsTest, AHeadRequestIsNoFollower) {
  RawClient client(cp.app().port());
  client.send("HEAD " + std::string(kPath) + "?follow=true HTTP/1.1\r\nHost: cp\r\nAuthorization: Bearer " + token +
              "\r\n\r\n");
  const auto answer = client.read_response(true);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
}

TEST_F(LogsTest, TheEventsOfADeploymentComeAsTheyHappen) {
  agents.add().join();
  const std::string id = deploy_one();
  const std::string path = "/api/v1/deployments/" + id + "/events";
  EventReader reader(cp.app().port(), path, account.key);
  ASSERT_TRUE(reader.wait_for("id: 1\n"));
  start(id);
  std::jthread time([&](const std::stop_token& stop) {
    for (; !stop.stop_requested(); std::this_thread::sleep_for(Milliseconds(5))) cp.clock.advance(Milliseconds(200));
  });
  ASSERT_TRUE(reader.wait_for(R"("to_state":"running")")) << reader.text();
  time = {};
  const auto listed = body_of(as(account.key, "GET", path)).at("items").as_array();
  const std::string last = std::to_string(listed.back().at("seq").as_int64());
  // Whoever comes back hears the rest.
  EventReader again(cp.app().port(), path, account.key, "Last-Event-ID: " + last + "\r\n");
  ASSERT_EQ(as(account.key, "POST", "/api/v1/deployments/" + id + "/stop", "{}").status, 202);
  reconcile();
  ASSERT_EQ(state(id), "stopped");
  time = std::jthread([&](const std::stop_token& stop) {
    for (; !stop.stop_requested(); std::this_thread::sleep_for(Milliseconds(5))) cp.clock.advance(Milliseconds(200));
  });
  for (EventReader* each : {&reader, &again}) {
    ASSERT_TRUE(each->wait_for("event: end")) << each->text();
    EXPECT_NE(each->rest().find(R"({"reason":"done"})"), std::string::npos);
    EXPECT_NE(each->text().find(R"("to_state":"stopped")"), std::string::npos);
  }
  EXPECT_EQ(again.count("id: " + last + "\n"), 0U);
  EXPECT_EQ(reader.count("id: 1\n"), 1U);

  time = {};
  const Made other = make("other");
  EventReader foreign(cp.app().port(), path, other.key);
  EXPECT_TRUE(foreign.wait_for("deployment_not_found"));
  EXPECT_EQ(as(account.key, "GET", path, "", {{"Accept", "text/html"}}).code(), "not_acceptable");
}

}  // namespace
}  // namespace ee::testing
