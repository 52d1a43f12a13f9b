#include "attestation/verify/crl.h"

#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>

#include "attestation/verify/certificate.h"
#include "attestation/verify/der.h"
#include "attestation/verify/x509_fields.h"

namespace ee::attestation {
namespace {

using x509::Owned;

constexpr std::size_t kMaxCrlBytes = 1024UL * 1024;
constexpr int kMaxEntries = 65536;

/// Whether the signed part begins with version 2 and ecdsa-with-SHA256. OpenSSL 3.0 has no accessor for the latter.
bool names_algorithm(Bytes signed_part) {
  const auto contents = DerReader(signed_part).read(der_tag::kSequence);
  if (!contents) return false;
  DerReader fields(*contents);
  const auto version = fields.read(der_tag::kInteger);
  const auto algorithm = version ? fields.read_any() : std::nullopt;
  return algorithm && der_unsigned(*version, X509_CRL_VERSION_2) == X509_CRL_VERSION_2 &&
         is_ecdsa_with_sha256(algorithm->whole);
}

bool has_critical_extension(const X509_CRL* crl) {
  for (int i = 0; i < X509_CRL_get_ext_count(crl); ++i)
    if (X509_EXTENSION_get_critical(X509_CRL_get_ext(crl, i)) != 0) return true;
  return false;
}

/// An entry's critical extension (certificate issuer) would give its serial another meaning.
bool has_critical_extension(const X509_REVOKED* entry) {
  for (int i = 0; i < X509_REVOKED_get_ext_count(entry); ++i)
    if (X509_EXTENSION_get_critical(X509_REVOKED_get_ext(entry, i)) != 0) return true;
  return false;
}

/// False when an entry cannot be read.
bool read_entries(X509_CRL* from, std::vector<ByteVector>& to) {
  const STACK_OF(X509_REVOKED)* entries = X509_CRL_get_REVOKED(from);
  const int count = entries == nullptr ? 0 : sk_X509_REVOKED_num(entries);
  if (count > kMaxEntries) return false;
  to.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    const X509_REVOKED* entry = sk_X509_REVOKED_value(entries, i);
    auto serial = x509::serial_of(X509_REVOKED_get0_serialNumber(entry));
    if (!serial || has_critical_extension(entry)) return false;
    to.push_back(std::move(*serial));
  }
  std::ranges::sort(to);
  return true;
}

}  // namespace

bool Crl::revokes(const ByteVector& serial) const { return std::ranges::binary_search(revoked, serial); }

std::optional<ByteVector> crl_der(std::string_view body) {
  if (body.empty() || body.size() > 2 * kMaxCrlBytes) return std::nullopt;
  std::optional<ByteVector> der;
  if (body.front() == static_cast<char>(der_tag::kSequence)) {  // hexadecimal text of DER begins with '3'
    der.emplace(body.begin(), body.end());
  } else if (body.front() == '-') {
    der = decode_pem(body, "X509 CRL");
  } else {
    const std::size_t end = body.find_last_not_of(" \t\r\n");
    der = from_hex(body.substr(0, end == std::string_view::npos ? 0 : end + 1));
  }
  if (der && der->size() > kMaxCrlBytes) return std::nullopt;
  return der;
}

std::optional<Crl> read_crl(Bytes der) {
  if (der.size() > kMaxCrlBytes) return std::nullopt;
  const auto parts = split_signed_der(der);
  if (!parts || !names_algorithm(parts->signed_part)) return std::nullopt;

  const x509::ErrorQueueGuard guard;
  const unsigned char* at = der.data();
  const Owned<X509_CRL, X509_CRL_free> parsed(d2i_X509_CRL(nullptr, &at, static_cast<long>(der.size())));
  if (!parsed || at != der.data() + der.size()) return std::nullopt;
  if (has_critical_extension(parsed.get())) return std::nullopt;
  const auto this_update = x509::time_of(X509_CRL_get0_lastUpdate(parsed.get()));
  const auto next_update = x509::time_of(X509_CRL_get0_nextUpdate(parsed.get()));
  auto common_name = x509::common_name_of(X509_CRL_get_issuer(parsed.get()));
  if (!this_update || !next_update || !common_name) return std::nullopt;

  Crl crl{.signed_part = {parts->signed_part.begin(), parts->signed_part.end()},
          .signature = parts->signature,
          .issuer = x509::name_of(X509_CRL_get_issuer(parsed.get())),
          .issuer_common_name = std::move(*common_name),
          .this_update = *this_update,
          .next_update = *next_update};
  if (crl.issuer.empty() || !read_entries(parsed.get(), crl.revoked)) return std::nullopt;
  return crl;
}

}  // namespace ee::attestation
