#include "attestation/verify/ita_token.h"

#include <gtest/gtest.h>

#include <cctype>
#include <functional>

#include "attestation/binding.h"
#include "common/crypto.h"
#include "tests/support/emulator.h"
#include "tests/support/ita_tokens.h"

namespace ee::attestation {
namespace {

using boost::json::object;
using testing::ita_token;

class ItaTokenTest : public ::testing::Test {
 protected:
  object claims(int version = 2) const {
    return testing::ita_claims_of(quote_, report_data_.preimage, {.version = version, .now = now_});
  }
  /// `ok`, or the slug of the first refusal on the whole way.
  std::string outcome(std::string_view token, const ItaRules& rules, std::string_view jwks) const {
    const ItaVerifier verifier(rules);
    const auto keys = jose::KeySet::parse(jwks).value();
    const auto parsed = verifier.read(token);
    if (!parsed) return std::string(slug(parsed.error().code));
    const auto verified = verifier.verify(*parsed, keys, now_);
    if (!verified) return std::string(slug(verified.error().code));
    const auto fits = check_ita_claims(*verified, quote_, report_data_.preimage);
    return fits ? "ok" : std::string(slug(fits.error().code));
  }
  std::string outcome(std::string_view token, const ItaRules& rules = {.issuer = "https://issuer.example"}) const {
    return outcome(token, rules, testing::ita_jwks());
  }
  std::string outcome(const object& of) const { return outcome(ita_token(of)); }

  static ItaRules rules() { return {.issuer = "https://issuer.example"}; }
  std::int64_t seconds() const { return unix_ms(now_) / 1000; }

  UtcTime now_ = FakeClock().now();
  ReportData report_data_ =
      build_report_data(Purpose::register_, ByteArray<32>{1}, ByteArray<32>{2}, "https://cp.example");
  Quote quote_ =
      parse_quote(testing::emulated_quote({.report_data = report_data_.value}), TrailingPolicy::zeros).value();
};

// covers: S01_ITA_001
TEST_F(ItaTokenTest, AcceptsPs384V2AndRs256V1) {
  EXPECT_EQ(outcome(ita_token(claims(2), jose::Algorithm::ps384)), "ok");
  EXPECT_EQ(outcome(ita_token(claims(1), jose::Algorithm::rs256)), "ok");
}

TEST_F(ItaTokenTest, GivesTcbStatusAdvisoriesAndDates) {
  const ItaVerifier verifier(rules());
  const auto verified = verifier.verify(verifier.read(ita_token(claims())).value(),
                                        jose::KeySet::parse(testing::ita_jwks()).value(), now_);
  ASSERT_TRUE(verified);
  EXPECT_EQ(verified->tcb_status, TcbStatus::UpToDate);
  EXPECT_EQ(verified->advisory_ids, std::vector<std::string>{"INTEL-SA-00837"});
  EXPECT_EQ(verified->tcb_date, parse_rfc3339("2025-03-01T00:00:00Z"));
  EXPECT_EQ(verified->issued_at, now_);
  EXPECT_EQ(verified->expires_at, now_ + Seconds(300));
}

TEST_F(ItaTokenTest, UnknownTcbStatusIsUnknown) {
  for (const boost::json::value& status :
       {boost::json::value("Splendid"), boost::json::value(nullptr), boost::json::value("uptodate")}) {
    object of = claims();
    of["tdx"].as_object()["attester_tcb_status"] = status;
    const ItaVerifier verifier(rules());
    const auto verified =
        verifier.verify(verifier.read(ita_token(of)).value(), jose::KeySet::parse(testing::ita_jwks()).value(), now_);
    ASSERT_TRUE(verified);
    EXPECT_EQ(verified->tcb_status, TcbStatus::Unknown);
  }
}

// covers: S01_ITA_002
TEST_F(ItaTokenTest, RefusesOtherAlgorithmsBeforeAnyKey) {
  const std::string text = boost::json::serialize(claims());
  for (const std::string alg : {"none", "HS256", "ES256", "RS384", "EdDSA", "PS256", "ps384"}) {
    const std::string header = R"({"alg":")" + alg + R"(","kid":"ita-1","typ":"JWT"})";
    EXPECT_EQ(outcome(testing::ita_token_of_texts(header, text)), "ita_alg_not_allowed") << alg;
  }
  EXPECT_EQ(outcome(to_base64url(bytes_of(R"({"alg":"none"})")) + '.' + to_base64url(bytes_of(text)) + '.'),
            "ita_alg_not_allowed");
  ItaRules only_ps384 = rules();
  only_ps384.algorithms = {jose::Algorithm::ps384};
  EXPECT_EQ(outcome(ita_token(claims(), jose::Algorithm::rs256), only_ps384), "ita_alg_not_allowed");
}

// covers: S01_ITA_002
TEST_F(ItaTokenTest, RefusesHmacWithThePublicKey) {
  const std::string header = to_base64url(bytes_of(R"({"alg":"HS256","kid":"ita-1"})"));
  const std::string input = header + '.' + to_base64url(bytes_of(boost::json::serialize(claims())));
  const auto mac = hmac_sha256(bytes_of(testing::ita_signing_key().public_jwk("ita-1")), bytes_of(input));
  EXPECT_EQ(outcome(input + '.' + to_base64url(mac)), "ita_alg_not_allowed");
}

TEST_F(ItaTokenTest, RefusesUnknownAndMissingKids) {
  EXPECT_EQ(outcome(ita_token(claims(), jose::Algorithm::ps384, "")), "ita_key_unknown");
  EXPECT_EQ(outcome(ita_token(claims(), jose::Algorithm::ps384, "other")), "ita_key_unknown");
  EXPECT_EQ(outcome(ita_token(claims(), jose::Algorithm::ps384, std::string(257, 'k'))), "ita_key_unknown");
}

TEST_F(ItaTokenTest, RefusesAForeignSignature) {
  std::string token = ita_token(claims());
  const std::size_t at = token.rfind('.') + 20;
  token[at] = token[at] == 'A' ? 'B' : 'A';
  EXPECT_EQ(outcome(token), "ita_signature_invalid");
  // Signed with one padding, announced as the other.
  EXPECT_EQ(outcome(testing::ita_token_of_texts(R"({"alg":"PS384","kid":"ita-1"})", boost::json::serialize(claims()),
                                                jose::Algorithm::rs256)),
            "ita_signature_invalid");
}

TEST_F(ItaTokenTest, RefusesAnotherIssuer) {
  for (const boost::json::value& issuer :
       {boost::json::value("https://issuer.example/"), boost::json::value("HTTPS://issuer.example"),
        boost::json::value(1), boost::json::value(boost::json::array{"https://issuer.example"})}) {
    object of = claims();
    of["iss"] = issuer;
    EXPECT_EQ(outcome(of), "ita_issuer_invalid");
  }
  object of = claims();
  of.erase("iss");
  EXPECT_EQ(outcome(of), "ita_issuer_invalid");
}

// covers: S01_ITA_006
TEST_F(ItaTokenTest, SkewEdges) {
  const auto with = [&](const char* name, std::int64_t value) {
    object of = claims();
    of[name] = value;
    return outcome(of);
  };
  EXPECT_EQ(with("exp", seconds() - 59), "ok");
  EXPECT_EQ(with("exp", seconds() - 60), "ita_token_expired");
  EXPECT_EQ(with("nbf", seconds() + 60), "ok");
  EXPECT_EQ(with("nbf", seconds() + 61), "ita_token_not_yet_valid");
  EXPECT_EQ(with("iat", seconds() + 60), "ok");
  EXPECT_EQ(with("iat", seconds() + 61), "ita_token_stale");
  now_ += Milliseconds(1);  // the edges are at the millisecond
  EXPECT_EQ(with("exp", seconds() - 60), "ita_token_expired");
  EXPECT_EQ(with("nbf", seconds() + 60), "ok");
}

TEST_F(ItaTokenTest, DatesMustBeIntegers) {
  const std::pair<const char*, const char*> dates[] = {
      {"exp", "ita_token_expired"}, {"nbf", "ita_token_not_yet_valid"}, {"iat", "ita_token_stale"}};
  for (const auto& [name, code] : dates) {
    for (const boost::json::value& value :
         {boost::json::value(std::to_string(seconds())), boost::json::value(static_cast<double>(seconds())),
          boost::json::value(nullptr), boost::json::value(-1), boost::json::value(std::int64_t{253402300800}),
          boost::json::value(INT64_MAX), boost::json::value(true)}) {
      object of = claims();
      of[name] = value;
      EXPECT_EQ(outcome(of), code) << name << ' ' << boost::json::serialize(value);
    }
    object of = claims();
    of.erase(name);
    EXPECT_EQ(outcome(of), code) << name;
  }
}

// covers: S01_ITA_007
TEST_F(ItaTokenTest, Audience) {
  ItaRules with_audience = rules();
  with_audience.audience = "cp";
  const auto token_with = [&](const boost::json::value& audience) {
    object of = claims();
    of["aud"] = audience;
    return ita_token(of);
  };
  EXPECT_EQ(outcome(token_with("cp"), with_audience), "ok");
  EXPECT_EQ(outcome(token_with(boost::json::array{"other", "cp"}), with_audience), "ok");
  EXPECT_EQ(outcome(token_with(boost::json::array{"other"}), with_audience), "ita_audience_invalid");
  EXPECT_EQ(outcome(token_with(boost::json::array{}), with_audience), "ita_audience_invalid");
  EXPECT_EQ(outcome(token_with("CP"), with_audience), "ita_audience_invalid");
  EXPECT_EQ(outcome(token_with(1), with_audience), "ita_audience_invalid");
  EXPECT_EQ(outcome(ita_token(claims()), with_audience), "ita_audience_invalid");
  EXPECT_EQ(outcome(ita_token(claims())), "ok");
  EXPECT_EQ(outcome(token_with("cp")), "ita_audience_invalid");
  EXPECT_EQ(outcome(token_with(nullptr)), "ita_audience_invalid");
}

// covers: S01_ITA_009
TEST_F(ItaTokenTest, UnusableKeys) {
  const auto weak = testing::make_rsa_key(1024);
  const auto exponent_3 = testing::make_rsa_key(2048, 3);
  const auto jwk = [](std::string_view n, std::string_view e) {
    return R"({"kty":"RSA","kid":"ita-1","n":")" + std::string(n) + R"(","e":")" + std::string(e) + "\"}";
  };
  const auto set = [](const std::string& keys) { return R"({"keys":[)" + keys + "]}"; };
  const std::string good = testing::ita_signing_key().public_jwk("ita-1");
  const std::string token = ita_token(claims());
  EXPECT_EQ(outcome(token, rules(), set(jwk(weak.n, weak.e))), "ita_key_unusable");
  EXPECT_EQ(outcome(token, rules(), set(jwk(exponent_3.n, exponent_3.e))), "ita_key_unusable");
  EXPECT_EQ(outcome(token, rules(), set(jwk(exponent_3.n, "AQ"))), "ita_key_unusable");
  EXPECT_EQ(outcome(token, rules(), set(good + ',' + good)), "ita_key_unusable");
  EXPECT_EQ(outcome(token, rules(), set(good + R"(,{"kid":"ita-1","kty":"oct"})")), "ita_key_unusable");
  EXPECT_EQ(outcome(token, rules(), set(testing::ita_signing_key().public_jwk("ita-1", jose::Algorithm::rs256))),
            "ita_key_unusable");
}

// covers: S01_ITA_010
TEST_F(ItaTokenTest, AgeAndLifetime) {
  const auto with = [&](std::int64_t iat, std::int64_t exp) {
    object of = claims();
    of["iat"] = iat;
    of["exp"] = exp;
    return outcome(of);
  };
  EXPECT_EQ(with(seconds() - 660, seconds() + 60), "ok");
  EXPECT_EQ(with(seconds() - 661, seconds() + 60), "ita_token_stale");
  EXPECT_EQ(with(seconds(), seconds() + 86400), "ok");
  EXPECT_EQ(with(seconds(), seconds() + 86401), "ita_token_stale");
}

// covers: S01_ITA_011
TEST_F(ItaTokenTest, ClaimsInBothPlacesOrNone) {
  for (const char* name : {"tdx_mrtd", "attester_type", "tdx_anything", "attester_tcb_status"}) {
    object of = claims();
    of[name] = "TDX";
    EXPECT_EQ(outcome(of), "ita_claims_invalid") << name;
  }
  object v1_with_object = claims(1);
  v1_with_object["tdx"] = object{};
  EXPECT_EQ(outcome(v1_with_object), "ita_claims_invalid");
  object v2_at_the_top = claims(1);
  v2_at_the_top["ver"] = "2.0.0";
  EXPECT_EQ(outcome(v2_at_the_top), "ita_claims_invalid");
  for (const boost::json::value& version :
       {boost::json::value("3.0.0"), boost::json::value("1"), boost::json::value(2), boost::json::value("")}) {
    object of = claims();
    of["ver"] = version;
    EXPECT_EQ(outcome(of), "ita_claims_invalid");
  }
  object no_version = claims();
  no_version.erase("ver");
  EXPECT_EQ(outcome(no_version), "ok");
  object not_an_object = claims();
  not_an_object["tdx"] = "TDX";
  EXPECT_EQ(outcome(not_an_object), "ita_claims_invalid");
}

// covers: S01_ITA_012
TEST_F(ItaTokenTest, EachClaimThatDiffersFromTheQuote) {
  const char* compared[] = {"tdx_mrtd",        "tdx_rtmr0",   "tdx_rtmr1",        "tdx_rtmr2",         "tdx_rtmr3",
                            "tdx_report_data", "tdx_mrseam",  "tdx_mrsignerseam", "tdx_td_attributes", "tdx_xfam",
                            "tdx_mrconfigid",  "tdx_mrowner", "tdx_mrownerconfig"};
  for (const int version : {1, 2})
    for (const char* name : compared) {
      const auto with = [&](const std::function<void(std::string&)>& change) {
        object of = claims(version);
        object& place = version == 1 ? of : of["tdx"].as_object();
        std::string value(place[name].as_string());
        change(value);
        place[name] = value;
        return outcome(of);
      };
      EXPECT_EQ(with([](std::string& hex) { hex.back() = hex.back() == '0' ? '1' : '0'; }), "ita_quote_mismatch")
          << name;
      EXPECT_EQ(with([](std::string& hex) { hex.front() = hex.front() == '0' ? '1' : '0'; }), "ita_quote_mismatch")
          << name;
      EXPECT_EQ(with([](std::string& hex) { hex.resize(hex.size() - 2); }), "ita_quote_mismatch") << name;
      EXPECT_EQ(with([](std::string& hex) { hex += "00"; }), "ita_quote_mismatch") << name;
      EXPECT_EQ(with([](std::string& hex) { hex = ""; }), "ita_quote_mismatch") << name;
      EXPECT_EQ(with([](std::string& hex) { std::ranges::transform(hex, hex.begin(), ::toupper); }), "ok") << name;
    }
  object other_type = claims();
  other_type["tdx"].as_object()["attester_type"] = "SGX";
  EXPECT_EQ(outcome(other_type), "ita_quote_mismatch");
}

TEST_F(ItaTokenTest, ClaimsThatMustBeThere) {
  const auto without = [&](const char* name) {
    object of = claims();
    of["tdx"].as_object().erase(name);
    return outcome(of);
  };
  EXPECT_EQ(without("tdx_mrtd"), "mrtd_missing");
  for (const char* name : {"attester_type", "tdx_rtmr0", "tdx_rtmr3", "tdx_report_data"})
    EXPECT_EQ(without(name), "ita_claims_invalid") << name;
  for (const char* name :
       {"attester_held_data", "tdx_mrseam", "tdx_xfam", "tdx_td_attributes", "tdx_mrowner", "attester_tcb_status",
        "attester_tcb_date", "attester_advisory_ids", "dbgstat", "tdx_is_debuggable"})
    EXPECT_EQ(without(name), "ok") << name;
}

TEST_F(ItaTokenTest, ClaimsOfAnotherType) {
  for (const char* name :
       {"tdx_mrtd", "tdx_rtmr2", "tdx_report_data", "attester_held_data", "tdx_mrowner", "attester_advisory_ids"}) {
    object of = claims();
    of["tdx"].as_object()[name] = 7;
    EXPECT_EQ(outcome(of), "ita_claims_invalid") << name;
  }
  object bad_date = claims();
  bad_date["tdx"].as_object()["attester_tcb_date"] = "yesterday";
  EXPECT_EQ(outcome(bad_date), "ita_claims_invalid");
  for (const char* place : {"", "tdx"}) {
    object other_use = claims();
    (*place == 0 ? other_use : other_use["tdx"].as_object())["intuse"] = "csr";
    EXPECT_EQ(outcome(other_use), "ita_claims_invalid");
  }
}

// covers: S01_ITA_013
TEST_F(ItaTokenTest, HeldDataOfAnotherPreimage) {
  object of = claims();
  of["tdx"].as_object()["attester_held_data"] = to_base64(bytes_of("another"));
  EXPECT_EQ(outcome(of), "ita_quote_mismatch");
  of["tdx"].as_object()["attester_held_data"] = "not base64";
  EXPECT_EQ(outcome(of), "ita_quote_mismatch");
}

// covers: S01_ITA_014
TEST_F(ItaTokenTest, PoliciesMustAllMatch) {
  ItaRules with_policies = rules();
  with_policies.policy_ids = {"11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-22222222222a"};
  const auto policy = [](const char* id) { return object{{"id", id}, {"version", "v1"}}; };
  object of = claims();
  EXPECT_EQ(outcome(ita_token(of), with_policies), "ita_policy_unmatched");
  of["policy_ids_matched"] = boost::json::array{policy("11111111-1111-4111-8111-111111111111")};
  EXPECT_EQ(outcome(ita_token(of), with_policies), "ita_policy_unmatched");
  of["policy_ids_matched"].as_array().push_back(policy("22222222-2222-4222-8222-22222222222A"));
  EXPECT_EQ(outcome(ita_token(of), with_policies), "ok");
  of["policy_ids_unmatched"] = boost::json::array{policy("11111111-1111-4111-8111-111111111111")};
  EXPECT_EQ(outcome(ita_token(of), with_policies), "ita_policy_unmatched");
  EXPECT_EQ(outcome(ita_token(of)), "ok");  // none configured
}

// covers: S01_ITA_016
TEST_F(ItaTokenTest, MalformedTokens) {
  const std::string header = R"({"alg":"PS384","kid":"ita-1"})";
  const std::string text = boost::json::serialize(claims());
  EXPECT_EQ(outcome(testing::ita_token_of_texts(header, text)), "ok");
  EXPECT_EQ(outcome(testing::ita_token_of_texts(R"({"alg":"PS384","kid":"ita-1","kid":"ita-1"})", text)),
            "ita_token_malformed");
  EXPECT_EQ(outcome(testing::ita_token_of_texts(header, R"({"exp":1,)" + text.substr(1))), "ita_token_malformed");
  EXPECT_EQ(outcome(testing::ita_token_of_texts(R"({"alg":"PS384","kid":"ita-1","crit":["x"]})", text)),
            "ita_token_malformed");
  EXPECT_EQ(outcome(testing::ita_token_of_texts(R"({"alg":"PS384","kid":"ita-1","typ":"JOSE"})", text)),
            "ita_token_malformed");
  EXPECT_EQ(outcome(ita_token(claims()) + "="), "ita_token_malformed");
  EXPECT_EQ(outcome("x"), "ita_token_malformed");
  EXPECT_EQ(outcome(""), "ita_token_missing");
  object large = claims();
  large["padding"] = std::string(33UL * 1024 * 3 / 4, 'x');
  EXPECT_EQ(outcome(large), "ita_token_malformed");
}

// covers: S01_ITA_017
TEST_F(ItaTokenTest, DebuggableTd) {
  const std::pair<const char*, boost::json::value> debuggable[] = {
      {"tdx_is_debuggable", true},    {"tdx_td_attributes_debug", true},    {"dbgstat", "enabled"},
      {"tdx_is_debuggable", "false"}, {"tdx_td_attributes_debug", nullptr}, {"dbgstat", false}};
  for (const auto& [name, value] : debuggable) {
    object of = claims();
    of["tdx"].as_object()[name] = value;
    EXPECT_EQ(outcome(of), "td_debug_enabled") << name;
  }
  object at_the_top = claims();
  at_the_top["dbgstat"] = "enabled";
  EXPECT_EQ(outcome(at_the_top), "td_debug_enabled");
}

}  // namespace
}  // namespace ee::attestation
