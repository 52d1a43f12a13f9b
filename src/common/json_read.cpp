#include <fmt/format.h>

#include <algorithm>
#include <boost/json/value.hpp>

#include "common/base64_size.h"
#include "common/bytes.h"
#include "common/json.h"
#include "common/url.h"

namespace ee::json {
namespace {

namespace bj = boost::json;
using detail::Kind;
using detail::Member;
using detail::Type;

constexpr std::size_t kMaxFieldErrors = 50;
constexpr std::size_t kMaxNameInPath = 64;
constexpr std::size_t kMaxMapKey = 256;

std::string_view view(const bj::string& text) { return {text.data(), text.size()}; }

/// Unicode characters: the input is valid UTF-8, so every byte that is no continuation starts one.
std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

/// What a name from outside looks like in a path.
std::string shown(std::string_view name) {
  if (name.size() <= kMaxNameInPath) return std::string(name);
  std::size_t end = kMaxNameInPath;
  while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xC0) == 0x80) --end;
  return std::string(name.substr(0, end)) + "...";
}

/// Of base64 that is known to be well formed.
std::size_t decoded_size(std::string_view text) {
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  return text.size() / 4 * 3 - padding;
}

/// Nothing when `text` has the form; else how it should look.
std::optional<std::string> format_problem(std::string_view text, const Rule& rule) {
  switch (rule.format) {
    case Format::any: return std::nullopt;
    case Format::dns_label:
      if (is_dns_label(text)) return std::nullopt;
      return "must be a DNS label: a-z, 0-9 and inner hyphens, at most 63";
    case Format::uuid:
      if (is_uuid(text)) return std::nullopt;
      return "must be a UUID in lower case";
    case Format::hex:
      if (rule.size != 0) {
        if (is_lower_hex(text, rule.size)) return std::nullopt;
        return fmt::format("must be {} lower-case hexadecimal digits", rule.size);
      }
      if (text.size() % 2 == 0 && is_lower_hex(text, text.size())) return std::nullopt;
      return "must be lower-case hexadecimal, two digits a byte";
    case Format::base64:
      if (base64_size(text)) return std::nullopt;
      return "must be standard base64 with padding";
    case Format::rfc3339:
      if (parse_rfc3339(text)) return std::nullopt;
      return "must be an RFC 3339 time in UTC, such as 2026-01-02T03:04:05.678Z";
    case Format::url: {
      const auto url = parse_url(text);
      if (url && !url->has_user) return std::nullopt;
      return "must be an absolute http or https URL without a user part";
    }
    case Format::custom:
      if (rule.check != nullptr && rule.check(text)) return std::nullopt;
      return fmt::format("must match {}", rule.pattern);
  }
  return "has an unknown format";
}

class Reader {
 public:
  void value(const bj::value& from, const Type& type, const Rule& rule, void* to) {
    switch (type.kind) {
      case Kind::boolean:
        if (!from.is_bool()) return wrong_type("true or false");
        *static_cast<bool*>(to) = from.get_bool();
        return;
      case Kind::integer: return integer(from, type, rule, to);
      case Kind::text:
      case Kind::secret: return text(from, type, rule, to);
      case Kind::time: return time(from, to);
      case Kind::money: return money(from, rule, to);
      case Kind::enumeration: return enumeration(from, type, to);
      case Kind::optional: return optional(from, type, rule, to);
      case Kind::list: return list(from, type, rule, to);
      case Kind::map: return map(from, type, rule, to);
      case Kind::object: return object(from, type, to);
      case Kind::any: *static_cast<bj::value*>(to) = from; return;
    }
  }

  Result<void> outcome() {
    if (errors_.empty()) return {};
    Error error{.code = ErrorCode::invalid_request};
    error.detail = errors_.size() == 1 ? std::string("One field is not acceptable.")
                                       : fmt::format("{} fields are not acceptable.", errors_.size());
    error.fields = std::move(errors_);
    return fail(std::move(error));
  }

 private:
  void problem(std::string_view code, std::string text) {
    if (errors_.size() < kMaxFieldErrors) errors_.push_back({path_, std::string(code), std::move(text)});
  }
  void wrong_type(std::string_view wanted) { problem("wrong_type", fmt::format("must be {}", wanted)); }

  void range(std::int64_t number, std::int64_t min, std::int64_t max, void (*set)(void*, std::int64_t), void* to) {
    if (number < min) return problem("below_min", fmt::format("{} is below the minimum {}", number, min));
    if (number > max) return problem("above_max", fmt::format("{} is above the maximum {}", number, max));
    set(to, number);
  }
  void integer(const bj::value& from, const Type& type, const Rule& rule, void* to) {
    const std::int64_t min = std::max(type.min, rule.min);
    const std::int64_t max = std::min(type.max, rule.max);
    if (from.is_uint64()) return problem("above_max", fmt::format("is above the maximum {}", max));
    if (!from.is_int64()) return wrong_type("an integer");
    range(from.get_int64(), min, max, type.set_integer, to);
  }
  /// Characters have one to four bytes: most texts need not be counted.
  bool length_fits(std::string_view text, const Rule& rule) {
    if (text.size() <= rule.max_length && text.size() / 4 >= rule.min_length) return true;
    const std::size_t length = characters(text);
    if (length > rule.max_length)
      problem("too_long", fmt::format("has {} characters, more than the maximum {}", length, rule.max_length));
    else if (length < rule.min_length)
      problem("too_short", fmt::format("has {} characters, fewer than the minimum {}", length, rule.min_length));
    else
      return true;
    return false;
  }
  void text(const bj::value& from, const Type& type, const Rule& rule, void* to) {
    if (!from.is_string()) return wrong_type("a string");
    const std::string_view text = view(from.get_string());
    // base64 has its bound in raw bytes, and it is checked before anything is decoded.
    if (rule.format == Format::base64 && text.size() > (rule.size + 2) / 3 * 4)
      return problem("too_long", fmt::format("holds more than {} bytes", rule.size));
    if (!length_fits(text, rule)) return;
    if (text.find('\0') != std::string_view::npos) return problem("bad_format", "must not hold the character U+0000");
    if (auto bad = format_problem(text, rule)) return problem("bad_format", std::move(*bad));
    if (rule.format == Format::base64 && decoded_size(text) > rule.size)
      return problem("too_long", fmt::format("holds more than {} bytes", rule.size));
    type.set_text(to, text);
  }
  void time(const bj::value& from, void* to) {
    if (!from.is_string()) return wrong_type("a string");
    const auto parsed = parse_rfc3339(view(from.get_string()));
    if (!parsed) return problem("bad_format", "must be an RFC 3339 time in UTC, such as 2026-01-02T03:04:05.678Z");
    *static_cast<UtcTime*>(to) = *parsed;
  }
  void money(const bj::value& from, const Rule& rule, void* to) {
    if (!from.is_string()) return wrong_type("a decimal string");
    const auto parsed = parse_usd(view(from.get_string()));
    if (!parsed)
      return problem("bad_format", "must be a decimal string with at most six places, such as \"12.345000\"");
    if (parsed->value < rule.min)
      return problem("below_min", fmt::format("is below the minimum {}", to_usd_text({rule.min})));
    if (parsed->value > rule.max)
      return problem("above_max", fmt::format("is above the maximum {}", to_usd_text({rule.max})));
    *static_cast<UsdMicros*>(to) = *parsed;
  }
  void enumeration(const bj::value& from, const Type& type, void* to) {
    if (!from.is_string()) return wrong_type("a string");
    const std::string_view text = view(from.get_string());
    for (const detail::EnumName& known : type.names)
      if (known.name == text) return type.set_integer(to, known.value);
    std::string names;
    for (const detail::EnumName& known : type.names) names += (names.empty() ? "" : ", ") + std::string(known.name);
    problem("not_in_enum", "must be one of: " + names);
  }
  void optional(const bj::value& from, const Type& type, const Rule& rule, void* to) {
    const Type& element = type.element();
    // optional<optional<T>>: the outer one says that the member is there, the inner one that it is null.
    if (from.is_null() && element.kind != Kind::optional) return;
    value(from, element, rule, type.emplace(to));
  }
  void list(const bj::value& from, const Type& type, const Rule& rule, void* to) {
    if (!from.is_array()) return wrong_type("an array");
    const bj::array& items = from.get_array();
    if (!count_fits(items.size(), rule)) return;
    type.clear(to);
    for (std::size_t i = 0; i < items.size(); ++i)
      inside(fmt::format("[{}]", i), [&] { value(items[i], type.element(), rule, type.emplace(to)); });
  }
  void map(const bj::value& from, const Type& type, const Rule& rule, void* to) {
    if (!from.is_object()) return wrong_type("an object");
    const bj::object& items = from.get_object();
    if (!count_fits(items.size(), rule)) return;
    type.clear(to);
    for (const auto& item : items) {
      const std::string_view key(item.key().data(), item.key().size());
      inside("[" + shown(key) + "]", [&] {
        if (key.size() > kMaxMapKey)
          return problem("too_long", fmt::format("has a key longer than {} bytes", kMaxMapKey));
        if (key.find('\0') != std::string_view::npos)
          return problem("bad_format", "must not hold the character U+0000");
        value(item.value(), type.element(), rule, type.insert(to, key));
      });
    }
  }
  void object(const bj::value& from, const Type& type, void* to) {
    if (!from.is_object()) return wrong_type("an object");
    const bj::object& items = from.get_object();
    std::size_t known = 0;
    for (const Member& member : type.members) {
      const bj::value* item = items.if_contains(bj::string_view(member.name.data(), member.name.size()));
      if (item != nullptr) {
        ++known;
        within(member.name, [&] { value(*item, member.type(), member.rule, member.of(to)); });
      } else if (member.type().kind != Kind::optional && !member.rule.has_default) {
        within(member.name, [&] { problem("required", "is missing"); });
      }
    }
    if (known == items.size()) return;
    for (const auto& item : items) {
      const std::string_view key(item.key().data(), item.key().size());
      if (std::ranges::none_of(type.members, [&](const Member& member) { return member.name == key; }))
        within(shown(key), [&] { problem("unknown_field", "is not a field of this object"); });
    }
  }
  bool count_fits(std::size_t count, const Rule& rule) {
    if (count > rule.max_items)
      problem("too_many", fmt::format("has {} items, more than the maximum {}", count, rule.max_items));
    if (count < rule.min_items)
      problem("too_short", fmt::format("has {} items, fewer than the minimum {}", count, rule.min_items));
    return count <= rule.max_items && count >= rule.min_items;
  }
  template <class Work>
  void inside(const std::string& suffix, const Work& work) {
    const std::size_t length = path_.size();
    path_ += suffix;
    work();
    path_.resize(length);
  }
  template <class Work>
  void within(std::string_view name, const Work& work) {
    inside(path_.empty() ? std::string(name) : "." + std::string(name), work);
  }

  std::string path_;
  std::vector<FieldError> errors_;
};

}  // namespace

namespace detail {

Result<void> read_value(const boost::json::value& value, const Type& type, void* to) {
  Reader reader;
  reader.value(value, type, Rule{}, to);
  return reader.outcome();
}

Result<void> read_text(std::string_view text, const Limits& limits, const Type& type, void* to) {
  const auto value = parse(text, limits);
  if (!value) return std::unexpected(value.error());
  return read_value(*value, type, to);
}

}  // namespace detail
}  // namespace ee::json
