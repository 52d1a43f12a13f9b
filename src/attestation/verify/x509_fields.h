#pragma once
#include <openssl/types.h>

#include <memory>
#include <optional>
#include <string>

#include "common/bytes.h"
#include "common/time.h"

// What certificate.cpp and crl.cpp both need of OpenSSL's X.509. Included by .cpp files only.
namespace ee::attestation::x509 {

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
template <class T, auto Free>
using Owned = std::unique_ptr<T, Deleter<Free>>;

/// A UTCTime or GeneralizedTime as RFC 5280 section 4.1.2.5 has it: seconds, `Z`, no fraction.
std::optional<UtcTime> time_of(const ASN1_TIME* time);
/// DER of a name.
ByteVector name_of(const X509_NAME* name);
/// The common name, when there is exactly one, in UTF-8.
std::optional<std::string> common_name_of(const X509_NAME* name);
/// A positive INTEGER, big-endian without leading zeros; nothing when it is zero, negative or above 20 bytes.
std::optional<ByteVector> serial_of(const ASN1_INTEGER* serial);
/// ecdsa-with-SHA256 without parameters.
bool is_ecdsa_with_sha256(const X509_ALGOR* algorithm);

/// OpenSSL leaves what went wrong in a per-thread queue, where the next TLS connection would find it. This empties it
/// at the end of a scope.
class ErrorQueueGuard {
 public:
  ErrorQueueGuard() = default;
  ErrorQueueGuard(const ErrorQueueGuard&) = delete;
  ErrorQueueGuard& operator=(const ErrorQueueGuard&) = delete;
  ~ErrorQueueGuard();
};

}  // namespace ee::attestation::x509
