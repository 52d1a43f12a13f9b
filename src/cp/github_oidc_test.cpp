// GitHub Actions tokens as credentials: the whole control plane, and the stand-in of GitHub over real HTTP.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <optional>

#include "tests/support/github_oidc_case.h"
#include "tests/support/jose_keys.h"

namespace ee::testing {
namespace {

using boost::json::array;
using boost::json::object;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kJwks = "/.well-known/jwks";

// covers: S04_AUTH_OIDC_001
TEST_F(GithubOidcTest, AcceptsAWorkflowOfALinkedOwner) {
  linked_account();
  const TestAnswer me = get(token());
  EXPECT_EQ(me.status, 200) << me.body;
  EXPECT_THAT(me.body, HasSubstr(R"("kind":"oidc")"));
  EXPECT_TRUE(test.audited("oidc_").empty()) << "reads leave no row";

  const std::string jwt = token();
  const TestAnswer answer = post(jwt);
  EXPECT_EQ(answer.code(), "admin_required");
  EXPECT_THAT(test.audited("oidc_"), ElementsAre("oidc_accepted -"));
  EXPECT_THAT(test.cp->values<std::string>("SELECT actor FROM audit_log WHERE action='oidc_accepted'"),
              ElementsAre("oidc:7001"));
  const auto details = test.cp->values<std::string>("SELECT COALESCE(detail, '') FROM audit_log");
  for (const std::string& detail : details) EXPECT_THAT(detail, Not(HasSubstr("eyJ")));
  EXPECT_EQ(test.github.count(kJwks), 1U);
}

struct Wrong {
  const char* slug;
  std::function<std::string(const standins::Github&, object)> make;
};

/// A token that is right but for one claim; an absent value removes it.
Wrong claim(const char* slug, const char* name, const std::optional<boost::json::value>& value) {
  return {slug, [=](const standins::Github& github, object claims) {
            if (value)
              claims[name] = *value;
            else
              claims.erase(name);
            return github.token(claims);
          }};
}
/// The time `name` moved by so many seconds from now.
Wrong time_claim(const char* slug, const char* name, std::int64_t seconds) {
  return {slug, [=](const standins::Github& github, object claims) {
            claims[name] = claims.at("iat").as_int64() + seconds;
            return github.token(claims);
          }};
}
Wrong header(const char* slug, const char* name, const boost::json::value& value) {
  return {slug, [=](const standins::Github& github, const object& claims) {
            return github.token(claims, "RS256", "", object{{name, value}});
          }};
}

std::vector<Wrong> each_row_broken_alone() {
  const auto plain = [](std::string text) {
    return [text = std::move(text)](const standins::Github&, const object&) { return text; };
  };
  const auto part = [](std::string_view text) { return to_base64url(bytes_of(text)); };
  const std::string header_part = part(R"({"alg":"RS256","kid":"github-1"})");
  return {
      // 1
      {"malformed", plain(header_part + ".e30.!")},
      {"malformed", plain(header_part + ".bm8.e30")},
      {"malformed", plain(part(R"({"alg":"RS256","alg":"RS256","kid":"github-1"})") + ".e30.e30")},
      {"malformed", plain(header_part + "." + part(R"({"iss":"a","iss":"b"})") + ".e30")},
      {"malformed",
       [](const standins::Github& github, object claims) {
         for (int i = 0; i < 64; ++i) claims["further_" + std::to_string(i)] = i;
         return github.token(claims);
       }},
      // 2
      {"alg_refused",
       [](const standins::Github& github, const object& claims) { return github.token(claims, "none") + "e30"; }},
      {"alg_refused",
       [](const standins::Github& github, const object& claims) {
         return github.token(claims, "HS256");  // signed with the public key as secret
       }},
      header("alg_refused", "alg", "ES256"),
      header("alg_refused", "alg", "RS512"),
      header("alg_refused", "alg", "rs256"),
      header("header_refused", "typ", "at+jwt"),
      header("header_refused", "crit", array{"exp"}),
      header("header_refused", "jku", "https://evil.example"),
      header("header_refused", "jwk", object{}),
      header("header_refused", "x5u", "https://evil.example"),
      header("header_refused", "kid", ""),
      header("header_refused", "kid", boost::json::string(129, 'k')),
      // 3
      header("unknown_key", "kid", "nobody's"),
      // 4
      {"bad_signature",
       [](const standins::Github& github, const object& claims) {
         std::string changed = github.token(claims);
         const std::size_t at = changed.rfind('.') + 10;
         changed[at] = changed[at] == 'A' ? 'B' : 'A';
         return changed;
       }},
      // 5
      claim("bad_issuer", "iss", "https://token.actions.githubusercontent.com"),
      claim("bad_issuer", "iss", std::nullopt),
      {"bad_issuer",
       [](const standins::Github& github, object claims) {
         claims["iss"] = std::string(claims.at("iss").as_string()) + "/";
         return github.token(claims);
       }},
      // 6
      claim("bad_audience", "aud", "https://other.example"),
      claim("bad_audience", "aud", std::nullopt),
      claim("bad_audience", "aud", array{GithubCase::kAudience, "https://other.example"}),
      claim("bad_audience", "aud", array{}),
      claim("bad_audience", "aud", ""),
      // 7
      {"expired",
       [](const standins::Github& github, object claims) {
         const std::int64_t now = claims.at("iat").as_int64();
         claims["iat"] = claims["nbf"] = now - 300;
         claims["exp"] = now - 30;
         return github.token(claims);
       }},
      time_claim("not_yet_valid", "nbf", 31),
      {"not_yet_valid",
       [](const standins::Github& github, object claims) {
         claims["iat"] = claims.at("iat").as_int64() + 31;
         return github.token(claims);
       }},
      time_claim("bad_times", "exp", 3601),
      time_claim("bad_times", "exp", 0),
      claim("bad_times", "exp", std::nullopt),
      claim("bad_times", "iat", std::nullopt),
      claim("bad_times", "nbf", std::nullopt),
      claim("bad_times", "exp", "1767225900"),
      claim("bad_times", "exp", 1767225900.5),
      claim("bad_times", "exp", std::numeric_limits<std::int64_t>::max()),
      // 8
      claim("claim_missing", "sub", std::nullopt),
      claim("claim_missing", "jti", ""),
      claim("claim_missing", "jti", boost::json::string(513, 'j')),
      claim("claim_missing", "repository", "no-slash"),
      claim("claim_missing", "repository", "other-org/app"),
      claim("claim_missing", "repository", "octo-org/a/b"),
      claim("claim_missing", "repository", "octo-org/"),
      claim("claim_missing", "repository_owner", std::nullopt),
      claim("claim_missing", "repository_id", "12x"),
      claim("claim_missing", "repository_id", 7001),
      claim("claim_missing", "repository_owner_id", "9999999999999999999"),
      claim("claim_missing", "repository_owner_id", "-1"),
      claim("claim_missing", "ref", std::nullopt),
      claim("claim_missing", "event_name", std::nullopt),
      claim("claim_missing", "run_id", std::nullopt),
  };
}

// covers: S04_AUTH_OIDC_002..009
TEST_F(GithubOidcTest, RefusesEachRowThatIsBrokenAlone) {
  linked_account();
  ASSERT_EQ(verdict(token()), "ok");
  int number = 0;
  for (const Wrong& wrong : each_row_broken_alone()) {
    SCOPED_TRACE(std::to_string(number++) + " " + wrong.slug);
    test.advance(Seconds(61));  // past the folding of equal refusals
    const std::size_t before = refusals().size();
    const TestAnswer answer = get(wrong.make(test.github, claims()), "192.0.2.1");
    EXPECT_EQ(answer.status, 401);
    EXPECT_EQ(answer.code(), "oidc_invalid");
    EXPECT_THAT(answer.body, Not(HasSubstr(wrong.slug))) << "the caller learns no more";
    const auto after = refusals();
    ASSERT_EQ(after.size(), before + 1);
    EXPECT_EQ(after.back(), std::string("oidc_refused ") + wrong.slug);
    EXPECT_EQ(verdict(token()), "ok");
  }
  EXPECT_THAT(test.cp->values<std::string>("SELECT DISTINCT actor FROM audit_log WHERE action='oidc_refused'"),
              ElementsAre("anonymous"));
}

TEST_F(GithubOidcTest, ToleratesWhatIsWithinTheBounds) {
  linked_account();
  const std::int64_t now = claims().at("iat").as_int64();
  EXPECT_EQ(verdict(token(with("aud", array{GithubCase::kAudience}))), "ok");
  EXPECT_EQ(verdict(token(with("nbf", now + 30))), "ok");
  EXPECT_EQ(verdict(token(with("iat", now + 30))), "ok");
  EXPECT_EQ(verdict(token(with("exp", now + 3600))), "ok");
  object late = claims();
  late["iat"] = late["nbf"] = now - 300;
  late["exp"] = now - 29;
  EXPECT_EQ(verdict(token(late)), "ok");
}

// covers: S04_AUTH_OIDC_010, S04_AUTH_OIDC_011
TEST_F(GithubOidcTest, FollowsKeysThatChangeAndIsNotMadeToFetchByStrangers) {
  linked_account();
  EXPECT_EQ(verdict(token()), "ok");
  EXPECT_EQ(test.github.count(kJwks), 1U);
  const std::string old = token();
  test.github.rotate_key();
  EXPECT_EQ(verdict(token()), "ok");
  EXPECT_EQ(verdict(old), "ok");
  EXPECT_EQ(test.github.count(kJwks), 2U);
  // A flood of kids that nobody knows: one fetch in ten seconds.
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(verdict(test.github.token(claims(), "RS256", "kid-" + std::to_string(i))), "oidc_invalid");
  EXPECT_EQ(test.github.count(kJwks), 2U);
  test.advance(Seconds(10));
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(verdict(test.github.token(claims(), "RS256", "kid-" + std::to_string(i))), "oidc_invalid");
  EXPECT_EQ(test.github.count(kJwks), 3U);
}

// covers: S04_AUTH_OIDC_012
TEST_F(GithubOidcTest, NeverUsesStaleKeys) {
  linked_account();
  EXPECT_EQ(verdict(token()), "ok");
  test.github.fail(kJwks, {.status = 503}, 1000);
  test.advance(Seconds(299));
  EXPECT_EQ(verdict(token()), "ok") << "within the TTL GitHub may be down";
  test.advance(Seconds(1));
  const TestAnswer answer = get(token());
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.code(), "auth_unavailable");
  EXPECT_EQ(test.github.count(kJwks), 4U) << "the fetch and its two retries";
}

TEST_F(GithubOidcTest, RefreshesKeysInTheBackground) {
  linked_account();
  EXPECT_TRUE(test.cp->app().run_job("github_jwks_refresh"));
  EXPECT_EQ(test.github.count(kJwks), 0U) << "nobody has needed them";
  EXPECT_EQ(verdict(token()), "ok");
  test.advance(Seconds(239));
  EXPECT_TRUE(test.cp->app().run_job("github_jwks_refresh"));
  EXPECT_EQ(test.github.count(kJwks), 1U);
  test.advance(Seconds(1));
  EXPECT_TRUE(test.cp->app().run_job("github_jwks_refresh"));
  EXPECT_EQ(test.github.count(kJwks), 2U);
  test.advance(Seconds(299));
  EXPECT_EQ(verdict(token()), "ok");
  EXPECT_EQ(test.github.count(kJwks), 2U);
}

TEST_F(GithubOidcTest, UsesNoKeyThatIsNotAsItShouldBe) {
  linked_account();
  const RsaKeyText weak = make_rsa_key(1024);
  const auto key = jose::PrivateKey::from_pem(make_rsa_key(2048).pem).value();
  const std::string good = key.public_jwk("twice");
  test.github.publish({R"({"kty":"RSA","kid":"weak","e":")" + weak.e + R"(","n":")" + weak.n + "\"}", good, good,
                       key.public_jwk("other_alg", jose::Algorithm::ps384)});
  for (const char* kid : {"weak", "twice", "other_alg"}) {
    object head = {{"alg", "RS256"}, {"kid", kid}};
    const std::string input = to_base64url(bytes_of(boost::json::serialize(head))) + '.' +
                              to_base64url(bytes_of(boost::json::serialize(claims())));
    EXPECT_EQ(verdict(input + '.' + to_base64url(key.sign(jose::Algorithm::rs256, bytes_of(input)).value())),
              "oidc_invalid")
        << kid;
  }
  EXPECT_THAT(test.cp->values<std::string>("SELECT DISTINCT reason_code FROM audit_log WHERE action='oidc_refused'"),
              ElementsAre("unknown_key"));
}

// covers: S04_AUTH_OIDC_013
TEST(GithubOidcOff, AcceptsNothingWithoutAnAudience) {
  GithubCase test(TestControlPlane::Environment{{"CP_GITHUB_OIDC_AUDIENCE", ""}});
  test.link(test.account("octo"), 9001, "octo-org");
  for (const char* audience : {"", GithubCase::kAudience}) {
    const TestAnswer answer = test.cp->call(
        "GET", "/auth/me", "", {{"Authorization", "Bearer " + test.github.token(test.github.claims(audience))}});
    EXPECT_EQ(answer.status, 401);
    EXPECT_EQ(answer.code(), "oidc_disabled");
  }
  EXPECT_EQ(test.github.count(kJwks), 0U);
  EXPECT_THAT(test.cp->call("GET", "/auth/methods").body,
              HasSubstr(R"("github_oidc":false,"github_oidc_audience":null)"));
}

TEST_F(GithubOidcTest, TellsItsAudience) {
  EXPECT_THAT(test.cp->call("GET", "/auth/methods").body,
              HasSubstr(R"("github_oidc":true,"github_oidc_audience":"https://cp.example.com")"));
}

// covers: S04_AUTH_OIDC_001, S04_AUTH_OIDC_009
TEST_F(GithubOidcTest, JudgesTokensOfAnIndependentLibraryAsItShould) {
  if (std::system("node --version >/dev/null 2>&1") != 0) GTEST_SKIP() << "node is not installed";
  if (!std::filesystem::exists("tests/jose_interop/node_modules/jose"))
    GTEST_SKIP() << "npm jose is not installed: run `npm ci` in tests/jose_interop";
  linked_account();
  const TempDir dir;
  const std::filesystem::path out = dir / "github.json";
  const std::int64_t now = unix_ms(test.cp->clock.now()) / 1000;
  const std::string command = "node tests/jose_interop/interop.mjs github '" + out.string() + "' '" +
                              test.github.url() + "' '" + GithubCase::kAudience + "' " + std::to_string(now);
  ASSERT_EQ(std::system(command.c_str()), 0);  // NOLINT(cert-env33-c): a test's own program
  std::ifstream file(out, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  std::filesystem::remove(out);  // tokens that the test was given are no leak of the product
  const auto made = json::parse(text).value();
  std::vector<std::string> keys;
  for (const auto& jwk : made.at("jwks").as_array()) keys.emplace_back(jwk.as_string());
  test.github.publish(std::move(keys));
  const auto& tokens = made.at("tokens").as_object();
  ASSERT_EQ(tokens.size(), 10U);
  for (const auto& each : tokens)
    EXPECT_EQ(verdict(std::string(each.value().at(1).as_string())), std::string(each.value().at(0).as_string()))
        << each.key();
}

}  // namespace
}  // namespace ee::testing
