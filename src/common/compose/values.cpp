#include "common/compose/values.h"

#include <algorithm>
#include <boost/json/value.hpp>
#include <charconv>
#include <limits>
#include <utility>

#include "common/json_jcs.h"

namespace ee::compose {
namespace {

constexpr std::int64_t kNano = 1'000'000'000;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_letter(char c) { return is_lower(c) || (c >= 'A' && c <= 'Z'); }

template <class T>
std::optional<T> decimal(std::string_view text) {
  T out{};
  if (text.empty() || !std::ranges::all_of(text, is_digit)) return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return out;
}

/// `12` or `1.5` times `unit`, exactly; a rest below one is cut. Nothing when it does not fit, or has more than nine
/// decimals.
std::optional<std::int64_t> scaled(std::string_view text, std::int64_t unit) {
  const auto point = text.find('.');
  const auto whole = decimal<std::int64_t>(text.substr(0, point));
  if (!whole || *whole > std::numeric_limits<std::int64_t>::max() / 2 / unit) return std::nullopt;
  if (point == text.npos) return *whole * unit;
  const auto decimals = text.substr(point + 1);
  const auto digits = decimal<std::int64_t>(decimals);
  if (!digits || decimals.size() > 9) return std::nullopt;
  std::int64_t divisor = 1;
  for (std::size_t i = 0; i < decimals.size(); ++i) divisor *= 10;
  // unit / divisor first where it divides; else the product is below 10^9 times the largest unit's part.
  const std::int64_t high = unit / divisor * *digits;
  const std::int64_t low = (unit % divisor) * *digits / divisor;
  return *whole * unit + high + low;
}

std::optional<std::int64_t> byte_unit(std::string_view unit) {
  std::string lower(unit);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  if (lower.empty() || lower == "b") return 1;
  const std::string_view rest = std::string_view(lower).substr(1);
  if (!rest.empty() && rest != "b" && rest != "ib") return std::nullopt;
  switch (lower.front()) {
    case 'k': return std::int64_t{1} << 10;
    case 'm': return std::int64_t{1} << 20;
    case 'g': return std::int64_t{1} << 30;
    case 't': return std::int64_t{1} << 40;
    default: return std::nullopt;
  }
}

std::optional<std::int64_t> time_unit(std::string_view unit) {
  if (unit == "h") return 3600 * kNano;
  if (unit == "m") return 60 * kNano;
  if (unit == "s") return kNano;
  if (unit == "ms") return 1'000'000;
  if (unit == "us") return 1000;
  if (unit == "ns") return 1;
  return std::nullopt;
}

std::size_t number_length(std::string_view text) {
  std::size_t length = 0;
  while (length < text.size() && (is_digit(text[length]) || text[length] == '.')) ++length;
  return length;
}

}  // namespace

bool is_dns_label(std::string_view text) {
  const auto alnum = [](char c) { return is_lower(c) || is_digit(c); };
  return !text.empty() && text.size() <= 63 && alnum(text.front()) && alnum(text.back()) &&
         std::ranges::all_of(text, [&](char c) { return alnum(c) || c == '-'; });
}

bool is_request_key(std::string_view text) {
  return !text.empty() && text.size() <= 64 && !is_digit(text.front()) &&
         std::ranges::all_of(text, [](char c) { return is_letter(c) || is_digit(c) || c == '_'; });
}

bool is_resource_name(std::string_view text) {
  const auto alnum = [](char c) { return is_letter(c) || is_digit(c); };
  return !text.empty() && text.size() <= 64 && alnum(text.front()) &&
         std::ranges::all_of(text, [&](char c) { return alnum(c) || c == '-' || c == '_'; });
}

bool is_mount_target(std::string_view text) {
  if (text.size() < 2 || text.size() > 255 || text.front() != '/' || text.back() == '/') return false;
  const auto forbidden = [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7F || c == ':' || c == ',' || c == '\\';
  };
  if (std::ranges::any_of(text, forbidden)) return false;
  for (const std::string_view part : {"//", "/./", "/../"})
    if (text.find(part) != text.npos) return false;
  if (text.ends_with("/.") || text.ends_with("/..")) return false;
  for (const std::string_view top : {"/proc", "/sys", "/run/secrets", "/var/run/secrets"})
    if (text == top || (text.starts_with(top) && text[top.size()] == '/')) return false;
  return true;
}

bool has_interpolation(std::string_view text) {
  for (std::size_t i = 0; i + 1 < text.size(); ++i) {
    if (text[i] != '$') continue;
    const char after = text[i + 1];
    if (after == '{' || after == '_' || is_letter(after)) return true;
    if (after == '$') ++i;
  }
  return false;
}

std::string literal(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    out += text[i];
    if (text.substr(i, 2) == "$$") ++i;
  }
  return out;
}

std::string_view view(const boost::json::string& text) { return {text.data(), text.size()}; }
std::string_view view(const boost::json::value& text) { return view(text.get_string()); }

std::optional<std::string> scalar_text(const boost::json::value& value) {
  if (value.is_string()) return literal(view(value));
  if (value.is_bool() || value.is_number()) return json::canonical_with_fractions(value);
  return std::nullopt;
}

std::optional<std::vector<std::string>> text_list(const boost::json::value& value) {
  const auto* list = value.if_array();
  if (list == nullptr) return std::nullopt;
  std::vector<std::string> out;
  for (const auto& item : *list) {
    if (!item.is_string()) return std::nullopt;
    out.push_back(literal(view(item)));
  }
  return out;
}

std::optional<std::int64_t> integer(const boost::json::value& value) {
  if (value.is_int64()) return value.get_int64();
  if (value.is_string()) return decimal<std::int64_t>(view(value));
  // 3.0 is written as 3 in a resolved document, so both must mean the same.
  if (value.is_double()) {
    const auto text = scalar_text(value);
    return text ? decimal<std::int64_t>(*text) : std::nullopt;
  }
  return std::nullopt;
}

std::optional<std::uint16_t> port_number(std::string_view text) {
  const auto number = text.size() <= 5 ? decimal<std::uint32_t>(text) : std::nullopt;
  if (!number || *number < 1 || *number > 65535) return std::nullopt;
  return static_cast<std::uint16_t>(*number);
}

std::optional<std::int64_t> byte_count(const boost::json::value& value) {
  const auto text = scalar_text(value);
  if (!text || value.is_bool()) return std::nullopt;
  const std::string_view all = *text;
  const std::size_t length = number_length(all);
  const auto unit = byte_unit(all.substr(std::min(all.size(), all.find_first_not_of(' ', length))));
  if (!unit) return std::nullopt;
  return scaled(all.substr(0, length), *unit);
}

std::optional<std::int64_t> nano_count(const boost::json::value& value) {
  if (!value.is_number() && !value.is_string()) return std::nullopt;
  const auto text = scalar_text(value);
  return text ? scaled(*text, kNano) : std::nullopt;
}

std::optional<std::int64_t> duration_ns(const boost::json::value& value) {
  const auto text = scalar_text(value);
  if (!text || value.is_bool()) return std::nullopt;
  if (*text == "0") return 0;
  std::string_view rest = *text;
  std::int64_t sum = 0;
  while (!rest.empty()) {
    const std::size_t length = number_length(rest);
    std::size_t end = length;
    while (end < rest.size() && is_lower(rest[end])) ++end;
    const auto unit = time_unit(rest.substr(length, end - length));
    const auto part = unit ? scaled(rest.substr(0, length), *unit) : std::nullopt;
    if (!part || *part > std::numeric_limits<std::int64_t>::max() / 2 - sum) return std::nullopt;
    sum += *part;
    rest.remove_prefix(end);
  }
  if (text->empty()) return std::nullopt;
  return sum;
}

std::optional<std::int64_t> file_mode(std::string_view octal) {
  std::int64_t out = 0;
  const auto [end, error] = std::from_chars(octal.data(), octal.data() + octal.size(), out, 8);
  if (octal.empty() || octal.size() > 5 || octal.front() == '-' || error != std::errc() ||
      end != octal.data() + octal.size() || out > 07777)
    return std::nullopt;
  return out;
}

std::optional<std::vector<std::string>> split_words(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  bool inside = false;  // a word has begun, possibly an empty quoted one
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool has_next = i + 1 < text.size();
    if (quote == '\'') {
      if (c == quote)
        quote = 0;
      else
        word += c;
    } else if (quote == '"') {
      if (c == quote)
        quote = 0;
      else if (c == '\\' && has_next && std::string_view("\\\"$`\n").find(text[i + 1]) != std::string_view::npos)
        word += text[++i] == '\n' ? "" : std::string(1, text[i]);
      else
        word += c;
    } else if (c == '\'' || c == '"') {
      quote = c;
      inside = true;
    } else if (c == '\\') {
      if (!has_next) return std::nullopt;
      if (text[++i] == '\n') continue;
      word += text[i];
      inside = true;
    } else if (c == ' ' || c == '\t' || c == '\n') {
      if (inside) words.push_back(std::exchange(word, {}));
      inside = false;
    } else {
      word += c;
      inside = true;
    }
  }
  if (quote != 0) return std::nullopt;
  if (inside) words.push_back(std::move(word));
  return words;
}

}  // namespace ee::compose
