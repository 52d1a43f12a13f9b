#include "cp/service/statement_writer.h"

#include <fmt/format.h>

#include "cp/domain/csv.h"
#include "cp/service/account_money.h"

namespace ee::cp {

StatementWriter::StatementWriter(StatementFormat format, const std::string& account_id, const std::string& month,
                                 bool complete, UsdMicros opening)
    : format_(format), balance_(opening) {
  if (format_ == StatementFormat::csv) {
    text_ =
        "row,created_at,id,group_id,tx_type,amount,balance,period_start_at,reference_type,reference_id,description\r\n";
    csv_row("opening", nullptr, "", nullptr, &balance_);
    return;
  }
  text_ = fmt::format(R"({{"account_id":{},"month":{},"complete":{},"opening_balance":"{}","lines":[)",
                      json::quote(account_id), json::quote(month), complete, to_usd_text(opening));
}

void StatementWriter::add(const TransactionView& line) {
  const std::string type(to_string(line.tx_type));
  balance_.value += line.amount.value;  // a part of the account's balance, which stays within 64 bits
  totals_[type].value += line.amount.value;
  if (format_ == StatementFormat::csv) {
    csv_row("line", &line, type, &line.amount, &balance_);
    return;
  }
  if (!first_) text_ += ',';
  first_ = false;
  text_ += json::write(StatementLine{.created_at = line.created_at,
                                     .id = line.id,
                                     .group_id = line.group_id,
                                     .tx_type = line.tx_type,
                                     .amount = line.amount,
                                     .balance = balance_,
                                     .period_start_at = line.period_start_at,
                                     .reference_type = line.reference_type,
                                     .reference_id = line.reference_id,
                                     .description = line.description});
}

std::string StatementWriter::finish() {
  if (format_ == StatementFormat::csv) {
    for (const auto& [type, total] : totals_) csv_row("total", nullptr, type, &total, nullptr);
    csv_row("closing", nullptr, "", nullptr, &balance_);
    return std::move(text_);
  }
  text_ += "],\"totals\":{";
  first_ = true;
  for (const auto& [type, total] : totals_) {
    text_ += fmt::format(R"({}{}:"{}")", first_ ? "" : ",", json::quote(type), to_usd_text(total));
    first_ = false;
  }
  text_ += fmt::format(R"(}},"closing_balance":"{}"}})", to_usd_text(balance_));
  return std::move(text_);
}

void StatementWriter::csv_row(std::string_view row, const TransactionView* line, std::string_view type,
                              const UsdMicros* amount, const UsdMicros* balance) {
  const auto cell = [&](std::string_view value) {
    text_ += ',';
    append_csv_cell(text_, value);
  };
  const auto free_text = [&](std::string_view value) {
    text_ += ',';
    append_csv_free_text(text_, value);
  };
  text_ += row;
  cell(line != nullptr ? to_rfc3339(line->created_at) : "");
  cell(line != nullptr ? line->id : "");
  cell(line != nullptr ? line->group_id : "");
  cell(type);
  cell(amount != nullptr ? to_usd_text(*amount) : "");
  cell(balance != nullptr ? to_usd_text(*balance) : "");
  cell(line != nullptr && line->period_start_at ? to_rfc3339(*line->period_start_at) : "");
  free_text(line != nullptr ? line->reference_type.value_or("") : "");
  free_text(line != nullptr ? line->reference_id.value_or("") : "");
  free_text(line != nullptr ? line->description : "");
  text_ += "\r\n";
}

}  // namespace ee::cp
