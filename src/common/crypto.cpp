#include "common/crypto.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <zlib.h>

#include <memory>

#include "common/require.h"

namespace ee {
namespace {

struct ContextDeleter {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

/// The implementation is looked up once: OpenSSL 3 would do it again on each call, at several times the cost of hashing
/// a short text. Never freed, so that hashing still works while other static objects are destroyed.
const EVP_MD* fetch(const char* name) {
  const EVP_MD* md = EVP_MD_fetch(nullptr, name, nullptr);
  require(md != nullptr);
  return md;
}

/// The digest of `first` and `second`, one after the other.
template <std::size_t N>
ByteArray<N> digest(const EVP_MD* md, Bytes first, Bytes second = {}) {
  thread_local const std::unique_ptr<EVP_MD_CTX, ContextDeleter> context(EVP_MD_CTX_new());
  ByteArray<N> out;
  unsigned length = 0;
  require(context != nullptr && EVP_DigestInit_ex2(context.get(), md, nullptr) == 1 &&
          EVP_DigestUpdate(context.get(), first.data(), first.size()) == 1 &&
          EVP_DigestUpdate(context.get(), second.data(), second.size()) == 1 &&
          EVP_DigestFinal_ex(context.get(), out.data(), &length) == 1 && length == N);
  return out;
}

const EVP_MD* sha256_implementation() {
  static const EVP_MD* const md = fetch("SHA256");
  return md;
}

}  // namespace

void require_sodium() {
  static const bool ready = sodium_init() >= 0;  // 1 = somebody else has already done it
  require(ready);
}

ByteArray<32> sha256(Bytes data) { return digest<32>(sha256_implementation(), data); }
ByteArray<48> sha384(Bytes data) {
  static const EVP_MD* const md = fetch("SHA384");
  return digest<48>(md, data);
}
ByteArray<64> sha512(Bytes data) {
  static const EVP_MD* const md = fetch("SHA512");
  return digest<64>(md, data);
}

ByteArray<32> hmac_sha256(Bytes key, Bytes data) { return HmacSha256Key(key).of(data); }

HmacSha256Key::HmacSha256Key(Bytes key) {
  const bool is_long = key.size() > inner_.size();
  const ByteArray<32> shortened = is_long ? sha256(key) : ByteArray<32>{};
  if (is_long) key = shortened;
  inner_.fill(0x36);
  outer_.fill(0x5c);
  for (std::size_t i = 0; i < key.size(); ++i) {
    inner_[i] ^= key[i];
    outer_[i] ^= key[i];
  }
}

HmacSha256Key::~HmacSha256Key() {
  OPENSSL_cleanse(inner_.data(), inner_.size());
  OPENSSL_cleanse(outer_.data(), outer_.size());
}

ByteArray<32> HmacSha256Key::of(Bytes data) const {
  return digest<32>(sha256_implementation(), outer_, digest<32>(sha256_implementation(), inner_, data));
}

ByteArray<32> hkdf_sha256(Bytes key, std::string_view info) {
  const ByteArray<32> no_salt{};
  ByteArray<32> extracted = hmac_sha256(no_salt, key);
  ByteVector block(info.begin(), info.end());
  block.push_back(1);  // the first and only block of output
  const ByteArray<32> out = hmac_sha256(extracted, block);
  OPENSSL_cleanse(extracted.data(), extracted.size());
  return out;
}

std::uint32_t crc32(Bytes data) {
  return static_cast<std::uint32_t>(::crc32_z(::crc32_z(0, nullptr, 0), data.data(), data.size()));
}

}  // namespace ee
