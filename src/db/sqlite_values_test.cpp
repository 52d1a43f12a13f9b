// What goes through statements: values, parameters, errors, views.
#include <gmock/gmock.h>

#include <limits>
#include <thread>

#include "db/sqlite_fixture.h"

namespace ee::db {
namespace {

using sqlite_test::Colour;
using sqlite_test::Thing;

class SqliteValuesTest : public sqlite_test::SqliteTest {};

TEST_F(SqliteValuesTest, RowsComeBackAsTheyWentIn) {
  const Thing full{.id = "a",
                   .size = std::numeric_limits<std::int64_t>::min(),
                   .note = std::string("n\0ul ' \" é", 11),
                   .weight = std::numeric_limits<std::int64_t>::max(),
                   .good = true,
                   .made_at = from_unix_ms(1767225600123),
                   .colour = Colour::green};
  const Thing empty{.id = "b", .note = std::nullopt, .weight = std::nullopt, .made_at = from_unix_ms(0)};
  ASSERT_TRUE(insert(full));
  ASSERT_TRUE(insert(empty));
  EXPECT_THAT(rows<Thing>("SELECT " + columns_of<Thing>() + " FROM things ORDER BY id"),
              ::testing::ElementsAre(full, empty));
}

TEST_F(SqliteValuesTest, OneStatementTakesNullAndValuesInTurn) {
  for (const auto& weight :
       {std::optional<std::int64_t>{}, std::optional<std::int64_t>{5}, std::optional<std::int64_t>{}}) {
    ASSERT_TRUE(run("INSERT INTO things (id, size, weight, good, made_at, colour) VALUES (:id, 1, :w, 0, 0, 'red')",
                    {{"id", std::to_string(count())}, {"w", weight}}));
  }
  EXPECT_THAT(rows<std::optional<std::int64_t>>("SELECT weight FROM things ORDER BY id"),
              ::testing::ElementsAre(std::nullopt, std::optional<std::int64_t>(5), std::nullopt));
}

TEST_F(SqliteValuesTest, ParametersMayRepeatAndComeInAnyOrder) {
  ASSERT_TRUE(insert(thing("a")));
  const std::string sql = "SELECT id FROM things WHERE id = :id AND size = :size AND :id <> ''";
  EXPECT_EQ(rows<std::string>(sql, {{"id", "a"}, {"size", 0}}).size(), 1U);
  EXPECT_EQ(rows<std::string>(sql, {{"size", 0}, {"id", "a"}}).size(), 1U);
  EXPECT_EQ(rows<std::string>(sql, {{"size", 0}, {"id", "b"}}).size(), 0U);
}

TEST_F(SqliteValuesTest, WrongParametersAndColumnsAreRefusedNotGuessed) {
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
  const auto narrow =
      database_->read<std::vector<Thing>>([](Transaction& t) { return t.query<Thing>("SELECT id FROM things"); });
  ASSERT_FALSE(narrow);
  EXPECT_EQ(narrow.error().code, ErrorCode::internal_error);
  EXPECT_EQ(count(), 1);
}

TEST_F(SqliteValuesTest, AFailedStatementIsUsableAgain) {
  ASSERT_TRUE(insert(thing("a")));
  ASSERT_FALSE(insert(thing("a")));
  ASSERT_TRUE(insert(thing("b")));
  EXPECT_EQ(count(), 2);
}

TEST_F(SqliteValuesTest, ReturningGivesTheRowsThatWereWritten) {
  ASSERT_TRUE(insert(thing("a")));
  ASSERT_TRUE(insert(thing("b")));
  const auto returned = database_->write<std::vector<std::string>>([](Transaction& t) {
    return t.query<std::string>("UPDATE things SET size = :size WHERE size < :size RETURNING id", {{"size", 5}});
  });
  ASSERT_TRUE(returned);
  EXPECT_THAT(*returned, ::testing::UnorderedElementsAre("a", "b"));
  EXPECT_EQ(rows<std::int64_t>("SELECT sum(size) FROM things").at(0), 10);
}

TEST_F(SqliteValuesTest, ConstraintsBecomeNamedErrorsWithoutValues) {
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

TEST_F(SqliteValuesTest, NullInAColumnThatMayNotBeNullIsAnErrorNotAZero) {
  ASSERT_TRUE(insert(thing("a")));
  const auto read = database_->read<std::vector<std::int64_t>>(
      [](Transaction& t) { return t.query<std::int64_t>("SELECT weight FROM things"); });
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::internal_error);
}

TEST_F(SqliteValuesTest, ACallerSeesItsOwnWriteInTheNextRead) {
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(insert(thing(std::to_string(i))));
    ASSERT_EQ(count(), i + 1);
  }
}

TEST_F(SqliteValuesTest, AReadTransactionIsOneConsistentView) {
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

TEST_F(SqliteValuesTest, AReaderCannotWrite) {
  const auto written = database_->read<std::int64_t>([](Transaction& t) { return t.execute("DELETE FROM things"); });
  ASSERT_FALSE(written);
}

TEST_F(SqliteValuesTest, AStatementThatRunsTooLongIsStoppedAndTheReaderLives) {
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

TEST_F(SqliteValuesTest, WithEveryReaderBusyACallerIsRefusedInTime) {
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

}  // namespace
}  // namespace ee::db
