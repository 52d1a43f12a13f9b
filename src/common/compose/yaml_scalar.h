#pragma once
#include <boost/json/value.hpp>
#include <string_view>

namespace ee::compose {

/// What a plain scalar means in the core schema of YAML 1.2 (section 10.3.2): null, boolean, integer, float or text.
enum class ScalarKind : std::uint8_t { null, boolean, integer, number, text };

/// A plain scalar resolved. `problem` is null, or why the value is not accepted (a literal).
struct Scalar {
  ScalarKind kind = ScalarKind::text;
  boost::json::value value = {};
  const char* problem = nullptr;
};
Scalar resolve_plain(std::string_view text);

}  // namespace ee::compose
