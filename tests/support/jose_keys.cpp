#include "tests/support/jose_keys.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <memory>
#include <stdexcept>

#include "common/bytes.h"

namespace ee::testing {
namespace {

struct Deleter {
  void operator()(BIO* p) const { BIO_free_all(p); }
  void operator()(BIGNUM* p) const { BN_free(p); }
  void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
  void operator()(EVP_PKEY_CTX* p) const { EVP_PKEY_CTX_free(p); }
};
template <class T>
using Ptr = std::unique_ptr<T, Deleter>;

void need(bool done) {
  if (!done) throw std::runtime_error("OpenSSL cannot make a key");
}

std::string pem_of(EVP_PKEY* key) {
  const Ptr<BIO> bio(BIO_new(BIO_s_mem()));
  need(PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

std::string number_of(EVP_PKEY* key, const char* name) {
  BIGNUM* raw = nullptr;
  need(EVP_PKEY_get_bn_param(key, name, &raw) == 1);
  const Ptr<BIGNUM> number(raw);
  ByteVector bytes(static_cast<std::size_t>(BN_num_bytes(number.get())));
  BN_bn2bin(number.get(), bytes.data());
  return to_base64url(bytes);
}

}  // namespace

RsaKeyText make_rsa_key(int bits, unsigned exponent) {
  const Ptr<EVP_PKEY_CTX> context(EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr));
  const Ptr<BIGNUM> e(BN_new());
  need(context != nullptr && e != nullptr && BN_set_word(e.get(), exponent) == 1);
  need(EVP_PKEY_keygen_init(context.get()) == 1 && EVP_PKEY_CTX_set_rsa_keygen_bits(context.get(), bits) == 1 &&
       EVP_PKEY_CTX_set1_rsa_keygen_pubexp(context.get(), e.get()) == 1);
  EVP_PKEY* raw = nullptr;
  need(EVP_PKEY_generate(context.get(), &raw) == 1);
  const Ptr<EVP_PKEY> key(raw);
  return {.pem = pem_of(key.get()),
          .n = number_of(key.get(), OSSL_PKEY_PARAM_RSA_N),
          .e = number_of(key.get(), OSSL_PKEY_PARAM_RSA_E)};
}

std::string make_p256_pem() {
  const Ptr<EVP_PKEY> key(EVP_EC_gen("P-256"));
  need(key != nullptr);
  return pem_of(key.get());
}

}  // namespace ee::testing
