#include "db/postgres_sql.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "db/postgres_codes.h"
#include "db/postgres_connection.h"

namespace ee::db {
namespace {

using ::testing::ElementsAre;

TEST(PostgresSql, NumbersNamesInTheirOrder) {
  const PostgresSql sql = number_parameters("SELECT a FROM t WHERE id=:id AND b<:limit AND (c=:id OR :id IS NULL)");
  EXPECT_EQ(sql.text, "SELECT a FROM t WHERE id=$1 AND b<$2 AND (c=$1 OR $1 IS NULL)");
  EXPECT_THAT(sql.names, ElementsAre("id", "limit"));
}

TEST(PostgresSql, LeavesEverythingElseAlone) {
  for (const std::string text :
       {"SELECT ':a', 'it''s :b', \":c\", d::text, e::bigint FROM t -- :f", "SELECT 1 /* :g */ + 2", "SELECT ':unended",
        "SELECT 1 -- :x\n+ 2", ":", "a:1", "SELECT x::int"}) {
    const PostgresSql sql = number_parameters(text);
    EXPECT_EQ(sql.text, text);
    EXPECT_TRUE(sql.names.empty()) << text;
  }
  EXPECT_EQ(number_parameters("-- :no\n:yes::text").text, "-- :no\n$1::text");
}

TEST(PostgresCodes, AreTheSameErrorsAsThoseOfTheOtherEngine) {
  const OnUnique taken{ErrorCode::account_name_taken};
  EXPECT_EQ(postgres_error("23505", "", taken).code, ErrorCode::account_name_taken);
  EXPECT_EQ(postgres_error("23505", "", {}).code, ErrorCode::concurrent_update);
  EXPECT_EQ(postgres_error("23503", "", taken).code, ErrorCode::in_use);
  EXPECT_EQ(postgres_error("57014", "", {}).code, ErrorCode::database_timeout);
  for (const char* state : {"08006", "40001", "40P01", "53300", "53100", "55P03", "57P01", "58030", "XX000", "25006"}) {
    EXPECT_EQ(postgres_error(state, "", {}).code, ErrorCode::database_unavailable) << state;
    EXPECT_TRUE(postgres_error(state, "", {}).retry_after) << state;
  }
  for (const char* state : {"23514", "42P01", "P0001", "22P02"})
    EXPECT_EQ(postgres_error(state, "", {}).code, ErrorCode::internal_error) << state;
  EXPECT_TRUE(may_succeed_again("40001"));
  EXPECT_TRUE(may_succeed_again("40P01"));
  EXPECT_FALSE(may_succeed_again("23505"));
}

TEST(PostgresCodes, DoNotRepeatValues) {
  EXPECT_EQ(postgres_error("22P02", "invalid input syntax for type bigint: \"secret\"", {}).detail.find("secret"),
            std::string::npos);
}

TEST(PostgresUrl, AnotherMachineNeedsACheckedCertificate) {
  const auto problem = [](const std::string& url, bool verify) { return postgres_url_problem(Secret(url), verify); };
  EXPECT_FALSE(problem("postgres://u:p@db.example.com/x", true));
  EXPECT_FALSE(problem("postgres://u:p@db.example.com/x?sslmode=verify-full", true));
  for (const char* mode : {"disable", "allow", "prefer", "require", "verify-ca"}) {
    const std::string url = std::string("postgres://u:hidden@db.example.com/x?sslmode=") + mode;
    ASSERT_TRUE(problem(url, true)) << mode;
    EXPECT_EQ(problem(url, true)->find("hidden"), std::string::npos);
    EXPECT_FALSE(problem(url, false)) << mode;
  }
  EXPECT_TRUE(problem("postgres://u:hidden@host/x?nonsense=1", false));
  EXPECT_EQ(problem("postgres://u:hidden@host/x?nonsense=1", false)->find("hidden"), std::string::npos);
}

}  // namespace
}  // namespace ee::db
