#pragma once
#include <cstdint>
#include <string_view>

#include "common/bytes.h"

namespace ee {

/// Initialises libsodium once per process; stops the process when it cannot. Every function of `common` that needs it
/// calls it; safe from any thread.
void require_sodium();

ByteArray<32> sha256(Bytes data);
ByteArray<48> sha384(Bytes data);
ByteArray<64> sha512(Bytes data);

/// RFC 2104 with SHA-256. Keys of any length.
ByteArray<32> hmac_sha256(Bytes key, Bytes data);

/// HMAC-SHA256 under one key, prepared once. Immutable after construction, so any number of threads may call `of` at
/// once. Wiped on destruction.
class HmacSha256Key {
 public:
  explicit HmacSha256Key(Bytes key);
  HmacSha256Key(const HmacSha256Key&) = delete;
  HmacSha256Key& operator=(const HmacSha256Key&) = delete;
  ~HmacSha256Key();

  ByteArray<32> of(Bytes data) const;

 private:
  ByteArray<64> inner_;  // the key's block xor ipad, opad
  ByteArray<64> outer_;
};

/// RFC 5869 with SHA-256, no salt, 32 bytes of output.
ByteArray<32> hkdf_sha256(Bytes key, std::string_view info);

/// CRC-32 of IEEE 802.3: reflected, initial value and final xor 0xFFFFFFFF.
std::uint32_t crc32(Bytes data);

}  // namespace ee
