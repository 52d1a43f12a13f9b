#pragma once
#include <boost/json/fwd.hpp>
#include <optional>
#include <string>

namespace ee::json {

/// RFC 8785 text of a value that may hold fractions, which are written as ECMAScript writes them (RFC 8785 section
/// 3.2.2.3). Nothing when a number's magnitude is beyond 2^53 or it is not finite. What is signed uses `canonical`,
/// which knows integers only.
std::optional<std::string> canonical_with_fractions(const boost::json::value& value);

/// A finite number as ECMAScript's Number::toString does, with the fewest digits that read back as the same number.
std::string ecmascript_number(double number);

}  // namespace ee::json
