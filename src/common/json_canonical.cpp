#include <algorithm>
#include <boost/json/value.hpp>
#include <charconv>
#include <cmath>
#include <vector>

#include "common/json.h"
#include "common/json_jcs.h"

namespace ee::json {
namespace {

namespace bj = boost::json;
constexpr std::int64_t kMaxExact = (std::int64_t{1} << 53) - 1;
constexpr std::int64_t kMaxWithFractions = std::int64_t{1} << 53;

enum class Numbers : std::uint8_t { exact_integers, fractions_too };

/// UTF-16 code units: RFC 8785 section 3.2.3 sorts keys by them, which differs from UTF-8 order above U+FFFF.
std::u16string utf16(std::string_view text) {
  std::u16string out;
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = [&](std::size_t offset) {
      return static_cast<char32_t>(static_cast<unsigned char>(text[i + offset]));
    };
    char32_t point = byte(0);
    std::size_t length = 1;
    if (point >= 0xF0) {
      point = ((point & 7) << 18) | ((byte(1) & 63) << 12) | ((byte(2) & 63) << 6) | (byte(3) & 63);
      length = 4;
    } else if (point >= 0xE0) {
      point = ((point & 15) << 12) | ((byte(1) & 63) << 6) | (byte(2) & 63);
      length = 3;
    } else if (point >= 0xC0) {
      point = ((point & 31) << 6) | (byte(1) & 63);
      length = 2;
    }
    if (point < 0x10000) {
      out += static_cast<char16_t>(point);
    } else {
      out += static_cast<char16_t>(0xD800 + ((point - 0x10000) >> 10));
      out += static_cast<char16_t>(0xDC00 + ((point - 0x10000) & 0x3FF));
    }
    i += length;
  }
  return out;
}

bool append(std::string& to, const bj::value& value, Numbers numbers);

bool append_object(std::string& to, const bj::object& object, Numbers numbers) {
  struct Entry {
    std::u16string order;
    const bj::key_value_pair* item;
  };
  std::vector<Entry> entries;
  entries.reserve(object.size());
  for (const auto& item : object) entries.push_back({utf16({item.key().data(), item.key().size()}), &item});
  std::ranges::sort(entries, {}, &Entry::order);
  char separator = '{';
  for (const Entry& entry : entries) {
    to += separator;
    separator = ',';
    append_quoted(to, {entry.item->key().data(), entry.item->key().size()});
    to += ':';
    if (!append(to, entry.item->value(), numbers)) return false;
  }
  if (entries.empty()) to += '{';
  to += '}';
  return true;
}

bool append_array(std::string& to, const bj::array& array, Numbers numbers) {
  to += '[';
  for (std::size_t i = 0; i < array.size(); ++i) {
    if (i > 0) to += ',';
    if (!append(to, array[i], numbers)) return false;
  }
  to += ']';
  return true;
}

bool append_number(std::string& to, const bj::value& value, Numbers numbers) {
  if (value.is_int64()) {
    const std::int64_t limit = numbers == Numbers::exact_integers ? kMaxExact : kMaxWithFractions;
    if (value.get_int64() > limit || value.get_int64() < -limit) return false;
    char digits[24];
    to.append(digits, std::to_chars(digits, digits + sizeof digits, value.get_int64()).ptr);
    return true;
  }
  if (!value.is_double() || numbers == Numbers::exact_integers) return false;
  if (!(std::abs(value.get_double()) <= static_cast<double>(kMaxWithFractions))) return false;  // also NaN
  to += ecmascript_number(value.get_double());
  return true;
}

bool append(std::string& to, const bj::value& value, Numbers numbers) {
  if (const auto* object = value.if_object()) return append_object(to, *object, numbers);
  if (const auto* array = value.if_array()) return append_array(to, *array, numbers);
  if (const auto* text = value.if_string()) {
    append_quoted(to, {text->data(), text->size()});
    return true;
  }
  if (value.is_null() || value.is_bool()) {
    to += value.is_null() ? "null" : value.get_bool() ? "true" : "false";
    return true;
  }
  return append_number(to, value, numbers);
}

}  // namespace

std::optional<std::string> canonical(const boost::json::value& value) {
  std::string out;
  if (!append(out, value, Numbers::exact_integers)) return std::nullopt;
  return out;
}

std::optional<std::string> canonical_with_fractions(const boost::json::value& value) {
  std::string out;
  if (!append(out, value, Numbers::fractions_too)) return std::nullopt;
  return out;
}

std::string ecmascript_number(double number) {
  if (number == 0) return "0";
  std::string out = number < 0 ? "-" : "";
  // d.ddddde[+-]xx, with the fewest digits; ECMA-262 section 6.1.6.1.20 calls the digits s, their count k, and n the
  // position of the point after the first n of them.
  char buffer[32];
  const char* const end =
      std::to_chars(buffer, buffer + sizeof buffer, std::abs(number), std::chars_format::scientific).ptr;
  const char* const e = std::find(static_cast<const char*>(buffer), end, 'e');
  std::string digits(1, buffer[0]);
  if (e - buffer > 2) digits.append(static_cast<const char*>(buffer) + 2, e);
  int exponent = 0;
  std::from_chars(e[1] == '+' ? e + 2 : e + 1, end, exponent);
  const int k = static_cast<int>(digits.size());
  const int n = exponent + 1;
  const auto zeros = [](int count) { return std::string(static_cast<std::size_t>(count), '0'); };
  if (k <= n && n <= 21) return out + digits + zeros(n - k);
  if (0 < n && n <= 21) return out + digits.insert(static_cast<std::size_t>(n), 1, '.');
  if (-6 < n && n <= 0) return out + "0." + zeros(-n) + digits;
  if (k > 1) digits.insert(1, 1, '.');
  return out + digits + (exponent < 0 ? "e-" : "e+") + std::to_string(std::abs(exponent));
}

std::optional<std::string> detail::canonical_text(std::string_view json) {
  const auto value = parse(json, {.max_bytes = json.size()});
  if (!value) return std::nullopt;
  return canonical(*value);
}

}  // namespace ee::json
