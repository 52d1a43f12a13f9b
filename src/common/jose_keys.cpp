#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "common/jose.h"
#include "common/json.h"
#include "common/require.h"

namespace ee::jose {
namespace {

constexpr int kMinRsaBits = 2048;
constexpr int kMaxRsaBits = 8192;
constexpr std::size_t kP256Bytes = 32;
constexpr std::size_t kMaxKidChars = 256;

struct Deleter {
  void operator()(BIO* p) const { BIO_free_all(p); }
  void operator()(BIGNUM* p) const { BN_free(p); }
  void operator()(ECDSA_SIG* p) const { ECDSA_SIG_free(p); }
  void operator()(EVP_MD_CTX* p) const { EVP_MD_CTX_free(p); }
  void operator()(EVP_PKEY_CTX* p) const { EVP_PKEY_CTX_free(p); }
  void operator()(OSSL_PARAM* p) const { OSSL_PARAM_free(p); }
  void operator()(OSSL_PARAM_BLD* p) const { OSSL_PARAM_BLD_free(p); }
};
template <class T>
using Ptr = std::unique_ptr<T, Deleter>;

/// OpenSSL keeps a queue of errors per thread; what was refused here must not be found by somebody else.
struct ErrorQueueGuard {
  ErrorQueueGuard() = default;
  ErrorQueueGuard(const ErrorQueueGuard&) = delete;
  ErrorQueueGuard& operator=(const ErrorQueueGuard&) = delete;
  ~ErrorQueueGuard() { ERR_clear_error(); }
};

std::shared_ptr<EVP_PKEY> owned(EVP_PKEY* key) {
  return {key, [](EVP_PKEY* p) { EVP_PKEY_free(p); }};
}

Ptr<BIGNUM> number_of(Bytes big_endian) {
  return Ptr<BIGNUM>(BN_bin2bn(big_endian.data(), static_cast<int>(big_endian.size()), nullptr));
}

std::shared_ptr<EVP_PKEY> key_from(const char* type, OSSL_PARAM_BLD* builder) {
  const Ptr<OSSL_PARAM> params(OSSL_PARAM_BLD_to_param(builder));
  const Ptr<EVP_PKEY_CTX> context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  require(params != nullptr && context != nullptr && EVP_PKEY_fromdata_init(context.get()) == 1);
  EVP_PKEY* key = nullptr;
  if (EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params.get()) != 1) return nullptr;
  return owned(key);
}

/// A member that holds base64url of 1 to `max_bytes` bytes.
std::optional<ByteVector> binary_member(const boost::json::object& jwk, std::string_view name, std::size_t max_bytes) {
  const auto text = text_member(jwk, name);
  if (!text || text->empty() || text->size() > max_bytes * 2) return std::nullopt;
  auto bytes = from_base64url(*text);
  if (!bytes || bytes->size() > max_bytes) return std::nullopt;
  return bytes;
}

std::shared_ptr<EVP_PKEY> rsa_key(const boost::json::object& jwk, std::uint64_t& exponent) {
  const auto n = binary_member(jwk, "n", kMaxRsaBits / 8 + 1);
  const auto e = binary_member(jwk, "e", sizeof(exponent));
  if (!n || !e) return nullptr;
  exponent = 0;
  for (const std::uint8_t byte : *e) exponent = exponent << 8U | byte;
  const Ptr<BIGNUM> modulus = number_of(*n);
  const Ptr<BIGNUM> public_exponent = number_of(*e);
  const Ptr<OSSL_PARAM_BLD> builder(OSSL_PARAM_BLD_new());
  require(modulus != nullptr && public_exponent != nullptr && builder != nullptr);
  if (exponent < 3 || exponent % 2 == 0 || BN_is_odd(modulus.get()) == 0) return nullptr;
  if (BN_num_bits(modulus.get()) < kMinRsaBits || BN_num_bits(modulus.get()) > kMaxRsaBits) return nullptr;
  require(OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get()) == 1 &&
          OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, public_exponent.get()) == 1);
  return key_from("RSA", builder.get());
}

std::shared_ptr<EVP_PKEY> p256_key(const boost::json::object& jwk) {
  if (text_member(jwk, "crv") != "P-256") return nullptr;
  const auto x = binary_member(jwk, "x", kP256Bytes);
  const auto y = binary_member(jwk, "y", kP256Bytes);
  if (!x || !y || x->size() != kP256Bytes || y->size() != kP256Bytes) return nullptr;
  ByteVector point{4};  // uncompressed
  append(point, *x);
  append(point, *y);
  const Ptr<OSSL_PARAM_BLD> builder(OSSL_PARAM_BLD_new());
  require(builder != nullptr &&
          OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) == 1 &&
          OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()) == 1);
  return key_from("EC", builder.get());  // refuses a point that is not on the curve
}

bool is_for_verification(const boost::json::object& jwk) {
  if (jwk.contains("use") && text_member(jwk, "use") != "sig") return false;
  const auto* const operations = jwk.if_contains("key_ops");
  if (operations == nullptr) return true;
  return operations->is_array() &&
         std::ranges::any_of(operations->get_array(), [](const boost::json::value& operation) {
           return operation.is_string() && operation.get_string() == "verify";
         });
}

const EVP_MD* digest_of(Algorithm algorithm) { return algorithm == Algorithm::ps384 ? EVP_sha384() : EVP_sha256(); }

/// PS384: MGF1 with SHA-384 and a salt of exactly 48 bytes. RS256: PKCS #1 v1.5.
bool set_padding(EVP_PKEY_CTX* context, Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::ps384:
      return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
             EVP_PKEY_CTX_set_rsa_mgf1_md(context, EVP_sha384()) == 1 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
    case Algorithm::rs256: return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1;
    case Algorithm::es256: return true;
    case Algorithm::eddsa: return false;
  }
  return false;
}

/// r ‖ s of JOSE as OpenSSL's DER; nothing unless it is exactly 64 bytes.
std::optional<ByteVector> der_of_raw(Bytes raw) {
  if (raw.size() != 2 * kP256Bytes) return std::nullopt;
  const Ptr<ECDSA_SIG> signature(ECDSA_SIG_new());
  Ptr<BIGNUM> r = number_of(raw.first(kP256Bytes));
  Ptr<BIGNUM> s = number_of(raw.last(kP256Bytes));
  require(signature != nullptr && r != nullptr && s != nullptr);
  require(ECDSA_SIG_set0(signature.get(), r.release(), s.release()) == 1);
  std::uint8_t* der = nullptr;
  const int size = i2d_ECDSA_SIG(signature.get(), &der);
  require(size > 0);
  ByteVector out(der, der + size);
  OPENSSL_free(der);
  return out;
}

std::optional<ByteVector> raw_of_der(Bytes der) {
  const std::uint8_t* at = der.data();
  const Ptr<ECDSA_SIG> signature(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
  if (signature == nullptr) return std::nullopt;
  ByteVector out(2 * kP256Bytes);
  if (BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), out.data(), kP256Bytes) < 0 ||
      BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), out.data() + kP256Bytes, kP256Bytes) < 0)
    return std::nullopt;
  return out;
}

/// One number of a key, base64url; `size` 0: as long as it needs.
std::string number_member(const EVP_PKEY* key, const char* name, std::size_t size = 0) {
  BIGNUM* raw = nullptr;
  require(EVP_PKEY_get_bn_param(key, name, &raw) == 1);
  const Ptr<BIGNUM> number(raw);
  ByteVector bytes(size != 0 ? size : static_cast<std::size_t>(BN_num_bytes(number.get())));
  require(BN_bn2binpad(number.get(), bytes.data(), static_cast<int>(bytes.size())) >= 0);
  return to_base64url(bytes);
}

}  // namespace

Checked<PublicKey> PublicKey::from_jwk(const boost::json::object& jwk) {
  const ErrorQueueGuard guard;
  for (const std::string_view name : {"kid", "alg"})
    if (jwk.contains(name) && !text_member(jwk, name)) return std::unexpected(Refusal::malformed);
  const auto type = text_member(jwk, "kty");
  if (!type) return std::unexpected(Refusal::malformed);
  PublicKey out;
  out.kid_ = text_member(jwk, "kid").value_or("");
  out.algorithm_name_ = text_member(jwk, "alg").value_or("");
  const std::unexpected unusable(Refusal::key_unusable);
  if (out.kid_.size() > kMaxKidChars || !is_for_verification(jwk)) return unusable;
  if (jwk.contains("d")) return unusable;  // whoever publishes a private key has lost it
  if (*type == "RSA") {
    out.type_ = KeyType::rsa;
    out.key_ = rsa_key(jwk, out.rsa_exponent_);
    if (out.key_ == nullptr) return unusable;
  } else if (*type == "EC") {
    out.type_ = KeyType::p256;
    out.key_ = p256_key(jwk);
    if (out.key_ == nullptr) return unusable;
  } else if (*type == "OKP" && text_member(jwk, "crv") == "Ed25519") {
    const auto raw = binary_member(jwk, "x", out.ed25519_.size());
    if (!raw || raw->size() != out.ed25519_.size()) return unusable;
    out.type_ = KeyType::ed25519;
    std::ranges::copy(*raw, out.ed25519_.begin());
  } else {
    return unusable;
  }
  return out;
}

Checked<PublicKey> PublicKey::from_jwk_text(std::string_view text) {
  const auto value = json::parse(text, {.max_bytes = 16384, .max_depth = 8, .max_nodes = 256});
  if (!value || !value->is_object()) return std::unexpected(Refusal::malformed);
  return from_jwk(value->get_object());
}

PublicKey PublicKey::from_ed25519(Bytes raw) {
  PublicKey out;
  require(raw.size() == out.ed25519_.size());
  out.type_ = KeyType::ed25519;
  std::ranges::copy(raw, out.ed25519_.begin());
  return out;
}

bool PublicKey::fits(Algorithm algorithm) const {
  return type_ == key_type_of(algorithm) && (algorithm_name_.empty() || algorithm_name_ == to_string(algorithm));
}

bool PublicKey::verify(Algorithm algorithm, Bytes message, Bytes signature) const {
  require(fits(algorithm));
  if (type_ == KeyType::ed25519) return ed25519_verify(ed25519_, message, signature);
  const ErrorQueueGuard guard;
  if (type_ == KeyType::rsa && signature.size() != static_cast<std::size_t>(EVP_PKEY_get_size(key_.get())))
    return false;
  ByteVector der;
  if (type_ == KeyType::p256) {
    auto converted = der_of_raw(signature);
    if (!converted) return false;
    der = std::move(*converted);
    signature = der;
  }
  const Ptr<EVP_MD_CTX> context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* key_context = nullptr;
  require(context != nullptr);
  return EVP_DigestVerifyInit(context.get(), &key_context, digest_of(algorithm), nullptr, key_.get()) == 1 &&
         set_padding(key_context, algorithm) &&
         EVP_DigestVerify(context.get(), signature.data(), signature.size(), message.data(), message.size()) == 1;
}

Checked<KeySet> KeySet::parse(std::string_view text, std::size_t max_bytes, std::size_t max_keys) {
  const auto value = json::parse(text, {.max_bytes = max_bytes, .max_depth = 8, .max_nodes = 8192});
  if (!value || !value->is_object()) return std::unexpected(Refusal::malformed);
  const auto* const keys = value->get_object().if_contains("keys");
  if (keys == nullptr || !keys->is_array() || keys->get_array().size() > max_keys)
    return std::unexpected(Refusal::malformed);
  KeySet out;
  for (const boost::json::value& item : keys->get_array()) {
    if (!item.is_object()) return std::unexpected(Refusal::malformed);
    const auto kid = text_member(item.get_object(), "kid");
    if (!kid || kid->empty()) continue;  // no token can name it
    auto key = PublicKey::from_jwk(item.get_object());
    out.entries_.push_back({std::string(*kid), key ? std::optional(std::move(*key)) : std::nullopt});
  }
  return out;
}

bool KeySet::contains(std::string_view kid) const {
  return std::ranges::any_of(entries_, [&](const Entry& entry) { return entry.kid == kid; });
}

Checked<const PublicKey*> KeySet::find(std::string_view kid, Algorithm algorithm) const {
  const auto count = std::ranges::count_if(entries_, [&](const Entry& entry) { return entry.kid == kid; });
  if (count == 0) return std::unexpected(Refusal::key_unknown);
  const auto found = std::ranges::find_if(entries_, [&](const Entry& entry) { return entry.kid == kid; });
  if (count > 1 || !found->key || !found->key->fits(algorithm)) return std::unexpected(Refusal::key_unusable);
  return &*found->key;
}

std::optional<PrivateKey> PrivateKey::from_pem(std::string_view pem) {
  const ErrorQueueGuard guard;
  constexpr std::size_t kMaxPemBytes = 16384;
  if (pem.size() > kMaxPemBytes) return std::nullopt;
  if (const auto ed25519 = Ed25519PrivateKey::from_pkcs8_pem(pem)) return from_ed25519(*ed25519);
  const Ptr<BIO> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  require(bio != nullptr);
  // Without a callback OpenSSL would ask for a passphrase on the terminal.
  const auto no_passphrase = [](char*, int, int, void*) { return -1; };
  PrivateKey out;
  out.key_ = owned(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr));
  if (out.key_ == nullptr) return std::nullopt;
  const int type = EVP_PKEY_get_base_id(out.key_.get());
  out.public_.type_ = type == EVP_PKEY_RSA ? KeyType::rsa : KeyType::p256;
  if (type != EVP_PKEY_RSA && type != EVP_PKEY_EC) return std::nullopt;
  if (type == EVP_PKEY_EC) {
    std::array<char, 32> group{};
    std::size_t length = 0;
    if (EVP_PKEY_get_group_name(out.key_.get(), group.data(), group.size(), &length) != 1) return std::nullopt;
    if (std::string_view(group.data(), length) != "prime256v1") return std::nullopt;
  }
  // Read back through the JWK, so that one set of checks serves both.
  auto checked = PublicKey::from_jwk_text(out.public_jwk(""));
  if (!checked) return std::nullopt;
  out.public_ = std::move(*checked);
  out.public_.kid_.clear();
  return out;
}

PrivateKey PrivateKey::from_ed25519(const Ed25519PrivateKey& key) {
  PrivateKey out;
  out.public_ = PublicKey::from_ed25519(key.public_key());
  out.ed25519_ = key;
  return out;
}

std::string PrivateKey::public_jwk(std::string_view kid, std::optional<Algorithm> algorithm) const {
  std::string out = R"({"use":"sig","kid":)" + json::quote(kid);
  if (algorithm) out += R"(,"alg":")" + std::string(to_string(*algorithm)) + '"';
  switch (public_.type_) {
    case KeyType::rsa:
      out += R"(,"kty":"RSA","n":")" + number_member(key_.get(), OSSL_PKEY_PARAM_RSA_N) + R"(","e":")" +
             number_member(key_.get(), OSSL_PKEY_PARAM_RSA_E);
      break;
    case KeyType::p256:
      out += R"(,"kty":"EC","crv":"P-256","x":")" + number_member(key_.get(), OSSL_PKEY_PARAM_EC_PUB_X, kP256Bytes) +
             R"(","y":")" + number_member(key_.get(), OSSL_PKEY_PARAM_EC_PUB_Y, kP256Bytes);
      break;
    case KeyType::ed25519: out += R"(,"kty":"OKP","crv":"Ed25519","x":")" + to_base64url(public_.ed25519_); break;
  }
  return out + "\"}";
}

std::optional<ByteVector> PrivateKey::sign(Algorithm algorithm, Bytes message) const {
  if (!public_.fits(algorithm)) return std::nullopt;
  if (ed25519_) {
    const auto signature = ed25519_->sign(message);
    return ByteVector(signature.begin(), signature.end());
  }
  const ErrorQueueGuard guard;
  const Ptr<EVP_MD_CTX> context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* key_context = nullptr;
  require(context != nullptr);
  std::size_t size = static_cast<std::size_t>(EVP_PKEY_get_size(key_.get()));
  ByteVector out(size);
  if (EVP_DigestSignInit(context.get(), &key_context, digest_of(algorithm), nullptr, key_.get()) != 1 ||
      !set_padding(key_context, algorithm) ||
      EVP_DigestSign(context.get(), out.data(), &size, message.data(), message.size()) != 1)
    return std::nullopt;
  out.resize(size);
  if (public_.type_ == KeyType::p256) return raw_of_der(out);
  return out;
}

}  // namespace ee::jose
