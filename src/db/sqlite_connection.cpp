#include "db/sqlite_connection.h"

#include <fmt/format.h>
#include <soci/soci.h>
#include <soci/sqlite3/soci-sqlite3.h>

#include <list>
#include <thread>
#include <unordered_map>

#include "db/sqlite_codes.h"
#include "db/sqlite_statement.h"

namespace ee::db {

namespace {
using Steady = std::chrono::steady_clock;
constexpr int kInstructionsPerCheck = 1000;  // some tens of microseconds

StartError open_failure(const std::filesystem::path& path, std::string_view why) {
  return {.code = "database_open_failed", .exit_code = 4, .detail = fmt::format("{}: {}", path.string(), why)};
}
}  // namespace

struct SqliteConnection::Impl {
  explicit Impl(const std::string& connect) : session(soci::sqlite3, connect) {}

  struct Cached {
    std::string sql;
    SqliteStatement statement;
    Cached(soci::session& session, std::string_view sql_) : sql(sql_), statement(session, sql_) {}
  };

  soci::session session;
  std::list<Cached> statements;  // most recently used first; the map's keys point into them
  std::unordered_map<std::string_view, std::list<Cached>::iterator> by_text;

  Milliseconds statement_limit{0};
  std::stop_token stop;
  Steady::time_point deadline = Steady::time_point::max();

  sqlite_api::sqlite3* raw() { return static_cast<soci::sqlite3_session_backend*>(session.get_backend())->conn_; }

  SqliteStatement& statement_for(std::string_view sql) {
    if (const auto found = by_text.find(sql); found != by_text.end()) {
      statements.splice(statements.begin(), statements, found->second);
      return found->second->statement;
    }
    statements.emplace_front(session, sql);
    by_text.emplace(statements.front().sql, statements.begin());
    if (statements.size() > kMaxStatements) {
      by_text.erase(statements.back().sql);
      statements.pop_back();
    }
    return statements.front().statement;
  }

  static int on_progress(void* self) {
    const auto& impl = *static_cast<Impl*>(self);
    return impl.stop.stop_requested() || Steady::now() >= impl.deadline ? 1 : 0;
  }
};

SqliteConnection::SqliteConnection(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

SqliteConnection::~SqliteConnection() {
  impl_->by_text.clear();
  impl_->statements.clear();  // before the session
}

sqlite3* SqliteConnection::raw() const {
  // soci wraps sqlite3.h in a namespace of its own; it is the same type.
  return reinterpret_cast<sqlite3*>(impl_->raw());
}

bool SqliteConnection::in_transaction() const { return sqlite_api::sqlite3_get_autocommit(impl_->raw()) == 0; }
bool SqliteConnection::has_deferred_violation() const {
  int unresolved = 0;
  int unused = 0;
  sqlite_api::sqlite3_db_status(impl_->raw(), SQLITE_DBSTATUS_DEFERRED_FKS, &unresolved, &unused, 0);
  return unresolved != 0;
}
std::string SqliteConnection::last_message() const { return sqlite_api::sqlite3_errmsg(impl_->raw()); }

void SqliteConnection::set_limits(Milliseconds statement_limit, std::stop_token stop) {
  impl_->statement_limit = statement_limit;
  impl_->stop = std::move(stop);
  const bool any = statement_limit.count() > 0 || impl_->stop.stop_possible();
  sqlite_api::sqlite3_progress_handler(impl_->raw(), any ? kInstructionsPerCheck : 0,
                                       any ? &Impl::on_progress : nullptr, impl_.get());
}

template <class T, class Function>
Result<T> SqliteConnection::guarded(std::string_view sql, std::optional<OnUnique> on_unique, const Function& function) {
  last_code_ = 0;
  impl_->deadline =
      impl_->statement_limit.count() > 0 ? Steady::now() + impl_->statement_limit : Steady::time_point::max();
  try {
    return function(impl_->statement_for(sql));
  } catch (const soci::sqlite3_soci_error&) {
    // Not its what(): SOCI writes the values of the parameters into it.
    last_code_ = sqlite_api::sqlite3_extended_errcode(impl_->raw());
    if (last_code_ == SQLITE_OK) last_code_ = SQLITE_ERROR;
    return std::unexpected(sqlite_error(last_code_, last_message(), on_unique));
  } catch (const soci::soci_error& error) {
    last_code_ = SQLITE_MISUSE;
    return fail(ErrorCode::internal_error, error.get_error_message());
  } catch (const std::logic_error& error) {
    last_code_ = SQLITE_MISUSE;
    return fail(ErrorCode::internal_error, error.what());
  }
}

Result<RawRows> SqliteConnection::query(std::string_view sql, const Params& params,
                                        const std::vector<ColumnType>& types, std::optional<OnUnique> on_unique) {
  return guarded<RawRows>(sql, on_unique, [&](SqliteStatement& statement) { return statement.query(params, types); });
}

Result<std::int64_t> SqliteConnection::change(std::string_view sql, const Params& params,
                                              std::optional<OnUnique> on_unique) {
  return guarded<std::int64_t>(sql, on_unique, [&](SqliteStatement& statement) { return statement.change(params); });
}

int SqliteConnection::control(std::string_view sql) {
  const auto done = change(sql, {});
  return done ? SQLITE_OK : last_code_;
}

Result<void> SqliteConnection::script(const std::string& sql) {
  last_code_ = SQLITE_OK;
  if (sqlite_api::sqlite3_exec(impl_->raw(), sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK) return {};
  last_code_ = sqlite_api::sqlite3_extended_errcode(impl_->raw());
  return std::unexpected(sqlite_error(last_code_, last_message(), {}));
}

std::expected<std::unique_ptr<SqliteConnection>, StartError> SqliteConnection::open(const std::filesystem::path& path,
                                                                                    ConnectionRole role,
                                                                                    const ConnectionOptions& options) {
  const std::string name = std::filesystem::absolute(path).string();
  if (name.find('"') != std::string::npos) return std::unexpected(open_failure(path, "a path may not hold a quote"));
  std::unique_ptr<SqliteConnection> connection;
  try {
    connection.reset(new SqliteConnection(std::make_unique<Impl>(fmt::format("dbname=\"{}\"", name))));
  } catch (const soci::soci_error& error) {
    return std::unexpected(open_failure(path, error.get_error_message()));
  }
  sqlite_api::sqlite3_extended_result_codes(connection->impl_->raw(), 1);
  sqlite_api::sqlite3_busy_timeout(connection->impl_->raw(), static_cast<int>(options.busy_timeout.count()));
  if (auto problem = connection->set_pragmas(role, options)) return std::unexpected(std::move(*problem));
  return connection;
}

std::optional<StartError> SqliteConnection::set_pragmas(ConnectionRole role, const ConnectionOptions& options) {
  struct Pragma {
    std::string name, value, read_back;
  };
  std::vector<Pragma> pragmas = {
      {"busy_timeout", std::to_string(options.busy_timeout.count()), std::to_string(options.busy_timeout.count())},
      {"journal_mode", "WAL", "wal"},
      {"synchronous", options.durable ? "FULL" : "OFF", options.durable ? "2" : "0"},
      {"foreign_keys", "ON", "1"},
      {"recursive_triggers", "ON", "1"},
      {"temp_store", "MEMORY", "2"},
      {"cache_size", "-16384", "-16384"},
      {"wal_autocheckpoint", "1000", "1000"},
      {"trusted_schema", "OFF", "0"},
      {"cell_size_check", "ON", "1"},
  };
  if (options.max_pages > 0) {
    pragmas.push_back({"max_page_count", std::to_string(options.max_pages), std::to_string(options.max_pages)});
  }
  if (role == ConnectionRole::reader) pragmas.push_back({"query_only", "ON", "1"});
  for (const Pragma& pragma : pragmas) {
    const std::string statement = fmt::format("PRAGMA {}={}", pragma.name, pragma.value);
    auto set = script(statement);
    // The change to WAL does not wait for another connection that is making it at this moment.
    for (const auto give_up_at = Steady::now() + options.busy_timeout;
         !set && (last_code_ & 0xff) == SQLITE_BUSY && Steady::now() < give_up_at; set = script(statement))
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (!set) {
      return StartError{.code = "database_open_failed",
                        .exit_code = 4,
                        .detail = fmt::format("PRAGMA {}: {}", pragma.name, set.error().detail)};
    }
    const auto found = query(fmt::format("PRAGMA {}", pragma.name), {}, {ColumnType::text});
    const auto* text = found && !found->cells.empty() ? std::get_if<std::string>(&found->cells.front()) : nullptr;
    if (text == nullptr || *text != pragma.read_back) {
      const bool wal = pragma.name == "journal_mode";
      return StartError{.code = wal ? "database_not_wal" : "database_pragma_refused",
                        .exit_code = 4,
                        .detail = fmt::format("PRAGMA {} is {}, wanted {}", pragma.name,
                                              text == nullptr ? "unknown" : *text, pragma.read_back)};
    }
  }
  return std::nullopt;
}

Result<RawRows> SqliteTransaction::run(std::string_view sql, const Params& params, const std::vector<ColumnType>& types,
                                       std::optional<OnUnique> on_unique) {
  auto rows = connection_.query(sql, params, types, on_unique);
  if (!rows) note_failure();
  return rows;
}

Result<std::int64_t> SqliteTransaction::change(std::string_view sql, const Params& params,
                                               std::optional<OnUnique> on_unique) {
  auto changed = connection_.change(sql, params, on_unique);
  if (!changed) note_failure();
  return changed;
}

void SqliteTransaction::note_failure() {
  if (ends_transaction(connection_.last_code())) broken_ = true;
}

}  // namespace ee::db
