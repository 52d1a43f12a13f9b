#pragma once
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "common/error.h"
#include "common/json_type.h"

/// Strict JSON. A DTO is a struct described with BOOST_DESCRIBE_STRUCT (enums: BOOST_DESCRIBE_ENUM); its bounds stand
/// beside it, and reader, writer and OpenAPI schema come from the same description:
///
///   struct Capacity { std::int32_t vcpus = 0; std::optional<std::string> note; };
///   BOOST_DESCRIBE_STRUCT(Capacity, (), (vcpus, note))
///   constexpr auto json_rules(json::For<Capacity>) {
///     return std::array{json::field("vcpus").between(1, 256), json::field("note").length(0, 200)};
///   }
///   constexpr std::string_view json_name(json::For<Capacity>) { return "Capacity"; }
///
/// Members may be: bool, integers, std::string, Id<>, Secret (read only), UtcTime (RFC 3339), UsdMicros (decimal
/// string), described enums (their names), described structs, std::optional (null or absent), std::vector,
/// std::map<std::string, T>, boost::json::value (anything; include <boost/json/value.hpp>). A member called `enum_` is
/// `enum` in JSON. std::optional<std::optional<T>> tells an absent member from a null.
namespace ee::json {

/// Bounds of a document. 05 section 13.4.
struct Limits {
  std::size_t max_bytes = 1024UL * 1024;
  std::size_t max_depth = 32;
  std::size_t max_nodes = 100000;  ///< values of every kind, arrays and objects included
};

/// RFC 8259, less what programs disagree about: duplicate keys, trailing data, comments, invalid UTF-8 or surrogates,
/// numbers outside the range of std::int64_t and what is beyond `limits` are `invalid_json`. The detail names the byte
/// and never repeats content.
Result<boost::json::value> parse(std::string_view text, const Limits& limits = {});

namespace detail {
Result<void> read_text(std::string_view text, const Limits& limits, const Type& type, void* to);
Result<void> read_value(const boost::json::value& value, const Type& type, void* to);
void write_value(std::string& to, const Type& type, const void* from);
}  // namespace detail

/// Reads a described struct. Errors: `invalid_json`, or `invalid_request` with every wrong field in `fields` (at most
/// 50), by path: `capacity.vcpus`, `checks[2].name`. Codes: unknown_field, required, wrong_type, too_long, too_short,
/// too_many, below_min, above_max, bad_format, not_in_enum. No detail repeats a text of the input.
template <class T>
Result<T> read(std::string_view text, const Limits& limits = {}) {
  T out{};
  if (auto done = detail::read_text(text, limits, detail::type_of<T>(), &out); !done)
    return std::unexpected(std::move(done.error()));
  return out;
}
/// The same from a value that was parsed before.
template <class T>
Result<T> read_value(const boost::json::value& value) {
  T out{};
  if (auto done = detail::read_value(value, detail::type_of<T>(), &out); !done)
    return std::unexpected(std::move(done.error()));
  return out;
}

/// Compact JSON, members in the order of the struct, empty optionals as null. Bytes that are not UTF-8 become U+FFFD.
template <class T>
std::string write(const T& value) {
  static_assert(!detail::holds_secret<T>(), "a Secret is not written; name the one place that reveals it");
  std::string out;
  detail::write_value(out, detail::type_of<T>(), &value);
  return out;
}

/// `text` as a JSON string with its quotes, appended.
void append_quoted(std::string& to, std::string_view text);
std::string quote(std::string_view text);

/// RFC 8785 text of a value. Nothing when it holds a number that is not an integer within +-(2^53 - 1), which two
/// implementations could print differently.
std::optional<std::string> canonical(const boost::json::value& value);
template <class T>
std::optional<std::string> canonical_of(const T& value);

/// Schema components gathered over all routes: name -> JSON Schema text.
class SchemaSet {
 public:
  const std::map<std::string, std::string>& components() const { return components_; }
  /// Adds a component; the same name with another text is refused.
  [[nodiscard]] bool add(const std::string& name, const std::string& schema);

 private:
  std::map<std::string, std::string> components_;
};

/// A request says what may be left out and refuses unknown members; an answer always has every member.
enum class SchemaUse { request, answer };

namespace detail {
std::string schema_text(const Type& type, SchemaUse use, SchemaSet& set);
std::optional<std::string> canonical_text(std::string_view json);
}  // namespace detail

/// JSON Schema 2020-12 (OpenAPI 3.1) of T, as JSON text: a `$ref` to `#/components/schemas/<name>` when T has a
/// `json_name`, and then the component, with all it needs, is added to `set`. Where request and answer differ, the
/// request's component is `<name>Input`.
template <class T>
std::string schema(SchemaSet& set, SchemaUse use) {
  return detail::schema_text(detail::type_of<T>(), use, set);
}

template <class T>
std::optional<std::string> canonical_of(const T& value) {
  return detail::canonical_text(write(value));
}

}  // namespace ee::json
