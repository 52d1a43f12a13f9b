#pragma once
#include <cstring>
#include <string_view>

#include "common/bytes.h"
#include "common/crypto.h"
#include "common/id.h"

namespace ee::cp {

/// A UUID as 16 bytes: what the maps of all agents are keyed by (a third of the memory of its text).
using AgentKey = ByteArray<16>;

/// Of a text that is not a UUID: the first half of its SHA-256, which collides with nothing.
inline AgentKey key_of(std::string_view text) {
  if (const auto bytes = uuid_bytes(text)) return *bytes;
  const auto digest = sha256(bytes_of(text));
  AgentKey key;
  std::copy_n(digest.begin(), key.size(), key.begin());
  return key;
}
inline AgentKey key_of(const AgentId& id) { return key_of(std::string_view(id.str())); }

/// The last eight bytes of a UUIDv7 are random.
struct AgentKeyHash {
  std::size_t operator()(const AgentKey& key) const noexcept {
    std::size_t hash = 0;
    std::memcpy(&hash, key.data() + 8, sizeof(hash));
    return hash;
  }
};

/// Maps of all agents are cut into this many shards, each with a lock of its own.
constexpr std::size_t kAgentShards = 64;
inline std::size_t shard_of(const AgentKey& key) { return key[15] % kAgentShards; }

}  // namespace ee::cp
