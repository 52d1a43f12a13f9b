#pragma once
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "attestation/verify/dcap_verifier.h"
#include "tests/support/emulated_evidence.h"

/// What the tests of the verifier share.
namespace ee::attestation::dcap_test {

using testing::EmulatedEvidence;

inline constexpr TrustAnchors kDev{.allow_emulator = true};
inline const UtcTime kIssued = FakeClock().now();
inline const UtcTime kNow = kIssued + std::chrono::hours(1);

inline std::string text_of_result(const Result<DcapResult>& result) {
  return std::string(result ? to_string(result->status) : slug(result.error().code));
}
/// How evidence is judged by a verifier that knows nothing yet: a status or the slug of the refusal.
inline std::string judge(const EmulatedEvidence& evidence, UtcTime now = kNow) {
  return text_of_result(DcapVerifier().verify(evidence.quote(), evidence.collateral(), kDev, now));
}
inline std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

inline ByteVector crl(const char* issuer, const emulator::P256Key& key, UtcTime from, UtcTime until,
                      std::vector<ByteVector> revoked = {}) {
  return emulator::make_crl({.issuer = issuer,
                             .issuer_key = key,
                             .this_update = from,
                             .next_update = until,
                             .revoked_serials = std::move(revoked)});
}
inline constexpr const char* kPlatformCa = "Intel SGX PCK Platform CA";

}  // namespace ee::attestation::dcap_test
