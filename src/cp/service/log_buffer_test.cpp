#include "cp/service/log_buffer.h"

#include <gtest/gtest.h>

#include "common/fake_clock.h"

namespace ee::cp {
namespace {

using log::Level;

class LogBufferTest : public ::testing::Test {
 protected:
  void write(Level level, const std::string& component, const std::string& message, log::Fields fields = {}) {
    clock_.advance(Milliseconds(1000));
    logger_.write(level, component, message, fields);
  }
  static std::vector<std::string> messages(const std::vector<LogEntryPtr>& entries) {
    std::vector<std::string> out;
    for (const LogEntryPtr& entry : entries) out.push_back(entry->message);
    return out;
  }
  std::vector<std::string> found(const LogFilter& filter) {
    return messages(buffer_->page(filter, std::nullopt, 1000, true).items);
  }
  using Texts = std::vector<std::string>;

  FakeClock clock_;
  std::shared_ptr<LogBuffer> buffer_ = std::make_shared<LogBuffer>(1000);
  log::Logger logger_{{.level = Level::trace, .queue_size = 0}, {buffer_}, clock_};
};

// covers: S03_LOG_001 (each filter)
TEST_F(LogBufferTest, S03_LOG_001_each_filter_finds_its_records) {
  const std::string deployment = "0190a000-0000-7000-8000-0000000000d1";
  const std::string agent = "0190a000-0000-7000-8000-0000000000a1";
  write(Level::debug, "db", "one");
  {
    const log::ContextScope scope({.request_id = "req-12345678", .account_id = "acc", .job = "sweeper"});
    write(Level::info, "http", "two", {{"status", 200}, {"path", "/api/v1/agents"}});
  }
  write(Level::warn, "agents", "three", {{"agent_id", agent}});
  write(Level::error, "deploy", "four", {{"deployment_id", deployment}, {"agent_id", agent}});

  EXPECT_EQ(found({}), (Texts{"two", "three", "four"})) << "info and above";
  EXPECT_EQ(found({.min_level = Level::trace}), (Texts{"one", "two", "three", "four"}));
  EXPECT_EQ(found({.min_level = Level::error}), (Texts{"four"}));
  EXPECT_EQ(found({.component = "http"}), (Texts{"two"}));
  EXPECT_EQ(found({.request_id = "req-12345678"}), (Texts{"two"}));
  EXPECT_EQ(found({.deployment_id = deployment}), (Texts{"four"}));
  EXPECT_EQ(found({.agent_id = agent}), (Texts{"three", "four"}));
  EXPECT_EQ(found({.search = "hre"}), (Texts{"three"}));
  EXPECT_EQ(found({.search = "/api/v1/agents"}), (Texts{"two"})) << "fields are searched too";
  EXPECT_EQ(found({.search = "h.*e"}), Texts{}) << "no pattern";
  const UtcTime third = clock_.now() - Seconds(1);
  EXPECT_EQ(found({.since = third}), (Texts{"three", "four"}));
  EXPECT_EQ(found({.until = third}), (Texts{"two"}));
  EXPECT_EQ(found({.since = third, .until = third + Milliseconds(1)}), (Texts{"three"}));
  EXPECT_EQ(found({.component = "nothing"}), Texts{});
}

TEST_F(LogBufferTest, ARecordSaysWhatItIsAbout) {
  {
    const log::ContextScope scope({.request_id = "req-12345678", .account_id = "acc", .job = "sweeper"});
    write(Level::info, "c", "a \"message\"\n", {{"n", 7}, {"deployment_id", "d1"}, {"none", std::optional<int>{}}});
  }
  const auto page = buffer_->page({}, std::nullopt, 10, true);
  ASSERT_EQ(page.items.size(), 1U);
  EXPECT_EQ(page.items[0]->json(),
            R"({"seq":1,"at":"2026-01-01T00:00:01.000Z","level":"info","component":"c","message":"a \"message\"\n",)"
            R"("request_id":"req-12345678","account_id":"acc","deployment_id":"d1",)"
            R"("fields":{"n":7,"deployment_id":"d1","none":null,"job":"sweeper"}})");
}

// covers: S03_LOG_001 (paging, ring overflow)
TEST_F(LogBufferTest, S03_LOG_001_pages_and_overflow) {
  for (int i = 1; i <= 5000; ++i) {
    write(Level::info, i % 2 == 0 ? "even" : "odd", std::to_string(i));
    ASSERT_LE(buffer_->next_seq() - buffer_->first_seq(), 1000U);
  }
  EXPECT_EQ(buffer_->dropped(), 4000U);
  EXPECT_EQ(buffer_->first_seq(), 4001U);
  for (const bool ascending : {true, false}) {
    std::vector<std::string> all;
    std::optional<std::uint64_t> after;
    for (bool more = true; more;) {
      const auto page = buffer_->page({.component = "even"}, after, 33, ascending);
      EXPECT_LE(page.items.size(), 33U);
      for (const auto& entry : page.items) all.push_back(entry->message);
      more = page.more;
      if (!page.items.empty()) after = page.items.back()->seq;
    }
    ASSERT_EQ(all.size(), 500U);
    EXPECT_EQ(all.front(), ascending ? "4002" : "5000");
    EXPECT_EQ(all.back(), ascending ? "5000" : "4002");
  }
  // Whoever stands at a record that is gone goes on with the oldest that is kept.
  EXPECT_EQ(messages(buffer_->page({}, 17, 1, true).items), Texts{"4001"});
  EXPECT_TRUE(buffer_->page({}, 17, 1, false).items.empty());
  EXPECT_TRUE(buffer_->page({}, 5000, 1, true).items.empty());
  EXPECT_TRUE(LogBuffer(5).page({}, std::nullopt, 1, false).items.empty());
  EXPECT_TRUE(LogBuffer(5).page({}, std::nullopt, 1, true).items.empty());
}

TEST_F(LogBufferTest, BytesAreBoundedAsWellAsRecords) {
  LogBuffer small(100'000, 64UL * 1024);
  log::Record record{.at = clock_.now(), .level = Level::info, .component = "c", .message = std::string(3000, 'm')};
  for (int i = 0; i < 1000; ++i) small.write(record, "");
  EXPECT_LE(small.size_bytes(), 64UL * 1024);
  EXPECT_GT(small.dropped(), 900U);
  // A record that a shorter format had let pass.
  record.fields.emplace_back("a", std::string(16'000, '\x01'));
  small.write(record, "");
  const auto page = small.page({}, std::nullopt, 1, false);
  ASSERT_EQ(page.items.size(), 1U);
  EXPECT_LE(page.items[0]->json().size(), log::kMaxLine + 256);
  EXPECT_TRUE(json::parse(page.items[0]->json()));
}

TEST_F(LogBufferTest, AFollowerGetsEachRecordOnceAndHearsOfThoseItMissed) {
  std::uint64_t position = buffer_->next_seq();
  for (int i = 1; i <= 10; ++i) write(Level::info, "c", std::to_string(i));
  auto found = buffer_->follow({}, position, 1000, 4);
  EXPECT_EQ(messages(found.items), (Texts{"1", "2", "3", "4"}));
  EXPECT_EQ(found.lost, 0U);
  found = buffer_->follow({}, found.position, 1000, 100);
  EXPECT_EQ(messages(found.items).front(), "5");
  EXPECT_EQ(found.items.size(), 6U);
  EXPECT_TRUE(buffer_->follow({}, found.position, 1000, 100).items.empty());
  // More than the queue holds: the newest stay.
  position = found.position;
  for (int i = 1; i <= 50; ++i) write(Level::info, "c", std::to_string(i));
  found = buffer_->follow({}, position, 20, 100);
  EXPECT_EQ(found.lost, 30U);
  EXPECT_EQ(messages(found.items).front(), "31");
  // What is forgotten altogether counts too.
  for (int i = 1; i <= 2000; ++i) write(Level::info, "c", std::to_string(i));
  found = buffer_->follow({.component = "other"}, found.position, 20, 100);
  EXPECT_EQ(found.lost, 1000U);
  EXPECT_TRUE(found.items.empty());
  EXPECT_EQ(found.position, buffer_->next_seq());
}

TEST_F(LogBufferTest, TellsWhoListens) {
  int heard = 0;
  buffer_->listen([&] { ++heard; });
  write(Level::info, "c", "m");
  EXPECT_EQ(heard, 1);
  buffer_->listen({});
  write(Level::info, "c", "m");
  EXPECT_EQ(heard, 1);
}

// covers: S03_LOG_002 (the ring)
TEST_F(LogBufferTest, S03_LOG_002_no_secret_is_kept) {
  const std::string tail = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg2pz6nI";
  Texts secrets;
  for (const std::string kind : {"live", "sess", "agent", "svc", "meas", "boot", "enroll"})
    secrets.push_back("ee_" + kind + "_abcdefghijklmnop_" + tail);
  secrets.push_back("eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0." + tail);
  secrets.push_back("-----BEGIN PRIVATE KEY-----\n" + tail + "\n-----END PRIVATE KEY-----");
  for (const std::string& secret : secrets) {
    const log::ContextScope scope({.request_id = secret, .account_id = secret, .agent_id = secret, .job = secret});
    write(Level::error, secret, "failed with " + secret,
          {{"header", secret}, {"deployment_id", secret}, {"agent_id", secret}, {secret, 1}});
  }
  for (const char* name :
       {"authorization", "token", "secret", "password", "api_key", "cookie", "private_key", "jwt", "nonce"})
    write(Level::info, "c", "m", {{name, tail}});
  const auto page = buffer_->page({.min_level = Level::trace}, std::nullopt, 1000, true);
  EXPECT_EQ(page.items.size(), secrets.size() + 9);
  for (const auto& entry : page.items) {
    EXPECT_EQ(entry->json().find(tail.substr(20)), std::string::npos) << entry->json();
    EXPECT_EQ(entry->component.find(tail.substr(20)), std::string::npos);
  }
}

}  // namespace
}  // namespace ee::cp
