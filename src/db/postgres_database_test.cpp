#include "db/postgres_database.h"

#include <atomic>
#include <latch>
#include <limits>
#include <thread>

#include "db/postgres_fixture.h"

namespace ee::db {
namespace {

using ::testing::ElementsAre;

class PostgresDatabaseTest : public postgres_test::PostgresTest {};

struct Cells {
  std::string id;
  std::int64_t size = 0;
  std::optional<std::string> note = {};
  std::optional<std::int64_t> small = {};
  bool operator==(const Cells&) const = default;
};
BOOST_DESCRIBE_STRUCT(Cells, (), (id, size, note, small))

TEST_F(PostgresDatabaseTest, ValuesComeBackAsTheyWere) {
  const std::vector<Cells> all = {
      {.id = "a", .size = std::numeric_limits<std::int64_t>::max(), .note = "it's \"\\ :x $1 \xC3\xA4\n", .small = 7},
      {.id = "b", .size = std::numeric_limits<std::int64_t>::min(), .note = "", .small = std::nullopt},
      {.id = "c", .size = 0, .note = std::nullopt, .small = -1}};
  for (const Cells& row : all)
    ASSERT_TRUE(run("INSERT INTO things (id, size, note, small) VALUES (:id, :size, :note, :small)", params_of(row)));
  EXPECT_EQ(rows<Cells>("SELECT id, size, note, small FROM things ORDER BY id"), all);
  EXPECT_THAT(rows<bool>("SELECT size = 0 FROM things ORDER BY id"), ElementsAre(false, false, true));
  EXPECT_EQ(rows<std::int64_t>("SELECT sum(small) FROM things").at(0), 6) << "a sum is NUMERIC to the server";
}

TEST_F(PostgresDatabaseTest, ParametersHaveTheTypesOfTheProgram) {
  ASSERT_TRUE(insert("a", "x"));
  const char* either = "SELECT count(*) FROM things WHERE :note IS NULL OR note = :note";
  EXPECT_EQ(rows<std::int64_t>(either, {{"note", std::optional<std::string>()}}).at(0), 1);
  EXPECT_EQ(rows<std::int64_t>(either, {{"note", std::optional<std::string>("y")}}).at(0), 0);
  EXPECT_EQ(rows<std::int64_t>("SELECT :a + :b", {{"a", 40}, {"b", 2}}).at(0), 42);
  EXPECT_FALSE(run("UPDATE things SET note = :note", {{"note", "x"}, {"other", 1}})) << "nothing uses it";
  EXPECT_FALSE(run("UPDATE things SET note = :note", {})) << "it was not given";
}

TEST_F(PostgresDatabaseTest, AZeroCharacterIsRefusedNotCut) {
  const auto refused = insert("a", std::string("x\0y", 3));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_request);
  EXPECT_EQ(count(), 0);
}

TEST_F(PostgresDatabaseTest, ErrorsAreThoseOfTheOtherEngine) {
  ASSERT_TRUE(insert("a"));
  EXPECT_EQ(insert("a").error().code, ErrorCode::concurrent_update);
  EXPECT_EQ(run("INSERT INTO things (id) VALUES ('a')", {}, OnUnique{ErrorCode::account_name_taken}).error().code,
            ErrorCode::account_name_taken);
  EXPECT_EQ(run("INSERT INTO parts (id, thing_id) VALUES ('p', 'nothing')").error().code, ErrorCode::in_use);
  EXPECT_EQ(run("INSERT INTO parts (id, thing_id, later_id) VALUES ('p', 'a', 'nothing')").error().code,
            ErrorCode::in_use);
  EXPECT_EQ(run("nonsense").error().code, ErrorCode::internal_error);
  EXPECT_EQ(count(), 1);
}

TEST_F(PostgresDatabaseTest, AWriteThatOverlooksAFailureIsUndone) {
  ASSERT_TRUE(insert("a"));
  const auto done = database_->write<bool>([](Transaction& tx) -> Result<bool> {
    if (auto made = tx.execute("INSERT INTO things (id) VALUES ('b')"); !made) return std::unexpected(made.error());
    std::ignore = tx.execute("INSERT INTO things (id) VALUES ('a')");
    return true;
  });
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::concurrent_update);
  EXPECT_EQ(count(), 1);
}

TEST_F(PostgresDatabaseTest, ABadItemOfAGroupFailsAlone) {
  constexpr int kWriters = 40;
  std::atomic<int> stored = 0;
  {
    std::latch start(kWriters);
    std::vector<std::jthread> threads;
    for (int i = 0; i < kWriters; ++i)
      threads.emplace_back([&, i] {
        start.arrive_and_wait();
        const std::string id = std::to_string(i);
        Result<std::int64_t> done;
        if (i % 4 == 0)
          done = run("INSERT INTO things (id) VALUES ('same'), (:id)", {{"id", id}});
        else if (i % 4 == 1)
          done = run("INSERT INTO parts (id, thing_id, later_id) VALUES (:id, 'x', 'y')", {{"id", id}});
        else
          done = insert(id);
        if (done) ++stored;
      });
  }
  EXPECT_EQ(stored, kWriters / 2 + 1) << "of those with the same id one, of those without their thing none";
  EXPECT_EQ(count(), kWriters / 2 + 2);
  EXPECT_LT(database_->health().commits, std::uint64_t{kWriters} + 2) << "some shared a commit";
}

TEST_F(PostgresDatabaseTest, AReadSeesOneMomentAndWritesNothing) {
  ASSERT_TRUE(insert("a"));
  const auto seen = database_->read<std::int64_t>([&](Transaction& tx) -> Result<std::int64_t> {
    const auto before = tx.query_one<std::int64_t>("SELECT count(*) FROM things");
    if (!before) return std::unexpected(before.error());
    EXPECT_TRUE(insert("b"));
    const auto after = tx.query_one<std::int64_t>("SELECT count(*) FROM things");
    if (!after) return std::unexpected(after.error());
    return **after - **before;
  });
  ASSERT_TRUE(seen) << seen.error().detail;
  EXPECT_EQ(*seen, 0);
  EXPECT_EQ(count(), 2);
  const auto written = database_->read<std::int64_t>([](Transaction& tx) { return tx.execute("DELETE FROM things"); });
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::database_unavailable);
  EXPECT_EQ(count(), 2);
}

TEST_F(PostgresDatabaseTest, ReadThenWriteLosesNothingBetweenReplicas) {
  ASSERT_TRUE(insert("counter"));
  const auto other = open();
  constexpr int kThreads = 4;
  constexpr int kEach = 25;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i)
      threads.emplace_back([&, i] {
        Database& mine = i % 2 == 0 ? static_cast<Database&>(*database_) : *other;
        for (int n = 0; n < kEach; ++n) {
          const auto done = mine.write<std::int64_t>([](Transaction& tx) -> Result<std::int64_t> {
            const auto size = tx.query_one<std::int64_t>("SELECT size FROM things WHERE id = 'counter'");
            if (!size) return std::unexpected(size.error());
            return tx.execute("UPDATE things SET size = :size WHERE id = 'counter'", {{"size", **size + 1}});
          });
          EXPECT_TRUE(done) << done.error().detail;
        }
      });
  }
  EXPECT_EQ(rows<std::int64_t>("SELECT size FROM things").at(0), kThreads * kEach);
}

TEST_F(PostgresDatabaseTest, WhatTheServerGaveUpIsDoneAgainThreeTimes) {
  // A sequence is not rolled back, so it counts attempts.
  ASSERT_TRUE(run("CREATE SEQUENCE attempts"));
  ASSERT_TRUE(
      run("CREATE FUNCTION give_up(times BIGINT) RETURNS BIGINT LANGUAGE plpgsql AS $$ BEGIN "
          "IF nextval('attempts') <= times THEN RAISE EXCEPTION 'gave up' USING ERRCODE = '40001'; END IF; "
          "RETURN 1; END $$"));
  const auto attempt = [&](int times) {
    return database_->write<std::int64_t>([&](Transaction& tx) -> Result<std::int64_t> {
      if (auto made = tx.execute("INSERT INTO things (id) VALUES ('once')"); !made) return made;
      const auto passed = tx.query_one<std::int64_t>("SELECT give_up(:times)", {{"times", times}});
      if (!passed) return std::unexpected(passed.error());
      return **passed;
    });
  };
  EXPECT_TRUE(attempt(3));
  EXPECT_EQ(count(), 1) << "and not four times";
  ASSERT_TRUE(run("DELETE FROM things"));
  ASSERT_TRUE(run("ALTER SEQUENCE attempts RESTART"));
  const auto refused = attempt(4);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::database_unavailable);
  EXPECT_EQ(count(), 0);
  EXPECT_TRUE(insert("after"));
}

TEST_F(PostgresDatabaseTest, ASlowStatementIsStopped) {
  PostgresOptions impatient = options();
  impatient.statement_timeout = Milliseconds(100);
  const auto other = open(impatient);
  const auto slow = [](Transaction& tx) { return tx.query_one<std::int64_t>("SELECT 1 FROM pg_sleep(20)"); };
  for (int i = 0; i < 2; ++i) {
    const auto read = other->read<std::optional<std::int64_t>>(slow);
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code, ErrorCode::database_timeout);
    const auto written = other->write<std::optional<std::int64_t>>(slow);
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().code, ErrorCode::database_timeout);
  }
  EXPECT_TRUE(run_on(*other, "INSERT INTO things (id) VALUES ('after')"));
}

TEST_F(PostgresDatabaseTest, AnotherReplicaThatHoldsTheWriterDoesNotBlockForEver) {
  PostgresOptions impatient = options();
  impatient.lock_timeout = Milliseconds(100);
  const auto other = open(impatient);
  const auto held = database_->write<bool>([&](Transaction&) -> Result<bool> {
    const auto refused = run_on(*other, "INSERT INTO things (id) VALUES ('x')");
    EXPECT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::database_unavailable);
    EXPECT_TRUE(refused.error().retry_after);
    return true;
  });
  EXPECT_TRUE(held);
  EXPECT_TRUE(run_on(*other, "INSERT INTO things (id) VALUES ('x')")) << "its turn";
}

TEST_F(PostgresDatabaseTest, AReplicaThatHangsInAWriteLosesItsTurn) {
  PostgresOptions brief = options();
  brief.idle_in_transaction_timeout = Milliseconds(200);
  const auto hanging = open(brief);
  const auto lost = hanging->write<std::int64_t>([&](Transaction& tx) -> Result<std::int64_t> {
    if (auto made = tx.execute("INSERT INTO things (id) VALUES ('hung')"); !made) return made;
    EXPECT_TRUE(insert("other")) << "the server ended the hanging transaction";
    return 1;
  });
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, ErrorCode::database_unavailable);
  EXPECT_THAT(rows<std::string>("SELECT id FROM things"), ElementsAre("other"));
  EXPECT_TRUE(run_on(*hanging, "INSERT INTO things (id) VALUES ('again')"));
}

TEST_F(PostgresDatabaseTest, LostConnectionsAreOpenedAgain) {
  ASSERT_TRUE(insert("a"));
  EXPECT_EQ(count(), 1);
  cut_connections();
  EXPECT_TRUE(insert("b")) << "nothing had been run on the lost one";
  EXPECT_EQ(count(), 2);
  const auto lost = database_->write<std::int64_t>([&](Transaction& tx) -> Result<std::int64_t> {
    if (auto made = tx.execute("INSERT INTO things (id) VALUES ('half')"); !made) return made;
    cut_connections();
    return tx.execute("INSERT INTO things (id) VALUES ('whole')");
  });
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, ErrorCode::database_unavailable);
  EXPECT_EQ(count(), 2);
  EXPECT_TRUE(insert("c"));
}

TEST_F(PostgresDatabaseTest, AColumnWhoseTypeAnUpgradeChangedIsReadAgainAfterOneFailure) {
  ASSERT_TRUE(insert("a"));
  const auto select = [](Transaction& tx) { return tx.query_one<std::int64_t>("SELECT size FROM things"); };
  const auto size = [&] { return database_->read<std::optional<std::int64_t>>(select); };
  const auto size_in_write = [&] { return database_->write<std::optional<std::int64_t>>(select); };
  ASSERT_TRUE(size());
  ASSERT_TRUE(size_in_write());
  ASSERT_TRUE(run("ALTER TABLE things ALTER COLUMN size TYPE INTEGER"));
  for (const auto& once : {size(), size_in_write()}) {
    ASSERT_FALSE(once);
    EXPECT_EQ(once.error().code, ErrorCode::database_unavailable);
  }
  EXPECT_TRUE(size());
  EXPECT_TRUE(size_in_write());
}

TEST_F(PostgresDatabaseTest, AConnectionThatIsLostBeforeTheCommitStoresNothingAndSaysSo) {
  const auto lost = database_->write<std::int64_t>([&](Transaction& tx) -> Result<std::int64_t> {
    auto made = tx.execute("INSERT INTO things (id) VALUES ('half')");
    cut_connections();
    return made;
  });
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, ErrorCode::database_unavailable);
  EXPECT_EQ(count(), 0);
}

TEST_F(PostgresDatabaseTest, AClosedDatabaseRefuses) {
  database_->close();
  EXPECT_EQ(insert("a").error().code, ErrorCode::database_unavailable);
  database_->close();
  database_ = open();
}

TEST_F(PostgresDatabaseTest, WhatIsSwitchedOffIsFound) {
  EXPECT_THAT(database_->check({}).value(), ElementsAre());
  ASSERT_TRUE(run("ALTER TABLE parts ADD CONSTRAINT checked CHECK (id <> '') NOT VALID"));
  EXPECT_THAT(database_->check({}).value(), ElementsAre("constraint checked was never checked"));
}

class PostgresOpenTest : public postgres_test::PostgresTest {
 protected:
  std::string refusal(const PostgresOptions& wanted) {
    const auto opened = PostgresDatabase::open(wanted, clock_);
    return opened ? "opened" : opened.error().code;
  }
  std::string refusal_in(const std::string& more) {
    server().run("CREATE DATABASE odd TEMPLATE template0 " + more);
    PostgresOptions wanted = options();
    wanted.url = Secret(server().url("odd"));
    std::string code = refusal(wanted);
    server().drop_database("odd");
    return code;
  }
};

TEST_F(PostgresOpenTest, OnlyADatabaseThatComparesBytesIsTaken) {
  EXPECT_EQ(refusal_in("ENCODING 'UTF8' LOCALE 'C'"), "opened");
  EXPECT_EQ(refusal_in("ENCODING 'SQL_ASCII' LOCALE 'C'"), "database_encoding");
  EXPECT_EQ(refusal_in("ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'en'"), "database_collation");
}

TEST_F(PostgresOpenTest, OutsideOfDevelopmentTheServerMustProveWhoItIs) {
  PostgresOptions strict = options();
  strict.strict = true;
  EXPECT_EQ(refusal(strict), "database_open_failed") << "this server has no certificate";
  strict.url = Secret(strict.url.reveal() + "?sslmode=disable");
  EXPECT_EQ(refusal(strict), "database_tls_required");
}

TEST_F(PostgresOpenTest, OutsideOfDevelopmentACommitMustReachTheDisk) {
  PostgresOptions wanted = options();
  wanted.durable = true;
  EXPECT_EQ(refusal(wanted), "database_not_durable") << "this server has fsync=off";
  const auto durable = testing::RealPostgres::start(true);
  ASSERT_TRUE(durable) << durable.error();
  const std::string url = (*durable)->url("postgres");
  wanted.url = Secret(url);
  EXPECT_EQ(refusal(wanted), "opened");
  wanted.url = Secret(url + "?options=-c%20synchronous_commit%3Doff");
  EXPECT_EQ(refusal(wanted), "database_not_durable");
}

TEST_F(PostgresOpenTest, SaysWhyItCannotBeOpened) {
  PostgresOptions wanted = options();
  wanted.url = Secret("postgres://ee@127.0.0.1:1/x");
  EXPECT_EQ(refusal(wanted), "database_open_failed");
  wanted.url = Secret(server().url("nowhere"));
  EXPECT_EQ(refusal(wanted), "database_open_failed");
  wanted.url = Secret("postgres://ee@host/z?nonsense=1");
  EXPECT_EQ(refusal(wanted), "database_url_invalid");
  wanted = options();
  wanted.url = Secret(wanted.url.reveal() + "?options=-c%20default_transaction_read_only%3Don");
  EXPECT_EQ(refusal(wanted), "database_read_only");
}

}  // namespace
}  // namespace ee::db
