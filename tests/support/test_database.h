#pragma once
#include <filesystem>
#include <memory>

#include "common/fake_clock.h"
#include "db/migrations.h"
#include "db/sqlite_database.h"
#include "tests/support/temp_dir.h"

namespace ee::testing {

/// A real SQLite database with the control plane's schema in a directory of its own. Quick: the schema is made once per
/// process and copied, and nothing is synced to disk.
class TestDatabase {
 public:
  /// `options.path` is ignored. `clock` (null: the system's) must outlive it.
  explicit TestDatabase(db::SqliteOptions options = {}, const Clock* clock = nullptr);

  db::SqliteDatabase& operator*() { return *database_; }
  db::SqliteDatabase* operator->() { return database_.get(); }
  /// For constructors that take a db::Database&.
  operator db::Database&() { return *database_; }

  /// Closes and opens it again, as a restart does.
  void restart();
  std::filesystem::path path() const { return dir_ / "test.db"; }

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
  std::unique_ptr<db::SqliteDatabase> database_;
};

/// The identity that its database is made with: env `dev`, cluster `test`.
db::DatabaseIdentity test_identity();

}  // namespace ee::testing
