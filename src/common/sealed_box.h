#pragma once
#include <optional>
#include <string_view>

#include "common/bytes.h"
#include "common/error.h"
#include "common/random.h"
#include "common/secret.h"

namespace ee {

/// Most bytes of a sealed payload.
constexpr std::size_t kMaxSealedPayloadBytes = 96UL * 1024;

/// An X25519 key pair (RFC 7748) that sealed values are opened with. Wiped on destruction and on move from.
class X25519KeyPair {
 public:
  /// Nothing when the CSPRNG fails.
  static std::optional<X25519KeyPair> generate(Random& random);
  static X25519KeyPair from_secret(const ByteArray<32>& secret);

  X25519KeyPair(const X25519KeyPair&) = default;
  X25519KeyPair(X25519KeyPair&& other) noexcept;
  X25519KeyPair& operator=(const X25519KeyPair&) = default;
  X25519KeyPair& operator=(X25519KeyPair&& other) noexcept;
  ~X25519KeyPair();

  const ByteArray<32>& public_key() const { return public_; }
  /// For `open_sealed` only.
  const ByteArray<32>& secret_key() const { return secret_; }

 private:
  X25519KeyPair() = default;
  ByteArray<32> public_{};
  ByteArray<32> secret_{};
};

/// Whether `public_key` is 32 bytes and not of low order: the shared secret of such a point would be zero for
/// everybody.
bool is_acceptable_x25519(Bytes public_key);

/// libsodium `crypto_box_seal(context ‖ 00 ‖ payload)`: 48 bytes longer than what it holds. It hides the payload,
/// and shows changes, but does not say who made it: whatever carries it must be signed.
/// Requires a context of 1 to 512 printable ASCII characters.
/// Errors: invalid_request for an unacceptable key, internal_error for a payload over kMaxSealedPayloadBytes.
Result<ByteVector> seal(std::string_view context, std::string_view payload, const ByteArray<32>& public_key);

/// The payload, if the box opens with this key and holds exactly this context; else seal_context_mismatch.
Result<Secret> open_sealed(std::string_view context, Bytes ciphertext, const X25519KeyPair& key);

}  // namespace ee
