#pragma once
#include <array>
#include <boost/describe.hpp>
#include <boost/mp11.hpp>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "common/id.h"
#include "common/money.h"
#include "common/secret.h"
#include "common/time.h"

namespace boost::json {
class value;
}

/// What reader, writer and schema of json.h know of a C++ type: tables of plain data that the templates below build at
/// compile time. All work on them is in .cpp files.
namespace ee::json {

/// Selects the overloads of `json_rules` and `json_name` of a struct; both are found beside it (ADL).
template <class T>
struct For {};

/// What a text must look like.
enum class Format : std::uint8_t { any, dns_label, uuid, hex, base64, rfc3339, url, custom };

/// What one member accepts besides its type. Applies through std::optional and, but for the item counts, to the
/// elements of a list or map. Lengths are Unicode characters.
struct Rule {
  static constexpr std::size_t kNoLimit = std::numeric_limits<std::size_t>::max();

  std::string_view field = {};
  std::int64_t min = std::numeric_limits<std::int64_t>::min();  ///< integers; money in micro-dollars
  std::int64_t max = std::numeric_limits<std::int64_t>::max();
  std::size_t min_length = 0;
  std::size_t max_length = kNoLimit;
  std::size_t min_items = 0;
  std::size_t max_items = kNoLimit;
  Format format = Format::any;
  std::size_t size = 0;  ///< hex: digits, 0 for any even number; base64: most raw bytes
  bool (*check)(std::string_view) = nullptr;
  std::string_view pattern = {};      ///< custom: regular expression for the schema, saying what `check` does
  std::string_view description = {};  ///< for the schema
  bool has_default = false;           ///< may be absent: the member then keeps what its struct initialises it with

  constexpr Rule between(std::int64_t low, std::int64_t high) const {
    Rule out = *this;
    out.min = low;
    out.max = high;
    return out;
  }
  constexpr Rule at_least(std::int64_t low) const { return between(low, max); }
  constexpr Rule length(std::size_t low, std::size_t high) const {
    Rule out = *this;
    out.min_length = low;
    out.max_length = high;
    return out;
  }
  constexpr Rule items(std::size_t low, std::size_t high) const {
    Rule out = *this;
    out.min_items = low;
    out.max_items = high;
    return out;
  }
  constexpr Rule dns_label() const { return of(Format::dns_label, 0); }
  constexpr Rule uuid() const { return of(Format::uuid, 0); }
  constexpr Rule rfc3339() const { return of(Format::rfc3339, 0); }
  /// Absolute http or https URL without a user part.
  constexpr Rule url() const { return of(Format::url, 0); }
  /// Lower-case; 0: any even number of digits.
  constexpr Rule hex(std::size_t digits) const { return of(Format::hex, digits); }
  /// Standard base64 of at most `max_bytes` raw bytes.
  constexpr Rule base64(std::size_t max_bytes) const { return of(Format::base64, max_bytes); }
  constexpr Rule matching(bool (*predicate)(std::string_view), std::string_view regular_expression) const {
    Rule out = of(Format::custom, 0);
    out.check = predicate;
    out.pattern = regular_expression;
    return out;
  }
  constexpr Rule describe(std::string_view text) const {
    Rule out = *this;
    out.description = text;
    return out;
  }
  constexpr Rule defaulted() const {
    Rule out = *this;
    out.has_default = true;
    return out;
  }

 private:
  constexpr Rule of(Format wanted, std::size_t bytes_or_digits) const {
    Rule out = *this;
    out.format = wanted;
    out.size = bytes_or_digits;
    return out;
  }
};

/// Starts a rule: `field("vm_name").dns_label()`.
constexpr Rule field(std::string_view name) {
  Rule rule;
  rule.field = name;
  return rule;
}

namespace detail {

enum class Kind : std::uint8_t {
  boolean,
  integer,
  text,
  secret,
  time,
  money,
  enumeration,
  optional,
  list,
  map,
  object,
  any
};

struct Type;
using TypeOf = const Type& (*)();  // a function, so that a type may contain itself through a list

struct EnumName {
  std::string_view name;
  std::int64_t value;
};

struct Member {
  std::string_view name;
  TypeOf type;
  void* (*of)(void* object);
  const void* (*of_const)(const void* object);
  Rule rule;
};

/// One C++ type. Only the entries of its kind are set; `void*` is a pointer to a value of the described type.
struct Type {
  Kind kind;
  std::int64_t min = 0, max = 0;  // integer: what the C++ type holds
  void (*set_integer)(void*, std::int64_t) = nullptr;
  std::int64_t (*get_integer)(const void*) = nullptr;
  void (*set_text)(void*, std::string_view) = nullptr;
  std::string_view (*get_text)(const void*) = nullptr;
  std::span<const EnumName> names = {};
  TypeOf element = nullptr;                                // optional, list, map
  void (*clear)(void*) = nullptr;                          // list, map: of what its default held
  void* (*emplace)(void*) = nullptr;                       // optional: engages; list: appends
  void* (*insert)(void*, std::string_view key) = nullptr;  // map
  const void* (*get)(const void*) = nullptr;               // optional: nullptr when empty
  void (*each)(const void*, void* context,
               void (*visit)(void* context, std::string_view key,
                             const void* element)) = nullptr;  // list (no keys), map
  std::span<const Member> members = {};
  std::string_view name = {};  // of an object: its schema component, may be empty
};

template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};
template <class T>
struct IsList : std::false_type {};
template <class T>
struct IsList<std::vector<T>> : std::true_type {};
template <class T>
struct IsMap : std::false_type {};
template <class T>
struct IsMap<std::map<std::string, T>> : std::true_type {};
template <class T>
struct IsId : std::false_type {};
template <class Tag>
struct IsId<Id<Tag>> : std::true_type {};

template <class T>
constexpr bool is_object = boost::describe::has_describe_members<T>::value;
template <class T>
constexpr bool is_enumeration = boost::describe::has_describe_enumerators<T>::value;

/// `default_` and `enum_` stand for names that are keywords of C++.
constexpr std::string_view without_trailing_underscore(std::string_view name) {
  if (name.ends_with('_')) name.remove_suffix(1);
  return name;
}

template <class T>
using MembersOf = boost::describe::describe_members<T, boost::describe::mod_public | boost::describe::mod_inherited>;

template <class T>
constexpr auto rules_of() {
  if constexpr (requires { json_rules(For<T>{}); }) {
    return json_rules(For<T>{});
  } else {
    return std::array<Rule, 0>{};
  }
}
template <class T>
constexpr Rule rule_of(std::string_view member) {
  for (const Rule& rule : rules_of<T>())
    if (rule.field == member) return rule;
  return field(member);
}
template <class T>
constexpr bool every_rule_has_its_member() {
  for (const Rule& rule : rules_of<T>()) {
    bool found = false;
    boost::mp11::mp_for_each<MembersOf<T>>(
        [&](auto descriptor) { found = found || without_trailing_underscore(descriptor.name) == rule.field; });
    if (!found) return false;
  }
  return true;
}
template <class T>
constexpr std::string_view name_of() {
  if constexpr (requires { json_name(For<T>{}); }) {
    return json_name(For<T>{});
  } else {
    return {};
  }
}

template <class T>
const Type& type_of();

template <class T, class Descriptor>
constexpr Member member_of() {
  using Value = std::remove_cvref_t<decltype(std::declval<T&>().*Descriptor::pointer)>;
  const std::string_view name = without_trailing_underscore(Descriptor::name);
  return {.name = name,
          .type = &type_of<Value>,
          .of = [](void* object) -> void* { return &(static_cast<T*>(object)->*Descriptor::pointer); },
          .of_const = [](const void* object) -> const void* {
            return &(static_cast<const T*>(object)->*Descriptor::pointer);
          },
          .rule = rule_of<T>(name)};
}
template <class T, class List>
struct MemberTable;
template <class T, template <class...> class List, class... Descriptors>
struct MemberTable<T, List<Descriptors...>> {
  static constexpr std::array<Member, sizeof...(Descriptors)> value = {member_of<T, Descriptors>()...};
};
template <class E, class List>
struct EnumTable;
template <class E, template <class...> class List, class... Descriptors>
struct EnumTable<E, List<Descriptors...>> {
  static constexpr std::array<EnumName, sizeof...(Descriptors)> value = {
      EnumName{without_trailing_underscore(Descriptors::name), static_cast<std::int64_t>(Descriptors::value)}...};
};

template <class T>
constexpr Type integer_type(Kind kind) {
  Type type{.kind = kind};
  type.set_integer = [](void* to, std::int64_t value) { *static_cast<T*>(to) = static_cast<T>(value); };
  type.get_integer = [](const void* from) { return static_cast<std::int64_t>(*static_cast<const T*>(from)); };
  return type;
}

template <class T>
constexpr Type list_type() {
  using Element = typename T::value_type;
  static_assert(!std::is_same_v<Element, bool>, "std::vector<bool> has no elements to point at");
  Type type{.kind = Kind::list};
  type.element = &type_of<Element>;
  type.clear = [](void* to) { static_cast<T*>(to)->clear(); };
  type.emplace = [](void* to) -> void* { return &static_cast<T*>(to)->emplace_back(); };
  type.each = [](const void* from, void* context, void (*visit)(void*, std::string_view, const void*)) {
    for (const Element& element : *static_cast<const T*>(from)) visit(context, {}, &element);
  };
  return type;
}

template <class T>
constexpr Type map_type() {
  Type type{.kind = Kind::map};
  type.element = &type_of<typename T::mapped_type>;
  type.clear = [](void* to) { static_cast<T*>(to)->clear(); };
  type.insert = [](void* to, std::string_view key) -> void* { return &(*static_cast<T*>(to))[std::string(key)]; };
  type.each = [](const void* from, void* context, void (*visit)(void*, std::string_view, const void*)) {
    for (const auto& [key, element] : *static_cast<const T*>(from)) visit(context, key, &element);
  };
  return type;
}

template <class T>
constexpr Type optional_type() {
  Type type{.kind = Kind::optional};
  type.element = &type_of<typename T::value_type>;
  type.emplace = [](void* to) -> void* { return &static_cast<T*>(to)->emplace(); };
  type.get = [](const void* from) -> const void* {
    const T& value = *static_cast<const T*>(from);
    return value.has_value() ? &*value : nullptr;
  };
  return type;
}

template <class T>
constexpr Type text_type() {
  Type type{.kind = std::is_same_v<T, Secret> ? Kind::secret : Kind::text};
  type.set_text = [](void* to, std::string_view text) { *static_cast<T*>(to) = T(std::string(text)); };
  type.get_text = [](const void* from) -> std::string_view {
    if constexpr (std::is_same_v<T, std::string>) {
      return *static_cast<const T*>(from);
    } else if constexpr (IsId<T>::value) {
      return static_cast<const T*>(from)->str();
    } else {
      return {};  // Secret: written by nobody
    }
  };
  return type;
}

template <class T>
constexpr Type object_type() {
  static_assert(every_rule_has_its_member<T>(), "json_rules names a member that the struct does not have");
  Type type{.kind = Kind::object};
  type.members = MemberTable<T, MembersOf<T>>::value;
  type.name = name_of<T>();
  return type;
}

template <class T>
constexpr Type make_type() {
  if constexpr (std::is_same_v<T, bool>) {
    return Type{.kind = Kind::boolean};
  } else if constexpr (std::is_integral_v<T>) {
    Type type = integer_type<T>(Kind::integer);
    type.min = std::is_signed_v<T> ? static_cast<std::int64_t>(std::numeric_limits<T>::min()) : 0;
    type.max = sizeof(T) == 8 ? std::numeric_limits<std::int64_t>::max()
                              : static_cast<std::int64_t>(std::numeric_limits<T>::max());
    return type;
  } else if constexpr (is_enumeration<T>) {
    Type type = integer_type<T>(Kind::enumeration);
    type.names = EnumTable<T, boost::describe::describe_enumerators<T>>::value;
    return type;
  } else if constexpr (std::is_same_v<T, std::string> || std::is_same_v<T, Secret> || IsId<T>::value) {
    return text_type<T>();
  } else if constexpr (std::is_same_v<T, UtcTime>) {
    return Type{.kind = Kind::time};
  } else if constexpr (std::is_same_v<T, UsdMicros>) {
    return Type{.kind = Kind::money};
  } else if constexpr (std::is_same_v<T, boost::json::value>) {
    return Type{.kind = Kind::any};
  } else if constexpr (IsOptional<T>::value) {
    return optional_type<T>();
  } else if constexpr (IsList<T>::value) {
    return list_type<T>();
  } else if constexpr (IsMap<T>::value) {
    return map_type<T>();
  } else {
    static_assert(is_object<T>, "not a type that common/json.h knows; is BOOST_DESCRIBE_STRUCT missing?");
    return object_type<T>();
  }
}

template <class T>
const Type& type_of() {
  static constexpr Type type = make_type<T>();
  return type;
}

/// Whether a value of T would print a Secret when written.
template <class T>
constexpr bool holds_secret() {
  if constexpr (std::is_same_v<T, Secret>) {
    return true;
  } else if constexpr (IsOptional<T>::value || IsList<T>::value) {
    return holds_secret<typename T::value_type>();
  } else if constexpr (IsMap<T>::value) {
    return holds_secret<typename T::mapped_type>();
  } else if constexpr (is_object<T>) {
    bool found = false;
    boost::mp11::mp_for_each<MembersOf<T>>([&](auto descriptor) {
      found = found || holds_secret<std::remove_cvref_t<decltype(std::declval<T&>().*decltype(descriptor)::pointer)>>();
    });
    return found;
  } else {
    return false;
  }
}

}  // namespace detail
}  // namespace ee::json
