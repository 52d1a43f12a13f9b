#include "db/postgres_sql.h"

#include <algorithm>

namespace ee::db {

namespace {
bool begins_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool continues_name(char c) { return begins_name(c) || (c >= '0' && c <= '9'); }

/// Where what begins at `at` and is no parameter ends: a quoted text or name, a comment, `::`, or one character.
std::size_t end_of_plain(std::string_view sql, std::size_t at) {
  const char c = sql[at];
  const std::string_view rest = sql.substr(at);
  std::size_t end = std::string_view::npos;
  if (c == '\'' || c == '"') {
    end = sql.find(c, at + 1);  // a doubled quote reads as two texts side by side, which is the same here
    return end == std::string_view::npos ? sql.size() : end + 1;
  }
  if (rest.starts_with("--")) {
    end = sql.find('\n', at);
    return end == std::string_view::npos ? sql.size() : end;
  }
  if (rest.starts_with("/*")) {
    end = sql.find("*/", at + 2);
    return end == std::string_view::npos ? sql.size() : end + 2;
  }
  return at + (rest.starts_with("::") ? 2 : 1);
}
}  // namespace

PostgresSql number_parameters(std::string_view sql) {
  PostgresSql out;
  out.text.reserve(sql.size());
  for (std::size_t at = 0; at < sql.size();) {
    if (sql[at] != ':' || at + 1 == sql.size() || !begins_name(sql[at + 1])) {
      const std::size_t end = end_of_plain(sql, at);
      out.text += sql.substr(at, end - at);
      at = end;
      continue;
    }
    std::size_t end = at + 1;
    while (end < sql.size() && continues_name(sql[end])) ++end;
    const std::string_view name = sql.substr(at + 1, end - at - 1);
    auto known = std::ranges::find(out.names, name);
    if (known == out.names.end()) known = out.names.insert(known, std::string(name));
    out.text += '$' + std::to_string(known - out.names.begin() + 1);
    at = end;
  }
  return out;
}

}  // namespace ee::db
