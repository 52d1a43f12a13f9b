#include "db/sqlite_schema.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <charconv>
#include <map>

#include "db/migrations.h"
#include "db/sqlite_backup.h"
#include "db/sqlite_connection.h"

namespace ee::db {

namespace {
constexpr int kBackupsKept = 3;

/// While it lives the connection refuses to compile BEGIN, COMMIT, ROLLBACK and savepoints.
class NoTransactionControl {
 public:
  explicit NoTransactionControl(SqliteConnection& connection) : connection_(connection) {
    sqlite3_set_authorizer(connection_.raw(), &decide, nullptr);
  }
  NoTransactionControl(const NoTransactionControl&) = delete;
  NoTransactionControl& operator=(const NoTransactionControl&) = delete;
  ~NoTransactionControl() { sqlite3_set_authorizer(connection_.raw(), nullptr, nullptr); }

 private:
  static int decide(void*, int action, const char*, const char*, const char*, const char*) {
    return action == SQLITE_TRANSACTION || action == SQLITE_SAVEPOINT ? SQLITE_DENY : SQLITE_OK;
  }
  SqliteConnection& connection_;
};

/// Removes all but the newest of PATH.pre-N.
void remove_old_backups(const std::filesystem::path& path) {
  const std::string prefix = path.filename().string() + ".pre-";
  std::map<int, std::filesystem::path> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::absolute(path).parent_path(), error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(prefix)) continue;
    int version = 0;
    const char* end = name.data() + name.size();
    const auto parsed = std::from_chars(name.data() + prefix.size(), end, version);
    if (parsed.ec == std::errc() && parsed.ptr == end) found.emplace(version, entry.path());
  }
  for (auto it = found.begin(); it != found.end() && found.size() > kBackupsKept; it = found.erase(it)) {
    std::filesystem::remove(it->second, error);
  }
}

class SqliteSchemaSession final : public SchemaSession {
 public:
  SqliteSchemaSession(SqliteConnection& connection, const std::filesystem::path& path)
      : connection_(connection), transaction_(connection), path_(path) {}

  Engine engine() const override { return Engine::sqlite; }
  Transaction& transaction() override { return transaction_; }
  Result<void> script(std::string_view sql) override {
    const NoTransactionControl guard(connection_);
    return connection_.script(expand_tokens(sql, Engine::sqlite));
  }
  Result<std::vector<std::string>> tables() override {
    return transaction().query<std::string>(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'");
  }
  Result<std::optional<std::string>> dangling_rows() override {
    return transaction().query_one<std::string>("SELECT \"table\" FROM pragma_foreign_key_check LIMIT 1");
  }
  std::expected<std::optional<std::filesystem::path>, StartError> back_up(int version) override {
    // Another connection: this one holds the transaction.
    auto source = SqliteConnection::open(path_, ConnectionRole::maintenance, {});
    if (!source) return std::unexpected(source.error());
    std::filesystem::path to = fmt::format("{}.pre-{}", path_.string(), version);
    if (auto problem = copy_database(**source, to))
      return std::unexpected(StartError{.code = "migration_backup_failed", .exit_code = 4, .detail = *problem});
    remove_old_backups(path_);
    return to;
  }

 private:
  SqliteConnection& connection_;
  SqliteTransaction transaction_;
  const std::filesystem::path& path_;
};

StartError failure(std::string_view step, const SqliteConnection& connection) {
  return {.code = "migration_failed", .exit_code = 4, .detail = fmt::format("{}: {}", step, connection.last_message())};
}

}  // namespace

std::optional<StartError> run_schema_session(SqliteConnection& connection, const std::filesystem::path& path,
                                             bool change,
                                             const std::function<std::optional<StartError>(SchemaSession&)>& work) {
  if (connection.control("BEGIN EXCLUSIVE") != SQLITE_OK) return failure("cannot lock the database", connection);
  SqliteSchemaSession session(connection, path);
  auto problem = work(session);
  if (!problem && change && connection.control("COMMIT") != SQLITE_OK) problem = failure("COMMIT", connection);
  if (connection.in_transaction()) connection.control("ROLLBACK");
  return problem;
}

}  // namespace ee::db
