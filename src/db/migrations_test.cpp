#include "db/migrations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <thread>

#include "common/fake_clock.h"
#include "common/fake_random.h"
#include "common/id.h"
#include "db/sqlite_connection.h"
#include "db/sqlite_database.h"
#include "tests/support/temp_dir.h"

namespace ee::db {
namespace {

const std::vector<Migration> kThree = {
    {1, "first", "CREATE TABLE a (id TEXT PRIMARY KEY, made_at BIGINT NOT NULL);"},
    {2, "second", "CREATE TABLE b (id TEXT PRIMARY KEY); INSERT INTO a VALUES ('from-2', @now_ms@);"},
    {3, "third", "ALTER TABLE b ADD COLUMN note TEXT; INSERT INTO b VALUES ('x', 'semi;colon');"},
};

class MigrationsTest : public ::testing::Test {
 protected:
  void SetUp() override { reopen(); }
  void reopen() {
    database_.reset();
    SqliteOptions options;
    options.path = dir_ / "test.db";
    options.strict = false;
    auto opened = SqliteDatabase::open(options, clock_);
    ASSERT_TRUE(opened) << opened.error().detail;
    database_ = std::move(*opened);
  }
  std::expected<MigrationReport, StartError> run(std::span<const Migration> migrations) {
    return migrate(*database_, migrations, identity_, clock_, random_);
  }
  std::expected<MigrationReport, StartError> run_first(std::size_t count) {
    return run(std::span(kThree).first(count));
  }
  template <class T>
  std::vector<T> values(std::string_view sql) {
    auto found = database_->read<std::vector<T>>([&](Transaction& t) { return t.query<T>(sql); });
    EXPECT_TRUE(found) << found.error().detail;
    return found ? std::move(*found) : std::vector<T>{};
  }
  void script(const std::string& sql) {
    database_->with_maintenance([&](SqliteConnection& connection) { ASSERT_TRUE(connection.script(sql)) << sql; });
  }
  /// Everything there is, as text: tables with their definitions and all rows of the bookkeeping.
  std::string picture() {
    std::string all;
    for (const auto& text : values<std::string>("SELECT coalesce(sql, '') FROM sqlite_master ORDER BY name"))
      all += text + "\n";
    if (all.empty()) return all;
    for (const auto& row : values<std::string>("SELECT version || checksum FROM schema_migrations ORDER BY version"))
      all += row + "\n";
    for (const auto& row : values<std::string>("SELECT key || '=' || value FROM meta ORDER BY key")) all += row + "\n";
    return all;
  }
  void expect_refused(std::span<const Migration> migrations, const std::string& code, int exit_code = 4) {
    const std::string before = picture();
    const auto refused = run(migrations);
    ASSERT_FALSE(refused) << code;
    EXPECT_EQ(refused.error().code, code) << refused.error().detail;
    EXPECT_EQ(refused.error().exit_code, exit_code);
    EXPECT_EQ(picture(), before) << code;
  }

  testing::TempDir dir_;
  FakeClock clock_;
  FakeRandom random_;
  DatabaseIdentity identity_{.env = "dev", .cluster_id = "test", .app_version = "1.2.3"};
  std::unique_ptr<SqliteDatabase> database_;
};

// covers: S05_DB_07
TEST_F(MigrationsTest, AnEmptyDatabaseGetsEverything) {
  const auto report = run(kThree);
  ASSERT_TRUE(report) << report.error().detail;
  EXPECT_EQ(report->from, 0);
  EXPECT_EQ(report->to, 3);
  EXPECT_EQ(report->backup, std::nullopt);
  EXPECT_TRUE(is_uuid(report->instance_id));
  EXPECT_THAT(values<std::string>("SELECT name FROM schema_migrations ORDER BY version"),
              ::testing::ElementsAre("first", "second", "third"));
  EXPECT_THAT(values<std::string>("SELECT app_version FROM schema_migrations"), ::testing::Each("1.2.3"));
  EXPECT_THAT(values<std::int64_t>("SELECT applied_at FROM schema_migrations"), ::testing::Each(unix_ms(clock_.now())));
  // printf 'CREATE TABLE a (id TEXT PRIMARY KEY, made_at BIGINT NOT NULL);' | sha256sum
  EXPECT_EQ(values<std::string>("SELECT checksum FROM schema_migrations WHERE version = 1").at(0),
            "833f88696002ec70f1eb98c10d0f75a58a6d617ea8f37ba430f02642290d12b1");
  EXPECT_THAT(values<std::string>("SELECT note FROM b"), ::testing::ElementsAre("semi;colon"));
  EXPECT_THAT(values<std::string>("SELECT key || '=' || value FROM meta WHERE key <> 'instance_id' ORDER BY key"),
              ::testing::ElementsAre("created_by_version=1.2.3", "ee_cluster_id=test", "ee_env=dev"));
}

TEST_F(MigrationsTest, TheTokenIsTheTimeOfTheEngine) {
  ASSERT_TRUE(run(kThree));
  const std::int64_t now = unix_ms(SystemClock().now());
  EXPECT_NEAR(static_cast<double>(values<std::int64_t>("SELECT made_at FROM a").at(0)), static_cast<double>(now),
              60000);
}

// covers: S05_DB_08
TEST_F(MigrationsTest, EachEarlierVersionIsUpgradedWithABackupOfWhatWas) {
  for (std::size_t start = 1; start <= 2; ++start) {
    SCOPED_TRACE(start);
    database_.reset();
    for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove((dir_ / "test.db").string() + suffix);
    reopen();
    const auto first = run_first(start);
    ASSERT_TRUE(first);
    script("CREATE TABLE witness (id TEXT)");
    const auto report = run(kThree);
    ASSERT_TRUE(report) << report.error().detail;
    EXPECT_EQ(report->from, static_cast<int>(start));
    EXPECT_EQ(report->to, 3);
    EXPECT_EQ(report->instance_id, first->instance_id);
    ASSERT_TRUE(report->backup);
    EXPECT_EQ(*report->backup, dir_ / "test.db.pre-3");
    struct stat found = {};
    ASSERT_EQ(::stat(report->backup->c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 0777, 0600U);

    const auto old = SqliteConnection::open(*report->backup, ConnectionRole::reader, {});
    ASSERT_TRUE(old);
    const auto version = (*old)->query("SELECT max(version) FROM schema_migrations", {}, {ColumnType::integer});
    ASSERT_TRUE(version);
    EXPECT_EQ(std::get<std::int64_t>(version->cells.at(0)), static_cast<std::int64_t>(start));
    EXPECT_TRUE((*old)->query("SELECT id FROM witness", {}, {ColumnType::text}));
  }
}

TEST_F(MigrationsTest, ASecondStartChangesNothing) {
  const auto first = run(kThree);
  ASSERT_TRUE(first);
  const std::string before = picture();
  reopen();
  clock_.advance(Seconds(100));
  identity_.app_version = "1.2.4";
  const auto second = run(kThree);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->from, 3);
  EXPECT_EQ(second->backup, std::nullopt);
  EXPECT_EQ(second->instance_id, first->instance_id);
  EXPECT_EQ(picture(), before);
}

TEST_F(MigrationsTest, ThreeBackupsAreKept) {
  std::vector<Migration> many;
  std::vector<std::string> texts;
  for (int i = 1; i <= 12; ++i) texts.push_back("CREATE TABLE t" + std::to_string(i) + " (id TEXT)");
  for (int i = 1; i <= 12; ++i) {
    many.push_back({i, "step", texts[static_cast<std::size_t>(i - 1)]});
    ASSERT_TRUE(run(many));
  }
  std::vector<std::string> kept;
  for (const auto& entry : std::filesystem::directory_iterator(dir_.path())) {
    if (const auto name = entry.path().filename().string(); name.find(".pre-") != std::string::npos)
      kept.push_back(name);
  }
  EXPECT_THAT(kept, ::testing::UnorderedElementsAre("test.db.pre-10", "test.db.pre-11", "test.db.pre-12"));
}

// covers: S05_DB_09
TEST_F(MigrationsTest, AChangedTextANewerDatabaseAndGapsAreRefused) {
  ASSERT_TRUE(run(kThree));
  std::vector<Migration> changed = kThree;
  changed[1].sql = "CREATE TABLE b (id TEXT PRIMARY KEY)";
  expect_refused(changed, "migration_checksum_mismatch");
  expect_refused(std::span(kThree).first(2), "database_newer_than_binary");
  std::vector<Migration> gap = kThree;
  gap.erase(gap.begin() + 1);
  expect_refused(gap, "migration_gap");
  script("DELETE FROM schema_migrations WHERE version = 2");
  expect_refused(kThree, "migration_gap");
}

// covers: S05_DB_10
TEST_F(MigrationsTest, AFailureInTheMiddleLeavesTheDatabaseAsItWas) {
  std::vector<Migration> failing = kThree;
  failing.push_back({4, "fails", "CREATE TABLE c (id TEXT); INSERT INTO nothing VALUES (1);"});
  expect_refused(failing, "migration_failed");
  ASSERT_TRUE(run_first(1));
  expect_refused(failing, "migration_failed");
}

TEST_F(MigrationsTest, AMigrationThatEndsTheTransactionIsRefused) {
  for (const std::string_view sql : {"CREATE TABLE c (id TEXT); COMMIT;", "CREATE TABLE c (id TEXT); COMMIT; BEGIN",
                                     "CREATE TABLE c (id TEXT); ROLLBACK; BEGIN", "SAVEPOINT s"}) {
    const std::vector<Migration> ending = {{1, "ends", sql}};
    expect_refused(ending, "migration_failed");
  }
}

TEST_F(MigrationsTest, DanglingReferencesAfterwardsAreRefused) {
  const std::vector<Migration> dangling = {
      {1, "dangling",
       "CREATE TABLE parent (id TEXT PRIMARY KEY);"
       "CREATE TABLE child (id TEXT REFERENCES parent(id) DEFERRABLE INITIALLY DEFERRED);"
       "INSERT INTO child VALUES ('gone');"}};
  expect_refused(dangling, "migration_failed");
}

TEST_F(MigrationsTest, TablesOfAnotherProgramAreNotTouched) {
  script("CREATE TABLE theirs (id TEXT)");
  const auto refused = run(kThree);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "database_not_ours");
  EXPECT_THAT(values<std::string>("SELECT name FROM sqlite_master"), ::testing::ElementsAre("theirs"));
}

// covers: S05_DB_11
TEST_F(MigrationsTest, TwoStartersAtOnceApplyOnce) {
  database_.reset();
  const auto path = dir_ / "race.db";
  std::array<std::expected<MigrationReport, StartError>, 2> reports;
  std::vector<std::thread> starters;
  for (auto& report : reports) {
    starters.emplace_back([&] {
      FakeRandom random;
      auto connection = SqliteConnection::open(path, ConnectionRole::maintenance, {});
      ASSERT_TRUE(connection) << connection.error().detail;
      report = migrate(**connection, path, kThree, identity_, clock_, random);
    });
  }
  for (auto& starter : starters) starter.join();
  for (const auto& report : reports) ASSERT_TRUE(report) << report.error().detail;
  EXPECT_EQ(std::min(reports[0]->from, reports[1]->from), 0);
  EXPECT_EQ(std::max(reports[0]->from, reports[1]->from), 3);
  EXPECT_EQ(reports[0]->instance_id, reports[1]->instance_id);
}

// covers: S05_DB_12
TEST_F(MigrationsTest, AnotherEnvironmentOrClusterIsRefusedBeforeAnythingChanges) {
  ASSERT_TRUE(run_first(2));
  identity_.env = "production";
  expect_refused(kThree, "environment_mismatch", 6);
  identity_ = {.env = "dev", .cluster_id = "other", .app_version = "1.2.3"};
  expect_refused(kThree, "environment_mismatch", 6);
  EXPECT_FALSE(std::filesystem::exists(dir_ / "test.db.pre-3"));
}

TEST_F(MigrationsTest, APlanTellsAndChangesNothing) {
  const auto empty = plan_migrations(*database_, kThree, identity_);
  ASSERT_TRUE(empty);
  EXPECT_EQ(empty->from, 0);
  EXPECT_EQ(empty->to, 3);
  EXPECT_TRUE(values<std::string>("SELECT name FROM sqlite_master").empty());
  ASSERT_TRUE(run_first(1));
  const std::string before = picture();
  const auto later = plan_migrations(*database_, kThree, identity_);
  ASSERT_TRUE(later);
  EXPECT_EQ(later->from, 1);
  EXPECT_EQ(picture(), before);
}

TEST_F(MigrationsTest, WithoutRandomNumbersThereIsNoInstanceId) {
  random_.set_failing(true);
  expect_refused(kThree, "migration_failed");
}

TEST_F(MigrationsTest, ABackupThatCannotBeMadeStopsTheUpgrade) {
  ASSERT_TRUE(run_first(1));
  std::filesystem::create_directories(dir_ / "test.db.pre-3" / "in the way");
  expect_refused(kThree, "migration_backup_failed");
}

}  // namespace
}  // namespace ee::db
