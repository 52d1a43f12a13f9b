#include "agent/control_token.h"

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "agent/signed_token.h"
#include "common/bytes.h"
#include "common/crypto.h"
#include "common/jose.h"

namespace ee::agent {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kScheme = "EE-Control ";
constexpr std::string_view kType = "ee-control+jwt";
constexpr std::string_view kIssuer = "easyenclave-cp";
constexpr std::int64_t kMostLifetimeSeconds = 60;
constexpr Milliseconds kSkew = 30s;
constexpr std::size_t kMaxJti = 128;

std::unexpected<Error> invalid(std::string_view why) { return fail(ErrorCode::invalid_token, std::string(why)); }

struct Claims {
  std::string_view issuer, audience, method, target, body_hash, id;
  std::int64_t issued_at = 0;
  std::int64_t expires_at = 0;
};

std::optional<Claims> read_claims(const boost::json::object& claims) {
  const auto text = [&](std::string_view name) { return jose::text_member(claims, name); };
  const auto iss = text("iss"), aud = text("aud"), htm = text("htm"), htp = text("htp"), bsh = text("bsh"),
             jti = text("jti");
  const auto iat = jose::integer_member(claims, "iat");
  const auto exp = jose::integer_member(claims, "exp");
  if (!iss || !aud || !htm || !htp || !bsh || !jti || !iat || !exp) return std::nullopt;
  constexpr std::int64_t kFarthest = 253402300799;  // end of the year 9999
  if (*iat < 0 || *exp < *iat || *exp > kFarthest) return std::nullopt;
  return Claims{.issuer = *iss,
                .audience = *aud,
                .method = *htm,
                .target = *htp,
                .body_hash = *bsh,
                .id = *jti,
                .issued_at = *iat,
                .expires_at = *exp};
}

}  // namespace

Result<void> ControlTokens::check(std::string_view authorization, const ControlCall& call) {
  auto checked = check_token(authorization, call);
  if (checked || checked.error().code != ErrorCode::invalid_token) return checked;
  return fail(lock_.refusal_of(std::move(checked.error())));
}

Result<void> ControlTokens::check_token(std::string_view authorization, const ControlCall& call) {
  const auto session = board_.session();
  if (!session) return invalid("not registered");
  const auto verified = verified_token(authorization, kScheme, kType, *session);
  if (!verified) return std::unexpected(verified.error());

  const auto claims = read_claims(verified->claims());
  if (!claims) return invalid("claims are missing");
  if (claims->issuer != kIssuer) return invalid("iss");
  if (claims->audience != session->identity.agent_id) return invalid("aud");
  if (claims->expires_at - claims->issued_at > kMostLifetimeSeconds) return invalid("lifetime");
  const UtcTime now = board_.corrected_now();
  const UtcTime issued_at{Seconds(claims->issued_at)};
  const UtcTime expires_at{Seconds(claims->expires_at)};
  if (now < issued_at - kSkew || now > expires_at + kSkew) return invalid("time");
  if (claims->method != call.method || claims->target != call.target) return invalid("another call");
  if (claims->body_hash != to_base64url(sha256(bytes_of(call.body)))) return invalid("another body");
  if (claims->id.empty() || claims->id.size() > kMaxJti) return invalid("jti");
  return remember(std::string(claims->id), expires_at + kSkew);
}

/// A token counts once. Full: refused, since a forgotten token could be used again.
Result<void> ControlTokens::remember(const std::string& jti, UtcTime until) {
  const UtcTime now = board_.corrected_now();
  const std::lock_guard lock(mutex_);
  if (used_.contains(jti)) return invalid("replayed");
  if (used_.size() >= kReplayCacheSize) std::erase_if(used_, [&](const auto& entry) { return entry.second < now; });
  if (used_.size() >= kReplayCacheSize) return fail(ErrorCode::replay_cache_full, "too many control calls");
  used_.emplace(jti, until);
  return {};
}

}  // namespace ee::agent
