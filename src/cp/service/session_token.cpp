#include "cp/service/session_token.h"

#include "common/bytes.h"
#include "common/crypto.h"
#include "common/url.h"

namespace ee::cp {
namespace {

constexpr std::string_view kCookieName = "ee_session";

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  while (text.ends_with(' ') || text.ends_with('\t')) text.remove_suffix(1);
  return text;
}

std::string attributes(bool secure) {
  return std::string("; Path=/; HttpOnly") + (secure ? "; Secure" : "") + "; SameSite=Lax; Max-Age=";
}

}  // namespace

std::string csrf_token_of(std::string_view session_token, const SessionId& session) {
  ByteVector input;
  append(input, std::string_view("ee-csrf-v1"));
  append(input, session_token);
  return to_base64url(hmac_sha256(sha256(input), bytes_of(session.str())));
}

std::optional<std::string> origin_of(std::string_view url) {
  const auto parsed = parse_url(url);
  if (!parsed) return std::nullopt;
  return parsed->origin();
}

Result<void> check_csrf(const BrowserOrigin& from, std::string_view public_origin, std::string_view session_token,
                        const SessionId& session) {
  const auto failed = [](std::string detail) { return fail(ErrorCode::csrf_failed, std::move(detail)); };
  if (!from.csrf_token) return failed("X-CSRF-Token is missing");
  const std::string expected = csrf_token_of(session_token, session);
  if (!constant_time_equal(sha256(bytes_of(expected)), sha256(bytes_of(*from.csrf_token))))
    return failed("X-CSRF-Token does not fit");
  if (from.origin) {
    if (*from.origin != public_origin) return failed("another Origin");
  } else if (!from.referer || origin_of(*from.referer) != public_origin) {
    return failed("neither Origin nor Referer names this site");
  }
  if (from.sec_fetch_site && *from.sec_fetch_site != "same-origin") return failed("another site");
  return {};
}

std::optional<std::string_view> session_cookie_of(std::string_view cookie_field) {
  return cookie_of(cookie_field, kCookieName);
}

std::optional<std::string_view> cookie_of(std::string_view cookie_field, std::string_view name) {
  std::optional<std::string_view> found;
  while (!cookie_field.empty()) {
    const std::size_t end = cookie_field.find(';');
    const std::string_view pair = trimmed(cookie_field.substr(0, end));
    cookie_field = end == std::string_view::npos ? std::string_view{} : cookie_field.substr(end + 1);
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos || pair.substr(0, equals) != name) continue;
    if (found) return std::string_view{};
    found = pair.substr(equals + 1);
  }
  return found;
}

std::string session_cookie(std::string_view token, Seconds max_age, bool secure) {
  return std::string(kCookieName) + "=" + std::string(token) + attributes(secure) + std::to_string(max_age.count());
}

std::string cleared_session_cookie(bool secure) { return std::string(kCookieName) + "=" + attributes(secure) + "0"; }

}  // namespace ee::cp
