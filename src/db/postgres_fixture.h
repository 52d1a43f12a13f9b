#pragma once
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/fake_clock.h"
#include "db/postgres_database.h"
#include "tests/support/real_postgres.h"

/// A database of a test's own on a real server, with two tables. For tests only.
namespace ee::db::postgres_test {

class PostgresTest : public ::testing::Test {
 protected:
  void SetUp() override {
    name_ = server().create_database();
    database_ = open();
    ASSERT_TRUE(run(
        "CREATE TABLE things (id TEXT PRIMARY KEY, size BIGINT NOT NULL DEFAULT 0, note TEXT UNIQUE, small INTEGER)"));
    ASSERT_TRUE(
        run("CREATE TABLE parts (id TEXT PRIMARY KEY, thing_id TEXT NOT NULL REFERENCES things (id), "
            "later_id TEXT REFERENCES things (id) DEFERRABLE INITIALLY DEFERRED)"));
  }
  void TearDown() override {
    database_.reset();
    server().drop_database(name_);
  }

  static testing::RealPostgres& server() { return testing::RealPostgres::shared(); }
  PostgresOptions options() const {
    PostgresOptions wanted;
    wanted.url = Secret(server().url(name_));
    wanted.strict = false;
    wanted.durable = false;
    wanted.readers = 2;
    return wanted;
  }
  std::unique_ptr<PostgresDatabase> open() { return open(options()); }
  std::unique_ptr<PostgresDatabase> open(const PostgresOptions& wanted) {
    auto opened = PostgresDatabase::open(wanted, clock_);
    if (!opened) throw std::runtime_error(opened.error().code + ": " + opened.error().detail);
    return std::move(*opened);
  }
  Result<std::int64_t> run(std::string_view sql, const Params& params = {}, std::optional<OnUnique> unique = {}) {
    return run_on(*database_, sql, params, unique);
  }
  static Result<std::int64_t> run_on(Database& database, std::string_view sql, const Params& params = {},
                                     std::optional<OnUnique> unique = {}) {
    return database.write<std::int64_t>([&](Transaction& tx) { return tx.execute(sql, params, unique); });
  }
  template <class Row>
  std::vector<Row> rows(std::string_view sql, const Params& params = {}) {
    auto found = database_->read<std::vector<Row>>([&](Transaction& tx) { return tx.query<Row>(sql, params); });
    EXPECT_TRUE(found) << found.error().detail;
    return found ? std::move(*found) : std::vector<Row>{};
  }
  std::int64_t count() { return rows<std::int64_t>("SELECT count(*) FROM things").at(0); }
  Result<std::int64_t> insert(const std::string& id, std::optional<std::string> note = {}) {
    return run("INSERT INTO things (id, note) VALUES (:id, :note)", {{"id", id}, {"note", note}});
  }
  /// Ends every connection of this database but that of the caller, as a failing network does.
  void cut_connections() const {
    server().run("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '" + name_ + "'");
  }

  FakeClock clock_;
  std::string name_;
  std::unique_ptr<PostgresDatabase> database_;
};

}  // namespace ee::db::postgres_test
