// The field WWW-Authenticate of a registry.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "common/bytes.h"
#include "cp/integration/registry/auth_challenge.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto challenges = ee::cp::registry::parse_challenges(ee::text_of({data, size}));
  if (!challenges) return 0;
  for (const auto& challenge : *challenges) {
    if (challenge.scheme.empty()) std::abort();
    for (const auto& [name, value] : challenge.parameters)
      for (const char c : value)
        if (c == '\r' || c == '\n' || c == '\0' || name.empty()) std::abort();
  }
  return 0;
}
