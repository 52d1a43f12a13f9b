#pragma once
#include <chrono>
#include <expected>
#include <filesystem>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/time.h"
#include "db/database.h"
#include "db/start_error.h"

struct sqlite3;

namespace ee::db {

/// `reader` cannot write (query_only); `maintenance` is for checkpoints, checks, backups and migrations.
enum class ConnectionRole { writer, reader, maintenance };

struct ConnectionOptions {
  Milliseconds busy_timeout{5000};
  /// False: no fsync at all (synchronous=OFF). For tests of what is above the database, never for one that is served.
  bool durable = true;
  std::int64_t max_pages = 0;  ///< refuses to grow past so many pages (SQLITE_FULL); 0: no bound but the disk's
};

/// One SQLite connection through SOCI with its prepared statements (05 section 3.2), at most kMaxStatements of them,
/// the least recently used one dropped. Used by one thread at a time.
class SqliteConnection {
 public:
  static constexpr std::size_t kMaxStatements = 512;

  /// Opens an existing or new file, sets the pragmas and reads each of them back.
  static std::expected<std::unique_ptr<SqliteConnection>, StartError> open(const std::filesystem::path& path,
                                                                           ConnectionRole role,
                                                                           const ConnectionOptions& options);
  ~SqliteConnection();
  SqliteConnection(const SqliteConnection&) = delete;
  SqliteConnection& operator=(const SqliteConnection&) = delete;

  /// See Transaction. A failure's extended result code is kept in `last_code()` until the next statement.
  Result<RawRows> query(std::string_view sql, const Params& params, const std::vector<ColumnType>& types,
                        std::optional<OnUnique> on_unique = {});
  Result<std::int64_t> change(std::string_view sql, const Params& params, std::optional<OnUnique> on_unique = {});
  int last_code() const { return last_code_; }

  /// BEGIN, SAVEPOINT, COMMIT and their like: the extended result code, 0 for success.
  int control(std::string_view sql);
  /// Several statements in one text, without parameters.
  Result<void> script(const std::string& sql);
  bool in_transaction() const;
  /// Whether a deferred foreign key is violated right now, so that COMMIT would fail.
  bool has_deferred_violation() const;
  /// The engine's text for the last failure; names tables and columns, never values.
  std::string last_message() const;

  /// Each later statement is stopped (`database_timeout`) after so long, or when `stop` is requested. Zero: no limit.
  void set_limits(Milliseconds statement_limit, std::stop_token stop = {});

  /// For what SOCI has no words for: checkpoints, backups.
  sqlite3* raw() const;

 private:
  struct Impl;
  explicit SqliteConnection(std::unique_ptr<Impl> impl);
  template <class T, class Function>
  Result<T> guarded(std::string_view sql, std::optional<OnUnique> on_unique, const Function& function);
  std::optional<StartError> set_pragmas(ConnectionRole role, const ConnectionOptions& options);

  std::unique_ptr<Impl> impl_;
  int last_code_ = 0;
};

/// A transaction of a connection, as the stores see it. Remembers whether a failure ended it.
class SqliteTransaction final : public Transaction {
 public:
  explicit SqliteTransaction(SqliteConnection& connection) : connection_(connection) {}
  /// A statement failed in a way after which the whole transaction must be given up.
  bool broken() const { return broken_; }

 private:
  Result<RawRows> run(std::string_view sql, const Params& params, const std::vector<ColumnType>& types,
                      std::optional<OnUnique> on_unique) override;
  Result<std::int64_t> change(std::string_view sql, const Params& params, std::optional<OnUnique> on_unique) override;
  void note_failure();

  SqliteConnection& connection_;
  bool broken_ = false;
};

}  // namespace ee::db
