#pragma once
#include <filesystem>
#include <memory>
#include <optional>

#include "common/fake_clock.h"
#include "db/migrations.h"
#include "db/sqlite_database.h"
#include "tests/support/temp_dir.h"

namespace ee::testing {

/// Whether this run's databases are PostgreSQL's: `EE_TEST_DATABASE=postgresql` in the environment.
bool on_postgres();

/// For tests of what only SQLite has: files, the shell, the catalogue's tables.
#define EE_SKIP_ON_POSTGRES(why) \
  if (::ee::testing::on_postgres()) GTEST_SKIP() << "SQLite only: " << (why)

/// A database on the server of this run (PostgreSQL) with the control plane's schema, removed at the end.
class PostgresCopy {
 public:
  PostgresCopy();
  PostgresCopy(const PostgresCopy&) = delete;
  PostgresCopy& operator=(const PostgresCopy&) = delete;
  ~PostgresCopy();
  const std::string& url() const { return url_; }

 private:
  std::string name_;
  std::string url_;
};

/// A real database with the control plane's schema: SQLite in a directory of its own, or with
/// `EE_TEST_DATABASE=postgresql` PostgreSQL. Quick: the schema is made once per process and copied, and nothing is
/// synced to disk.
class TestDatabase {
 public:
  /// `options.path` is ignored. `clock` (null: the system's) must outlive it.
  explicit TestDatabase(db::SqliteOptions options = {}, const Clock* clock = nullptr);

  db::ServedDatabase& operator*() { return *database_; }
  db::ServedDatabase* operator->() { return database_.get(); }
  /// For constructors that take a db::Database&.
  operator db::Database&() { return *database_; }
  /// SQLite's own; not on PostgreSQL.
  db::SqliteDatabase& sqlite() { return dynamic_cast<db::SqliteDatabase&>(*database_); }

  /// Closes and opens it again, as a restart does.
  void restart();
  std::filesystem::path path() const { return dir_ / "test.db"; }
  /// As EE_DATABASE_URL has it.
  std::string url() const { return copy_ ? copy_->url() : "sqlite:" + path().string(); }
  /// The same database once more, as another process has it. SQLite lets one in at a time: close this one before.
  std::unique_ptr<db::ServedDatabase> open_again() const;

  /// Runs one statement in a write and expects it to work; the number of rows changed.
  std::int64_t execute(std::string_view sql, const db::Params& params = {});
  /// One column of one row.
  template <class T>
  T value(std::string_view sql, const db::Params& params = {}) {
    return values<T>(sql, params).at(0);
  }
  /// One column of all rows, or whole rows.
  template <class T>
  std::vector<T> values(std::string_view sql, const db::Params& params = {}) {
    auto found = database_->read<std::vector<T>>([&](db::Transaction& t) { return t.query<T>(sql, params); });
    if (!found) throw std::runtime_error(found.error().detail);
    return std::move(*found);
  }

 private:
  TempDir dir_;
  db::SqliteOptions options_;
  SystemClock system_clock_;
  const Clock& clock_;
  std::optional<PostgresCopy> copy_;
  std::unique_ptr<db::ServedDatabase> database_;
};

/// The identity that its database is made with: env `dev`, cluster `test`.
db::DatabaseIdentity test_identity();

}  // namespace ee::testing
