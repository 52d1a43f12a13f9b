#include "tests/support/test_pki.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "common/require.h"

namespace ee::testing {
namespace {

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
template <class T, auto Free>
using Owned = std::unique_ptr<T, Deleter<Free>>;

void set_common_name(X509_NAME* name, const std::string& common_name, bool twice = false) {
  for (int i = 0; i < (twice ? 2 : 1); ++i)
    require(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                       reinterpret_cast<const unsigned char*>(common_name.data()),
                                       static_cast<int>(common_name.size()), -1, 0) == 1);
}

Owned<ASN1_INTEGER, ASN1_INTEGER_free> integer_of(const ByteVector& bytes) {
  const Owned<BIGNUM, BN_free> number(BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr));
  return Owned<ASN1_INTEGER, ASN1_INTEGER_free>(BN_to_ASN1_INTEGER(number.get(), nullptr));
}

Owned<ASN1_TIME, ASN1_TIME_free> time_of(const std::string& text) {
  Owned<ASN1_TIME, ASN1_TIME_free> time(ASN1_TIME_new());
  require(ASN1_TIME_set_string_X509(time.get(), text.c_str()) == 1);
  return time;
}

Owned<X509_EXTENSION, X509_EXTENSION_free> extension_of(const TestExtension& wanted) {
  const Owned<ASN1_OBJECT, ASN1_OBJECT_free> oid(OBJ_txt2obj(wanted.oid.c_str(), 1));
  const Owned<ASN1_OCTET_STRING, ASN1_OCTET_STRING_free> data(ASN1_OCTET_STRING_new());
  require(oid && ASN1_OCTET_STRING_set(data.get(), wanted.value.data(), static_cast<int>(wanted.value.size())) == 1);
  return Owned<X509_EXTENSION, X509_EXTENSION_free>(
      X509_EXTENSION_create_by_OBJ(nullptr, oid.get(), wanted.critical ? 1 : 0, data.get()));
}

void add_text_extension(X509* certificate, int nid, const std::string& text) {
  if (text.empty()) return;
  const Owned<X509_EXTENSION, X509_EXTENSION_free> extension(X509V3_EXT_conf_nid(nullptr, nullptr, nid, text.c_str()));
  require(extension && X509_add_ext(certificate, extension.get(), -1) == 1);
}

const EVP_MD* digest_of(const std::string& name) {
  const EVP_MD* digest = EVP_get_digestbyname(name.c_str());
  require(digest != nullptr);
  return digest;
}

template <class T, class Encode>
ByteVector der_of(T* object, Encode encode) {
  unsigned char* der = nullptr;
  const int size = encode(object, &der);
  require(size > 0);
  ByteVector out(der, der + size);
  OPENSSL_free(der);
  return out;
}

}  // namespace

TestKey::TestKey(evp_pkey_st* key) : key_(key, EVP_PKEY_free) { require(key != nullptr); }
TestKey TestKey::p256() { return TestKey(EVP_EC_gen("P-256")); }
TestKey TestKey::p384() { return TestKey(EVP_EC_gen("P-384")); }
TestKey TestKey::rsa() { return TestKey(EVP_RSA_gen(2048)); }

ByteArray<64> TestKey::point() const {
  ByteArray<65> encoded{};
  std::size_t size = 0;
  require(EVP_PKEY_get_octet_string_param(handle(), OSSL_PKEY_PARAM_PUB_KEY, encoded.data(), encoded.size(), &size) ==
              1 &&
          size == encoded.size());
  ByteArray<64> point{};
  std::copy(encoded.begin() + 1, encoded.end(), point.begin());
  return point;
}

ByteArray<64> TestKey::sign(Bytes message) const {
  const Owned<EVP_MD_CTX, EVP_MD_CTX_free> context(EVP_MD_CTX_new());
  ByteArray<80> der{};
  std::size_t size = der.size();
  require(EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, handle()) == 1 &&
          EVP_DigestSign(context.get(), der.data(), &size, message.data(), message.size()) == 1);
  const unsigned char* at = der.data();
  const Owned<ECDSA_SIG, ECDSA_SIG_free> signature(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(size)));
  ByteArray<64> out{};
  require(signature && BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), out.data(), 32) == 32 &&
          BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), out.data() + 32, 32) == 32);
  return out;
}

ByteVector make_certificate_der(const TestCertificate& wanted) {
  const Owned<X509, X509_free> certificate(X509_new());
  require(X509_set_version(certificate.get(), wanted.version) == 1 &&
          X509_set_serialNumber(certificate.get(), integer_of(wanted.serial).get()) == 1);
  set_common_name(X509_get_subject_name(certificate.get()), wanted.common_name, wanted.second_common_name);
  set_common_name(X509_get_issuer_name(certificate.get()), wanted.issuer);
  require(X509_set1_notBefore(certificate.get(), time_of(wanted.not_before).get()) == 1 &&
          X509_set1_notAfter(certificate.get(), time_of(wanted.not_after).get()) == 1 &&
          X509_set_pubkey(certificate.get(), wanted.key.handle()) == 1);
  add_text_extension(certificate.get(), NID_basic_constraints, wanted.basic_constraints);
  add_text_extension(certificate.get(), NID_key_usage, wanted.key_usage);
  for (const TestExtension& extension : wanted.extensions)
    require(X509_add_ext(certificate.get(), extension_of(extension).get(), -1) == 1);
  require(X509_sign(certificate.get(), wanted.issuer_key.handle(), digest_of(wanted.digest)) > 0);
  return der_of(certificate.get(), i2d_X509);
}

ByteVector make_crl_der(const TestCrl& wanted) {
  const Owned<X509_CRL, X509_CRL_free> crl(X509_CRL_new());
  const Owned<X509_NAME, X509_NAME_free> issuer(X509_NAME_new());
  set_common_name(issuer.get(), wanted.issuer);
  require(X509_CRL_set_version(crl.get(), wanted.version) == 1 &&
          X509_CRL_set_issuer_name(crl.get(), issuer.get()) == 1 &&
          X509_CRL_set1_lastUpdate(crl.get(), time_of(wanted.this_update).get()) == 1);
  if (!wanted.next_update.empty()) require(X509_CRL_set1_nextUpdate(crl.get(), time_of(wanted.next_update).get()) == 1);
  for (const ByteVector& serial : wanted.revoked) {
    Owned<X509_REVOKED, X509_REVOKED_free> entry(X509_REVOKED_new());
    require(X509_REVOKED_set_serialNumber(entry.get(), integer_of(serial).get()) == 1 &&
            X509_REVOKED_set_revocationDate(entry.get(), time_of(wanted.this_update).get()) == 1);
    for (const TestExtension& extension : wanted.entry_extensions)
      require(X509_REVOKED_add_ext(entry.get(), extension_of(extension).get(), -1) == 1);
    require(X509_CRL_add0_revoked(crl.get(), entry.release()) == 1);
  }
  for (const TestExtension& extension : wanted.extensions)
    require(X509_CRL_add_ext(crl.get(), extension_of(extension).get(), -1) == 1);
  require(X509_CRL_sign(crl.get(), wanted.issuer_key.handle(), digest_of(wanted.digest)) > 0);
  return der_of(crl.get(), i2d_X509_CRL);
}

std::string to_pem(Bytes der, const std::string& label) {
  constexpr std::size_t kLine = 64;
  const std::string base64 = to_base64(der);
  std::string pem = "-----BEGIN " + label + "-----\n";
  for (std::size_t at = 0; at < base64.size(); at += kLine) pem += base64.substr(at, kLine) + "\n";
  return pem + "-----END " + label + "-----\n";
}

std::string to_pem(const std::vector<ByteVector>& certificates) {
  std::string pem;
  for (const ByteVector& der : certificates) pem += to_pem(der);
  return pem;
}

}  // namespace ee::testing
