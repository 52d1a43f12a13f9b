#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <charconv>

#include "common/json.h"
#include "common/require.h"
#include "common/utf8.h"

namespace ee::json {
namespace {

using detail::Member;
using detail::Type;

void append_integer(std::string& to, std::int64_t number) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
  to.append(digits, end);
}

struct Items {
  std::string& to;
  const Type& element;
  bool keyed;
  bool first = true;
};

void write_item(void* context, std::string_view key, const void* element) {
  auto& items = *static_cast<Items*>(context);
  if (!items.first) items.to += ',';
  items.first = false;
  if (items.keyed) {
    append_quoted(items.to, key);
    items.to += ':';
  }
  detail::write_value(items.to, items.element, element);
}

void write_object(std::string& to, const Type& type, const void* from) {
  char separator = '{';
  for (const Member& member : type.members) {
    to += separator;
    separator = ',';
    to += '"';
    to += member.name;
    to += "\":";
    detail::write_value(to, member.type(), member.of_const(from));
  }
  if (separator == '{') to += '{';
  to += '}';
}

}  // namespace

void append_quoted(std::string& to, std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  const auto is_plain = [](char c) {
    return static_cast<unsigned char>(c) >= 0x20 && static_cast<unsigned char>(c) < 0x80 && c != '"' && c != '\\';
  };
  to += '"';
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t run = at;
    while (at < text.size() && is_plain(text[at])) ++at;
    to.append(text, run, at - run);
    if (at == text.size()) break;
    const auto c = static_cast<unsigned char>(text[at]);
    if (c >= 0x80) {
      const std::size_t length = utf8_sequence(text.substr(at));
      if (length == 0) {
        to += "\xEF\xBF\xBD";  // U+FFFD: what is printed is always valid
        ++at;
      } else {
        to.append(text, at, length);
        at += length;
      }
      continue;
    }
    switch (c) {
      case '"': to += "\\\""; break;
      case '\\': to += "\\\\"; break;
      case '\b': to += "\\b"; break;
      case '\f': to += "\\f"; break;
      case '\n': to += "\\n"; break;
      case '\r': to += "\\r"; break;
      case '\t': to += "\\t"; break;
      default:
        to += "\\u00";
        to += kHex[c >> 4];
        to += kHex[c & 15];
    }
    ++at;
  }
  to += '"';
}

std::string quote(std::string_view text) {
  std::string out;
  append_quoted(out, text);
  return out;
}

namespace detail {

void write_value(std::string& to, const Type& type, const void* from) {
  switch (type.kind) {
    case Kind::boolean: to += *static_cast<const bool*>(from) ? "true" : "false"; return;
    case Kind::integer: return append_integer(to, type.get_integer(from));
    case Kind::text: return append_quoted(to, type.get_text(from));
    case Kind::secret:
      to += "null";  // write() does not compile for one
      return;
    case Kind::time: return append_quoted(to, to_rfc3339(*static_cast<const UtcTime*>(from)));
    case Kind::money: return append_quoted(to, to_usd_text(*static_cast<const UsdMicros*>(from)));
    case Kind::enumeration: {
      const std::int64_t value = type.get_integer(from);
      for (const EnumName& name : type.names)
        if (name.value == value) return append_quoted(to, name.name);
      return require(false);  // not an enumerator
    }
    case Kind::optional: {
      const void* value = type.get(from);
      if (value != nullptr) return write_value(to, type.element(), value);
      to += "null";
      return;
    }
    case Kind::list:
    case Kind::map: {
      const bool keyed = type.kind == Kind::map;
      Items items{.to = to, .element = type.element(), .keyed = keyed};
      to += keyed ? '{' : '[';
      type.each(from, &items, write_item);
      to += keyed ? '}' : ']';
      return;
    }
    case Kind::object: return write_object(to, type, from);
    case Kind::any: to += boost::json::serialize(*static_cast<const boost::json::value*>(from)); return;
  }
}

}  // namespace detail
}  // namespace ee::json
