#pragma once
#include <string>
#include <vector>

namespace ee::testing {

/// One line of tests/http/smuggling.txt.
struct SmugglingCase {
  int line = 0;
  int served = 0;   ///< requests that the application sees
  int refusal = 0;  ///< status of the refusal after them, or 0
  std::string bytes;
};

/// Throws on a malformed file.
std::vector<SmugglingCase> smuggling_cases();

}  // namespace ee::testing
