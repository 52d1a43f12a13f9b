#pragma once
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/error.h"
#include "db/columns.h"

namespace ee::db {

/// A named parameter (`:name` in the SQL, may repeat). `Param{"now", now}` takes what ColumnTraits knows.
struct Param {
  std::string_view name;
  Value value;
  /// What it would be were it not NULL; nothing where the caller's type does not say.
  std::optional<ColumnType> type;
  template <class T>
  Param(std::string_view name_, const T& value_) : name(name_), value(ColumnTraits<T>::to_value(value_)) {
    if constexpr (requires { ColumnTraits<T>::type; }) type = ColumnTraits<T>::type;
  }
};
using Params = std::vector<Param>;

/// Which error a unique violation of this statement is; without it, it is `concurrent_update`.
struct OnUnique {
  ErrorCode code;
};

/// Rows as they come from the engine: `cells` holds `width` values for each row, one row after the other.
struct RawRows {
  std::size_t width = 0;
  std::vector<Value> cells;
};

/// One open transaction (in the writer: one savepoint of it). Valid only inside the function it was given to; used by
/// one thread. After a failed statement the function should return that error: its work is rolled back.
///
/// Errors of every statement: `database_unavailable` (busy past its time-out, disk full, I/O; the detail is for the
/// log), `database_timeout` (a reader's statement ran over its limit), `in_use` (foreign key), the code of OnUnique.
/// After such an error no other statement of the transaction need work: PostgreSQL refuses them all.
/// SQL is portable between SQLite and PostgreSQL (05 section 3.1) and must be a literal: statements are prepared once
/// per connection and kept by their text.
class Transaction {
 public:
  virtual ~Transaction() = default;

  /// Number of rows changed.
  Result<std::int64_t> execute(std::string_view sql, const Params& params = {}, std::optional<OnUnique> on_unique = {});

  /// All rows. `Row` is a described struct (columns in the order of its members; see `columns_of`) or one column's
  /// type. Also for `... RETURNING`.
  template <class Row>
  Result<std::vector<Row>> query(std::string_view sql, const Params& params = {},
                                 std::optional<OnUnique> on_unique = {}) {
    static const std::vector<ColumnType> types = row_types<Row>();
    auto raw = run(sql, params, types, on_unique);
    if (!raw) return std::unexpected(std::move(raw.error()));
    std::vector<Row> rows;
    rows.reserve(raw->cells.size() / types.size());
    for (std::size_t at = 0; at < raw->cells.size(); at += types.size()) {
      rows.push_back(row_from<Row>(std::span<Value>(raw->cells).subspan(at, types.size())));
    }
    return rows;
  }
  /// The first row, or nothing.
  template <class Row>
  Result<std::optional<Row>> query_one(std::string_view sql, const Params& params = {},
                                       std::optional<OnUnique> on_unique = {}) {
    auto rows = query<Row>(sql, params, on_unique);
    if (!rows) return std::unexpected(std::move(rows.error()));
    if (rows->empty()) return std::optional<Row>{};
    return std::optional<Row>(std::move(rows->front()));
  }

  /// Tells every process that listens for `topic` (ServedDatabase::listen), after the COMMIT and only then. Nothing
  /// where no other process has the database.
  virtual Result<void> announce(std::string_view topic);

 protected:
  virtual Result<RawRows> run(std::string_view sql, const Params& params, const std::vector<ColumnType>& types,
                              std::optional<OnUnique> on_unique) = 0;
  virtual Result<std::int64_t> change(std::string_view sql, const Params& params,
                                      std::optional<OnUnique> on_unique) = 0;
};

/// Where stores write and read. Thread-safe; calls block. Implementations: sqlite_database.h and postgres_database.h
/// (each with one writer thread that commits in groups, and a pool of readers); tests: tests/support/test_database.h.
class Database {
 public:
  virtual ~Database() = default;

  /// Runs `work` in its own savepoint of a group transaction and returns after the COMMIT: what it returns is durable.
  /// Writes run one after the other, over all replicas: what `work` reads does not change until it is committed. It
  /// may run more than once, when the engine gave up the group and took it back: it must not use up what it captured.
  /// An error (or exception, which becomes `internal_error`) from `work` rolls back that work only. No outside call and
  /// no other call of this database may be made inside.
  /// Further errors: `overloaded` (queue full), `database_unavailable` (nothing of it was stored).
  template <class T>
  Result<T> write(const std::function<Result<T>(Transaction&)>& work) {
    std::optional<Result<T>> result;
    const Result<void> outcome = run_write([&](Transaction& transaction) -> Result<void> {
      result.emplace(work(transaction));
      if (!*result) return std::unexpected(result->error());
      return {};
    });
    if (!outcome) return std::unexpected(outcome.error());
    return std::move(*result);
  }
  /// Runs `work` in a read transaction on one of the readers: a consistent view that sees every write that returned
  /// before.
  template <class T>
  Result<T> read(const std::function<Result<T>(Transaction&)>& work) {
    std::optional<Result<T>> result;
    const Result<void> outcome = run_read([&](Transaction& transaction) -> Result<void> {
      result.emplace(work(transaction));
      if (!*result) return std::unexpected(result->error());
      return {};
    });
    if (!outcome) return std::unexpected(outcome.error());
    return std::move(*result);
  }

  virtual Result<void> run_write(const std::function<Result<void>(Transaction&)>& work) = 0;
  virtual Result<void> run_read(const std::function<Result<void>(Transaction&)>& work) = 0;
};

}  // namespace ee::db

namespace ee::db {

/// Every member of a described struct as a parameter of its own name, for INSERT and full UPDATE.
template <class Row>
Params params_of(const Row& row) {
  Params params;
  boost::mp11::mp_for_each<members_of<Row>>(
      [&](auto member) { params.emplace_back(member.name, row.*member.pointer); });
  return params;
}

}  // namespace ee::db
