#include <algorithm>
#include <boost/json/value.hpp>
#include <charconv>
#include <vector>

#include "common/json.h"

namespace ee::json {
namespace {

namespace bj = boost::json;
constexpr std::int64_t kMaxExact = (std::int64_t{1} << 53) - 1;

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

bool append(std::string& to, const bj::value& value);

bool append_object(std::string& to, const bj::object& object) {
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
    if (!append(to, entry.item->value())) return false;
  }
  if (entries.empty()) to += '{';
  to += '}';
  return true;
}

bool append_array(std::string& to, const bj::array& array) {
  to += '[';
  for (std::size_t i = 0; i < array.size(); ++i) {
    if (i > 0) to += ',';
    if (!append(to, array[i])) return false;
  }
  to += ']';
  return true;
}

bool append(std::string& to, const bj::value& value) {
  if (const auto* object = value.if_object()) return append_object(to, *object);
  if (const auto* array = value.if_array()) return append_array(to, *array);
  if (const auto* text = value.if_string()) {
    append_quoted(to, {text->data(), text->size()});
    return true;
  }
  if (value.is_null() || value.is_bool()) {
    to += value.is_null() ? "null" : value.get_bool() ? "true" : "false";
    return true;
  }
  if (!value.is_int64() || value.get_int64() > kMaxExact || value.get_int64() < -kMaxExact) return false;
  char digits[24];
  to.append(digits, std::to_chars(digits, digits + sizeof digits, value.get_int64()).ptr);
  return true;
}

}  // namespace

std::optional<std::string> canonical(const boost::json::value& value) {
  std::string out;
  if (!append(out, value)) return std::nullopt;
  return out;
}

std::optional<std::string> detail::canonical_text(std::string_view json) {
  const auto value = parse(json, {.max_bytes = json.size()});
  if (!value) return std::nullopt;
  return canonical(*value);
}

}  // namespace ee::json
