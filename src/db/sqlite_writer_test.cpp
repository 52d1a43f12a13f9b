// Group commit: one writer, many callers.
#include "db/sqlite_writer.h"

#include <gmock/gmock.h>

#include <atomic>
#include <future>
#include <latch>
#include <thread>

#include "common/outside_calls.h"
#include "db/sqlite_fixture.h"
#include "db/sqlite_metrics.h"

namespace ee::db {
namespace {

class SqliteWriterTest : public sqlite_test::SqliteTest {};

// covers: S05_DB_03
TEST_F(SqliteWriterTest, ThousandWritesAtOnceNeedFewerThanHundredCommits) {
  constexpr int kWriters = 1000;
  const std::uint64_t before = database_->health().commits;
  std::promise<void> go;
  std::shared_future<void> gate(go.get_future());
  std::latch entered(1);
  std::thread holder([&] {
    const auto held = database_->write<std::int64_t>([&](Transaction& t) {
      entered.count_down();
      gate.wait();
      return t.execute("UPDATE things SET size = 0");
    });
    EXPECT_TRUE(held);
  });
  entered.wait();
  std::atomic<int> done = 0;
  std::vector<std::thread> writers;
  for (int i = 0; i < kWriters; ++i) {
    writers.emplace_back([&, i] {
      if (insert(thing(std::to_string(i)))) ++done;
    });
  }
  while (database_->health().queued < kWriters) std::this_thread::yield();
  go.set_value();
  for (auto& writer : writers) writer.join();
  holder.join();
  EXPECT_EQ(done, kWriters);
  EXPECT_EQ(count(), kWriters);
  EXPECT_LT(database_->health().commits - before, 100U);
}

/// Queues `works` behind one blocked write, so that they share a group; returns their outcomes in order.
std::vector<Result<void>> in_one_group(SqliteDatabase& database,
                                       const std::vector<std::function<Result<void>(Transaction&)>>& works) {
  std::promise<void> go;
  std::latch entered(1);
  std::thread holder([&] {
    static_cast<void>(database.run_write([&](Transaction&) -> Result<void> {
      entered.count_down();
      go.get_future().wait();
      return {};
    }));
  });
  entered.wait();
  std::vector<Result<void>> outcomes(works.size());
  std::vector<std::thread> callers;
  for (std::size_t i = 0; i < works.size(); ++i) {
    callers.emplace_back([&, i] { outcomes[i] = database.run_write(works[i]); });
    while (database.health().queued < i + 1) std::this_thread::yield();
  }
  go.set_value();
  holder.join();
  for (auto& caller : callers) caller.join();
  return outcomes;
}

Result<void> insert_id(Transaction& t, const std::string& id) {
  const auto done =
      t.execute("INSERT INTO things (id, size, good, made_at, colour) VALUES (:id, 0, 0, 0, 'red')", {{"id", id}});
  if (!done) return std::unexpected(done.error());
  return {};
}

// covers: S05_DB_03
TEST_F(SqliteWriterTest, ABadItemOfAGroupFailsAlone) {
  ASSERT_TRUE(insert(thing("taken")));
  const std::uint64_t before = database_->health().commits;
  const auto outcomes =
      in_one_group(*database_, {
                                   [](Transaction& t) { return insert_id(t, "first"); },
                                   [](Transaction& t) {  // a constraint, after a write that must go with it
                                     static_cast<void>(insert_id(t, "lost-1"));
                                     return insert_id(t, "taken");
                                   },
                                   [](Transaction& t) -> Result<void> {
                                     static_cast<void>(insert_id(t, "lost-2"));
                                     throw std::runtime_error("thrown");
                                   },
                                   [](Transaction& t) -> Result<void> {
                                     static_cast<void>(insert_id(t, "lost-3"));
                                     return fail(ErrorCode::version_mismatch);
                                   },
                                   [](Transaction& t) { return insert_id(t, "last"); },
                               });
  EXPECT_TRUE(outcomes[0]);
  EXPECT_EQ(outcomes[1].error().code, ErrorCode::concurrent_update);
  EXPECT_EQ(outcomes[2].error().code, ErrorCode::internal_error);
  EXPECT_EQ(outcomes[3].error().code, ErrorCode::version_mismatch);
  EXPECT_TRUE(outcomes[4]);
  EXPECT_THAT(rows<std::string>("SELECT id FROM things"), ::testing::UnorderedElementsAre("taken", "first", "last"));
  EXPECT_EQ(database_->health().commits - before, 2U);  // the holder's and the group's
}

// covers: S05_DB_03
TEST_F(SqliteWriterTest, ADeferredForeignKeyFailsItsItemNotTheGroup) {
  ASSERT_TRUE(
      run("CREATE TABLE lines (id TEXT PRIMARY KEY, "
          "thing_id TEXT NOT NULL REFERENCES things(id) DEFERRABLE INITIALLY DEFERRED)"));
  const auto line = [](Transaction& t, const std::string& thing_id) -> Result<void> {
    const auto done = t.execute("INSERT INTO lines VALUES (:id, :id)", {{"id", thing_id}});
    if (!done) return std::unexpected(done.error());
    return {};
  };
  const auto outcomes = in_one_group(*database_, {
                                                     [&](Transaction& t) -> Result<void> {
                                                       if (auto done = line(t, "good"); !done) return done;
                                                       return insert_id(t, "good");
                                                     },
                                                     [&](Transaction& t) { return line(t, "dangling"); },
                                                     [](Transaction& t) { return insert_id(t, "last"); },
                                                 });
  EXPECT_TRUE(outcomes[0]);
  EXPECT_EQ(outcomes[1].error().code, ErrorCode::in_use);
  EXPECT_TRUE(outcomes[2]);
  EXPECT_THAT(rows<std::string>("SELECT id FROM lines"), ::testing::ElementsAre("good"));
  EXPECT_EQ(count(), 2);
}

// covers: S05_DB_04
TEST_F(SqliteWriterTest, AFullQueueRefusesAtOnceWithARetryTime) {
  SqliteOptions small = options();
  small.write_queue = 4;
  reopen(small);
  std::promise<void> go;
  std::latch entered(1);
  std::thread holder([&] {
    EXPECT_TRUE(database_->run_write([&](Transaction&) -> Result<void> {
      entered.count_down();
      go.get_future().wait();
      return {};
    }));
  });
  entered.wait();
  std::vector<std::thread> waiting;
  for (int i = 0; i < 4; ++i) waiting.emplace_back([&, i] { EXPECT_TRUE(insert(thing(std::to_string(i)))); });
  while (database_->health().queued < 4) std::this_thread::yield();

  const auto refused = insert(thing("one too many"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::overloaded);
  EXPECT_EQ(refused.error().retry_after, Seconds(1));
  go.set_value();
  holder.join();
  for (auto& thread : waiting) thread.join();
  EXPECT_EQ(count(), 4);
}

// covers: S05_DB_05
TEST_F(SqliteWriterTest, AFullDatabaseFailsTheWholeGroupAndRecovers) {
  ASSERT_TRUE(insert(thing("before")));
  SqliteOptions full = options();
  full.max_pages = rows<std::int64_t>("PRAGMA page_count").at(0) + 2;
  reopen(full);
  const std::string big(100000, 'x');
  const auto outcomes =
      in_one_group(*database_, {
                                   [](Transaction& t) { return insert_id(t, "small-1"); },
                                   [&](Transaction& t) -> Result<void> {
                                     // Even one that does not mind may not be told that it is done.
                                     static_cast<void>(t.execute("UPDATE things SET note = :note", {{"note", big}}));
                                     return {};
                                   },
                                   [](Transaction& t) { return insert_id(t, "small-2"); },
                               });
  for (const auto& outcome : outcomes) {
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().code, ErrorCode::database_unavailable);
  }
  EXPECT_TRUE(database_->health().last_failed);
  EXPECT_THAT(rows<std::string>("SELECT id FROM things"), ::testing::ElementsAre("before"));
  ASSERT_TRUE(insert(thing("after")));
  EXPECT_FALSE(database_->health().last_failed);
}

TEST_F(SqliteWriterTest, AWriteInsideAWriteIsRefusedNotADeadlock) {
  const auto outer = database_->run_write([&](Transaction&) -> Result<void> {
    EXPECT_FALSE(outside_calls_allowed());
    const auto inner = insert(thing("inner"));
    EXPECT_FALSE(inner);
    EXPECT_EQ(inner.error().code, ErrorCode::internal_error);
    return {};
  });
  EXPECT_TRUE(outer);
  EXPECT_TRUE(outside_calls_allowed());
}

TEST_F(SqliteWriterTest, ClosingFinishesTheQueueAndRefusesWhatComesLater) {
  std::promise<void> go;
  std::latch entered(1);
  std::thread holder([&] {
    EXPECT_TRUE(database_->run_write([&](Transaction&) -> Result<void> {
      entered.count_down();
      go.get_future().wait();
      return {};
    }));
  });
  entered.wait();
  std::vector<std::thread> waiting;
  for (int i = 0; i < 3; ++i) waiting.emplace_back([&, i] { EXPECT_TRUE(insert(thing(std::to_string(i)))); });
  while (database_->health().queued < 3) std::this_thread::yield();
  std::thread closer([&] { database_->close(); });
  go.set_value();
  closer.join();
  holder.join();
  for (auto& thread : waiting) thread.join();

  const auto late = insert(thing("late"));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::database_unavailable);
  EXPECT_FALSE(database_->health().alive);
  reopen(options());
  EXPECT_EQ(count(), 3);
}

TEST_F(SqliteWriterTest, HealthTellsTheLastCommitByTheInjectedClock) {
  clock_.advance(Seconds(30));
  ASSERT_TRUE(insert(thing("a")));
  const WriterHealth health = database_->health();
  EXPECT_TRUE(health.alive);
  EXPECT_EQ(health.last_commit_at, clock_.steady_now());
  EXPECT_EQ(health.last_group, 1U);
}

class CountingObserver final : public WriteObserver {
 public:
  void group_finished(std::size_t items, bool committed, Microseconds, std::size_t) override {
    items_ += items;
    groups_ += committed ? 1 : 0;
  }
  void write_finished(Microseconds) override { ++writes_; }
  void slow_write(Microseconds) override { ++slow_; }
  std::atomic<std::size_t> items_ = 0, groups_ = 0, writes_ = 0, slow_ = 0;
};

TEST_F(SqliteWriterTest, TheObserverHearsOfGroupsAndSlowWrites) {
  database_.reset();
  CountingObserver observer;
  SqliteOptions wanted = options();
  wanted.slow_write = Milliseconds(0);
  auto opened = SqliteDatabase::open(wanted, clock_, &observer);
  ASSERT_TRUE(opened);
  database_ = std::move(*opened);
  ASSERT_TRUE(insert(thing("a")));
  database_.reset();
  EXPECT_EQ(observer.items_, 1U);
  EXPECT_EQ(observer.groups_, 1U);
  EXPECT_EQ(observer.writes_, 1U);
  EXPECT_EQ(observer.slow_, 1U);
}

TEST_F(SqliteWriterTest, MetricsCountGroupsAndShowTheLog) {
  database_.reset();
  metrics::Registry registry;
  SqliteMetrics observer(registry);
  auto opened = SqliteDatabase::open(options(), clock_, &observer);
  ASSERT_TRUE(opened);
  database_ = std::move(*opened);
  watch_wal(registry, *database_);
  ASSERT_TRUE(insert(thing("a")));
  ASSERT_FALSE(insert(thing("a")));
  const std::string text = registry.text();
  for (const char* line : {"ee_db_write_seconds_count 2\n", "ee_db_group_size_sum 2\n", "ee_db_queue_depth 0\n",
                           "ee_db_groups_total{result=\"committed\"} 2\n"}) {
    EXPECT_THAT(text, ::testing::HasSubstr(line));
  }
  EXPECT_THAT(text, ::testing::HasSubstr("ee_db_wal_bytes " + std::to_string(database_->wal_bytes())));
}

}  // namespace
}  // namespace ee::db
