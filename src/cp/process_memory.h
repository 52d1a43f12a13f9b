#pragma once
#include <cstddef>

namespace ee::cp {

/// How the process uses glibc's allocator; nothing with another one. The sizes are those of a control plane: many
/// threads that seldom allocate at once, and lists of some MiB that a job holds for a moment.
///
/// Call before the first thread is made. Arenas: one for each core, at least two (glibc: eight for each core), since
/// each keeps for itself what its threads once needed. Blocks of `kOwnMapping` and more are mappings of their own, and
/// free ends of `kKeptFree` go back; glibc would raise both bounds, up to 64 MiB, with the largest block ever freed.
void bound_allocator();

/// Gives back what is free now. Walks through all arenas, which wait meanwhile: for the end of the start.
void release_free_memory();

/// The number of arenas that `bound_allocator` allows.
std::size_t allocator_arenas();

inline constexpr std::size_t kOwnMapping = 256UL * 1024;
inline constexpr std::size_t kKeptFree = 1024UL * 1024;

}  // namespace ee::cp
