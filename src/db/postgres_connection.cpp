#include "db/postgres_connection.h"

#include <fmt/format.h>
#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <list>
#include <unordered_map>

#include "db/postgres_codes.h"
#include "db/postgres_sql.h"

namespace ee::db {

namespace {
using Steady = std::chrono::steady_clock;

// Object identifiers of pg_type.
constexpr Oid kInt8 = 20;
constexpr Oid kText = 25;
constexpr Oid kBool = 16;
constexpr Oid kUnknown = 0;

/// A server that stopped answering is given up after its own limit for a statement and so much more.
constexpr Milliseconds kAnswerGrace{5000};
constexpr Seconds kConnectAgainAfter{1};

struct ResultFree {
  void operator()(PGresult* result) const { PQclear(result); }
};
using PgResult = std::unique_ptr<PGresult, ResultFree>;

Oid type_of(const Param& param) {
  if (param.type) return *param.type == ColumnType::integer ? kInt8 : kText;
  if (std::holds_alternative<std::int64_t>(param.value)) return kInt8;
  return std::holds_alternative<std::string>(param.value) ? kText : kUnknown;
}

/// Statements are kept by their text and the types of their parameters.
std::string key_of(std::string_view sql, const Params& params) {
  std::string key(sql);
  key += '\0';
  for (const Param& param : params) {
    const Oid type = type_of(param);
    key += type == kInt8 ? 'i' : type == kText ? 't' : 'n';
    key += param.name;
    key += ' ';
  }
  return key;
}

std::string message_of(const PGresult* result) {
  const char* text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  return text == nullptr ? "" : text;
}

/// A kept statement that will not work again on this connection: its columns have other types since an upgrade
/// (`feature_not_supported`), or somebody between us and the server has dropped it (`invalid_sql_statement_name`).
bool is_outdated(const char* state) {
  return state != nullptr && (std::string_view(state) == "0A000" || std::string_view(state) == "26000");
}

/// libpq's own messages end with a line break and may have several lines.
std::string one_line(const char* text) {
  std::string line = text == nullptr ? "" : text;
  for (char& c : line)
    if (c == '\n') c = ' ';
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

Result<Value> cell(const PGresult* result, int row, int column, ColumnType type) {
  if (PQgetisnull(result, row, column) != 0) return Value(std::monostate{});
  const char* text = PQgetvalue(result, row, column);
  const auto size = static_cast<std::size_t>(PQgetlength(result, row, column));
  if (type == ColumnType::text) return Value(std::string(text, size));
  if (PQftype(result, column) == kBool) return Value(std::int64_t{*text == 't' ? 1 : 0});
  std::int64_t number = 0;
  const auto parsed = std::from_chars(text, text + size, number);
  if (parsed.ec != std::errc() || parsed.ptr != text + size)
    return fail(ErrorCode::internal_error, fmt::format("column {} is not a whole number", PQfname(result, column)));
  return Value(number);
}
}  // namespace

struct PostgresConnection::Prepared {
  std::string key;
  std::string name;               // of the statement, in this connection
  std::vector<std::size_t> from;  // parameter $n is the caller's parameter number from[n-1]
};

struct PostgresConnection::Impl {
  PGconn* connection = nullptr;
  Steady::time_point not_before = {};
  std::uint64_t statements_made = 0;
  std::list<Prepared> statements;  // most recently used first; the map's keys point into them
  std::unordered_map<std::string_view, std::list<Prepared>::iterator> by_key;
};

/// What the server said to one command.
class PostgresConnection::Answer {
 public:
  explicit Answer(PgResult result) : result_(std::move(result)) {}
  PGresult* get() const { return result_.get(); }

 private:
  PgResult result_;
};

PostgresConnection::PostgresConnection(PostgresConnectionOptions options)
    : options_(std::move(options)), impl_(std::make_unique<Impl>()) {}

PostgresConnection::~PostgresConnection() { disconnect(); }

bool PostgresConnection::connected() const {
  return impl_->connection != nullptr && PQstatus(impl_->connection) == CONNECTION_OK;
}

void PostgresConnection::disconnect() {
  impl_->by_key.clear();
  impl_->statements.clear();
  if (impl_->connection != nullptr) PQfinish(impl_->connection);
  impl_->connection = nullptr;
}

bool PostgresConnection::in_transaction() const {
  if (!connected()) return false;
  const auto status = PQtransactionStatus(impl_->connection);
  return status == PQTRANS_INTRANS || status == PQTRANS_INERROR;
}
bool PostgresConnection::in_failed_transaction() const {
  return connected() && PQtransactionStatus(impl_->connection) == PQTRANS_INERROR;
}

Error PostgresConnection::lost(std::string_view why) {
  disconnect();
  last_state_ = kConnectionLost;
  return postgres_error(kConnectionLost, why, {});
}

Result<void> PostgresConnection::connect() {
  disconnect();
  if (Steady::now() < impl_->not_before) return std::unexpected(lost("the server could not be reached a moment ago"));
  const std::string name = "ee-cp " + options_.role;
  // A keyword that comes again later wins: the URL over the defaults, and what must hold over the URL.
  std::vector<const char*> keys = {"connect_timeout",  "application_name", "keepalives_idle", "keepalives_interval",
                                   "keepalives_count", "tcp_user_timeout", "dbname",          "client_encoding",
                                   "gssencmode"};
  std::vector<const char*> values = {"5",    name.c_str(), "10", "5", "3", "15000", options_.url.reveal().c_str(),
                                     "UTF8", "disable"};
  if (options_.verify_tls) {
    keys.push_back("sslmode");
    values.push_back("verify-full");
  }
  keys.push_back(nullptr);
  values.push_back(nullptr);
  impl_->connection = PQconnectdbParams(keys.data(), values.data(), 1);
  if (!connected()) {
    const std::string why = one_line(PQerrorMessage(impl_->connection));
    impl_->not_before = Steady::now() + kConnectAgainAfter;
    return std::unexpected(lost(why));
  }
  PQsetNoticeProcessor(impl_->connection, [](void*, const char*) {}, nullptr);
  const auto set = script(fmt::format(
      "SET statement_timeout = {}; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = {}; "
      "SET standard_conforming_strings = on; SET default_transaction_deferrable = off",
      options_.statement_timeout.count(), options_.lock_timeout.count(), options_.idle_in_transaction_timeout.count()));
  if (!set) return std::unexpected(lost(set.error().detail));
  return {};
}

/// Waits for the end of what was sent; of several results the last one, or the first that failed.
Result<PostgresConnection::Answer> PostgresConnection::receive(std::optional<OnUnique> on_unique) {
  const auto give_up_at = Steady::now() + options_.statement_timeout + kAnswerGrace;
  PgResult kept;
  for (;;) {
    while (PQisBusy(impl_->connection) != 0) {
      const auto left = std::chrono::duration_cast<Milliseconds>(give_up_at - Steady::now()).count();
      pollfd wait{.fd = PQsocket(impl_->connection), .events = POLLIN, .revents = 0};
      const int ready = left > 0 ? ::poll(&wait, 1, static_cast<int>(left)) : 0;
      if (ready == 0) return std::unexpected(lost("the server does not answer"));
      if (ready < 0 && errno != EINTR) return std::unexpected(lost("the connection cannot be waited for"));
      if (PQconsumeInput(impl_->connection) == 0)
        return std::unexpected(lost(one_line(PQerrorMessage(impl_->connection))));
    }
    PgResult result(PQgetResult(impl_->connection));
    if (!result) break;
    if (!kept || PQresultStatus(kept.get()) != PGRES_FATAL_ERROR) kept = std::move(result);
  }
  if (!kept) return std::unexpected(lost(one_line(PQerrorMessage(impl_->connection))));
  const ExecStatusType status = PQresultStatus(kept.get());
  if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) {
    last_command_ = PQcmdStatus(kept.get());
    return Answer(std::move(kept));
  }
  const char* state = PQresultErrorField(kept.get(), PG_DIAG_SQLSTATE);
  const std::string message = state == nullptr ? one_line(PQresultErrorMessage(kept.get())) : message_of(kept.get());
  if (!connected() || is_outdated(state)) {
    const Error error = lost(message);
    if (state != nullptr) last_state_ = state;
    return std::unexpected(error);
  }
  last_state_ = state == nullptr ? std::string(kConnectionLost) : state;
  return std::unexpected(postgres_error(last_state_, message, on_unique));
}

Result<void> PostgresConnection::drop_oldest() {
  if (impl_->statements.size() < kMaxStatements) return {};
  const std::string name = impl_->statements.back().name;
  impl_->by_key.erase(impl_->statements.back().key);
  impl_->statements.pop_back();
  const auto dropped = script("DEALLOCATE " + name);
  if (!dropped) return std::unexpected(dropped.error());
  return {};
}

Result<PostgresConnection::Prepared*> PostgresConnection::prepared(std::string_view sql, const Params& params,
                                                                   std::optional<OnUnique> on_unique) {
  std::string key = key_of(sql, params);
  if (const auto found = impl_->by_key.find(key); found != impl_->by_key.end()) {
    impl_->statements.splice(impl_->statements.begin(), impl_->statements, found->second);
    return &*found->second;
  }
  if (const auto room = drop_oldest(); !room) return std::unexpected(room.error());
  const PostgresSql numbered = number_parameters(sql);
  Prepared statement{.key = std::move(key), .name = fmt::format("s{}", ++impl_->statements_made), .from = {}};
  std::vector<Oid> types;
  for (const std::string& name : numbered.names) {
    const auto found = std::ranges::find(params, name, &Param::name);
    if (found == params.end())
      return fail(ErrorCode::internal_error, fmt::format("the statement's parameter {} was not given", name));
    statement.from.push_back(static_cast<std::size_t>(found - params.begin()));
    types.push_back(type_of(*found));
  }
  // The same rule as SQLite's: a parameter that nothing uses is a mistake.
  if (numbered.names.size() != params.size())
    return fail(ErrorCode::internal_error,
                fmt::format("the statement has {} parameters, {} were given", numbered.names.size(), params.size()));
  if (PQsendPrepare(impl_->connection, statement.name.c_str(), numbered.text.c_str(), static_cast<int>(types.size()),
                    types.data()) == 0)
    return std::unexpected(lost(one_line(PQerrorMessage(impl_->connection))));
  if (auto made = receive(on_unique); !made) return std::unexpected(made.error());
  impl_->statements.push_front(std::move(statement));
  impl_->by_key.emplace(impl_->statements.front().key, impl_->statements.begin());
  return &impl_->statements.front();
}

Result<PostgresConnection::Answer> PostgresConnection::run(std::string_view sql, const Params& params,
                                                           std::optional<OnUnique> on_unique) {
  last_state_.clear();
  if (!connected()) return std::unexpected(lost("the connection is closed"));
  const auto statement = prepared(sql, params, on_unique);
  if (!statement) return std::unexpected(statement.error());
  const std::vector<std::size_t>& from = (*statement)->from;
  std::vector<std::array<char, 24>> numbers(from.size());
  std::vector<const char*> values(from.size(), nullptr);
  for (std::size_t i = 0; i < from.size(); ++i) {
    const Value& value = params[from[i]].value;
    if (const auto* number = std::get_if<std::int64_t>(&value)) {
      *std::to_chars(numbers[i].data(), numbers[i].data() + numbers[i].size() - 1, *number).ptr = '\0';
      values[i] = numbers[i].data();
    } else if (const auto* text = std::get_if<std::string>(&value)) {
      // PostgreSQL has no room for it, and libpq would end the text there.
      if (text->find('\0') != std::string::npos)
        return fail(ErrorCode::invalid_request, fmt::format("{} holds a zero character", params[from[i]].name));
      values[i] = text->c_str();
    }
  }
  if (PQsendQueryPrepared(impl_->connection, (*statement)->name.c_str(), static_cast<int>(values.size()), values.data(),
                          nullptr, nullptr, 0) == 0)
    return std::unexpected(lost(one_line(PQerrorMessage(impl_->connection))));
  return receive(on_unique);
}

Result<RawRows> PostgresConnection::query(std::string_view sql, const Params& params,
                                          const std::vector<ColumnType>& types, std::optional<OnUnique> on_unique) {
  const auto answer = run(sql, params, on_unique);
  if (!answer) return std::unexpected(answer.error());
  const PGresult* result = answer->get();
  const int columns = PQnfields(result);
  if (columns != static_cast<int>(types.size()))
    return fail(ErrorCode::internal_error,
                fmt::format("the statement has {} columns, {} were asked for", columns, types.size()));
  RawRows rows{.width = types.size(), .cells = {}};
  rows.cells.reserve(static_cast<std::size_t>(PQntuples(result)) * types.size());
  for (int row = 0; row < PQntuples(result); ++row) {
    for (int column = 0; column < columns; ++column) {
      auto value = cell(result, row, column, types[static_cast<std::size_t>(column)]);
      if (!value) return std::unexpected(std::move(value.error()));
      rows.cells.push_back(std::move(*value));
    }
  }
  return rows;
}

Result<std::int64_t> PostgresConnection::change(std::string_view sql, const Params& params,
                                                std::optional<OnUnique> on_unique) {
  const auto answer = run(sql, params, on_unique);
  if (!answer) return std::unexpected(answer.error());
  const std::string_view changed = PQcmdTuples(answer->get());
  std::int64_t rows = 0;
  std::from_chars(changed.data(), changed.data() + changed.size(), rows);  // empty for what changes no rows
  return rows;
}

Result<std::vector<std::string>> PostgresConnection::script(const std::string& sql) {
  last_state_.clear();
  if (!connected()) return std::unexpected(lost("the connection is closed"));
  if (PQsendQuery(impl_->connection, sql.c_str()) == 0)
    return std::unexpected(lost(one_line(PQerrorMessage(impl_->connection))));
  const auto answer = receive({});
  if (!answer) return std::unexpected(answer.error());
  std::vector<std::string> row;
  if (PQntuples(answer->get()) > 0)
    for (int column = 0; column < PQnfields(answer->get()); ++column)
      row.emplace_back(PQgetvalue(answer->get(), 0, column));
  return row;
}

Result<bool> PostgresConnection::wait_notified(int wake) {
  for (;;) {
    if (!connected()) return std::unexpected(lost("the connection is closed"));
    bool any = false;
    for (PGnotify* told = PQnotifies(impl_->connection); told != nullptr; told = PQnotifies(impl_->connection)) {
      PQfreemem(told);
      any = true;
    }
    if (any) return true;
    std::array<pollfd, 2> waits = {pollfd{.fd = PQsocket(impl_->connection), .events = POLLIN, .revents = 0},
                                   pollfd{.fd = wake, .events = POLLIN, .revents = 0}};
    if (::poll(waits.data(), waits.size(), -1) < 0) {
      if (errno == EINTR) continue;
      return std::unexpected(lost("the connection cannot be waited for"));
    }
    if (waits[1].revents != 0) return false;
    if (PQconsumeInput(impl_->connection) == 0)
      return std::unexpected(lost(one_line(PQerrorMessage(impl_->connection))));
  }
}

template <class T>
Result<T> PostgresTransaction::noted(Result<T> result) {
  if (!result && !failure_) {
    failure_ = result.error();
    failed_state_ = connection_.last_state();
  }
  return result;
}

Result<RawRows> PostgresTransaction::run(std::string_view sql, const Params& params,
                                         const std::vector<ColumnType>& types, std::optional<OnUnique> on_unique) {
  return noted(connection_.query(sql, params, types, on_unique));
}

Result<std::int64_t> PostgresTransaction::change(std::string_view sql, const Params& params,
                                                 std::optional<OnUnique> on_unique) {
  return noted(connection_.change(sql, params, on_unique));
}

Result<void> PostgresTransaction::announce(std::string_view topic) {
  const auto told = change("SELECT pg_notify(:topic, '')", {{"topic", topic}}, {});
  if (!told) return std::unexpected(told.error());
  return {};
}

std::optional<std::string> postgres_url_problem(const Secret& url, bool verify_tls) {
  char* message = nullptr;
  PQconninfoOption* options = PQconninfoParse(url.reveal().c_str(), &message);
  if (options == nullptr) {
    PQfreemem(message);  // it repeats parts of the URL
    return "not a connection URL that libpq understands";
  }
  std::string ssl_mode;
  for (const PQconninfoOption* option = options; option->keyword != nullptr; ++option) {
    if (option->val == nullptr) continue;
    if (std::string_view(option->keyword) == "sslmode") ssl_mode = option->val;
  }
  PQconninfoFree(options);
  if (!verify_tls || ssl_mode.empty() || ssl_mode == "verify-full") return std::nullopt;
  return "sslmode must be verify-full, not " + ssl_mode;
}

}  // namespace ee::db
