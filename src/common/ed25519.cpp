#include "common/ed25519.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sodium.h>

#include <algorithm>
#include <memory>

#include "common/crypto.h"
#include "common/require.h"

namespace ee {
namespace {

struct Deleter {
  void operator()(BIO* bio) const { BIO_free_all(bio); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using BioPtr = std::unique_ptr<BIO, Deleter>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Deleter>;

/// Refuses to give a passphrase; without it OpenSSL would ask on the terminal.
int no_passphrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*user*/) { return -1; }

}  // namespace

Ed25519PrivateKey::Ed25519PrivateKey(const ByteArray<32>& seed) {
  require_sodium();
  ByteArray<32> public_key;
  require(crypto_sign_seed_keypair(public_key.data(), secret_.data(), seed.data()) == 0);
}

Ed25519PrivateKey::Ed25519PrivateKey(Ed25519PrivateKey&& other) noexcept : secret_(other.secret_) {
  sodium_memzero(other.secret_.data(), other.secret_.size());
}

Ed25519PrivateKey& Ed25519PrivateKey::operator=(Ed25519PrivateKey&& other) noexcept {
  if (this != &other) {
    secret_ = other.secret_;
    sodium_memzero(other.secret_.data(), other.secret_.size());
  }
  return *this;
}

Ed25519PrivateKey::~Ed25519PrivateKey() { sodium_memzero(secret_.data(), secret_.size()); }

std::optional<Ed25519PrivateKey> Ed25519PrivateKey::from_seed(Bytes seed) {
  if (seed.size() != 32) return std::nullopt;
  ByteArray<32> copy;
  std::ranges::copy(seed, copy.begin());
  Ed25519PrivateKey key(copy);
  sodium_memzero(copy.data(), copy.size());
  return key;
}

std::optional<Ed25519PrivateKey> Ed25519PrivateKey::from_pkcs8_pem(std::string_view pem) {
  constexpr std::size_t kMaxPemBytes = 4096;
  if (pem.size() > kMaxPemBytes) return std::nullopt;
  const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  require(bio != nullptr);
  const KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr));
  if (key == nullptr || EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_ED25519) return std::nullopt;
  ByteArray<32> seed;
  std::size_t length = seed.size();
  if (EVP_PKEY_get_raw_private_key(key.get(), seed.data(), &length) != 1) return std::nullopt;
  auto out = from_seed(Bytes(seed).first(length));
  sodium_memzero(seed.data(), seed.size());
  return out;
}

std::optional<Ed25519PrivateKey> Ed25519PrivateKey::generate(Random& random) {
  ByteArray<32> seed{};
  if (!random.fill(seed)) return std::nullopt;
  auto out = from_seed(seed);
  sodium_memzero(seed.data(), seed.size());
  return out;
}

ByteArray<32> Ed25519PrivateKey::public_key() const {
  ByteArray<32> out;
  std::copy_n(secret_.begin() + 32, 32, out.begin());
  return out;
}

ByteArray<64> Ed25519PrivateKey::sign(Bytes message) const {
  ByteArray<64> signature;
  require(crypto_sign_detached(signature.data(), nullptr, message.data(), message.size(), secret_.data()) == 0);
  return signature;
}

std::string Ed25519PrivateKey::to_pkcs8_pem() const {
  const KeyPtr key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, secret_.data(), 32));
  const BioPtr bio(BIO_new(BIO_s_secmem()));
  require(key != nullptr && bio != nullptr);
  require(PEM_write_bio_PKCS8PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  require(size > 0);
  return {data, static_cast<std::size_t>(size)};
}

bool ed25519_verify(Bytes public_key, Bytes message, Bytes signature) {
  if (public_key.size() != crypto_sign_PUBLICKEYBYTES || signature.size() != crypto_sign_BYTES) return false;
  require_sodium();
  return crypto_sign_verify_detached(signature.data(), message.data(), message.size(), public_key.data()) == 0;
}

std::string key_id(Bytes public_key) { return to_hex(sha256(public_key)).substr(0, 16); }

}  // namespace ee
