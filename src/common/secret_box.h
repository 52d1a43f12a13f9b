#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "common/bytes.h"
#include "common/error.h"
#include "common/random.h"
#include "common/secret.h"

namespace ee {

/// A value as it lies in the database.
struct BoxedSecret {
  std::string key_id;  ///< first 8 hex of SHA-256 of the key
  std::string sealed;  ///< base64 of nonce (12 bytes), ciphertext and tag (16 bytes)
};

/// Secrets at rest (03 section 3.5): AES-256-GCM under the first key; any of the keys opens what it once sealed.
/// Immutable; thread-safe.
class SecretBox {
 public:
  static constexpr std::size_t kMaxBytes = 96UL * 1024;

  /// `keys`: 32 raw bytes each, the one that seals first. None: nothing can be sealed or opened.
  explicit SecretBox(const std::vector<Secret>& keys);

  bool available() const { return !keys_.empty(); }
  /// `associated` says what the value belongs to; it opens with the same alone. Errors: `secrets_unavailable`.
  Result<BoxedSecret> seal(std::string_view value, std::string_view associated, Random& random) const;
  /// Errors: `secrets_unavailable` for an unknown key, and for a value that was changed or belongs to something else.
  Result<Secret> open(const BoxedSecret& boxed, std::string_view associated) const;

 private:
  struct Key {
    std::string id;
    Secret bytes;
  };
  std::vector<Key> keys_;
};

}  // namespace ee
