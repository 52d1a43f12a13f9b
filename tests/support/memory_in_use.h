#pragma once
#include <cstdint>
#include <fstream>
#include <string>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#include <sanitizer/allocator_interface.h>
#define EE_SANITIZED_HEAP 1
#endif
#endif

namespace ee::testing {

/// Memory of this process in KiB, to be looked at while something runs: what is resident; under a sanitizer, which
/// keeps freed memory back, what is allocated.
inline std::int64_t memory_in_use_kib() {
#ifdef EE_SANITIZED_HEAP
  return static_cast<std::int64_t>(__sanitizer_get_current_allocated_bytes() / 1024);
#else
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmRSS:")) return std::stoll(line.substr(6));
  return 0;
#endif
}

}  // namespace ee::testing
