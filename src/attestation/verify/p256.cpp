#include "attestation/verify/p256.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <algorithm>
#include <string>

#include "common/require.h"

namespace ee::attestation {
namespace {

struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
struct FreeKeyContext {
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
};
using Key = std::unique_ptr<EVP_PKEY, FreeKey>;
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, FreeKeyContext>;

/// A key that has the curve and no point. Building the curve's group costs three times what copying it does.
EVP_PKEY* curve_only() {
  static const Key key = [] {
    const KeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
    require(context && EVP_PKEY_fromdata_init(context.get()) == 1);
    std::string group = "P-256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group.data(), 0),
                           OSSL_PARAM_construct_end()};
    EVP_PKEY* made = nullptr;
    require(EVP_PKEY_fromdata(context.get(), &made, EVP_PKEY_KEY_PARAMETERS, params) == 1);
    return Key(made);
  }();
  return key.get();
}

/// Fetched once: EVP_sha256() makes OpenSSL 3 look the algorithm up on every use.
const EVP_MD* sha256_algorithm() {
  static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  require(algorithm != nullptr);
  return algorithm;
}

constexpr std::uint8_t kDerSequence = 0x30;
constexpr std::uint8_t kDerInteger = 0x02;
constexpr std::size_t kScalarBytes = 32;
/// SEQUENCE header, and two INTEGERs with header, sign byte and scalar.
constexpr std::size_t kMaxDerSignature = 2 + 2 * (2 + 1 + kScalarBytes);

/// Appends a DER INTEGER of a big-endian scalar and returns the new end.
std::uint8_t* put_integer(std::uint8_t* out, Bytes scalar) {
  while (scalar.size() > 1 && scalar.front() == 0) scalar = scalar.subspan(1);
  const bool needs_sign_byte = (scalar.front() & 0x80) != 0;
  *out++ = kDerInteger;
  *out++ = static_cast<std::uint8_t>(scalar.size() + (needs_sign_byte ? 1 : 0));
  if (needs_sign_byte) *out++ = 0;
  return std::copy(scalar.begin(), scalar.end(), out);
}

/// Ecdsa-Sig-Value of RFC 3279 section 2.2.3, the only form that EVP takes. Returns its length.
std::size_t to_der_signature(std::span<const std::uint8_t, 64> raw, ByteArray<kMaxDerSignature>& out) {
  std::uint8_t* end = put_integer(out.data() + 2, raw.first<kScalarBytes>());
  end = put_integer(end, raw.last<kScalarBytes>());
  const auto size = static_cast<std::size_t>(end - out.data());
  out[0] = kDerSequence;
  out[1] = static_cast<std::uint8_t>(size - 2);
  return size;
}

}  // namespace

struct P256PublicKey::Prepared {
  ByteArray<64> point;
  Key key;
  KeyContext verify;  // never used itself: every verification works on a copy
};

std::optional<P256PublicKey> P256PublicKey::from_point(std::span<const std::uint8_t, 64> point) {
  auto prepared = std::make_shared<Prepared>();
  std::ranges::copy(point, prepared->point.begin());
  ByteArray<65> encoded;
  encoded[0] = 0x04;  // SEC 1 section 2.3.3: uncompressed
  std::ranges::copy(point, encoded.begin() + 1);

  prepared->key.reset(EVP_PKEY_new());
  require(prepared->key && EVP_PKEY_copy_parameters(prepared->key.get(), curve_only()) == 1);
  if (EVP_PKEY_set1_encoded_public_key(prepared->key.get(), encoded.data(), encoded.size()) != 1) {
    ERR_clear_error();
    return std::nullopt;
  }
  prepared->verify.reset(EVP_PKEY_CTX_new_from_pkey(nullptr, prepared->key.get(), nullptr));
  require(prepared->verify && EVP_PKEY_verify_init(prepared->verify.get()) == 1);
  return P256PublicKey(std::move(prepared));
}

const ByteArray<64>& P256PublicKey::point() const { return prepared_->point; }

bool P256PublicKey::verify(Bytes message, std::span<const std::uint8_t, 64> signature) const {
  const ByteArray<32> digest = openssl_sha256(message);
  ByteArray<kMaxDerSignature> der;
  const std::size_t der_size = to_der_signature(signature, der);
  const KeyContext context(EVP_PKEY_CTX_dup(prepared_->verify.get()));
  if (context && EVP_PKEY_verify(context.get(), der.data(), der_size, digest.data(), digest.size()) == 1) return true;
  ERR_clear_error();  // OpenSSL's per-thread queue: the next TLS connection would find the failure there
  return false;
}

ByteArray<32> openssl_sha256(Bytes message) {
  ByteArray<32> digest;
  unsigned int size = digest.size();
  require(EVP_Digest(message.data(), message.size(), digest.data(), &size, sha256_algorithm(), nullptr) == 1);
  return digest;
}

}  // namespace ee::attestation
