#include "cp/service/statement_reader.h"

#include "cp/service/account_money.h"

namespace ee::cp {

Result<std::string> StatementReader::next() {
  if (ended_) return std::string();
  const auto rows = database_.read<std::vector<TransactionRow>>([&](db::Transaction& tx) {
    return store_.oldest(tx, account_, month_.begin(), month_.end(), after_, kLinesAtOnce);
  });
  if (!rows) return std::unexpected(rows.error());
  for (const TransactionRow& row : *rows) writer_.add(view_of(row));
  ended_ = static_cast<std::int64_t>(rows->size()) < kLinesAtOnce;
  if (ended_) return writer_.finish();
  after_ = PagePosition{.at = rows->back().created_at, .id = rows->back().id};
  return writer_.take();
}

}  // namespace ee::cp
