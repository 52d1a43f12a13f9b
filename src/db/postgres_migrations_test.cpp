// The rules of 05 section 3.4 on PostgreSQL; migrations_test.cpp has them on SQLite.
#include <thread>

#include "common/fake_random.h"
#include "common/random.h"
#include "db/migrations.h"
#include "db/postgres_fixture.h"

namespace ee::db {
namespace {

const std::vector<Migration> kThree = {
    {1, "first", "CREATE TABLE a (id TEXT PRIMARY KEY, made_at BIGINT NOT NULL) @without_rowid@;"},
    {2, "second", "CREATE TABLE b (id TEXT PRIMARY KEY); INSERT INTO a VALUES ('from-2', @now_ms@);"},
    {3, "third", "ALTER TABLE b ADD COLUMN note TEXT; INSERT INTO b VALUES ('x', 'semi;colon');"},
};

class PostgresMigrationsTest : public postgres_test::PostgresTest {
 protected:
  void SetUp() override {
    name_ = server().create_database();
    database_ = open();
  }
  std::expected<MigrationReport, StartError> migrate_to(std::span<const Migration> migrations) {
    return migrate(*database_, migrations, identity_, clock_, random_);
  }
  std::vector<std::string> tables() {
    return rows<std::string>(
        "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1");
  }
  void expect_refused(std::span<const Migration> migrations, const std::string& code, int exit_code = 4) {
    const auto before = tables();
    const auto refused = migrate_to(migrations);
    ASSERT_FALSE(refused) << code;
    EXPECT_EQ(refused.error().code, code) << refused.error().detail;
    EXPECT_EQ(refused.error().exit_code, exit_code);
    EXPECT_EQ(tables(), before);
  }

  SystemRandom random_;
  DatabaseIdentity identity_{.env = "dev", .cluster_id = "test", .app_version = "1.2.3"};
};

// covers: S05_DB_07
TEST_F(PostgresMigrationsTest, AnEmptyDatabaseGetsEverythingAndASecondStartNothing) {
  const auto first = migrate_to(kThree);
  ASSERT_TRUE(first) << first.error().detail;
  EXPECT_EQ(first->from, 0);
  EXPECT_EQ(first->to, 3);
  const auto again = migrate_to(kThree);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->from, 3);
  EXPECT_EQ(again->instance_id, first->instance_id);
  EXPECT_EQ(rows<std::string>("SELECT note FROM b").at(0), "semi;colon");
  const std::int64_t now = unix_ms(SystemClock().now());
  EXPECT_NEAR(static_cast<double>(rows<std::int64_t>("SELECT made_at FROM a").at(0)), static_cast<double>(now), 60e3);
}

// covers: S05_DB_08
TEST_F(PostgresMigrationsTest, AnOlderOneIsBroughtUp) {
  ASSERT_TRUE(migrate_to(std::span(kThree).first(1)));
  const auto planned = plan_migrations(*database_, kThree, identity_);
  ASSERT_TRUE(planned);
  EXPECT_EQ(planned->from, 1);
  EXPECT_EQ(tables(), (std::vector<std::string>{"a", "meta", "schema_migrations"})) << "a plan changes nothing";
  ASSERT_TRUE(migrate_to(kThree));
  EXPECT_EQ(tables(), (std::vector<std::string>{"a", "b", "meta", "schema_migrations"}));
}

// covers: S05_DB_09
TEST_F(PostgresMigrationsTest, WhatDoesNotFitIsRefusedAndChangesNothing) {
  ASSERT_TRUE(migrate_to(std::span(kThree).first(2)));
  std::vector<Migration> changed = kThree;
  changed[1].sql = "CREATE TABLE other (id TEXT)";
  expect_refused(changed, "migration_checksum_mismatch");
  expect_refused(std::span(kThree).first(1), "database_newer_than_binary");
  std::vector<Migration> gap = {kThree[0], kThree[2]};
  expect_refused(gap, "migration_gap");
  std::vector<Migration> failing = kThree;
  failing[2].sql = "CREATE TABLE c (id TEXT); INSERT INTO nowhere VALUES (1);";
  expect_refused(failing, "migration_failed");
  failing[2].sql = "CREATE TABLE c (id TEXT); COMMIT;";
  EXPECT_FALSE(migrate_to(failing)) << "a text may not end the transaction";
}

// covers: S05_DB_12
TEST_F(PostgresMigrationsTest, AnotherEnvironmentsDatabaseIsRefused) {
  ASSERT_TRUE(migrate_to(kThree));
  identity_.env = "production";
  expect_refused(kThree, "environment_mismatch", 6);
}

TEST_F(PostgresMigrationsTest, SomebodyElsesTablesAreRefused) {
  ASSERT_TRUE(run("CREATE TABLE of_others (id TEXT)"));
  expect_refused(kThree, "database_not_ours");
}

// covers: S05_DB_11
TEST_F(PostgresMigrationsTest, OfFourStartersAtOnceOneDoesIt) {
  constexpr int kStarters = 4;
  std::vector<std::expected<MigrationReport, StartError>> reports(kStarters);
  std::vector<std::unique_ptr<PostgresDatabase>> databases;
  for (int i = 0; i < kStarters; ++i) databases.push_back(open());
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < kStarters; ++i)
      threads.emplace_back([&, i] {
        SystemRandom random;
        reports[i] = migrate(*databases[i], kThree, identity_, clock_, random);
      });
  }
  int did = 0;
  for (const auto& report : reports) {
    ASSERT_TRUE(report) << report.error().detail;
    EXPECT_EQ(report->instance_id, reports[0]->instance_id);
    if (report->from == 0) ++did;
  }
  EXPECT_EQ(did, 1);
  EXPECT_EQ(rows<std::int64_t>("SELECT count(*) FROM b").at(0), 1);
}

}  // namespace
}  // namespace ee::db
