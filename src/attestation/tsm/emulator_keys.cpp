#include "attestation/tsm/emulator_keys.h"

#ifdef EE_EMULATOR

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>

#include "common/crypto.h"
#include "common/require.h"

namespace ee::attestation::emulator {

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

using OwnedBignum = Owned<BIGNUM, BN_free>;
using OwnedInteger = Owned<ASN1_INTEGER, ASN1_INTEGER_free>;
using OwnedTime = Owned<ASN1_TIME, ASN1_TIME_free>;
using OwnedExtension = Owned<X509_EXTENSION, X509_EXTENSION_free>;

// Nothing here depends on outside input, so a failing OpenSSL call is a broken invariant (or out of memory).

OwnedBignum bignum_of(Bytes bytes) {
  OwnedBignum number(BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr));
  require(number != nullptr);
  return number;
}

OwnedInteger integer_of(Bytes bytes) {
  OwnedInteger integer(BN_to_ASN1_INTEGER(bignum_of(bytes).get(), nullptr));
  require(integer != nullptr);
  return integer;
}

OwnedTime time_of(UtcTime time) {
  OwnedTime out(ASN1_TIME_set(nullptr, static_cast<time_t>(unix_ms(time) / 1000)));
  require(out != nullptr);
  return out;
}

ByteArray<64> public_point(const OwnedBignum& scalar) {
  const Owned<EC_GROUP, EC_GROUP_free> group(EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1));
  const Owned<EC_POINT, EC_POINT_free> point(EC_POINT_new(group.get()));
  require(EC_POINT_mul(group.get(), point.get(), scalar.get(), nullptr, nullptr, nullptr) == 1);
  ByteArray<65> encoded{};
  require(EC_POINT_point2oct(group.get(), point.get(), POINT_CONVERSION_UNCOMPRESSED, encoded.data(), encoded.size(),
                             nullptr) == encoded.size());
  ByteArray<64> out{};
  std::copy(encoded.begin() + 1, encoded.end(), out.begin());
  return out;
}

void set_name(X509_NAME* name, const std::string& common_name) {
  const auto add = [&](const char* field, const std::string& value) {
    require(X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(value.data()),
                                       static_cast<int>(value.size()), -1, 0) == 1);
  };
  add("CN", common_name);
  add("O", "easyenclave EMULATED");
  add("L", "Nowhere");
  add("ST", "CA");
  add("C", "US");
}

OwnedExtension text_extension(X509V3_CTX* context, int nid, const char* value) {
  OwnedExtension extension(X509V3_EXT_conf_nid(nullptr, context, nid, value));
  require(extension != nullptr);
  return extension;
}

/// SHA-1 of the subject public key, as RFC 5280 section 4.2.1.2 (1) has it.
ByteVector key_identifier(const P256Key& key) {
  ByteVector point = {4};
  append(point, key.public_key());
  ByteVector out(20);
  unsigned int size = 0;
  require(EVP_Digest(point.data(), point.size(), out.data(), &size, EVP_sha1(), nullptr) == 1 && size == 20);
  return out;
}

OwnedExtension authority_key_extension(const P256Key& issuer_key) {
  const Owned<AUTHORITY_KEYID, AUTHORITY_KEYID_free> id(AUTHORITY_KEYID_new());
  require(id != nullptr);
  const ByteVector bytes = key_identifier(issuer_key);
  id->keyid = ASN1_OCTET_STRING_new();
  require(ASN1_OCTET_STRING_set(id->keyid, bytes.data(), static_cast<int>(bytes.size())) == 1);
  OwnedExtension extension(X509V3_EXT_i2d(NID_authority_key_identifier, 0, id.get()));
  require(extension != nullptr);
  return extension;
}

void add_sgx_extension(X509* certificate, const ByteVector& value) {
  const Owned<ASN1_OBJECT, ASN1_OBJECT_free> oid(OBJ_txt2obj("1.2.840.113741.1.13.1", 1));
  const Owned<ASN1_OCTET_STRING, ASN1_OCTET_STRING_free> data(ASN1_OCTET_STRING_new());
  require(ASN1_OCTET_STRING_set(data.get(), value.data(), static_cast<int>(value.size())) == 1);
  const OwnedExtension extension(X509_EXTENSION_create_by_OBJ(nullptr, oid.get(), 0, data.get()));
  require(extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1);
}

void add_extensions(X509* certificate, const CertificateSpec& spec) {
  X509V3_CTX context{};
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  const bool is_ca = spec.ca_path_length >= 0;
  const std::string constraints =
      is_ca ? "critical,CA:TRUE,pathlen:" + std::to_string(spec.ca_path_length) : "critical,CA:FALSE";
  const auto add = [&](const OwnedExtension& extension) {
    require(X509_add_ext(certificate, extension.get(), -1) == 1);
  };
  add(authority_key_extension(spec.issuer_key));
  add(text_extension(&context, NID_crl_distribution_points, "URI:http://crl.invalid/emulated.der"));
  add(text_extension(&context, NID_subject_key_identifier, "hash"));
  add(text_extension(&context, NID_key_usage,
                     is_ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature,nonRepudiation"));
  add(text_extension(&context, NID_basic_constraints, constraints.c_str()));
  if (!spec.sgx_extension.empty()) add_sgx_extension(certificate, spec.sgx_extension);
}

}  // namespace

P256Key P256Key::from_label(std::string_view label) {
  const auto secret = sha256(bytes_of(label));
  const OwnedBignum scalar = bignum_of(secret);
  P256Key out;
  out.public_key_ = public_point(scalar);
  ByteVector encoded = {4};
  append(encoded, out.public_key_);

  const Owned<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free> builder(OSSL_PARAM_BLD_new());
  require(OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, SN_X9_62_prime256v1, 0) == 1 &&
          OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, encoded.data(), encoded.size()) ==
              1 &&
          OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_PRIV_KEY, scalar.get()) == 1);
  const Owned<OSSL_PARAM, OSSL_PARAM_free> params(OSSL_PARAM_BLD_to_param(builder.get()));
  const Owned<EVP_PKEY_CTX, EVP_PKEY_CTX_free> context(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
  EVP_PKEY* key = nullptr;
  require(EVP_PKEY_fromdata_init(context.get()) == 1 &&
          EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_KEYPAIR, params.get()) == 1);
  out.key_ = std::shared_ptr<EVP_PKEY>(key, EVP_PKEY_free);
  return out;
}

ByteArray<64> P256Key::sign(Bytes message) const {
  const Owned<EVP_MD_CTX, EVP_MD_CTX_free> context(EVP_MD_CTX_new());
  ByteArray<80> der{};  // two integers of at most 33 bytes, with their tags
  std::size_t size = der.size();
  require(EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key_.get()) == 1 &&
          EVP_DigestSign(context.get(), der.data(), &size, message.data(), message.size()) == 1);
  const unsigned char* at = der.data();
  const Owned<ECDSA_SIG, ECDSA_SIG_free> signature(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(size)));
  ByteArray<64> out{};
  require(signature != nullptr && BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), out.data(), 32) == 32 &&
          BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), out.data() + 32, 32) == 32);
  return out;
}

ByteVector serial_of(std::string_view label) {
  const auto hash = sha256(bytes_of(label));
  ByteVector serial(hash.begin(), hash.begin() + 20);
  serial[0] = static_cast<std::uint8_t>((serial[0] & 0x7f) | 0x40);  // positive, and always twenty bytes
  return serial;
}

std::string make_certificate(const CertificateSpec& spec) {
  const Owned<X509, X509_free> certificate(X509_new());
  require(certificate != nullptr && X509_set_version(certificate.get(), X509_VERSION_3) == 1);
  require(X509_set_serialNumber(certificate.get(), integer_of(spec.serial).get()) == 1);
  set_name(X509_get_subject_name(certificate.get()), spec.subject);
  set_name(X509_get_issuer_name(certificate.get()), spec.issuer);
  require(X509_set1_notBefore(certificate.get(), time_of(spec.not_before).get()) == 1);
  require(X509_set1_notAfter(certificate.get(), time_of(spec.not_after).get()) == 1);
  require(X509_set_pubkey(certificate.get(), spec.subject_key.handle()) == 1);
  add_extensions(certificate.get(), spec);
  require(X509_sign(certificate.get(), spec.issuer_key.handle(), EVP_sha256()) > 0);

  const Owned<BIO, BIO_free> bio(BIO_new(BIO_s_mem()));
  require(PEM_write_bio_X509(bio.get(), certificate.get()) == 1);
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return {text, static_cast<std::size_t>(size)};
}

ByteVector make_crl(const CrlSpec& spec) {
  const Owned<X509_CRL, X509_CRL_free> crl(X509_CRL_new());
  require(crl != nullptr && X509_CRL_set_version(crl.get(), X509_CRL_VERSION_2) == 1);
  const Owned<X509_NAME, X509_NAME_free> issuer(X509_NAME_new());
  set_name(issuer.get(), spec.issuer);
  require(X509_CRL_set_issuer_name(crl.get(), issuer.get()) == 1);
  require(X509_CRL_set1_lastUpdate(crl.get(), time_of(spec.this_update).get()) == 1);
  require(X509_CRL_set1_nextUpdate(crl.get(), time_of(spec.next_update).get()) == 1);
  for (const ByteVector& serial : spec.revoked_serials) {
    Owned<X509_REVOKED, X509_REVOKED_free> entry(X509_REVOKED_new());
    require(X509_REVOKED_set_serialNumber(entry.get(), integer_of(serial).get()) == 1);
    require(X509_REVOKED_set_revocationDate(entry.get(), time_of(spec.this_update).get()) == 1);
    require(X509_CRL_add0_revoked(crl.get(), entry.release()) == 1);
  }
  const OwnedInteger number = integer_of(ByteArray<1>{1});
  require(X509_CRL_add1_ext_i2d(crl.get(), NID_crl_number, number.get(), 0, 0) == 1);
  require(X509_CRL_add_ext(crl.get(), authority_key_extension(spec.issuer_key).get(), -1) == 1);
  require(X509_CRL_sort(crl.get()) == 1 && X509_CRL_sign(crl.get(), spec.issuer_key.handle(), EVP_sha256()) > 0);
  unsigned char* der = nullptr;
  const int size = i2d_X509_CRL(crl.get(), &der);
  require(size > 0);
  ByteVector out(der, der + size);
  OPENSSL_free(der);
  return out;
}

}  // namespace ee::attestation::emulator

#endif
