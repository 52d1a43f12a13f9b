#include "cp/http/query.h"

#include <algorithm>

#include "common/bytes.h"
#include "common/utf8.h"

namespace ee::cp {
namespace {

constexpr std::size_t kMaxParameters = 50;

std::optional<std::string> decoded(std::string_view raw) {
  std::string out;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] == '+') {
      out.push_back(' ');
    } else if (raw[i] == '%') {
      const auto byte = from_hex_exact<1>(raw.substr(i + 1, 2));
      if (!byte) return std::nullopt;
      out.push_back(static_cast<char>((*byte)[0]));
      i += 2;
    } else {
      out.push_back(raw[i]);
    }
  }
  if (!is_utf8(out) || out.find('\0') != std::string::npos) return std::nullopt;
  return out;
}

}  // namespace

Error bad_query(std::string_view name, std::string_view code, std::string detail) {
  return {.code = ErrorCode::invalid_request,
          .fields = {{.field = std::string(name), .code = std::string(code), .detail = std::move(detail)}}};
}

Result<Query> Query::parse(std::string_view text, const std::vector<std::string_view>& known) {
  Query query;
  while (!text.empty()) {
    const std::size_t end = text.find('&');
    const std::string_view pair = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    if (pair.empty()) continue;
    const std::size_t equals = pair.find('=');
    const auto name = decoded(pair.substr(0, equals));
    const auto value = decoded(equals == std::string_view::npos ? std::string_view{} : pair.substr(equals + 1));
    if (!name || !value) return fail(bad_query(name.value_or("query"), "bad_format", "percent-encoded UTF-8"));
    if (std::ranges::find(known, *name) == known.end())
      return fail(bad_query(*name, "unknown_field", "this route has no such parameter"));
    if (query.values_.size() >= kMaxParameters || !query.values_.emplace(*name, *value).second)
      return fail(bad_query(*name, "bad_format", "stands more than once"));
  }
  return query;
}

std::optional<std::string> Query::text(std::string_view name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::nullopt : std::optional(found->second);
}

Result<std::optional<bool>> Query::flag(std::string_view name) const {
  const auto value = text(name);
  if (!value) return std::optional<bool>{};
  if (*value == "true") return std::optional(true);
  if (*value == "false") return std::optional(false);
  return fail(bad_query(name, "wrong_type", "true or false"));
}

}  // namespace ee::cp
