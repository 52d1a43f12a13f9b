#include "agent/console_token.h"

#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <functional>

#include "common/ed25519.h"
#include "common/fake_clock.h"
#include "common/jose.h"

namespace ee::agent {
namespace {

using namespace std::chrono_literals;
using boost::json::object;

constexpr const char* kAgentId = "0190a000-0000-7000-8000-000000000001";
constexpr const char* kRegistration = "0190a000-0000-7000-8000-000000000002";
constexpr const char* kOrigin = "https://cp.example.com";

class ConsoleTokenTest : public ::testing::Test {
 protected:
  ConsoleTokenTest() { begin_session(kRegistration); }
  void begin_session(const std::string& registration) {
    board_.begin_session(
        {.identity = {.agent_id = kAgentId, .registration_id = registration, .credential = Secret("c")},
         .signers = SignerSet({key_.public_key()})});
  }
  object claims() const {
    const std::int64_t now = unix_ms(clock_.now()) / 1000;
    return {{"iss", kOrigin}, {"aud", kAgentId},  {"sub", "account:1"}, {"scope", {"logs", "stats"}}, {"iat", now},
            {"nbf", now},     {"exp", now + 900}, {"jti", "j1"},        {"rid", kRegistration}};
  }
  object with(const char* name, boost::json::value value) const {
    object out = claims();
    out[name] = std::move(value);
    return out;
  }
  object without(const char* name) const {
    object out = claims();
    out.erase(name);
    return out;
  }
  std::string sign(const object& claims, const std::string& typ = "ee-console+jwt") const {
    return *jose::sign_compact(jose::PrivateKey::from_ed25519(key_), jose::Algorithm::eddsa, key_id(key_.public_key()),
                               typ, boost::json::serialize(claims));
  }
  /// `ok`, or the code of the refusal.
  std::string outcome(const std::string& token, std::string_view scope = "logs") {
    ConsoleTokens fresh(board_, clock_, kOrigin);  // without what earlier failures have locked
    const auto grant = fresh.check("Bearer " + token, scope);
    return grant ? "ok" : std::string(slug(grant.error().code));
  }

  Ed25519PrivateKey key_ = *Ed25519PrivateKey::from_seed(ByteVector(32, 0x11));
  Ed25519PrivateKey other_ = *Ed25519PrivateKey::from_seed(ByteVector(32, 0x22));
  FakeClock clock_;
  Board board_{clock_};
  ConsoleTokens tokens_{board_, clock_, kOrigin};
};

// covers: S02_CON_TOK_001
TEST_F(ConsoleTokenTest, S02_CON_TOK_001_a_good_one_opens_its_scopes_again_and_again) {
  for (int i = 0; i < 3; ++i) {
    const auto grant = tokens_.check("Bearer " + sign(with("deployment_id", "d1")), "stats");
    ASSERT_TRUE(grant) << grant.error().detail;
    EXPECT_EQ(grant->subject, "account:1");
    EXPECT_EQ(grant->token_id, "j1");
    EXPECT_EQ(grant->scopes, (std::vector<std::string>{"logs", "stats"}));
    EXPECT_EQ(grant->deployment_id, "d1");
  }
  EXPECT_FALSE(tokens_.check("Bearer " + sign(claims()), "logs")->deployment_id);
}

// covers: S02_CON_TOK_002
TEST_F(ConsoleTokenTest, S02_CON_TOK_002_an_expired_one_is_refused) {
  const std::string token = sign(claims());
  clock_.advance(929s);
  EXPECT_EQ(outcome(token), "ok");
  clock_.advance(3s);
  EXPECT_EQ(outcome(token), "invalid_token");
  const std::int64_t now = unix_ms(clock_.now()) / 1000;
  EXPECT_EQ(outcome(sign(with("nbf", now + 60))), "invalid_token");
  EXPECT_EQ(outcome(sign(with("iat", now + 60))), "invalid_token");
  EXPECT_EQ(outcome(sign(with("exp", now + 3601))), "invalid_token") << "longer than any that is given out";
  for (const char* time : {"iat", "nbf", "exp"}) {
    EXPECT_EQ(outcome(sign(without(time))), "invalid_token") << time;
    EXPECT_EQ(outcome(sign(with(time, "soon"))), "invalid_token") << time;
    EXPECT_EQ(outcome(sign(with(time, -1))), "invalid_token") << time;
    EXPECT_EQ(outcome(sign(with(time, std::int64_t{9'000'000'000'000'000'000}))), "invalid_token") << time;
  }
}

// covers: S02_CON_TOK_003
TEST_F(ConsoleTokenTest, S02_CON_TOK_003_another_agents_is_refused) {
  EXPECT_EQ(outcome(sign(with("aud", "0190a000-0000-7000-8000-000000000009"))), "invalid_token");
  EXPECT_EQ(outcome(sign(without("aud"))), "invalid_token");
  EXPECT_EQ(outcome(sign(with("iss", "https://evil.example.com"))), "invalid_token");
  EXPECT_EQ(outcome(sign(without("iss"))), "invalid_token");
}

// covers: S02_CON_TOK_004
TEST_F(ConsoleTokenTest, S02_CON_TOK_004_a_registration_ends_those_before_it) {
  const std::string token = sign(claims());
  EXPECT_EQ(outcome(token), "ok");
  begin_session("0190a000-0000-7000-8000-000000000003");
  EXPECT_EQ(outcome(token), "invalid_token");
  EXPECT_EQ(outcome(sign(without("rid"))), "invalid_token");
}

// covers: S02_CON_TOK_005
TEST_F(ConsoleTokenTest, S02_CON_TOK_005_a_scope_that_it_lacks_is_refused) {
  EXPECT_EQ(outcome(sign(claims()), "reattest"), "insufficient_scope");
  EXPECT_EQ(outcome(sign(with("scope", boost::json::array())), "logs"), "insufficient_scope");
  EXPECT_EQ(outcome(sign(with("scope", "logs"))), "invalid_token") << "a text is no list";
  EXPECT_EQ(outcome(sign(with("scope", {1}))), "invalid_token");
  EXPECT_EQ(outcome(sign(without("scope"))), "invalid_token");
  EXPECT_EQ(outcome(sign(with("deployment_id", nullptr))), "invalid_token") << "a restriction does not fall away";
}

// covers: S02_CON_TOK_006
TEST_F(ConsoleTokenTest, S02_CON_TOK_006_no_other_algorithm_type_or_key_counts) {
  const auto forged = [&](const std::string& alg) {
    const object header{{"alg", alg}, {"typ", "ee-console+jwt"}, {"kid", key_id(key_.public_key())}};
    const std::string input = to_base64url(bytes_of(boost::json::serialize(header))) + "." +
                              to_base64url(bytes_of(boost::json::serialize(claims())));
    return input + "." + (alg == "none" ? "" : to_base64url(key_.sign(bytes_of(input))));
  };
  EXPECT_EQ(outcome(forged("EdDSA")), "ok");
  for (const char* alg : {"none", "HS256", "RS256", "ES256", ""})
    EXPECT_EQ(outcome(forged(alg)), "invalid_token") << alg;
  EXPECT_EQ(outcome(sign(claims(), "ee-control+jwt")), "invalid_token");
  EXPECT_EQ(outcome(sign(claims(), "JWT")), "invalid_token");
  EXPECT_EQ(outcome(sign(claims(), "")), "invalid_token");
  const std::string by_other =
      *jose::sign_compact(jose::PrivateKey::from_ed25519(other_), jose::Algorithm::eddsa, key_id(key_.public_key()),
                          "ee-console+jwt", boost::json::serialize(claims()));
  EXPECT_EQ(outcome(by_other), "invalid_token");
  std::string changed = sign(claims());
  changed[changed.size() - 10] = changed[changed.size() - 10] == 'A' ? 'B' : 'A';
  EXPECT_EQ(outcome(changed), "invalid_token");
}

TEST_F(ConsoleTokenTest, OnlyTheBearerFieldCounts) {
  const std::string token = sign(claims());
  for (const std::string& field : {std::string(), token, "EE-Control " + token, "bearer" + token, "Basic " + token})
    EXPECT_EQ(tokens_.check(field, "logs").error().code, ErrorCode::invalid_token) << field.substr(0, 12);
}

TEST_F(ConsoleTokenTest, WhoeverGuessesIsSlowedDownAndAGoodTokenStillPasses) {
  for (int i = 0; i < 20; ++i) EXPECT_EQ(tokens_.check("Bearer x", "logs").error().code, ErrorCode::invalid_token);
  const auto limited = tokens_.check("Bearer x", "logs");
  EXPECT_EQ(limited.error().code, ErrorCode::rate_limited);
  EXPECT_EQ(limited.error().retry_after, 60s);
  EXPECT_TRUE(tokens_.check("Bearer " + sign(claims()), "logs"));
  clock_.advance(61s);
  EXPECT_EQ(tokens_.check("Bearer x", "logs").error().code, ErrorCode::invalid_token);
}

}  // namespace
}  // namespace ee::agent
