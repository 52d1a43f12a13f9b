#include "common/require.h"

#include <cstdio>
#include <cstdlib>

namespace ee {

void require_failed(const std::source_location& where) {
  std::fprintf(stderr, "invariant broken at %s:%u (%s)\n", where.file_name(), where.line(), where.function_name());
  std::abort();
}

}  // namespace ee
