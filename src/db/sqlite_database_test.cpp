#include "db/sqlite_database.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <fstream>
#include <future>
#include <latch>
#include <limits>
#include <thread>

#include "common/fake_clock.h"
#include "common/outside_calls.h"
#include "db/sqlite_files.h"
#include "tests/support/temp_dir.h"

namespace ee::db {
namespace {

enum class Colour { red, green };
BOOST_DESCRIBE_ENUM(Colour, red, green)

struct Thing {
  std::string id;
  std::int64_t size = 0;
  std::optional<std::string> note = {};
  std::optional<std::int64_t> weight = {};
  bool good = false;
  UtcTime made_at = {};
  Colour colour = Colour::red;
  bool operator==(const Thing&) const = default;
};
BOOST_DESCRIBE_STRUCT(Thing, (), (id, size, note, weight, good, made_at, colour))

class SqliteDatabaseTest : public ::testing::Test {
 protected:
  void SetUp() override { reopen(options()); }

  SqliteOptions options() {
    SqliteOptions wanted;
    wanted.path = dir_ / "test.db";
    return wanted;
  }
  void reopen(const SqliteOptions& wanted) {
    database_.reset();
    auto opened = SqliteDatabase::open(wanted, clock_);
    ASSERT_TRUE(opened) << opened.error().code << ": " << opened.error().detail;
    database_ = std::move(*opened);
    run("CREATE TABLE IF NOT EXISTS things (id TEXT PRIMARY KEY, size BIGINT NOT NULL, note TEXT UNIQUE, "
        "weight BIGINT, good INTEGER NOT NULL, made_at BIGINT NOT NULL, colour TEXT NOT NULL)");
    run("CREATE TABLE IF NOT EXISTS parts (id TEXT PRIMARY KEY, thing_id TEXT NOT NULL REFERENCES things(id))");
  }
  Result<std::int64_t> run(std::string_view sql, const Params& params = {}, std::optional<OnUnique> unique = {}) {
    return database_->write<std::int64_t>([&](Transaction& t) { return t.execute(sql, params, unique); });
  }
  template <class Row>
  std::vector<Row> rows(std::string_view sql, const Params& params = {}) {
    auto found = database_->read<std::vector<Row>>([&](Transaction& t) { return t.query<Row>(sql, params); });
    EXPECT_TRUE(found) << found.error().detail;
    return found ? std::move(*found) : std::vector<Row>{};
  }
  std::int64_t count() { return rows<std::int64_t>("SELECT count(*) FROM things").at(0); }
  Result<std::int64_t> insert(const Thing& thing, std::optional<OnUnique> unique = {}) {
    return run("INSERT INTO things (" + columns_of<Thing>() + ") VALUES (" + placeholders_of<Thing>() + ")",
               params_of(thing), unique);
  }
  static Thing thing(const std::string& id) { return {.id = id, .made_at = from_unix_ms(1)}; }

  testing::TempDir dir_;
  FakeClock clock_;
  std::unique_ptr<SqliteDatabase> database_;
};

TEST_F(SqliteDatabaseTest, RowsComeBackAsTheyWentIn) {
  const Thing full{.id = "a", .size = std::numeric_limits<std::int64_t>::min(), .note = std::string("n\0ul ' \" é", 11),
                   .weight = std::numeric_limits<std::int64_t>::max(), .good = true,
                   .made_at = from_unix_ms(1767225600123), .colour = Colour::green};
  const Thing empty{.id = "b", .note = std::nullopt, .weight = std::nullopt, .made_at = from_unix_ms(0)};
  ASSERT_TRUE(insert(full));
  ASSERT_TRUE(insert(empty));
  EXPECT_THAT(rows<Thing>("SELECT " + columns_of<Thing>() + " FROM things ORDER BY id"),
              ::testing::ElementsAre(full, empty));
}

TEST_F(SqliteDatabaseTest, OneStatementTakesNullAndValuesInTurn) {
  for (const auto& weight : {std::optional<std::int64_t>{}, std::optional<std::int64_t>{5}, std::optional<std::int64_t>{}}) {
    ASSERT_TRUE(run("INSERT INTO things (id, size, weight, good, made_at, colour) VALUES (:id, 1, :w, 0, 0, 'red')",
                    {{"id", std::to_string(count())}, {"w", weight}}));
  }
  EXPECT_THAT(rows<std::optional<std::int64_t>>("SELECT weight FROM things ORDER BY id"),
              ::testing::ElementsAre(std::nullopt, std::optional<std::int64_t>(5), std::nullopt));
}

TEST_F(SqliteDatabaseTest, ParametersMayRepeatAndComeInAnyOrder) {
  ASSERT_TRUE(insert(thing("a")));
  const std::string sql = "SELECT id FROM things WHERE id = :id AND size = :size AND :id <> ''";
  EXPECT_EQ(rows<std::string>(sql, {{"id", "a"}, {"size", 0}}).size(), 1U);
  EXPECT_EQ(rows<std::string>(sql, {{"size", 0}, {"id", "a"}}).size(), 1U);
  EXPECT_EQ(rows<std::string>(sql, {{"size", 0}, {"id", "b"}}).size(), 0U);
}

TEST_F(SqliteDatabaseTest, WrongParametersAndColumnsAreRefusedNotGuessed) {
  ASSERT_TRUE(insert(thing("a")));
  const auto refused = [&](std::string_view sql, const Params& params) {
    const auto result = run(sql, params);
    ASSERT_FALSE(result) << sql;
    EXPECT_EQ(result.error().code, ErrorCode::internal_error);
  };
  refused("DELETE FROM things WHERE id = :id", {});
  refused("DELETE FROM things WHERE id = :id", {{"id", "a"}, {"other", 1}});
  refused("DELETE FROM things WHERE id = :id", {{"id", "a"}, {"id", "a"}});
  refused("DELETE FROM things WHERE id = :id", {{"name", "a"}});
  refused("DELETE FROM things; DELETE FROM parts", {});
  refused("DELETE FROM nothing", {});
  refused("", {});
  const auto narrow = database_->read<std::vector<Thing>>([](Transaction& t) { return t.query<Thing>("SELECT id FROM things"); });
  ASSERT_FALSE(narrow);
  EXPECT_EQ(narrow.error().code, ErrorCode::internal_error);
  EXPECT_EQ(count(), 1);
}

TEST_F(SqliteDatabaseTest, AFailedStatementIsUsableAgain) {
  ASSERT_TRUE(insert(thing("a")));
  ASSERT_FALSE(insert(thing("a")));
  ASSERT_TRUE(insert(thing("b")));
  EXPECT_EQ(count(), 2);
}

TEST_F(SqliteDatabaseTest, ReturningGivesTheRowsThatWereWritten) {
  ASSERT_TRUE(insert(thing("a")));
  ASSERT_TRUE(insert(thing("b")));
  const auto returned = database_->write<std::vector<std::string>>([](Transaction& t) {
    return t.query<std::string>("UPDATE things SET size = :size WHERE size < :size RETURNING id", {{"size", 5}});
  });
  ASSERT_TRUE(returned);
  EXPECT_THAT(*returned, ::testing::UnorderedElementsAre("a", "b"));
  EXPECT_EQ(rows<std::int64_t>("SELECT sum(size) FROM things").at(0), 10);
}

TEST_F(SqliteDatabaseTest, ConstraintsBecomeNamedErrorsWithoutValues) {
  Thing first = thing("planted-id");
  first.note = "planted-note";
  ASSERT_TRUE(insert(first));
  ASSERT_TRUE(run("INSERT INTO parts VALUES ('p', 'planted-id')"));

  const auto primary_key = insert(first, OnUnique{ErrorCode::vm_name_in_use});
  ASSERT_FALSE(primary_key);
  EXPECT_EQ(primary_key.error().code, ErrorCode::vm_name_in_use);
  Thing same_note = thing("other");
  same_note.note = "planted-note";
  const auto unique = insert(same_note);
  ASSERT_FALSE(unique);
  EXPECT_EQ(unique.error().code, ErrorCode::concurrent_update);
  const auto referred = run("DELETE FROM things WHERE id = :id", {{"id", "planted-id"}});
  ASSERT_FALSE(referred);
  EXPECT_EQ(referred.error().code, ErrorCode::in_use);
  const auto missing = run("INSERT INTO things (id) VALUES ('planted-2')");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::internal_error);
  for (const auto& result : {primary_key, unique, referred, missing}) {
    EXPECT_EQ(result.error().detail.find("planted"), std::string::npos) << result.error().detail;
  }
}

TEST_F(SqliteDatabaseTest, NullInAColumnThatMayNotBeNullIsAnErrorNotAZero) {
  ASSERT_TRUE(insert(thing("a")));
  const auto read = database_->read<std::vector<std::int64_t>>(
      [](Transaction& t) { return t.query<std::int64_t>("SELECT weight FROM things"); });
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::internal_error);
}

TEST_F(SqliteDatabaseTest, ACallerSeesItsOwnWriteInTheNextRead) {
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(insert(thing(std::to_string(i))));
    ASSERT_EQ(count(), i + 1);
  }
}

TEST_F(SqliteDatabaseTest, AReadTransactionIsOneConsistentView) {
  ASSERT_TRUE(insert(thing("a")));
  const auto both = database_->read<std::int64_t>([&](Transaction& t) -> Result<std::int64_t> {
    const auto before = t.query_one<std::int64_t>("SELECT count(*) FROM things");
    if (!before) return std::unexpected(before.error());
    std::thread([&] { EXPECT_TRUE(insert(thing("b"))); }).join();
    const auto after = t.query_one<std::int64_t>("SELECT count(*) FROM things");
    if (!after) return std::unexpected(after.error());
    return **after - **before;
  });
  ASSERT_TRUE(both);
  EXPECT_EQ(*both, 0);
  EXPECT_EQ(count(), 2);
}

TEST_F(SqliteDatabaseTest, AReaderCannotWrite) {
  const auto written = database_->read<std::int64_t>(
      [](Transaction& t) { return t.execute("DELETE FROM things"); });
  ASSERT_FALSE(written);
}

// covers: S05_DB_003
TEST_F(SqliteDatabaseTest, ThousandWritesAtOnceNeedFewerThanHundredCommits) {
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
  const auto done = t.execute("INSERT INTO things (id, size, good, made_at, colour) VALUES (:id, 0, 0, 0, 'red')", {{"id", id}});
  if (!done) return std::unexpected(done.error());
  return {};
}

// covers: S05_DB_003
TEST_F(SqliteDatabaseTest, ABadItemOfAGroupFailsAlone) {
  ASSERT_TRUE(insert(thing("taken")));
  const std::uint64_t before = database_->health().commits;
  const auto outcomes = in_one_group(
      *database_, {
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

// covers: S05_DB_003
TEST_F(SqliteDatabaseTest, ADeferredForeignKeyFailsItsItemNotTheGroup) {
  ASSERT_TRUE(run("CREATE TABLE lines (id TEXT PRIMARY KEY, "
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

// covers: S05_DB_004
TEST_F(SqliteDatabaseTest, AFullQueueRefusesAtOnceWithARetryTime) {
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

// covers: S05_DB_005
TEST_F(SqliteDatabaseTest, AFullDatabaseFailsTheWholeGroupAndRecovers) {
  ASSERT_TRUE(insert(thing("before")));
  SqliteOptions full = options();
  full.max_pages = rows<std::int64_t>("PRAGMA page_count").at(0) + 2;
  reopen(full);
  const std::string big(100000, 'x');
  const auto outcomes = in_one_group(
      *database_, {
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

TEST_F(SqliteDatabaseTest, AStatementThatRunsTooLongIsStoppedAndTheReaderLives) {
  SqliteOptions hasty = options();
  hasty.statement_limit = Milliseconds(20);
  hasty.readers = 1;
  reopen(hasty);
  const auto endless = database_->read<std::vector<std::int64_t>>([](Transaction& t) {
    return t.query<std::int64_t>(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n");
  });
  ASSERT_FALSE(endless);
  EXPECT_EQ(endless.error().code, ErrorCode::database_timeout);
  EXPECT_EQ(count(), 0);
}

TEST_F(SqliteDatabaseTest, WithEveryReaderBusyACallerIsRefusedInTime) {
  SqliteOptions one = options();
  one.statement_limit = Milliseconds(20);
  one.readers = 1;
  reopen(one);
  const auto outer = database_->run_read([&](Transaction&) -> Result<void> {
    const auto inner = database_->run_read([](Transaction&) -> Result<void> { return {}; });
    EXPECT_FALSE(inner);
    EXPECT_EQ(inner.error().code, ErrorCode::overloaded);
    return {};
  });
  EXPECT_TRUE(outer);
}

TEST_F(SqliteDatabaseTest, AWriteInsideAWriteIsRefusedNotADeadlock) {
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

TEST_F(SqliteDatabaseTest, ClosingFinishesTheQueueAndRefusesWhatComesLater) {
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

TEST_F(SqliteDatabaseTest, HealthTellsTheLastCommitByTheInjectedClock) {
  clock_.advance(Seconds(30));
  ASSERT_TRUE(insert(thing("a")));
  const WriterHealth health = database_->health();
  EXPECT_TRUE(health.alive);
  EXPECT_EQ(health.last_commit_at, clock_.steady_now());
  EXPECT_EQ(health.last_group, 1U);
}

class CountingObserver final : public SqliteObserver {
 public:
  void group_finished(std::size_t items, bool committed, Microseconds, std::size_t) override {
    items_ += items;
    groups_ += committed ? 1 : 0;
  }
  void write_finished(Microseconds) override { ++writes_; }
  void slow_write(Microseconds) override { ++slow_; }
  std::atomic<std::size_t> items_ = 0, groups_ = 0, writes_ = 0, slow_ = 0;
};

TEST_F(SqliteDatabaseTest, TheObserverHearsOfGroupsAndSlowWrites) {
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

// covers: S05_DB_001
TEST_F(SqliteDatabaseTest, EveryConnectionHasThePragmasOfTheSpec) {
  const std::vector<std::pair<std::string, std::string>> wanted = {
      {"journal_mode", "wal"}, {"synchronous", "2"},      {"foreign_keys", "1"},       {"busy_timeout", "5000"},
      {"temp_store", "2"},     {"cache_size", "-16384"}, {"wal_autocheckpoint", "1000"}, {"trusted_schema", "0"},
      {"cell_size_check", "1"}, {"recursive_triggers", "1"}};
  for (const auto& [name, value] : wanted) {
    const auto ask = [&](Transaction& t) { return t.query<std::string>("PRAGMA " + name); };
    EXPECT_EQ(database_->read<std::vector<std::string>>(ask)->at(0), value) << name;
    EXPECT_EQ(database_->write<std::vector<std::string>>(ask)->at(0), value) << name;
  }
  EXPECT_EQ(rows<std::string>("PRAGMA query_only").at(0), "1");
}

// covers: S05_DB_002
TEST_F(SqliteDatabaseTest, ASecondOpenerIsRefusedAndTheLockGoesWithTheFirst) {
  const auto second = SqliteDatabase::open(options(), clock_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, "database_in_use");
  EXPECT_EQ(second.error().exit_code, 4);
  database_.reset();
  EXPECT_TRUE(SqliteDatabase::open(options(), clock_));
}

TEST_F(SqliteDatabaseTest, FilesAreForTheirOwnerOnly) {
  ASSERT_TRUE(insert(thing("a")));
  for (const char* suffix : {"", "-wal", "-shm", ".lock"}) {
    struct stat found = {};
    ASSERT_EQ(::stat((options().path.string() + suffix).c_str(), &found), 0) << suffix;
    EXPECT_EQ(found.st_mode & 0777, 0600U) << suffix;
  }
}

TEST_F(SqliteDatabaseTest, StrictPlacesAreRefusedOutsideDevelopment) {
  database_.reset();
  const auto refused = [&](const SqliteOptions& wanted) {
    const auto opened = SqliteDatabase::open(wanted, clock_);
    return opened ? std::string() : opened.error().code + " " + std::to_string(opened.error().exit_code);
  };
  SqliteOptions wanted = options();
  ASSERT_EQ(::chmod(wanted.path.c_str(), 0640), 0);
  EXPECT_EQ(refused(wanted), "database_permissions 6");
  ASSERT_EQ(::chmod(wanted.path.c_str(), 0600), 0);
  wanted.file_system_type = 0x6969;  // NFS
  EXPECT_EQ(refused(wanted), "database_network_file_system 4");
  wanted.strict = false;
  EXPECT_EQ(refused(wanted), "");
  SqliteOptions memory;
  memory.path = ":memory:";
  EXPECT_EQ(refused(memory), "volatile_database 6");
  SqliteOptions nowhere;
  nowhere.path = dir_ / "no" / "such" / "directory.db";
  EXPECT_EQ(refused(nowhere), "database_open_failed 4");
}

TEST_F(SqliteDatabaseTest, AFileThatIsNoDatabaseIsRefused) {
  database_.reset();
  SqliteOptions wanted = options();
  wanted.path = dir_ / "text.db";
  std::ofstream(wanted.path) << std::string(4096, 'x');
  ::chmod(wanted.path.c_str(), 0600);
  const auto opened = SqliteDatabase::open(wanted, clock_);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().exit_code, 4);
}

TEST_F(SqliteDatabaseTest, MemoryIsAPrivateFileThatGoesAway) {
  SqliteOptions memory;
  memory.path = ":memory:";
  memory.strict = false;
  reopen(memory);
  ASSERT_TRUE(insert(thing("a")));
  EXPECT_EQ(count(), 1);
  const auto path = database_->path();
  EXPECT_TRUE(std::filesystem::exists(path));
  database_.reset();
  EXPECT_FALSE(std::filesystem::exists(path.parent_path()));
}

TEST_F(SqliteDatabaseTest, ACheckpointMovesTheLog) {
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(insert(thing(std::to_string(i))));
  EXPECT_GT(database_->wal_bytes(), 0);
  const auto passive = database_->checkpoint(CheckpointMode::passive);
  ASSERT_TRUE(passive);
  EXPECT_TRUE(passive->complete);
  EXPECT_GT(passive->pages_in_log, 0);
  ASSERT_TRUE(database_->checkpoint(CheckpointMode::truncate));
  EXPECT_EQ(database_->wal_bytes(), 0);
  EXPECT_GT(database_->free_bytes().value_or(0), 0);
}

TEST_F(SqliteDatabaseTest, ACheckFindsADamagedIndexAndADanglingReference) {
  const auto good = database_->check({});
  ASSERT_TRUE(good);
  EXPECT_TRUE(good->empty());
  database_->with_maintenance([](SqliteConnection& connection) {
    ASSERT_TRUE(connection.script("PRAGMA foreign_keys=OFF; INSERT INTO parts VALUES ('p', 'gone'); PRAGMA foreign_keys=ON"));
  });
  const auto bad = database_->check({});
  ASSERT_TRUE(bad);
  EXPECT_THAT(*bad, ::testing::ElementsAre("a row of parts refers to nothing"));
}

TEST_F(SqliteDatabaseTest, ACheckEndsWhenItIsStopped) {
  ASSERT_TRUE(run("INSERT INTO things (id, size, good, made_at, colour) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL "
                  "SELECT i + 1 FROM n WHERE i < 5000) SELECT i, i, 0, 0, 'red' FROM n"));
  std::stop_source stop;
  stop.request_stop();
  const auto stopped = database_->check(stop.get_token());
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::database_timeout);
  EXPECT_TRUE(database_->check({}));
}

TEST(NetworkFileSystems, AreKnownByTheirType) {
  for (const long type : {0x6969L, 0x517BL, 0xFE534D42L, 0xFF534D42L, 0x65735546L, static_cast<long>(static_cast<std::int32_t>(0xFF534D42))}) {
    EXPECT_TRUE(is_network_file_system(type)) << type;
  }
  for (const long type : {0xEF53L, 0x58465342L, 0x9123683EL, 0x01021994L, 0x794C7630L}) {  // ext4, xfs, btrfs, tmpfs, overlay
    EXPECT_FALSE(is_network_file_system(type)) << type;
  }
}

TEST(SqlitePath, IsWhatFollowsTheScheme) {
  EXPECT_EQ(sqlite_path("sqlite:/var/lib/x.db"), std::filesystem::path("/var/lib/x.db"));
  EXPECT_EQ(sqlite_path("sqlite::memory:"), std::filesystem::path(":memory:"));
  EXPECT_EQ(sqlite_path("sqlite:"), std::nullopt);
  EXPECT_EQ(sqlite_path("postgres://x"), std::nullopt);
}

}  // namespace
}  // namespace ee::db
