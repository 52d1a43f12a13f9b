// Durable writes and point reads through the database layer, beside the same statements on bare SQLite.
#include <benchmark/benchmark.h>
#include <sqlite3.h>

#include <atomic>
#include <stdexcept>

#include "common/clock.h"
#include "db/sqlite_database.h"
#include "tests/support/temp_dir.h"

namespace {

using ee::db::SqliteDatabase;
using ee::db::Transaction;

constexpr std::int64_t kRows = 100'000;

struct Fixture {
  ee::testing::TempDir dir;
  ee::SystemClock clock;
  std::unique_ptr<SqliteDatabase> database;

  Fixture() {
    ee::db::SqliteOptions options;
    options.path = dir / "bench.db";
    options.strict = false;
    auto opened = SqliteDatabase::open(options, clock);
    if (!opened) throw std::runtime_error(opened.error().detail);
    database = std::move(*opened);
    const auto made = database->run_write([](Transaction& t) -> ee::Result<void> {
      for (const char* sql :
           {"CREATE TABLE rows (id BIGINT PRIMARY KEY, name TEXT NOT NULL, at BIGINT NOT NULL)",
            "INSERT INTO rows WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) "
            "SELECT i, 'name of row ' || i, i FROM n",
            "CREATE TABLE written (id BIGINT PRIMARY KEY, name TEXT NOT NULL)"}) {
        if (auto done = t.execute(sql); !done) return std::unexpected(done.error());
      }
      return {};
    });
    if (!made) throw std::runtime_error(made.error().detail);
  }
};

Fixture& fixture() {
  static Fixture shared;
  return shared;
}

struct Row {
  std::int64_t id = 0;
  std::string name;
  std::int64_t at = 0;
};
BOOST_DESCRIBE_STRUCT(Row, (), (id, name, at))

void BM_PointRead(benchmark::State& state) {
  SqliteDatabase& database = *fixture().database;
  std::int64_t id = 0;
  for (auto _ : state) {
    id = id * 6364136223846793005LL + 1442695040888963407LL;
    const std::int64_t wanted = static_cast<std::int64_t>(static_cast<std::uint64_t>(id) >> 40) % kRows + 1;
    auto row = database.read<std::optional<Row>>([&](Transaction& t) {
      return t.query_one<Row>("SELECT id, name, at FROM rows WHERE id=:id", {{"id", wanted}});
    });
    if (!row || !*row) state.SkipWithError("no row");
    benchmark::DoNotOptimize(row);
  }
}
BENCHMARK(BM_PointRead)->Threads(1)->Threads(2)->UseRealTime();

void BM_PointReadBareSqlite(benchmark::State& state) {
  sqlite3* handle = nullptr;
  sqlite3_open(fixture().database->path().c_str(), &handle);
  sqlite3_stmt* statement = nullptr;
  sqlite3_prepare_v2(handle, "SELECT id, name, at FROM rows WHERE id=?", -1, &statement, nullptr);
  std::int64_t id = 0;
  for (auto _ : state) {
    id = id * 6364136223846793005LL + 1442695040888963407LL;
    sqlite3_bind_int64(statement, 1, static_cast<std::int64_t>(static_cast<std::uint64_t>(id) >> 40) % kRows + 1);
    if (sqlite3_step(statement) != SQLITE_ROW) state.SkipWithError("no row");
    Row row{.id = sqlite3_column_int64(statement, 0),
            .name = reinterpret_cast<const char*>(sqlite3_column_text(statement, 1)),
            .at = sqlite3_column_int64(statement, 2)};
    benchmark::DoNotOptimize(row);
    sqlite3_reset(statement);
  }
  sqlite3_finalize(statement);
  sqlite3_close(handle);
}
BENCHMARK(BM_PointReadBareSqlite);

/// Every write is its own caller's transaction and on disk when it returns.
void BM_DurableWrite(benchmark::State& state) {
  SqliteDatabase& database = *fixture().database;
  static std::atomic<std::int64_t> next = 0;
  for (auto _ : state) {
    const std::int64_t id = ++next;
    const auto done = database.write<std::int64_t>([&](Transaction& t) {
      return t.execute("INSERT INTO written (id, name) VALUES (:id, 'a name of some length')", {{"id", id}});
    });
    if (!done) state.SkipWithError("write failed");
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_DurableWrite)->Threads(1)->Threads(16)->Threads(64)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
