#pragma once
#include <filesystem>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "db/served_database.h"
#include "db/start_error.h"
#include "db/write_observer.h"

namespace ee::db {

class SqliteConnection;
class SqliteReaders;
class DatabaseLock;

struct SqliteOptions {
  /// The file; its directory must exist. `:memory:` is a private file that goes away with the object.
  std::filesystem::path path;
  /// What staging and production ask for: no network file system, a file that only its owner can read, no `:memory:`.
  bool strict = true;
  std::size_t readers = 4;
  std::size_t write_queue = 4096;
  std::size_t group_max = 64;
  Microseconds group_wait{1000};
  Milliseconds busy_timeout{5000};
  Milliseconds statement_limit{5000};  ///< of each statement of a reader, and of waiting for a free reader
  Milliseconds slow_write{2000};       ///< a write that runs longer is reported to the observer
  bool durable = true;                 ///< see ConnectionOptions
  std::int64_t max_pages = 0;          ///< see ConnectionOptions
  /// Where the file system's type comes from; for tests.
  std::optional<long> file_system_type = {};
};

enum class CheckpointMode { passive, restart, truncate };
struct CheckpointReport {
  bool complete = false;  ///< every page of the log is in the database
  std::int64_t pages_in_log = 0;
  std::int64_t pages_moved = 0;
};

/// SQLite with one writer and a pool of readers (05 section 3.2), all in WAL mode. Holds the lock file, so there is one
/// such object per file on a machine.
class SqliteDatabase final : public ServedDatabase {
 public:
  /// Locks, opens and checks. `clock` and `observer` (may be null) must outlive the object. Errors: `database_in_use`,
  /// `database_network_file_system`, `database_permissions`, `volatile_database`, `database_open_failed`,
  /// `database_not_wal`, `database_pragma_refused`.
  static std::expected<std::unique_ptr<SqliteDatabase>, StartError> open(const SqliteOptions& options,
                                                                         const Clock& clock,
                                                                         WriteObserver* observer = nullptr);
  /// As `close`.
  ~SqliteDatabase() override;

  Result<void> run_write(const std::function<Result<void>(Transaction&)>& work) override;
  Result<void> run_read(const std::function<Result<void>(Transaction&)>& work) override;

  Engine engine() const override { return Engine::sqlite; }
  WriterHealth health() const override;
  const std::filesystem::path& path() const { return options_.path; }
  /// Size of the write-ahead log, 0 when there is none.
  std::int64_t wal_bytes() const;
  std::optional<std::int64_t> free_bytes() const override;
  /// Null: this process alone has the database.
  std::unique_ptr<Subscription> listen(const std::string& /*topic*/, std::function<void()> /*heard*/) override {
    return nullptr;
  }

  /// Moves the log into the database. `passive` disturbs nobody; the others wait for readers and the writer, at most
  /// the busy time-out (`database_unavailable`).
  Result<CheckpointReport> checkpoint(CheckpointMode mode);
  /// `PRAGMA integrity_check` and `foreign_key_check`: at most 100 findings each.
  Result<std::vector<std::string>> check(std::stop_token stop) override;
  std::optional<StartError> with_schema(SchemaAccess access,
                                        const std::function<std::optional<StartError>(SchemaSession&)>& work) override;
  /// Runs `work` with the connection that is neither writer nor reader, one caller at a time. Its work must be short
  /// when it writes: the writer waits meanwhile.
  void with_maintenance(const std::function<void(SqliteConnection&)>& work);

  /// Also moves the log into the file and gives up the lock.
  void close() override;

 private:
  explicit SqliteDatabase(SqliteOptions options);
  std::optional<StartError> start(const Clock& clock, WriteObserver* observer);
  Result<CheckpointReport> checkpoint_locked(CheckpointMode mode);

  SqliteOptions options_;
  std::filesystem::path private_directory_;  // of a `:memory:` database
  std::unique_ptr<DatabaseLock> lock_;
  std::unique_ptr<GroupWriter> writer_;
  std::unique_ptr<SqliteReaders> readers_;
  std::mutex maintenance_mutex_;
  std::unique_ptr<SqliteConnection> maintenance_;
};

/// The path in `sqlite:PATH`, or nothing for another kind of URL.
std::optional<std::filesystem::path> sqlite_path(std::string_view database_url);

}  // namespace ee::db
