#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "cp/domain/month.h"
#include "cp/service/statement_writer.h"
#include "cp/store/ledger_query_store.h"
#include "db/database.h"

namespace ee::cp {

/// A statement while it is read: a page of lines at a time, each in a transaction of its own, so that neither the
/// memory nor a reader is held for the whole of it. Not thread-safe; the database outlives it.
class StatementReader {
 public:
  static constexpr std::int64_t kLinesAtOnce = 1000;

  StatementReader(db::Database& database, AccountId account, Month month, StatementWriter writer)
      : database_(database), account_(std::move(account)), month_(month), writer_(std::move(writer)) {}

  /// The next piece of the text; empty once it has ended. Errors: of the database.
  Result<std::string> next();
  bool ended() const { return ended_; }

 private:
  db::Database& database_;
  AccountId account_;
  Month month_;
  StatementWriter writer_;
  LedgerQueryStore store_;
  std::optional<PagePosition> after_;
  bool ended_ = false;
};

}  // namespace ee::cp
