#include "agent/console_token.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "agent/signed_token.h"
#include "common/jose.h"

namespace ee::agent {
namespace {

constexpr std::string_view kScheme = "Bearer ";
constexpr std::string_view kType = "ee-console+jwt";
constexpr std::int64_t kMostLifetimeSeconds = 3600;
constexpr Seconds kSkew{30};
constexpr std::size_t kMaxText = 256;
constexpr std::size_t kMaxScopes = 16;
constexpr std::int64_t kFarthest = 253402300799;  // end of the year 9999

std::unexpected<Error> invalid(std::string_view why) { return fail(ErrorCode::invalid_token, std::string(why)); }

struct Times {
  std::int64_t issued_at = 0;
  std::int64_t not_before = 0;
  std::int64_t expires_at = 0;
};

std::optional<Times> read_times(const boost::json::object& claims) {
  const auto iat = jose::integer_member(claims, "iat");
  const auto nbf = jose::integer_member(claims, "nbf");
  const auto exp = jose::integer_member(claims, "exp");
  if (!iat || !nbf || !exp) return std::nullopt;
  if (*iat < 0 || *nbf < 0 || *exp < *iat || *exp > kFarthest || *nbf > *exp) return std::nullopt;
  return Times{.issued_at = *iat, .not_before = *nbf, .expires_at = *exp};
}

/// Nothing unless it is a list of short texts.
std::optional<std::vector<std::string>> read_scopes(const boost::json::object& claims) {
  const auto* list = claims.if_contains("scope");
  if (list == nullptr || !list->is_array() || list->get_array().size() > kMaxScopes) return std::nullopt;
  std::vector<std::string> out;
  for (const auto& item : list->get_array()) {
    if (!item.is_string() || item.get_string().size() > kMaxText) return std::nullopt;
    out.emplace_back(item.get_string());
  }
  return out;
}

bool is_short(std::string_view text) { return !text.empty() && text.size() <= kMaxText; }

}  // namespace

Result<ConsoleGrant> ConsoleTokens::check(std::string_view authorization, std::string_view scope) {
  auto grant = check_token(authorization);
  if (!grant) return fail(lock_.refusal_of(std::move(grant.error())));
  if (std::ranges::find(grant->scopes, scope) == grant->scopes.end())
    return fail(ErrorCode::insufficient_scope, "needs scope " + std::string(scope));
  return grant;
}

Result<ConsoleGrant> ConsoleTokens::check_token(std::string_view authorization) const {
  const auto session = board_.session();
  if (!session) return invalid("not registered");
  const auto verified = verified_token(authorization, kScheme, kType, *session);
  if (!verified) return std::unexpected(verified.error());

  const boost::json::object& claims = verified->claims();
  const auto text = [&](std::string_view name) { return jose::text_member(claims, name).value_or(""); };
  if (text("iss") != issuer_) return invalid("iss");
  if (text("aud") != session->identity.agent_id) return invalid("aud");
  if (text("rid") != session->identity.registration_id) return invalid("rid");
  const auto times = read_times(claims);
  if (!times) return invalid("times");
  if (times->expires_at - times->issued_at > kMostLifetimeSeconds) return invalid("lifetime");
  const UtcTime now = board_.corrected_now();
  if (now < UtcTime(Seconds(std::max(times->issued_at, times->not_before))) - kSkew ||
      now > UtcTime(Seconds(times->expires_at)) + kSkew)
    return invalid("time");
  auto scopes = read_scopes(claims);
  if (!scopes) return invalid("scope");
  if (!is_short(text("sub")) || !is_short(text("jti"))) return invalid("sub or jti");
  ConsoleGrant grant{
      .subject = std::string(text("sub")), .token_id = std::string(text("jti")), .scopes = std::move(*scopes)};
  if (const auto* deployment = claims.if_contains("deployment_id")) {
    // A restriction that cannot be read must not fall away.
    if (!deployment->is_string() || !is_short(deployment->get_string())) return invalid("deployment_id");
    grant.deployment_id = std::string(deployment->get_string());
  }
  return grant;
}

}  // namespace ee::agent
