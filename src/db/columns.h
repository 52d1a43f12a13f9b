#pragma once
#include <boost/describe.hpp>
#include <boost/mp11.hpp>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "common/id.h"
#include "common/money.h"
#include "common/require.h"
#include "common/secret.h"
#include "common/time.h"

namespace ee::db {

/// What a column holds: NULL, a 64-bit integer (BIGINT, INTEGER) or text.
using Value = std::variant<std::monostate, std::int64_t, std::string>;
enum class ColumnType { integer, text };

/// How a C++ type is stored. Booleans are 0/1, times Unix milliseconds, ids text, enums described with
/// BOOST_DESCRIBE_ENUM their name as text, std::optional is NULL or the value.
template <class T, class = void>
struct ColumnTraits;

template <class T>
struct ColumnTraits<T, std::enable_if_t<std::is_integral_v<T>>> {
  static constexpr ColumnType type = ColumnType::integer;
  static Value to_value(T value) { return static_cast<std::int64_t>(value); }
  static T from_value(const Value& value) { return static_cast<T>(std::get<std::int64_t>(value)); }
};
template <>
struct ColumnTraits<std::string> {
  static constexpr ColumnType type = ColumnType::text;
  static Value to_value(const std::string& value) { return value; }
  static std::string from_value(const Value& value) { return std::get<std::string>(value); }
};
template <>
struct ColumnTraits<std::string_view> {
  static constexpr ColumnType type = ColumnType::text;
  static Value to_value(std::string_view value) { return std::string(value); }
};
template <std::size_t N>
struct ColumnTraits<char[N]> {
  static constexpr ColumnType type = ColumnType::text;
  static Value to_value(const char (&value)[N]) { return std::string(value); }
};
template <>
struct ColumnTraits<Secret> {
  static constexpr ColumnType type = ColumnType::text;
  static Value to_value(const Secret& value) { return value.reveal(); }
  static Secret from_value(const Value& value) { return Secret(std::get<std::string>(value)); }
};
template <>
struct ColumnTraits<UtcTime> {
  static constexpr ColumnType type = ColumnType::integer;
  static Value to_value(UtcTime value) { return unix_ms(value); }
  static UtcTime from_value(const Value& value) { return from_unix_ms(std::get<std::int64_t>(value)); }
};
template <>
struct ColumnTraits<UsdMicros> {
  static constexpr ColumnType type = ColumnType::integer;
  static Value to_value(UsdMicros amount) { return amount.value; }
  static UsdMicros from_value(const Value& value) { return {std::get<std::int64_t>(value)}; }
};
template <class Tag>
struct ColumnTraits<Id<Tag>> {
  static constexpr ColumnType type = ColumnType::text;
  static Value to_value(const Id<Tag>& value) { return value.str(); }
  static Id<Tag> from_value(const Value& value) { return Id<Tag>(std::get<std::string>(value)); }
};
template <>
struct ColumnTraits<std::nullopt_t> {
  static Value to_value(std::nullopt_t) { return std::monostate{}; }
};
template <class T>
struct ColumnTraits<std::optional<T>> {
  static constexpr ColumnType type = ColumnTraits<T>::type;
  static Value to_value(const std::optional<T>& value) {
    return value ? ColumnTraits<T>::to_value(*value) : Value(std::monostate{});
  }
  static std::optional<T> from_value(const Value& value) {
    if (std::holds_alternative<std::monostate>(value)) return std::nullopt;
    return ColumnTraits<T>::from_value(value);
  }
};
template <class E>
struct ColumnTraits<E, std::enable_if_t<std::is_enum_v<E> && boost::describe::has_describe_enumerators<E>::value>> {
  static constexpr ColumnType type = ColumnType::text;
  static Value to_value(E value) {
    const char* name = boost::describe::enum_to_string(value, nullptr);
    require(name != nullptr);
    return std::string(name);
  }
  static E from_value(const Value& value) {
    E out{};
    require(boost::describe::enum_from_string(std::get<std::string>(value).c_str(), out));
    return out;
  }
};

template <class Row>
using members_of = boost::describe::describe_members<Row, boost::describe::mod_public>;
template <class Row>
constexpr bool is_described_row = boost::describe::has_describe_members<Row>::value;

/// The columns of a described struct, in order: "id, vm_name, status". For SELECT and RETURNING lists.
template <class Row>
const std::string& columns_of() {
  static const std::string text = [] {
    std::string out;
    boost::mp11::mp_for_each<members_of<Row>>([&](auto member) {
      if (!out.empty()) out += ", ";
      out += member.name;
    });
    return out;
  }();
  return text;
}
/// The same as named parameters: ":id, :vm_name, :status". For INSERT.
template <class Row>
const std::string& placeholders_of() {
  static const std::string text = [] {
    std::string out;
    boost::mp11::mp_for_each<members_of<Row>>([&](auto member) {
      if (!out.empty()) out += ", ";
      out += std::string(":") + member.name;
    });
    return out;
  }();
  return text;
}

/// "a=excluded.a, b=excluded.b": every column but `key`, for `ON CONFLICT (key) DO UPDATE SET`.
template <class Row>
std::string excluded_of(std::string_view key) {
  std::string out;
  boost::mp11::mp_for_each<members_of<Row>>([&](auto member) {
    if (member.name == key) return;
    if (!out.empty()) out += ", ";
    out += std::string(member.name) + "=excluded." + member.name;
  });
  return out;
}

template <class Row>
std::vector<ColumnType> row_types() {
  std::vector<ColumnType> types;
  if constexpr (is_described_row<Row>) {
    boost::mp11::mp_for_each<members_of<Row>>([&](auto member) {
      using Member = std::remove_cvref_t<decltype(std::declval<Row>().*member.pointer)>;
      types.push_back(ColumnTraits<Member>::type);
    });
  } else {
    types.push_back(ColumnTraits<Row>::type);
  }
  return types;
}

/// One value out of its cell; texts are moved. A NULL where the type has no room for it throws, as does a wrong kind:
/// the transaction answers `internal_error`.
template <class T>
T take_value(Value& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    return std::move(std::get<std::string>(value));
  } else {
    return ColumnTraits<T>::from_value(value);
  }
}

template <class Row>
Row row_from(std::span<Value> values) {
  if constexpr (is_described_row<Row>) {
    Row row{};
    std::size_t index = 0;
    boost::mp11::mp_for_each<members_of<Row>>([&](auto member) {
      using Member = std::remove_cvref_t<decltype(row.*member.pointer)>;
      row.*member.pointer = take_value<Member>(values[index++]);
    });
    return row;
  } else {
    return take_value<Row>(values.front());
  }
}

}  // namespace ee::db
