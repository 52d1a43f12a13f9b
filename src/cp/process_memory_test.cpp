#include "cp/process_memory.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <barrier>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace ee::cp {
namespace {

/// As the allocator tells; 0 under one that tells nothing (sanitizers).
std::size_t arenas() {
  char* text = nullptr;
  std::size_t size = 0;
  FILE* out = ::open_memstream(&text, &size);
  if (out == nullptr) return 0;
  ::malloc_info(0, out);
  std::fclose(out);
  const std::string xml(text, size);
  std::free(text);
  std::size_t count = 0;
  for (std::size_t at = xml.find("<heap nr="); at != std::string::npos; at = xml.find("<heap nr=", at + 1)) ++count;
  return count;
}

/// Looked at in memory, so that no compiler does without it.
char last_of(const std::vector<char>& block) { return *static_cast<const volatile char*>(&block.back()); }

/// So many threads that hold something at the same time.
void allocate_on(std::size_t threads) {
  std::barrier all(static_cast<std::ptrdiff_t>(threads));
  std::vector<std::jthread> running;
  running.reserve(threads);
  for (std::size_t i = 0; i < threads; ++i)
    running.emplace_back([&] {
      const auto block = std::make_unique<std::vector<char>>(4096, 'x');
      all.arrive_and_wait();
      EXPECT_EQ(last_of(*block), 'x');
    });
}

TEST(ProcessMemory, ManyThreadsShareFewArenas) {
  const std::size_t before = arenas();  // other tests of this process may have made more
  bound_allocator();
  allocate_on(8 * allocator_arenas());
  EXPECT_LE(arenas(), std::max(before, allocator_arenas()));
}

TEST(ProcessMemory, ALargeBlockThatWasFreedDoesNotRaiseTheBounds) {
  if (::mallinfo2().uordblks == 0) GTEST_SKIP() << "this allocator tells nothing";
  bound_allocator();
  constexpr std::size_t kLarge = 16 * kOwnMapping;
  {
    const std::vector<char> freed(2 * kLarge, 'x');
  }
  const std::size_t mapped = ::mallinfo2().hblkhd;
  const std::vector<char> block(kLarge, 'x');
  EXPECT_GE(::mallinfo2().hblkhd, mapped + kLarge) << "a mapping of its own still, which goes back when it is freed";
  release_free_memory();
  EXPECT_EQ(last_of(block), 'x');
}

}  // namespace
}  // namespace ee::cp
