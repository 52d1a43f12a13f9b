// What SOCI and SQLite really do, where the database layer builds on it.
#include <gtest/gtest.h>
#include <soci/soci.h>
#include <soci/sqlite3/soci-sqlite3.h>

#include <limits>
#include <string>

#include "tests/support/temp_dir.h"

namespace ee::db {
namespace {

class SociFacts : public ::testing::Test {
 protected:
  testing::TempDir dir_;
  soci::session session_{soci::sqlite3, "dbname=\"" + (dir_ / "with space=and sign.db").string() + "\""};

  sqlite_api::sqlite3* raw() { return static_cast<soci::sqlite3_session_backend*>(session_.get_backend())->conn_; }
  int failing_code(const std::string& sql) {
    try {
      session_ << sql;
    } catch (const soci::sqlite3_soci_error&) {
      return sqlite_api::sqlite3_extended_errcode(raw());
    }
    return SQLITE_OK;
  }
};

TEST_F(SociFacts, OpensAPathWithSpacesAndEqualSigns) {
  session_ << "CREATE TABLE t (a BIGINT)";
  EXPECT_TRUE(std::filesystem::exists(dir_ / "with space=and sign.db"));
}

TEST_F(SociFacts, ReadsA64BitNumberFromEveryColumnTypeThroughInto) {
  session_ << "CREATE TABLE t (a BIGINT, b INTEGER)";
  const long long low = std::numeric_limits<long long>::min();
  const long long high = std::numeric_limits<long long>::max();
  session_ << "INSERT INTO t VALUES (:a, :b)", soci::use(low, "a"), soci::use(high, "b");
  long long a = 0;
  long long b = 0;
  session_ << "SELECT a, b FROM t", soci::into(a), soci::into(b);
  EXPECT_EQ(a, low);
  EXPECT_EQ(b, high);
}

TEST_F(SociFacts, DynamicRowsCutAnIntegerColumnTo32Bits) {
  session_ << "CREATE TABLE t (a BIGINT, b INTEGER)";
  session_ << "INSERT INTO t VALUES (4294967297, 4294967297)";
  soci::row row;
  session_ << "SELECT a, b FROM t", soci::into(row);
  EXPECT_EQ(row.get_properties(0).get_data_type(), soci::dt_long_long);
  EXPECT_EQ(row.get_properties(1).get_data_type(), soci::dt_integer);
}

TEST_F(SociFacts, UpdateReturningGivesRowsAndARepeatedNamedParameterIsBoundOnce) {
  session_ << "CREATE TABLE t (a BIGINT, b TEXT)";
  session_ << "INSERT INTO t VALUES (1, 'x'), (2, 'x'), (3, 'y')";
  const std::string wanted = "x";
  long long a = 0;
  soci::statement statement = (session_.prepare << "UPDATE t SET a = a + 10 WHERE b = :b AND :b <> 'y' RETURNING a",
                               soci::use(wanted, "b"), soci::into(a));
  std::vector<long long> seen;
  for (bool more = statement.execute(true); more; more = statement.fetch()) seen.push_back(a);
  EXPECT_EQ(seen, (std::vector<long long>{11, 12}));
}

TEST_F(SociFacts, AnIndicatorTellsNullFromEmpty) {
  session_ << "CREATE TABLE t (a TEXT)";
  session_ << "INSERT INTO t VALUES (NULL)";
  std::string text = "before";
  soci::indicator indicator = soci::i_ok;
  session_ << "SELECT a FROM t", soci::into(text, indicator);
  EXPECT_EQ(indicator, soci::i_null);
  session_ << "UPDATE t SET a = ''";
  session_ << "SELECT a FROM t", soci::into(text, indicator);
  EXPECT_EQ(indicator, soci::i_ok);
  EXPECT_EQ(text, "");
}

TEST_F(SociFacts, TheRawHandleTellsWhichConstraintFailed) {
  session_ << "PRAGMA foreign_keys=ON";
  session_ << "CREATE TABLE parent (id TEXT PRIMARY KEY, name TEXT UNIQUE)";
  session_ << "CREATE TABLE child (id TEXT PRIMARY KEY, parent_id TEXT REFERENCES parent(id))";
  session_ << "INSERT INTO parent VALUES ('1', 'a')";
  session_ << "INSERT INTO child VALUES ('1', '1')";
  EXPECT_EQ(failing_code("INSERT INTO parent VALUES ('1', 'b')"), SQLITE_CONSTRAINT_PRIMARYKEY);
  EXPECT_EQ(failing_code("INSERT INTO parent VALUES ('2', 'a')"), SQLITE_CONSTRAINT_UNIQUE);
  EXPECT_EQ(failing_code("DELETE FROM parent"), SQLITE_CONSTRAINT_FOREIGNKEY);
  EXPECT_EQ(failing_code("INSERT INTO child VALUES ('2', '9')"), SQLITE_CONSTRAINT_FOREIGNKEY);
}

TEST_F(SociFacts, WhatOfAnErrorHoldsTheParametersSoOnlyTheEnginesMessageMayBeShown) {
  session_ << "CREATE TABLE t (a TEXT UNIQUE)";
  const std::string secret = "planted-value";
  session_ << "INSERT INTO t VALUES (:a)", soci::use(secret, "a");
  try {
    session_ << "INSERT INTO t VALUES (:a)", soci::use(secret, "a");
    FAIL() << "the second insert must fail";
  } catch (const soci::soci_error& error) {
    EXPECT_NE(std::string(error.what()).find(secret), std::string::npos);
    EXPECT_EQ(std::string(sqlite_api::sqlite3_errmsg(raw())), "UNIQUE constraint failed: t.a");
  }
}

TEST_F(SociFacts, ASavepointRollsBackAloneAndItsTransactionStays) {
  session_ << "CREATE TABLE t (a BIGINT)";
  session_ << "BEGIN IMMEDIATE";
  session_ << "INSERT INTO t VALUES (1)";
  session_ << "SAVEPOINT item";
  session_ << "INSERT INTO t VALUES (2)";
  session_ << "ROLLBACK TO item";
  session_ << "RELEASE item";
  session_ << "COMMIT";
  long long count = 0;
  long long sum = 0;
  session_ << "SELECT count(*), sum(a) FROM t", soci::into(count), soci::into(sum);
  EXPECT_EQ(count, 1);
  EXPECT_EQ(sum, 1);
}

TEST_F(SociFacts, EverythingAfterTheFirstStatementIsIgnored) {
  session_ << "CREATE TABLE t (a BIGINT); INSERT INTO t VALUES (1)";
  long long count = -1;
  session_ << "SELECT count(*) FROM t", soci::into(count);
  EXPECT_EQ(count, 0);
}

}  // namespace
}  // namespace ee::db
