#pragma once
#include <boost/json/fwd.hpp>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/bytes.h"
#include "common/ed25519.h"

struct evp_pkey_st;

/// JWS in compact form and JWK: RFC 7515, 7517, 7518, 8037. Knows four algorithms, no `none`, no HMAC, no encryption,
/// and takes no key from a token. The calls of a verifier:
///
///   const auto token = jose::UnverifiedToken::parse(text, rules);   // shape, header, algorithm: before any key
///   const auto key = keys.find(token->kid(), token->algorithm());   // from a configured place, never from the token
///   const auto verified = token->verify(**key);                     // only now are there claims
namespace ee::jose {

enum class Algorithm : std::uint8_t { ps384, rs256, es256, eddsa };
/// `PS384`, `RS256`, `ES256`, `EdDSA`.
std::string_view to_string(Algorithm algorithm);
std::optional<Algorithm> algorithm_of(std::string_view text);

/// Why a token or key was refused, in the order of the checks.
enum class Refusal : std::uint8_t {
  malformed,       ///< too long, not three base64url parts, no JSON objects, duplicate members, members of wrong type
  header_refused,  ///< `crit`, or a `typ` that is not allowed
  algorithm_refused,  ///< `alg` absent or outside the caller's list
  key_unknown,        ///< no key of that id
  key_unusable,       ///< two keys of that id; wrong type, curve, size, use or algorithm; a private key
  signature_invalid,
};
std::string_view to_string(Refusal refusal);

template <class T>
using Checked = std::expected<T, Refusal>;

enum class KeyType : std::uint8_t { rsa, p256, ed25519 };
KeyType key_type_of(Algorithm algorithm);

/// A key that signatures are verified with. Immutable and cheap to copy; any number of threads may use one.
class PublicKey {
 public:
  /// A public JWK: RSA of 2048 to 8192 bits with odd e in [3, 2^64), P-256 on its curve, or Ed25519; `use` absent or
  /// `sig`, `key_ops` absent or with `verify`. Errors: malformed, key_unusable.
  static Checked<PublicKey> from_jwk(const boost::json::object& jwk);
  static Checked<PublicKey> from_jwk_text(std::string_view text);
  /// Requires 32 bytes.
  static PublicKey from_ed25519(Bytes raw);

  KeyType type() const { return type_; }
  /// The JWK's `kid` and `alg`, empty when absent.
  const std::string& kid() const { return kid_; }
  const std::string& algorithm_name() const { return algorithm_name_; }
  /// Type, and the key's own `alg` if it names one.
  bool fits(Algorithm algorithm) const;
  /// RSA only: the public exponent.
  std::uint64_t rsa_exponent() const { return rsa_exponent_; }

  /// False for every signature that does not fit, also one of another length or encoding. Requires `fits`.
  bool verify(Algorithm algorithm, Bytes message, Bytes signature) const;

 private:
  friend class PrivateKey;
  PublicKey() = default;
  KeyType type_ = KeyType::rsa;
  std::shared_ptr<evp_pkey_st> key_;  // RSA and P-256
  ByteArray<32> ed25519_{};
  std::uint64_t rsa_exponent_ = 0;
  std::string kid_;
  std::string algorithm_name_;
};

/// A JWK set. Keys of unknown types or bad contents are kept as unusable: they refuse their own tokens only.
class KeySet {
 public:
  static constexpr std::size_t kMaxBytes = 1024UL * 1024;
  static constexpr std::size_t kMaxKeys = 64;

  KeySet() = default;
  /// Errors: malformed (also for more than `max_keys`).
  static Checked<KeySet> parse(std::string_view text, std::size_t max_bytes = kMaxBytes,
                               std::size_t max_keys = kMaxKeys);

  std::size_t size() const { return entries_.size(); }
  bool contains(std::string_view kid) const;
  /// The only key of that id, if it fits the algorithm. Valid while the set lives. Errors: key_unknown, key_unusable.
  Checked<const PublicKey*> find(std::string_view kid, Algorithm algorithm) const;

 private:
  struct Entry {
    std::string kid;
    std::optional<PublicKey> key;
  };
  std::vector<Entry> entries_;
};

/// What a caller accepts.
struct TokenRules {
  std::vector<Algorithm> algorithms;         ///< never empty
  std::vector<std::string> types = {"JWT"};  ///< allowed values of `typ`; it may always be absent
  std::size_t max_bytes = 32UL * 1024;
  std::size_t max_members = 256;  ///< of the header, and of the claims
  bool claims_are_json = true;    ///< false: any payload (a JWS that is no JWT)
};

/// A token whose signature was checked.
class VerifiedToken {
 public:
  const boost::json::object& header() const { return *header_; }
  /// Requires rules with `claims_are_json`.
  const boost::json::object& claims() const { return *claims_; }
  Bytes payload() const { return payload_; }

 private:
  friend class UnverifiedToken;
  std::shared_ptr<const boost::json::object> header_;
  std::shared_ptr<const boost::json::object> claims_;
  ByteVector payload_;
};

/// A token that has the right shape; nothing in it is known to be true.
class UnverifiedToken {
 public:
  /// Errors: malformed, header_refused, algorithm_refused.
  static Checked<UnverifiedToken> parse(std::string_view text, const TokenRules& rules);

  Algorithm algorithm() const { return algorithm_; }
  /// Empty when absent.
  const std::string& kid() const { return kid_; }
  const boost::json::object& header() const { return *token_.header_; }
  /// The claims before anybody has vouched for them: to find out which issuer's keys to use, for nothing else.
  const boost::json::object& claims_unverified() const { return *token_.claims_; }

  /// Errors: key_unusable (does not fit the algorithm), signature_invalid.
  Checked<VerifiedToken> verify(const PublicKey& key) const;

 private:
  Algorithm algorithm_ = Algorithm::ps384;
  std::string kid_;
  std::string signing_input_;
  ByteVector signature_;
  VerifiedToken token_;
};

/// A key that signs. Immutable; any number of threads may use one. OpenSSL cleanses it when the last copy goes.
class PrivateKey {
 public:
  /// Unencrypted PKCS#8 (or traditional) PEM of an RSA, P-256 or Ed25519 key; sizes as for public keys. Nothing on
  /// anything else.
  static std::optional<PrivateKey> from_pem(std::string_view pem);
  static PrivateKey from_ed25519(const Ed25519PrivateKey& key);

  const PublicKey& public_key() const { return public_; }
  /// The public half as JWK text, with `kid`, `use` and, if given, `alg`.
  std::string public_jwk(std::string_view kid, std::optional<Algorithm> algorithm = {}) const;
  /// Nothing when the key's type does not fit.
  std::optional<ByteVector> sign(Algorithm algorithm, Bytes message) const;

 private:
  PrivateKey() = default;
  PublicKey public_;
  std::shared_ptr<evp_pkey_st> key_;  // RSA and P-256
  std::optional<Ed25519PrivateKey> ed25519_;
};

/// Makes a compact JWS with header `{"alg","kid"?,"typ"?}`; empty texts are left out. Nothing when the key does not
/// fit.
std::optional<std::string> sign_compact(const PrivateKey& key, Algorithm algorithm, std::string_view kid,
                                        std::string_view typ, std::string_view payload);

/// The member, if it is an integer without fraction or exponent (numeric dates).
std::optional<std::int64_t> integer_member(const boost::json::object& object, std::string_view name);
/// The member, if it is a string.
std::optional<std::string_view> text_member(const boost::json::object& object, std::string_view name);

}  // namespace ee::jose
