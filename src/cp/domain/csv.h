#pragma once
#include <string>
#include <string_view>

namespace ee::cp {

/// Appends a cell of RFC 4180: in quotes when it holds a comma, a quote or a line break.
void append_csv_cell(std::string& to, std::string_view text);
/// The same for text that people wrote: what a spreadsheet would take for a formula (a first `= + - @`, tab or carriage
/// return) gets a leading `'`.
void append_csv_free_text(std::string& to, std::string_view text);

}  // namespace ee::cp
