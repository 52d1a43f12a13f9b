#include "attestation/verify/ita_token.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "attestation/verify/ita_claims.h"

namespace ee::attestation {
namespace {

/// Dates beyond year 9999 (in seconds) are not dates; without them sums below cannot overflow.
constexpr std::int64_t kLastSecond = 253402300799;
constexpr std::int64_t kMaxLifetimeSeconds = 86400;

std::optional<Seconds> date_member(const boost::json::object& claims, std::string_view name) {
  const auto value = jose::integer_member(claims, name);
  if (!value || *value < 0 || *value > kLastSecond) return std::nullopt;
  return Seconds(*value);
}

ErrorCode code_of(jose::Refusal refusal) {
  switch (refusal) {
    case jose::Refusal::malformed:
    case jose::Refusal::header_refused: return ErrorCode::ita_token_malformed;
    case jose::Refusal::algorithm_refused: return ErrorCode::ita_alg_not_allowed;
    case jose::Refusal::key_unknown: return ErrorCode::ita_key_unknown;
    case jose::Refusal::key_unusable: return ErrorCode::ita_key_unusable;
    case jose::Refusal::signature_invalid: return ErrorCode::ita_signature_invalid;
  }
  return ErrorCode::internal_verification_error;
}

/// The ids in a list of policies: `[{"id": ...}]` (and plain texts, as older tokens have them).
std::vector<std::string_view> ids_of(const boost::json::value* list) {
  std::vector<std::string_view> ids;
  if (list == nullptr || !list->is_array()) return ids;
  for (const boost::json::value& item : list->get_array()) {
    if (item.is_string()) ids.emplace_back(item.get_string());
    if (item.is_object())
      if (const auto id = jose::text_member(item.get_object(), "id")) ids.push_back(*id);
  }
  return ids;
}

bool same_id(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

}  // namespace

Result<jose::UnverifiedToken> ItaVerifier::read(std::string_view token) const {
  if (token.empty()) return fail(ErrorCode::ita_token_missing);
  auto parsed = jose::UnverifiedToken::parse(
      token, {.algorithms = rules_.algorithms, .types = {"JWT"}, .max_bytes = kMaxTokenBytes, .max_members = 512});
  if (!parsed) return fail(code_of(parsed.error()), std::string(jose::to_string(parsed.error())));
  if (parsed->kid().empty() || parsed->kid().size() > kMaxKidChars) return fail(ErrorCode::ita_key_unknown, "kid");
  return std::move(*parsed);
}

Result<ItaClaims> ItaVerifier::verify(const jose::UnverifiedToken& token, const jose::KeySet& keys, UtcTime now) const {
  constexpr std::uint64_t kMinExponent = 65537;
  const auto key = keys.find(token.kid(), token.algorithm());
  if (!key) return fail(code_of(key.error()));
  if ((*key)->rsa_exponent() < kMinExponent) return fail(ErrorCode::ita_key_unusable, "exponent");
  const auto verified = token.verify(**key);
  if (!verified) return fail(code_of(verified.error()));

  const boost::json::object& claims = verified->claims();
  if (jose::text_member(claims, "iss") != rules_.issuer) return fail(ErrorCode::ita_issuer_invalid);
  if (auto audience = check_audience(claims); !audience) return fail(std::move(audience.error()));
  if (auto times = check_times(claims, now); !times) return fail(std::move(times.error()));
  auto out = read_ita_claims(claims);
  if (!out) return out;
  if (auto policies = check_policies(claims); !policies) return fail(std::move(policies.error()));
  out->issued_at = UtcTime(date_member(claims, "iat").value());
  out->expires_at = UtcTime(date_member(claims, "exp").value());
  return out;
}

Result<void> ItaVerifier::check_audience(const boost::json::object& claims) const {
  const auto* const audience = claims.if_contains("aud");
  if (rules_.audience.empty()) {
    if (audience != nullptr) return fail(ErrorCode::ita_audience_invalid, "a token with an audience, none is set");
    return {};
  }
  const auto is_ours = [&](const boost::json::value& value) {
    return value.is_string() && std::string_view(value.get_string()) == rules_.audience;
  };
  if (audience != nullptr && is_ours(*audience)) return {};
  if (audience != nullptr && audience->is_array() && std::ranges::any_of(audience->get_array(), is_ours)) return {};
  return fail(ErrorCode::ita_audience_invalid);
}

Result<void> ItaVerifier::check_times(const boost::json::object& claims, UtcTime now) const {
  const auto exp = date_member(claims, "exp");
  const auto nbf = date_member(claims, "nbf");
  const auto iat = date_member(claims, "iat");
  const Milliseconds time = now.time_since_epoch();
  if (!exp || time >= *exp + rules_.clock_skew) return fail(ErrorCode::ita_token_expired);
  if (!nbf || time < *nbf - rules_.clock_skew) return fail(ErrorCode::ita_token_not_yet_valid);
  if (!iat || *iat < time - rules_.max_token_age - rules_.clock_skew || *iat > time + rules_.clock_skew ||
      (*exp - *iat).count() > kMaxLifetimeSeconds)
    return fail(ErrorCode::ita_token_stale);
  return {};
}

Result<void> ItaVerifier::check_policies(const boost::json::object& claims) const {
  const auto matched = ids_of(claims.if_contains("policy_ids_matched"));
  const auto unmatched = ids_of(claims.if_contains("policy_ids_unmatched"));
  for (const std::string& wanted : rules_.policy_ids) {
    const auto is_wanted = [&](std::string_view id) { return same_id(id, wanted); };
    if (std::ranges::none_of(matched, is_wanted) || std::ranges::any_of(unmatched, is_wanted))
      return fail(ErrorCode::ita_policy_unmatched);
  }
  return {};
}

}  // namespace ee::attestation
