#include "cp/domain/csv.h"

namespace ee::cp {

void append_csv_cell(std::string& to, std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) {
    to += text;
    return;
  }
  to += '"';
  for (const char c : text) {
    if (c == '"') to += '"';
    to += c;
  }
  to += '"';
}

void append_csv_free_text(std::string& to, std::string_view text) {
  const bool formula = !text.empty() && std::string_view("=+-@\t\r").find(text.front()) != std::string_view::npos;
  append_csv_cell(to, formula ? "'" + std::string(text) : std::string(text));
}

}  // namespace ee::cp
