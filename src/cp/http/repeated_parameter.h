#pragma once
#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ee::cp {

/// Takes a parameter that may stand several times out of a raw query string, which keeps the rest in its order: the raw
/// values as they stand.
inline std::vector<std::string> take_repeated(std::string& query, std::string_view name) {
  std::vector<std::string> values;
  std::string rest;
  for (std::size_t at = 0; at < query.size();) {
    const std::size_t end = std::min(query.find('&', at), query.size());
    const std::string_view part = std::string_view(query).substr(at, end - at);
    at = end + 1;
    if (part.starts_with(name) && part.substr(name.size()).starts_with('=')) {
      values.emplace_back(part.substr(name.size() + 1));
    } else {
      if (!rest.empty()) rest += '&';
      rest += part;
    }
  }
  query = std::move(rest);
  return values;
}

}  // namespace ee::cp
