#include "agent/request_path.h"

#include <vector>

namespace ee::agent {
namespace {

constexpr std::string_view kPrefix = "/.easyenclave";

std::optional<int> hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return std::nullopt;
}

/// Without empty and dot segments.
std::string normalised(std::string_view path) {
  std::vector<std::string_view> segments;
  bool directory = true;
  while (!path.empty()) {
    const std::size_t slash = path.find('/');
    const std::string_view segment = path.substr(0, slash);
    directory = slash != std::string_view::npos || segment == "." || segment == ".." || segment.empty();
    if (segment == "..") {
      if (!segments.empty()) segments.pop_back();
    } else if (!segment.empty() && segment != ".") {
      segments.push_back(segment);
    }
    if (slash == std::string_view::npos) break;
    path.remove_prefix(slash + 1);
  }
  std::string out;
  for (const std::string_view segment : segments) (out += '/') += segment;
  if (directory) out += '/';
  return out;
}

bool is_reserved(std::string_view path) {
  return path == kPrefix || (path.starts_with(kPrefix) && path[kPrefix.size()] == '/');
}

}  // namespace

std::optional<std::string> percent_decoded(std::string_view path) {
  std::string out;
  for (std::size_t i = 0; i < path.size(); ++i) {
    char c = path[i];
    if (c == '%') {
      const auto high = i + 2 < path.size() ? hex_digit(path[i + 1]) : std::nullopt;
      const auto low = i + 2 < path.size() ? hex_digit(path[i + 2]) : std::nullopt;
      if (!high || !low) return std::nullopt;
      c = static_cast<char>(*high * 16 + *low);
      i += 2;
    }
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return std::nullopt;
    out.push_back(c);
  }
  return out;
}

ClassifiedPath classify_path(std::string_view raw_path) {
  const auto once = percent_decoded(raw_path);
  if (!once || !once->starts_with('/')) return {.kind = PathKind::evasive};
  ClassifiedPath out{.kind = PathKind::workload, .normal = normalised(*once)};
  if (is_reserved(out.normal)) {
    out.kind = PathKind::reserved;
  } else if (const auto twice = percent_decoded(out.normal); twice && is_reserved(normalised(*twice))) {
    out.kind = PathKind::evasive;
  }
  return out;
}

}  // namespace ee::agent
