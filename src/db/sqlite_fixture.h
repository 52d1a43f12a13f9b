#pragma once
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/fake_clock.h"
#include "db/sqlite_database.h"
#include "tests/support/temp_dir.h"

/// A database with two tables in a directory of its own. For tests only.
namespace ee::db::sqlite_test {

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

class SqliteTest : public ::testing::Test {
 protected:
  void SetUp() override { reopen(options()); }

  SqliteOptions options() {
    SqliteOptions wanted;
    wanted.path = dir_ / "test.db";
    wanted.strict = false;  // tests also run where temporary files lie on FUSE
    return wanted;
  }
  void reopen(const SqliteOptions& wanted) {
    database_.reset();
    auto opened = SqliteDatabase::open(wanted, clock_);
    ASSERT_TRUE(opened) << opened.error().code << ": " << opened.error().detail;
    database_ = std::move(*opened);
    ASSERT_TRUE(
        run("CREATE TABLE IF NOT EXISTS things (id TEXT PRIMARY KEY, size BIGINT NOT NULL, note TEXT UNIQUE, "
            "weight BIGINT, good INTEGER NOT NULL, made_at BIGINT NOT NULL, colour TEXT NOT NULL)"));
    ASSERT_TRUE(
        run("CREATE TABLE IF NOT EXISTS parts (id TEXT PRIMARY KEY, thing_id TEXT NOT NULL REFERENCES things(id))"));
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

}  // namespace ee::db::sqlite_test
