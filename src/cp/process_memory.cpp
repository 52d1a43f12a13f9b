#include "cp/process_memory.h"

#include <cstdlib>  // defines __GLIBC__

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <algorithm>
#include <thread>

namespace ee::cp {

std::size_t allocator_arenas() { return std::max<std::size_t>(2, std::thread::hardware_concurrency()); }

void bound_allocator() {
#ifdef __GLIBC__
  // An operator's own tuning (MALLOC_ARENA_MAX and its like) counts: glibc has read it before main.
  const auto set = [](const char* variable, int option, std::size_t value) {
    if (std::getenv(variable) == nullptr) ::mallopt(option, static_cast<int>(value));
  };
  set("MALLOC_ARENA_MAX", M_ARENA_MAX, allocator_arenas());
  set("MALLOC_MMAP_THRESHOLD_", M_MMAP_THRESHOLD, kOwnMapping);
  set("MALLOC_TRIM_THRESHOLD_", M_TRIM_THRESHOLD, kKeptFree);
#endif
}

void release_free_memory() {
#ifdef __GLIBC__
  ::malloc_trim(0);
#endif
}

}  // namespace ee::cp
