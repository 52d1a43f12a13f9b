#include "cp/integration/stripe/webhook_signature.h"

#include <algorithm>
#include <charconv>
#include <string>

#include "common/crypto.h"

namespace ee::cp::stripe {
namespace {

constexpr std::size_t kMaxTimeDigits = 12;

bool is_digits(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

std::optional<SignatureHeader> parse_signature_header(std::string_view header) {
  if (header.empty() || header.size() > kMaxSignatureHeader) return std::nullopt;
  SignatureHeader out;
  for (bool more = true; more;) {
    const std::size_t comma = header.find(',');
    const std::string_view element = header.substr(0, comma);
    more = comma != std::string_view::npos;
    if (more) header.remove_prefix(comma + 1);
    const std::size_t equals = element.find('=');
    if (equals == std::string_view::npos || equals == 0) return std::nullopt;
    const std::string_view scheme = element.substr(0, equals);
    const std::string_view value = element.substr(equals + 1);
    if (scheme == "t") {
      if (!out.signed_time.empty() || !is_digits(value) || value.size() > kMaxTimeDigits) return std::nullopt;
      out.signed_time = value;
      std::from_chars(value.data(), value.data() + value.size(), out.t);
    } else if (scheme == "v1") {
      if (out.v1.size() == kMaxSignatures || !is_lower_hex(value, 64)) return std::nullopt;
      const auto bytes = from_hex_exact<32>(value);
      if (!bytes) return std::nullopt;
      out.v1.push_back(*bytes);
    }
  }
  if (out.signed_time.empty() || out.v1.empty()) return std::nullopt;
  return out;
}

Result<void> verify_webhook(std::string_view body, std::string_view header, std::span<const Secret> secrets,
                            UtcTime now, Seconds tolerance) {
  const auto signature = parse_signature_header(header);
  if (!signature) return fail(ErrorCode::invalid_signature, "Stripe-Signature is missing or malformed");
  std::string message;
  message.reserve(signature->signed_time.size() + 1 + body.size());
  message += signature->signed_time;
  message += '.';
  message += body;
  unsigned matches = 0;
  for (const Secret& secret : secrets) {
    const auto expected = hmac_sha256(bytes_of(secret.reveal()), bytes_of(message));
    for (const auto& v1 : signature->v1)
      matches |= static_cast<unsigned>(!secret.empty() && constant_time_equal(expected, v1));
  }
  if (matches == 0) return fail(ErrorCode::invalid_signature, "no signature fits");
  const Seconds apart = std::chrono::floor<Seconds>(now.time_since_epoch()) - Seconds(signature->t);
  if (apart > tolerance || apart < -tolerance)
    return fail(ErrorCode::signature_expired, "the signature is from another time");
  return {};
}

}  // namespace ee::cp::stripe
