#include "cp/service/session_token.h"

#include <gtest/gtest.h>

#include "common/bytes.h"
#include "common/crypto.h"

namespace ee::cp {
namespace {

const SessionId kSession("0190a000-0000-7000-8000-000000000001");
constexpr std::string_view kToken = "ee_sess_x";
constexpr std::string_view kOrigin = "https://cp.example.com";

TEST(Csrf, TokenIsTheWrittenFormula) {
  const auto key = sha256(bytes_of("ee-csrf-v1ee_sess_x"));
  EXPECT_EQ(csrf_token_of(kToken, kSession), to_base64url(hmac_sha256(key, bytes_of(kSession.str()))));
  EXPECT_NE(csrf_token_of(kToken, kSession), csrf_token_of("ee_sess_y", kSession));
  EXPECT_NE(csrf_token_of(kToken, kSession), csrf_token_of(kToken, SessionId("0190a000-0000-7000-8000-000000000002")));
}

// covers: S04_AUTH_SESS_009
TEST(Csrf, EverySignOfAnotherSiteRefuses) {
  const std::string good = csrf_token_of(kToken, kSession);
  const auto passes = [&](const BrowserOrigin& from) {
    const auto checked = check_csrf(from, kOrigin, kToken, kSession);
    if (!checked) {
      EXPECT_EQ(checked.error().code, ErrorCode::csrf_failed);
    }
    return checked.has_value();
  };
  EXPECT_TRUE(passes({.csrf_token = good, .origin = kOrigin}));
  EXPECT_TRUE(passes({.csrf_token = good, .origin = kOrigin, .sec_fetch_site = "same-origin"}));
  EXPECT_TRUE(passes({.csrf_token = good, .referer = "https://cp.example.com/agents?x=1"}));
  EXPECT_FALSE(passes({.origin = kOrigin}));
  EXPECT_FALSE(passes({.csrf_token = "", .origin = kOrigin}));
  EXPECT_FALSE(passes({.csrf_token = good + "x", .origin = kOrigin}));
  EXPECT_FALSE(passes({.csrf_token = good}));
  for (const char* origin : {"https://cp.example.com:8443", "http://cp.example.com", "https://evil.example", "null", "",
                             "https://cp.example.com/"})
    EXPECT_FALSE(passes({.csrf_token = good, .origin = origin, .referer = "https://cp.example.com/"})) << origin;
  for (const char* referer : {"https://cp.example.com.evil.example/", "https://evil.example/?https://cp.example.com/",
                              "https://cp.example.com@evil.example/", ""})
    EXPECT_FALSE(passes({.csrf_token = good, .referer = referer})) << referer;
  for (const char* site : {"cross-site", "same-site", "none", ""})
    EXPECT_FALSE(passes({.csrf_token = good, .origin = kOrigin, .sec_fetch_site = site})) << site;
}

TEST(SessionCookie, IsFoundAmongOthers) {
  EXPECT_EQ(session_cookie_of("ee_session=abc"), "abc");
  EXPECT_EQ(session_cookie_of("a=1; ee_session=abc; b=2"), "abc");
  EXPECT_EQ(session_cookie_of("a=1;ee_session=abc"), "abc");
  EXPECT_EQ(session_cookie_of(""), std::nullopt);
  EXPECT_EQ(session_cookie_of("xee_session=abc; ee_sessionx=1; EE_SESSION=2"), std::nullopt);
  EXPECT_EQ(session_cookie_of("ee_session=a; ee_session=b"), "");
}

TEST(SessionCookie, HasItsAttributes) {
  EXPECT_EQ(session_cookie("t", Seconds(86400), true),
            "ee_session=t; Path=/; HttpOnly; Secure; SameSite=Lax; Max-Age=86400");
  EXPECT_EQ(session_cookie("t", Seconds(300), false), "ee_session=t; Path=/; HttpOnly; SameSite=Lax; Max-Age=300");
  EXPECT_EQ(cleared_session_cookie(true), "ee_session=; Path=/; HttpOnly; Secure; SameSite=Lax; Max-Age=0");
}

}  // namespace
}  // namespace ee::cp
