// Opening, closing, checkpoints, checks.
#include "db/sqlite_database.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <fstream>

#include "db/sqlite_connection.h"
#include "db/sqlite_files.h"
#include "db/sqlite_fixture.h"

namespace ee::db {
namespace {

class SqliteDatabaseTest : public sqlite_test::SqliteTest {};

// covers: S05_DB_01
TEST_F(SqliteDatabaseTest, EveryConnectionHasThePragmasOfTheSpec) {
  const std::vector<std::pair<std::string, std::string>> wanted = {
      {"journal_mode", "wal"},  {"synchronous", "2"},       {"foreign_keys", "1"},          {"busy_timeout", "5000"},
      {"temp_store", "2"},      {"cache_size", "-16384"},   {"wal_autocheckpoint", "1000"}, {"trusted_schema", "0"},
      {"cell_size_check", "1"}, {"recursive_triggers", "1"}};
  for (const auto& [name, value] : wanted) {
    const auto ask = [&](Transaction& t) { return t.query<std::string>("PRAGMA " + name); };
    EXPECT_EQ(database_->read<std::vector<std::string>>(ask)->at(0), value) << name;
    EXPECT_EQ(database_->write<std::vector<std::string>>(ask)->at(0), value) << name;
  }
  EXPECT_EQ(rows<std::string>("PRAGMA query_only").at(0), "1");
}

// covers: S05_DB_02
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
  wanted.strict = true;
  wanted.file_system_type = 0xEF53;  // ext4
  ASSERT_EQ(::chmod(wanted.path.c_str(), 0640), 0);
  EXPECT_EQ(refused(wanted), "database_permissions 6");
  ASSERT_EQ(::chmod(wanted.path.c_str(), 0600), 0);
  EXPECT_EQ(refused(wanted), "");
  wanted.file_system_type = 0x6969;  // NFS
  EXPECT_EQ(refused(wanted), "database_network_file_system 4");
  wanted.strict = false;
  EXPECT_EQ(refused(wanted), "");
  SqliteOptions memory;
  memory.path = ":memory:";
  EXPECT_EQ(refused(memory), "volatile_database 6");
  SqliteOptions nowhere = options();
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
    ASSERT_TRUE(
        connection.script("PRAGMA foreign_keys=OFF; INSERT INTO parts VALUES ('p', 'gone'); PRAGMA foreign_keys=ON"));
  });
  const auto bad = database_->check({});
  ASSERT_TRUE(bad);
  EXPECT_THAT(*bad, ::testing::ElementsAre("a row of parts refers to nothing"));
}

TEST_F(SqliteDatabaseTest, ACheckEndsWhenItIsStopped) {
  ASSERT_TRUE(
      run("INSERT INTO things (id, size, good, made_at, colour) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL "
          "SELECT i + 1 FROM n WHERE i < 5000) SELECT i, i, 0, 0, 'red' FROM n"));
  std::stop_source stop;
  stop.request_stop();
  const auto stopped = database_->check(stop.get_token());
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::database_timeout);
  EXPECT_TRUE(database_->check({}));
}

TEST(NetworkFileSystems, AreKnownByTheirType) {
  for (const long type : {0x6969L, 0x517BL, 0xFE534D42L, 0xFF534D42L, 0x65735546L,
                          static_cast<long>(static_cast<std::int32_t>(0xFF534D42))}) {
    EXPECT_TRUE(is_network_file_system(type)) << type;
  }
  for (const long type :
       {0xEF53L, 0x58465342L, 0x9123683EL, 0x01021994L, 0x794C7630L}) {  // ext4, xfs, btrfs, tmpfs, overlay
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
