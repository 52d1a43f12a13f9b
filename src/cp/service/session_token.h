#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "common/error.h"
#include "common/id.h"
#include "common/time.h"

namespace ee::cp {

/// What a browser must repeat in `X-CSRF-Token`: base64url(HMAC-SHA256(SHA-256("ee-csrf-v1" ‖ token), session id)).
std::string csrf_token_of(std::string_view session_token, const SessionId& session);

/// What a browser says of where a request comes from.
struct BrowserOrigin {
  std::optional<std::string_view> csrf_token = {};
  std::optional<std::string_view> origin = {};
  std::optional<std::string_view> referer = {};
  std::optional<std::string_view> sec_fetch_site = {};
};

/// Whether a state-changing request that a cookie vouches for comes from our own pages: the CSRF token fits, `Origin`
/// (or, if absent, `Referer`) has our origin, `Sec-Fetch-Site` is absent or `same-origin`. Error: csrf_failed.
Result<void> check_csrf(const BrowserOrigin& from, std::string_view public_origin, std::string_view session_token,
                        const SessionId& session);

/// `scheme://host[:port]` of a URL, as browsers write it in `Origin`; nothing when it is no http(s) URL.
std::optional<std::string> origin_of(std::string_view url);

/// The session token in a `Cookie` field: nothing when there is none. An empty text when there are several, which no
/// browser of ours sends and another page may have caused.
std::optional<std::string_view> session_cookie_of(std::string_view cookie_field);
/// The same for a cookie of any name.
std::optional<std::string_view> cookie_of(std::string_view cookie_field, std::string_view name);

/// `Set-Cookie` values. `secure` is left out only in dev under http.
std::string session_cookie(std::string_view token, Seconds max_age, bool secure);
std::string cleared_session_cookie(bool secure);

}  // namespace ee::cp
