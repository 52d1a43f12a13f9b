#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ee::cp {

/// What an API key may be used for (04 section 3.2). `read`: every GET of its account's own objects.
enum class Scope : std::uint8_t { read, deploy, apps, agents, capacity, billing, account, launcher };
BOOST_DESCRIBE_ENUM(Scope, read, deploy, apps, agents, capacity, billing, account, launcher)

/// A set of scopes. A value; `bits()` is what the cache of verified credentials carries.
class Scopes {
 public:
  constexpr Scopes() = default;
  constexpr Scopes(std::initializer_list<Scope> scopes) {
    for (const Scope scope : scopes) bits_ |= bit(scope);
  }
  static constexpr Scopes from_bits(std::uint32_t bits) {
    Scopes out;
    out.bits_ = bits;
    return out;
  }
  constexpr std::uint32_t bits() const { return bits_; }
  constexpr bool has(Scope scope) const { return (bits_ & bit(scope)) != 0; }
  constexpr bool holds(Scopes others) const { return (others.bits_ & ~bits_) == 0; }
  constexpr bool empty() const { return bits_ == 0; }
  constexpr void add(Scope scope) { bits_ |= bit(scope); }
  bool operator==(const Scopes&) const = default;

  /// Sorted by name, as JSON and `api_keys.scopes` show them.
  std::vector<std::string> names() const;
  /// The JSON list of `names()`.
  std::string json() const;
  /// Nothing when a name is unknown.
  static std::optional<Scopes> of_names(const std::vector<std::string>& names);
  /// Of the JSON list of a row. Nothing when it is not one: such a key is not usable.
  static std::optional<Scopes> of_json(std::string_view text);

 private:
  static constexpr std::uint32_t bit(Scope scope) { return 1U << static_cast<unsigned>(scope); }
  std::uint32_t bits_ = 0;
};

}  // namespace ee::cp
