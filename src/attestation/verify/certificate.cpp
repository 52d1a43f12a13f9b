#include "attestation/verify/certificate.h"

#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <optional>

#include "attestation/verify/der.h"
#include "attestation/verify/x509_fields.h"
#include "common/require.h"

namespace ee::attestation {
namespace {

using x509::Owned;

constexpr std::size_t kMaxCertificateBytes = 8192;

/// Context-specific, constructed tags of TBSCertificate (RFC 5280 section 4.1).
constexpr std::uint8_t kVersionTag = 0xa0;
constexpr std::uint8_t kExtensionsTag = 0xa3;
constexpr std::array<std::uint8_t, 3> kVersion3 = {0x02, 0x01, 0x02};
/// SubjectPublicKeyInfo of id-ecPublicKey on the named curve P-256, uncompressed, up to x || y (RFC 5480 section 2).
constexpr std::array<std::uint8_t, 27> kP256KeyInfo = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                                       0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                                       0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04};

/// The fields of a TBSCertificate, cut apart. They look into the certificate.
struct Parts {
  Bytes serial;  ///< contents
  Bytes issuer;  ///< whole element, as the three below
  Bytes not_before;
  Bytes not_after;
  Bytes subject;
  Bytes key;
  Bytes extensions;
};

/// d2i_X509 would do this too, and decode the key by a search through all of OpenSSL's decoders: 0.1 ms each.
std::optional<Parts> cut(Bytes signed_part) {
  const auto contents = DerReader(signed_part).read(der_tag::kSequence);
  if (!contents) return std::nullopt;
  DerReader fields(*contents);
  const auto sequence = [&fields]() -> std::optional<Bytes> {
    const auto element = fields.read_any();
    if (!element || element->tag != der_tag::kSequence) return std::nullopt;
    return element->whole;
  };
  const auto version = fields.read(kVersionTag);
  if (!version || !std::ranges::equal(*version, kVersion3)) return std::nullopt;
  const auto serial = fields.read(der_tag::kInteger);
  const auto algorithm = serial ? sequence() : std::nullopt;
  if (!algorithm || !is_ecdsa_with_sha256(*algorithm)) return std::nullopt;
  const auto issuer = sequence();
  const auto validity = issuer ? fields.read(der_tag::kSequence) : std::nullopt;
  const auto subject = validity ? sequence() : std::nullopt;
  const auto key = subject ? sequence() : std::nullopt;
  const auto extensions = key ? fields.read(kExtensionsTag) : std::nullopt;
  if (!extensions || !fields.at_end()) return std::nullopt;
  DerReader dates(*validity);
  const auto not_before = dates.read_any();
  const auto not_after = not_before ? dates.read_any() : std::nullopt;
  if (!not_after || !dates.at_end()) return std::nullopt;
  return Parts{.serial = *serial,
               .issuer = *issuer,
               .not_before = not_before->whole,
               .not_after = not_after->whole,
               .subject = *subject,
               .key = *key,
               .extensions = *extensions};
}

/// Gives OpenSSL a whole element to read; null when it does not read all of it.
template <auto Free, class Object>
Owned<Object, Free> decode(Object* (*d2i)(Object**, const unsigned char**, long), Bytes element) {
  const unsigned char* at = element.data();
  Owned<Object, Free> object(d2i(nullptr, &at, static_cast<long>(element.size())));
  if (object && at != element.data() + element.size()) object.reset();
  return object;
}

/// Positive, at most 20 bytes (RFC 5280 section 4.1.2.2), without the zero byte that may stand for the sign.
std::optional<ByteVector> read_serial(Bytes contents) {
  if (contents.empty() || (contents.front() & 0x80) != 0) return std::nullopt;
  if (contents.front() == 0) {
    if (contents.size() < 2 || (contents[1] & 0x80) == 0) return std::nullopt;
    contents = contents.subspan(1);
  }
  if (contents.size() > 20) return std::nullopt;
  return ByteVector(contents.begin(), contents.end());
}

std::optional<P256PublicKey> read_key(Bytes key_info) {
  if (key_info.size() != kP256KeyInfo.size() + 64) return std::nullopt;
  if (!std::ranges::equal(key_info.first<kP256KeyInfo.size()>(), kP256KeyInfo)) return std::nullopt;
  return P256PublicKey::from_point(key_info.last<64>());
}

CertificateFault read_names(const Parts& from, Certificate& to) {
  const auto issuer = decode<X509_NAME_free>(d2i_X509_NAME, from.issuer);
  const auto subject = decode<X509_NAME_free>(d2i_X509_NAME, from.subject);
  if (!issuer || !subject) return "name";
  auto common_name = x509::common_name_of(subject.get());
  if (!common_name) return "common name";
  to.common_name = std::move(*common_name);
  to.issuer.assign(from.issuer.begin(), from.issuer.end());
  to.subject.assign(from.subject.begin(), from.subject.end());
  return nullptr;
}

CertificateFault read_validity(const Parts& from, Certificate& to) {
  const auto not_before = x509::time_of(decode<ASN1_TIME_free>(d2i_ASN1_TIME, from.not_before).get());
  const auto not_after = x509::time_of(decode<ASN1_TIME_free>(d2i_ASN1_TIME, from.not_after).get());
  if (!not_before || !not_after) return "validity";
  to.validity = {.from = *not_before, .until = *not_after};
  return nullptr;
}

const ASN1_OBJECT* sgx_extensions_oid() {
  static const Owned<ASN1_OBJECT, ASN1_OBJECT_free> oid(OBJ_txt2obj("1.2.840.113741.1.13.1", 1));
  require(oid != nullptr);
  return oid.get();
}

CertificateFault read_basic_constraints(const X509_EXTENSIONS* from, Certificate& to) {
  const Owned<BASIC_CONSTRAINTS, BASIC_CONSTRAINTS_free> constraints(
      static_cast<BASIC_CONSTRAINTS*>(X509V3_get_d2i(from, NID_basic_constraints, nullptr, nullptr)));
  if (!constraints) return "basic constraints";
  to.is_ca = constraints->ca != 0;
  if (constraints->pathlen == nullptr) return nullptr;
  std::uint64_t length = 0;
  if (!to.is_ca || ASN1_INTEGER_get_uint64(&length, constraints->pathlen) != 1) return "basic constraints";
  to.path_length = length;
  return nullptr;
}

CertificateFault read_key_usage(const X509_EXTENSIONS* from, Certificate& to) {
  const Owned<ASN1_BIT_STRING, ASN1_BIT_STRING_free> usage(
      static_cast<ASN1_BIT_STRING*>(X509V3_get_d2i(from, NID_key_usage, nullptr, nullptr)));
  if (!usage) return "key usage";
  // RFC 5280 section 4.2.1.3: digitalSignature (0), keyCertSign (5), cRLSign (6).
  const bool certificates = ASN1_BIT_STRING_get_bit(usage.get(), 5) == 1;
  const bool lists = ASN1_BIT_STRING_get_bit(usage.get(), 6) == 1;
  if (certificates != lists) return "key usage";
  to.may_sign_data = ASN1_BIT_STRING_get_bit(usage.get(), 0) == 1;
  to.may_sign_certificates = certificates;
  return nullptr;
}

void free_extensions(X509_EXTENSIONS* extensions) { sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free); }

/// RFC 5280 section 4.2: no extension twice, none critical that is not understood.
CertificateFault read_extensions(const Parts& from, Certificate& to) {
  const auto extensions = decode<free_extensions>(d2i_X509_EXTENSIONS, from.extensions);
  const int count = X509v3_get_ext_count(extensions.get());
  if (count <= 0) return "extensions";
  for (int i = 0; i < count; ++i) {
    X509_EXTENSION* extension = X509v3_get_ext(extensions.get(), i);
    const ASN1_OBJECT* oid = X509_EXTENSION_get_object(extension);
    if (X509v3_get_ext_by_OBJ(extensions.get(), oid, i) >= 0) return "extension doubled";
    const int nid = OBJ_obj2nid(oid);
    const bool understood = nid == NID_basic_constraints || nid == NID_key_usage;
    if (X509_EXTENSION_get_critical(extension) != 0 && !understood) return "critical extension";
    if (OBJ_cmp(oid, sgx_extensions_oid()) != 0) continue;
    const ASN1_OCTET_STRING* value = X509_EXTENSION_get_data(extension);
    const Bytes bytes(ASN1_STRING_get0_data(value), static_cast<std::size_t>(ASN1_STRING_length(value)));
    to.sgx_extension.emplace(bytes.begin(), bytes.end());
  }
  if (const CertificateFault fault = read_basic_constraints(extensions.get(), to)) return fault;
  return read_key_usage(extensions.get(), to);
}

}  // namespace

Validity intersection(const Validity& a, const Validity& b) {
  return {.from = std::max(a.from, b.from), .until = std::min(a.until, b.until)};
}

bool Certificate::is_signed_by(const Certificate& issuer_certificate) const {
  return std::ranges::equal(issuer, issuer_certificate.subject) &&
         issuer_certificate.key.verify(signed_part, signature);
}

std::expected<Certificate, CertificateFault> read_certificate(Bytes der) {
  if (der.size() > kMaxCertificateBytes) return std::unexpected("certificate too long");
  const auto outer = split_signed_der(der);
  if (!outer) return std::unexpected("certificate or its signature algorithm");
  const auto parts = cut(outer->signed_part);
  if (!parts) return std::unexpected("certificate fields");
  auto serial = read_serial(parts->serial);
  if (!serial) return std::unexpected("serial number");
  auto key = read_key(parts->key);
  if (!key) return std::unexpected("public key");

  const x509::ErrorQueueGuard guard;
  Certificate certificate{.der = {der.begin(), der.end()},
                          .signed_part = {outer->signed_part.begin(), outer->signed_part.end()},
                          .signature = outer->signature,
                          .serial = std::move(*serial),
                          .key = std::move(*key)};
  if (const CertificateFault fault = read_names(*parts, certificate)) return std::unexpected(fault);
  if (const CertificateFault fault = read_validity(*parts, certificate)) return std::unexpected(fault);
  if (const CertificateFault fault = read_extensions(*parts, certificate)) return std::unexpected(fault);
  return certificate;
}

}  // namespace ee::attestation
