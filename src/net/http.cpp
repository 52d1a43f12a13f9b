#include "net/http.h"

#include <algorithm>

namespace ee::net {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

}  // namespace

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::ranges::equal(a, b, {}, lower, lower);
}

std::optional<std::string_view> Request::header(std::string_view name) const {
  for (const HttpHeader& header : headers)
    if (equal_ignoring_case(header.name, name)) return header.value;
  return std::nullopt;
}

std::size_t Request::header_count(std::string_view name) const {
  return static_cast<std::size_t>(
      std::ranges::count_if(headers, [&](const HttpHeader& header) { return equal_ignoring_case(header.name, name); }));
}

std::string_view Request::param(std::string_view name) const {
  for (const RouteParam& param : params)
    if (param.name == name) return param.value;
  return {};
}

}  // namespace ee::net
