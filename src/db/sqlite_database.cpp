#include "db/sqlite_database.h"

#include <fmt/format.h>
#include <sqlite3.h>
#include <stdlib.h>

#include <utility>

#include "db/sqlite_codes.h"
#include "db/sqlite_connection.h"
#include "db/sqlite_files.h"
#include "db/sqlite_readers.h"
#include "db/sqlite_schema.h"
#include "db/sqlite_writer.h"

namespace ee::db {

namespace {
constexpr std::string_view kMemory = ":memory:";
constexpr std::size_t kFindingsMax = 100;

std::optional<StartError> check_place(const SqliteOptions& options) {
  if (!options.strict) return std::nullopt;
  if (options.path == kMemory) {
    return StartError{.code = "volatile_database", .exit_code = 6, .detail = "a database in memory forgets"};
  }
  const auto type = options.file_system_type ? options.file_system_type : file_system_type(options.path);
  if (type && is_network_file_system(*type)) {
    return StartError{.code = "database_network_file_system",
                      .exit_code = 4,
                      .detail = fmt::format("{} lies on a network file system", options.path.string())};
  }
  return std::nullopt;
}

ConnectionOptions connection_options(const SqliteOptions& options) {
  return {.busy_timeout = options.busy_timeout, .durable = options.durable, .max_pages = options.max_pages};
}
}  // namespace

std::optional<std::filesystem::path> sqlite_path(std::string_view database_url) {
  constexpr std::string_view scheme = "sqlite:";
  if (!database_url.starts_with(scheme) || database_url.size() == scheme.size()) return std::nullopt;
  return std::filesystem::path(database_url.substr(scheme.size()));
}

SqliteDatabase::SqliteDatabase(SqliteOptions options) : options_(std::move(options)) {}

std::expected<std::unique_ptr<SqliteDatabase>, StartError> SqliteDatabase::open(const SqliteOptions& options,
                                                                                const Clock& clock,
                                                                                WriteObserver* observer) {
  if (auto problem = check_place(options)) return std::unexpected(std::move(*problem));
  std::unique_ptr<SqliteDatabase> database(new SqliteDatabase(options));
  if (auto problem = database->start(clock, observer)) return std::unexpected(std::move(*problem));
  return database;
}

std::optional<StartError> SqliteDatabase::start(const Clock& clock, WriteObserver* observer) {
  if (options_.path == kMemory) {
    std::string pattern = (std::filesystem::temp_directory_path() / "ee-database-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) {
      return StartError{.code = "database_open_failed", .exit_code = 4, .detail = "no temporary directory"};
    }
    private_directory_ = pattern;
    options_.path = private_directory_ / "memory.db";
  }
  auto lock = DatabaseLock::take(options_.path);
  if (!lock) return lock.error();
  lock_ = std::make_unique<DatabaseLock>(std::move(*lock));
  if (auto problem = prepare_file(options_.path, options_.strict)) return problem;

  const ConnectionOptions wanted = connection_options(options_);
  auto writer = SqliteConnection::open(options_.path, ConnectionRole::writer, wanted);
  if (!writer) return writer.error();
  auto maintenance = SqliteConnection::open(options_.path, ConnectionRole::maintenance, wanted);
  if (!maintenance) return maintenance.error();
  std::vector<std::unique_ptr<SqliteConnection>> readers;
  for (std::size_t i = 0; i < std::max<std::size_t>(options_.readers, 1); ++i) {
    auto reader = SqliteConnection::open(options_.path, ConnectionRole::reader, wanted);
    if (!reader) return reader.error();
    readers.push_back(std::move(*reader));
  }
  maintenance_ = std::move(*maintenance);
  readers_ = std::make_unique<SqliteReaders>(std::move(readers), options_.statement_limit, options_.statement_limit);
  const WriterOptions writing{.queue_max = options_.write_queue,
                              .group_max = options_.group_max,
                              .group_wait = options_.group_wait,
                              .slow_write = options_.slow_write};
  writer_ = std::make_unique<GroupWriter>(
      std::make_unique<SqliteWriteEngine>(std::move(*writer), options_.busy_timeout, options_.slow_write, observer),
      writing, clock, observer);
  return std::nullopt;
}

SqliteDatabase::~SqliteDatabase() {
  close();
  std::error_code ignored;
  if (!private_directory_.empty()) std::filesystem::remove_all(private_directory_, ignored);
}

Result<void> SqliteDatabase::run_write(const std::function<Result<void>(Transaction&)>& work) {
  if (writer_ == nullptr) return fail(ErrorCode::database_unavailable, "the database is closed");
  return writer_->submit(work);
}

Result<void> SqliteDatabase::run_read(const std::function<Result<void>(Transaction&)>& work) {
  if (readers_ == nullptr) return fail(ErrorCode::database_unavailable, "the database is closed");
  return readers_->run(work);
}

WriterHealth SqliteDatabase::health() const { return writer_ == nullptr ? WriterHealth{} : writer_->health(); }

std::int64_t SqliteDatabase::wal_bytes() const {
  std::error_code error;
  const auto size = std::filesystem::file_size(options_.path.string() + "-wal", error);
  return error ? 0 : static_cast<std::int64_t>(size);
}

std::optional<std::int64_t> SqliteDatabase::free_bytes() const {
  std::error_code error;
  const auto space = std::filesystem::space(std::filesystem::absolute(options_.path).parent_path(), error);
  if (error) return std::nullopt;
  return static_cast<std::int64_t>(space.available);
}

Result<CheckpointReport> SqliteDatabase::checkpoint(CheckpointMode mode) {
  const std::lock_guard lock(maintenance_mutex_);
  if (maintenance_ == nullptr) return fail(ErrorCode::database_unavailable, "the database is closed");
  return checkpoint_locked(mode);
}

Result<CheckpointReport> SqliteDatabase::checkpoint_locked(CheckpointMode mode) {
  const int native = mode == CheckpointMode::passive   ? SQLITE_CHECKPOINT_PASSIVE
                     : mode == CheckpointMode::restart ? SQLITE_CHECKPOINT_RESTART
                                                       : SQLITE_CHECKPOINT_TRUNCATE;
  int in_log = 0;
  int moved = 0;
  const int code = sqlite3_wal_checkpoint_v2(maintenance_->raw(), nullptr, native, &in_log, &moved);
  if (code != SQLITE_OK) return std::unexpected(sqlite_error(code, maintenance_->last_message(), {}));
  return CheckpointReport{.complete = in_log == moved, .pages_in_log = in_log, .pages_moved = moved};
}

Result<std::vector<std::string>> SqliteDatabase::check(std::stop_token stop) {
  // A connection of its own: it may take long, and checkpoints must not wait for it.
  auto connection = SqliteConnection::open(options_.path, ConnectionRole::reader, connection_options(options_));
  if (!connection) return fail(ErrorCode::database_unavailable, connection.error().detail);
  (*connection)->set_limits(Milliseconds(0), std::move(stop));
  std::vector<std::string> findings;
  auto integrity =
      (*connection)->query(fmt::format("PRAGMA integrity_check({})", kFindingsMax), {}, {ColumnType::text});
  if (!integrity) return std::unexpected(std::move(integrity.error()));
  for (Value& value : integrity->cells) {
    if (auto text = std::get<std::string>(std::move(value)); text != "ok") findings.push_back(std::move(text));
  }
  const auto keys =
      (*connection)->query("SELECT \"table\" FROM pragma_foreign_key_check LIMIT 100", {}, {ColumnType::text});
  if (!keys) return std::unexpected(keys.error());
  for (const Value& value : keys->cells) {
    findings.push_back(fmt::format("a row of {} refers to nothing", std::get<std::string>(value)));
  }
  return findings;
}

std::optional<StartError> SqliteDatabase::with_schema(
    SchemaAccess access, const std::function<std::optional<StartError>(SchemaSession&)>& work) {
  const std::lock_guard lock(maintenance_mutex_);
  require(maintenance_ != nullptr);
  return run_schema_session(*maintenance_, options_.path, access == SchemaAccess::change, work);
}

void SqliteDatabase::with_maintenance(const std::function<void(SqliteConnection&)>& work) {
  const std::lock_guard lock(maintenance_mutex_);
  require(maintenance_ != nullptr);
  work(*maintenance_);
}

void SqliteDatabase::close() {
  if (writer_ != nullptr) writer_->close();
  if (readers_ != nullptr) readers_->close();
  const std::lock_guard lock(maintenance_mutex_);
  if (maintenance_ != nullptr) {
    // Best effort: the log is replayed at the next start anyway.
    static_cast<void>(checkpoint_locked(CheckpointMode::truncate));
    maintenance_.reset();
  }
  lock_.reset();
}

}  // namespace ee::db
