#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "common/bytes.h"
#include "common/error.h"
#include "common/secret.h"
#include "common/time.h"

/// Who sent a webhook. Source: Stripe, "Verify webhook signatures manually" (docs.stripe.com/webhooks#verify-manually).
namespace ee::cp::stripe {

inline constexpr std::size_t kMaxSignatureHeader = 4096;
inline constexpr std::size_t kMaxSignatures = 8;  ///< `v1` elements of one header
inline constexpr std::size_t kMaxSecrets = 4;     ///< secrets in force at once, for rolling

/// The elements of `Stripe-Signature` that count.
struct SignatureHeader {
  std::int64_t t = 0;            ///< Unix seconds
  std::string_view signed_time;  ///< `t` as it was sent, which is what was signed; points into the header
  std::vector<ByteArray<32>> v1 = {};
};

/// A comma list of `k=v`: exactly one `t` of 1 to 12 digits, 1 to 8 `v1` of 64 lower-case hexadecimal digits; elements
/// of other schemes (`v0`) are passed over. Nothing when it is not that.
std::optional<SignatureHeader> parse_signature_header(std::string_view header);

/// Whether `body`, the raw bytes of a webhook, was signed with one of `secrets`, and when. Every pair of secret and
/// signature is computed and compared in constant time. Pure.
/// Errors, in this order: `invalid_signature`, `signature_expired` when `t` is more than `tolerance` from `now` (either
/// way, in whole seconds).
Result<void> verify_webhook(std::string_view body, std::string_view header, std::span<const Secret> secrets,
                            UtcTime now, Seconds tolerance);

}  // namespace ee::cp::stripe
