#include "agent/proc_text.h"

#include <charconv>

namespace ee::agent {

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

std::vector<std::string_view> words(std::string_view line) {
  std::vector<std::string_view> out;
  while (true) {
    const std::size_t first = line.find_first_not_of(" \t");
    if (first == std::string_view::npos) return out;
    line.remove_prefix(first);
    const std::size_t end = line.find_first_of(" \t");
    out.push_back(line.substr(0, end));
    if (end == std::string_view::npos) return out;
    line.remove_prefix(end);
  }
}

std::vector<std::string_view> lines(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    out.push_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return out;
}

std::optional<std::int64_t> decimal(std::string_view text) {
  std::int64_t value = 0;
  if (text.empty() || text[0] < '0' || text[0] > '9') return std::nullopt;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::int64_t> count_cpu_list(std::string_view text) {
  constexpr std::int64_t kMostCpus = 65536;
  std::int64_t count = 0;
  while (true) {
    const std::size_t comma = text.find(',');
    const std::string_view part = text.substr(0, comma);
    const std::size_t dash = part.find('-');
    const auto first = decimal(part.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : decimal(part.substr(dash + 1));
    if (!first || !last || *last < *first || *last >= kMostCpus) return std::nullopt;
    count += *last - *first + 1;
    if (count > kMostCpus) return std::nullopt;
    if (comma == std::string_view::npos) return count;
    text.remove_prefix(comma + 1);
  }
}

std::optional<std::int64_t> meminfo_kib(std::string_view meminfo, std::string_view field) {
  for (const std::string_view line : lines(meminfo)) {
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || line.substr(0, colon) != field) continue;
    const auto parts = words(line.substr(colon + 1));
    if (parts.size() != 2 || parts[1] != "kB") return std::nullopt;
    return decimal(parts[0]);
  }
  return std::nullopt;
}

std::optional<std::int64_t> decimal_milli(std::string_view text) {
  const std::size_t point = text.find('.');
  const auto whole = decimal(text.substr(0, point));
  if (!whole || *whole > 1'000'000'000'000) return std::nullopt;
  std::int64_t out = *whole * 1000;
  if (point == std::string_view::npos) return out;
  const std::string_view fraction = text.substr(point + 1);
  if (fraction.empty()) return std::nullopt;
  std::int64_t weight = 100;
  for (const char c : fraction) {
    if (c < '0' || c > '9') return std::nullopt;
    out += (c - '0') * weight;
    weight /= 10;
  }
  return out;
}

}  // namespace ee::agent
