#pragma once
#include <map>
#include <string>
#include <utility>

#include "cp/service/ledger_api.h"

namespace ee::cp {

enum class StatementFormat : std::uint8_t;

/// Writes a statement while its lines come, oldest first; what is written may be taken away at any time.
/// CSV is RFC 4180 in UTF-8; its column `row` says what a row is: `opening`, `line`, `total` or `closing`.
class StatementWriter {
 public:
  StatementWriter(StatementFormat format, const std::string& account_id, const std::string& month, bool complete,
                  UsdMicros opening);
  void add(const TransactionView& line);
  /// The text since the last `take`.
  std::string take() { return std::exchange(text_, {}); }
  /// The rest of the text. Nothing may be added afterwards.
  std::string finish();

 private:
  void csv_row(std::string_view row, const TransactionView* line, std::string_view type, const UsdMicros* amount,
               const UsdMicros* balance);

  StatementFormat format_;
  std::string text_;
  UsdMicros balance_;
  std::map<std::string, UsdMicros> totals_;
  bool first_ = true;
};

}  // namespace ee::cp
