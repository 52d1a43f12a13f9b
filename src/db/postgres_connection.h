#pragma once
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/secret.h"
#include "common/time.h"
#include "db/database.h"

namespace ee::db {

struct PostgresConnectionOptions {
  Secret url;                   ///< `postgres://...`; its own parameters win over the defaults of this program
  std::string role = "reader";  ///< shown to the server's operator: `ee-cp reader`
  bool verify_tls = true;       ///< TLS with the server's certificate and name checked, on every TCP connection
  Milliseconds statement_timeout{5000};
  Milliseconds lock_timeout{3000};
  Milliseconds idle_in_transaction_timeout{10000};
};

/// One connection to a PostgreSQL server through libpq, with its prepared statements, at most kMaxStatements of them,
/// the least recently used one dropped. Used by one thread at a time. Parameters and columns have the types of their
/// C++ values; nothing is left for the server to guess.
///
/// A connection that is lost, whose server does not answer in time, or one of whose kept statements has become useless,
/// is not usable until `connect` succeeds again.
/// Every wait but `wait_notified` is bounded.
class PostgresConnection {
 public:
  static constexpr std::size_t kMaxStatements = 512;

  explicit PostgresConnection(PostgresConnectionOptions options);
  ~PostgresConnection();
  PostgresConnection(const PostgresConnection&) = delete;
  PostgresConnection& operator=(const PostgresConnection&) = delete;

  /// Opens, or opens again. After a failure the next attempts within a second fail at once. Error:
  /// `database_unavailable`.
  Result<void> connect();
  bool connected() const;
  /// Gives the connection up: what ran on it is undone by the server.
  void disconnect();

  /// See Transaction. A failure's SQLSTATE is kept in `last_state()` until the next statement.
  Result<RawRows> query(std::string_view sql, const Params& params, const std::vector<ColumnType>& types,
                        std::optional<OnUnique> on_unique = {});
  Result<std::int64_t> change(std::string_view sql, const Params& params, std::optional<OnUnique> on_unique = {});
  /// Several statements in one text, without parameters; the columns of the last one's first row, as text.
  Result<std::vector<std::string>> script(const std::string& sql);
  /// Waits, without end, until the server has sent what this connection LISTENs for: true. False: `wake` (a descriptor)
  /// has become readable. Outside of a transaction.
  Result<bool> wait_notified(int wake);
  const std::string& last_state() const { return last_state_; }
  /// What the server said it did last: "COMMIT", "ROLLBACK".
  const std::string& last_command() const { return last_command_; }

  /// Whether a transaction is open, and whether it can only be rolled back.
  bool in_transaction() const;
  bool in_failed_transaction() const;

 private:
  struct Impl;
  struct Prepared;
  class Answer;

  Result<Prepared*> prepared(std::string_view sql, const Params& params, std::optional<OnUnique> on_unique);
  Result<Answer> run(std::string_view sql, const Params& params, std::optional<OnUnique> on_unique);
  Result<Answer> receive(std::optional<OnUnique> on_unique);
  Error lost(std::string_view why);
  Result<void> drop_oldest();

  const PostgresConnectionOptions options_;
  std::unique_ptr<Impl> impl_;
  std::string last_state_;
  std::string last_command_;
};

/// A transaction of a connection, as the stores see it. Keeps the first failure of a statement: the server lets nothing
/// follow it.
class PostgresTransaction final : public Transaction {
 public:
  explicit PostgresTransaction(PostgresConnection& connection) : connection_(connection) {}
  const std::optional<Error>& failure() const { return failure_; }
  /// SQLSTATE of that failure.
  const std::string& failed_state() const { return failed_state_; }
  Result<void> announce(std::string_view topic) override;

 private:
  Result<RawRows> run(std::string_view sql, const Params& params, const std::vector<ColumnType>& types,
                      std::optional<OnUnique> on_unique) override;
  Result<std::int64_t> change(std::string_view sql, const Params& params, std::optional<OnUnique> on_unique) override;
  template <class T>
  Result<T> noted(Result<T> result);

  PostgresConnection& connection_;
  std::optional<Error> failure_;
  std::string failed_state_;
};

/// Why this URL may not be used, if so: not a `postgres://` URL of libpq, or (with `verify_tls`) one that would talk to
/// another machine without checking its certificate.
std::optional<std::string> postgres_url_problem(const Secret& url, bool verify_tls);

}  // namespace ee::db
