#pragma once
#include <source_location>

namespace ee {

/// Prints file and line to standard error and aborts.
[[noreturn]] void require_failed(const std::source_location& where);

/// A broken invariant stops the process, in every build: a restart is cheap, a wrong ledger is not.
inline void require(bool condition, const std::source_location& where = std::source_location::current()) {
  if (!condition) [[unlikely]]
    require_failed(where);
}

}  // namespace ee
