#pragma once
#include <atomic>
#include <memory>
#include <mutex>

#include "common/clock.h"
#include "common/secret.h"
#include "db/served_database.h"

namespace ee::db {

class PostgresConnection;
class PostgresReaders;

struct PostgresOptions {
  Secret url;  ///< `postgres://user:password@host:port/database?...`
  /// What staging and production ask for: TLS that checks the server's certificate and name.
  bool strict = true;
  /// The server must put a COMMIT on its disk before it answers, as SQLite does here: `fsync` and `synchronous_commit`.
  bool durable = true;
  std::size_t readers = 4;
  std::size_t write_queue = 4096;
  std::size_t group_max = 64;
  Microseconds group_wait{1000};
  Milliseconds statement_timeout{5000};  ///< of each statement, and of waiting for a free reader
  Milliseconds lock_timeout{3000};
  Milliseconds idle_in_transaction_timeout{10000};
  Milliseconds slow_write{2000};  ///< a write that runs longer is reported to the observer
};

/// PostgreSQL, shared by any number of processes (05 section 3.3): one writer with group commit in each, one after the
/// other under an advisory lock of the database, and a pool of readers with one snapshot for each read. `readers` + 2
/// connections are held, and one for each subscription.
class PostgresDatabase final : public ServedDatabase {
 public:
  /// Connects and checks. `clock` and `observer` (may be null) must outlive the object. Errors: `database_url_invalid`
  /// (exit 3), `database_tls_required` (exit 6), `database_open_failed`, `database_too_old` (before 14),
  /// `database_encoding` (not UTF8), `database_collation` (texts would not compare by their bytes),
  /// `database_not_durable`, `database_read_only`.
  static std::expected<std::unique_ptr<PostgresDatabase>, StartError> open(const PostgresOptions& options,
                                                                           const Clock& clock,
                                                                           WriteObserver* observer = nullptr);
  ~PostgresDatabase() override;

  Result<void> run_write(const std::function<Result<void>(Transaction&)>& work) override;
  Result<void> run_read(const std::function<Result<void>(Transaction&)>& work) override;

  Engine engine() const override { return Engine::postgresql; }
  WriterHealth health() const override;
  /// What the catalogue says is not in force: constraints, triggers, indexes. For the files the server has tools.
  Result<std::vector<std::string>> check(std::stop_token stop) override;
  std::optional<std::int64_t> free_bytes() const override { return std::nullopt; }
  Milliseconds clock_offset() const override { return Milliseconds(clock_offset_ms_.load()); }
  std::unique_ptr<Subscription> listen(const std::string& topic, std::function<void()> heard) override;
  std::optional<StartError> with_schema(SchemaAccess access,
                                        const std::function<std::optional<StartError>(SchemaSession&)>& work) override;
  void close() override;

 private:
  explicit PostgresDatabase(PostgresOptions options);
  std::optional<StartError> start(const Clock& clock, WriteObserver* observer);
  enum class Role { writer, reader, maintenance, listener };
  static const char* name_of(Role role);
  std::unique_ptr<PostgresConnection> connection(Role role) const;

  const PostgresOptions options_;
  std::atomic<std::int64_t> clock_offset_ms_ = 0;
  std::unique_ptr<GroupWriter> writer_;
  std::unique_ptr<PostgresReaders> readers_;
  std::mutex maintenance_mutex_;
  std::unique_ptr<PostgresConnection> maintenance_;
};

}  // namespace ee::db
