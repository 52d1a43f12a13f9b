#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "agent/config.h"

namespace boost::json {
class value;
}

namespace ee::agent {

/// How the text of a flag or an environment variable becomes a JSON value.
enum class KeyKind : std::uint8_t { text, boolean, integer, list, object };

/// What a source that the host controls may do with a key.
enum class HostRule : std::uint8_t {
  allowed,
  ignored,    ///< dropped with a warning
  forbidden,  ///< configuration is refused, unless the value weakens nothing
};

/// One key. `set` checks a value and stores it; it answers what is wrong with it, never repeating the value. `show` is
/// the effective value as JSON.
struct KeySpec {
  std::string_view name;
  KeyKind kind;
  HostRule host;
  bool dev_only;
  std::optional<std::string> (*set)(AgentConfig&, const boost::json::value&);
  std::string (*show)(const AgentConfig&);
};

/// Every key, sorted by name.
std::span<const KeySpec> config_keys();
const KeySpec* find_config_key(std::string_view name);

}  // namespace ee::agent
