#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "common/bytes.h"
#include "common/random.h"

namespace ee {

/// An Ed25519 signing key (RFC 8032). Immutable, so any number of threads may sign at once; wiped on destruction and on
/// move from.
class Ed25519PrivateKey {
 public:
  /// `seed` is the 32-byte private key of RFC 8032 section 5.1.5; nothing on another length.
  static std::optional<Ed25519PrivateKey> from_seed(Bytes seed);
  /// Unencrypted PKCS#8 (RFC 8410) in PEM; nothing on anything else, also another key type or an encrypted key.
  static std::optional<Ed25519PrivateKey> from_pkcs8_pem(std::string_view pem);
  /// Nothing when the CSPRNG fails.
  static std::optional<Ed25519PrivateKey> generate(Random& random);

  Ed25519PrivateKey(const Ed25519PrivateKey&) = default;
  Ed25519PrivateKey(Ed25519PrivateKey&& other) noexcept;
  Ed25519PrivateKey& operator=(const Ed25519PrivateKey&) = default;
  Ed25519PrivateKey& operator=(Ed25519PrivateKey&& other) noexcept;
  ~Ed25519PrivateKey();

  ByteArray<32> public_key() const;
  ByteArray<64> sign(Bytes message) const;
  /// The private key in clear: for a file of mode 0600, never for a log.
  std::string to_pkcs8_pem() const;

 private:
  explicit Ed25519PrivateKey(const ByteArray<32>& seed);
  ByteArray<64> secret_{};  // libsodium's form: seed, then public key
};

/// False also when a length is wrong, the key is of low order, or the signature is not in its one canonical form.
bool ed25519_verify(Bytes public_key, Bytes message, Bytes signature);

/// `kid` of a signing key: the first 16 hexadecimal digits of SHA-256 of the raw public key.
std::string key_id(Bytes public_key);

}  // namespace ee
