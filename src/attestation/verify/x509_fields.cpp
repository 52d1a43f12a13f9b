#include "attestation/verify/x509_fields.h"

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/x509.h>

#include <chrono>

namespace ee::attestation::x509 {

std::optional<UtcTime> time_of(const ASN1_TIME* time) {
  if (time == nullptr) return std::nullopt;
  // YYMMDDHHMMSSZ and YYYYMMDDHHMMSSZ; OpenSSL would also take forms without seconds or with an offset.
  const int type = ASN1_STRING_type(time);
  const int length = ASN1_STRING_length(time);
  const bool utc = type == V_ASN1_UTCTIME && length == 13;
  const bool generalized = type == V_ASN1_GENERALIZEDTIME && length == 15;
  if (!utc && !generalized) return std::nullopt;
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return std::nullopt;
  const std::chrono::year_month_day day(std::chrono::year(parts.tm_year + 1900),
                                        std::chrono::month(static_cast<unsigned>(parts.tm_mon) + 1),
                                        std::chrono::day(static_cast<unsigned>(parts.tm_mday)));
  if (!day.ok()) return std::nullopt;
  return UtcTime(std::chrono::sys_days(day)) + std::chrono::hours(parts.tm_hour) + std::chrono::minutes(parts.tm_min) +
         std::chrono::seconds(parts.tm_sec);
}

ByteVector name_of(const X509_NAME* name) {
  const unsigned char* der = nullptr;
  std::size_t size = 0;
  if (name == nullptr || X509_NAME_get0_der(name, &der, &size) != 1) return {};
  return {der, der + size};
}

std::optional<std::string> common_name_of(const X509_NAME* name) {
  const int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
  if (at < 0 || X509_NAME_get_index_by_NID(name, NID_commonName, at) >= 0) return std::nullopt;
  const ASN1_STRING* text = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
  const int type = ASN1_STRING_type(text);
  if (type != V_ASN1_UTF8STRING && type != V_ASN1_PRINTABLESTRING) return std::nullopt;
  return std::string(text_of({ASN1_STRING_get0_data(text), static_cast<std::size_t>(ASN1_STRING_length(text))}));
}

std::optional<ByteVector> serial_of(const ASN1_INTEGER* serial) {
  if (serial == nullptr || ASN1_STRING_type(serial) != V_ASN1_INTEGER) return std::nullopt;
  // OpenSSL keeps the magnitude, without leading zeros.
  const Bytes magnitude(ASN1_STRING_get0_data(serial), static_cast<std::size_t>(ASN1_STRING_length(serial)));
  if (magnitude.empty() || magnitude.size() > 20 || magnitude.front() == 0) return std::nullopt;
  return ByteVector(magnitude.begin(), magnitude.end());
}

bool is_ecdsa_with_sha256(const X509_ALGOR* algorithm) {
  const ASN1_OBJECT* object = nullptr;
  int parameter_type = 0;
  X509_ALGOR_get0(&object, &parameter_type, nullptr, algorithm);
  return OBJ_obj2nid(object) == NID_ecdsa_with_SHA256 && parameter_type == V_ASN1_UNDEF;
}

ErrorQueueGuard::~ErrorQueueGuard() { ERR_clear_error(); }

}  // namespace ee::attestation::x509
