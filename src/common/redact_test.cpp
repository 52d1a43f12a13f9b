#include "common/redact.h"

#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <string>
#include <vector>

#include "common/json.h"

namespace ee {
namespace {

const std::string kBody = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg2pz6nI";

struct Shape {
  std::string secret;  // what must not be seen again: its tail is looked for
  std::string shown;
};

std::vector<Shape> shapes() {
  std::vector<Shape> out;
  for (const std::string kind : {"live", "sess", "agent", "boot", "enroll", "svc", "meas"})
    out.push_back({"ee_" + kind + "_abcdefghijklmnop_" + kBody, "ee_" + kind + "_abcdefghijklmnop_***"});
  out.push_back({"ee_live_TOOSHORT_" + kBody, "ee_live_***"});
  out.push_back({"ee_agent_abcdefghijklmnop_cut", "ee_agent_abcdefghijklmnop_***"});
  out.push_back({"eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlLXRoYXQtaXMtbG9uZw", "jwt_***"});
  out.push_back({"eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0xyz", "jwt_***"});
  out.push_back({"eyJhbGciOiJSU0EtT0FFUCJ9.a2V5.aXY.Y2lwaGVy.dGFnLXRhZw", "jwt_***"});
  for (const std::string key : {"sk_test_", "sk_live_", "rk_test_", "rk_live_"})
    out.push_back({key + "51HCOXXAaYYbbiuYYuu990011", key.substr(0, 3) + "***"});
  out.push_back({"whsec_uNdErScOrEd0123456789", "whsec_***"});
  out.push_back(
      {"pi_3MtwBwLkdIwHu7ix28a3tqPa_secret_YrKJUKribcBjcG8HVhfZluoGH", "pi_3MtwBwLkdIwHu7ix28a3tqPa_secret_***"});
  out.push_back({"seti_1Mm8s8LkdIwHu7ix0OXBfTRG_secret_NXDICkPqPeiBTAFqWmkbff09lRmSVXe",
                 "seti_1Mm8s8LkdIwHu7ix0OXBfTRG_secret_***"});
  for (const std::string kind : {"gho_", "ghp_", "ghs_", "ghu_", "ghr_"})
    out.push_back({kind + "16C7e42F292c6912E7710c838347Ae178B4a", kind + "***"});
  out.push_back({"github_pat_11ABCDEFG0_abcdefghijklmnop", "github_pat_***"});
  out.push_back({"$argon2id$v=19$m=8,t=1,p=1$AAECAwQFBgc$OQhEq4/A3RBJxfw9Dfk8Sm3LSZ5Zttu8v4tn+Z+RGaw", "***"});
  out.push_back({"ya29.a0AfH6SMBx-abcdefghij_klmnop", "ya29.***"});
  out.push_back({"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAAB\n-----END PRIVATE KEY-----", "pem_***"});
  out.push_back({"-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEAzz\n-----END RSA PRIVATE KEY-----", "pem_***"});
  out.push_back({"-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIAABcutoff", "pem_***"});
  out.push_back({"Bearer 0123456789abcdefSECRET+/=", "Bearer ***"});
  out.push_back({"BEARER 0123456789abcdefSECRET+/=", "BEARER ***"});
  out.push_back({"BASIC dXNlcjpwYXNzd29yZA==", "BASIC ***"});
  out.push_back({"basic dXNlcjpwYXNzd29yZA==", "basic ***"});
  out.push_back({"://admin:hunter2hunter2", "://***"});
  return out;
}

// Each shape in each surrounding that a log line, detail or audit row has for it.
// covers: S04_AUTH_RED_001
TEST(Scrub, RemovesEveryShapeWhereverItStands) {
  for (const Shape& shape : shapes()) {
    const bool takes_rest =
        shape.secret.find("BEGIN") != std::string::npos && shape.secret.find("END") == std::string::npos;
    for (const auto& [before, after] : std::initializer_list<std::pair<std::string, std::string>>{{"", ""},
                                                                                                  {"got ", " from it"},
                                                                                                  {"\"", "\""},
                                                                                                  {"key=", "&next=1"},
                                                                                                  {"(", ")"},
                                                                                                  {"[", "]"},
                                                                                                  {"a,", ",b"},
                                                                                                  {"\t", "\n"}}) {
      const bool in_url = shape.secret.starts_with("://");
      const std::string end = in_url ? "@host/path" + after : after;
      const std::string clean = scrub(before + shape.secret + end);
      EXPECT_EQ(clean, before + shape.shown + (takes_rest ? "" : end)) << shape.secret;
      EXPECT_EQ(clean.find(shape.secret.substr(shape.secret.size() - 8)), std::string::npos) << clean;
    }
  }
}

TEST(Scrub, RemovesAllOfSeveral) {
  std::string text, wanted;
  for (const Shape& shape : shapes()) {
    if (shape.secret.starts_with("://") || shape.secret.find("cutoff") != std::string::npos) continue;
    text += shape.secret + " ";
    wanted += shape.shown + " ";
  }
  EXPECT_EQ(scrub(text), wanted);
}

TEST(Scrub, LeavesOrdinaryTextAlone) {
  for (const std::string text :
       {"", "agent registered", "task_id=7 disk_low", "https://host/path?x=1@2", "ee-cp easyenclave ee_live", "eyJ",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", "Bearer token required", "pi_123 seti_1",
        "$5.00", "mail me at a@b.example", "key id 630dcd2966c43366, 0190a000-0000-7000-8000-000000000001"})
    EXPECT_EQ(scrub(text), text);
}

TEST(Scrub, DoesTheSameInPlace) {
  for (const Shape& shape : shapes()) {
    std::string text = "got " + shape.secret;
    scrub_in_place(text);
    EXPECT_EQ(text, scrub("got " + shape.secret));
  }
  std::string plain = "e-b:s$g at 0190b000-0000-7000-8000-000001234567";
  const char* const where = plain.data();
  scrub_in_place(plain);
  EXPECT_EQ(plain, "e-b:s$g at 0190b000-0000-7000-8000-000001234567");
  EXPECT_EQ(plain.data(), where) << "nothing is copied";
}

TEST(Scrub, IsIdempotent) {
  for (const Shape& shape : shapes()) EXPECT_EQ(scrub(scrub("x " + shape.secret)), scrub("x " + shape.secret));
}

// The worst inputs for a scanner that would look ahead from every start: a quadratic one needs minutes for these.
TEST(Scrub, StaysLinearOnHostileText) {
  for (const std::string part :
       {"eyJ", "ee_live_", "-----BEGIN ", "://a", "sk_", "$argon2", "pi_a_secret", "Bearer ", "eyJaaaaaaaa."}) {
    std::string text;
    while (text.size() < 1000000) text += part;
    EXPECT_FALSE(scrub(text).empty());
  }
}

TEST(SecretName, FollowsTheWords) {
  for (const std::string_view name : {"authorization", "Authorization", "token",
                                      "tunnel_token",  "api_key",       "X-Api-Key",
                                      "apiKey",        "password",      "admin_password",
                                      "password_hash", "cookie",        "Set-Cookie",
                                      "private_key",   "jwt",           "nonce",
                                      "client_nonce",  "secret",        "webhook_secret",
                                      "credential",    "accessToken",   "EE_CP_SIGNING_KEY",
                                      "body.token"})
    EXPECT_TRUE(is_secret_name(name)) << name;
  for (const std::string_view name :
       {"", "agent_id", "token_id", "nonce_id", "token_sha256", "tokens_count", "credential_expires_at", "announce",
        "secretary", "cookiecutter", "key", "public_key", "signing_key_id", "tokenizer", "password_login_enabled_at"})
    EXPECT_FALSE(is_secret_name(name)) << name;
}

TEST(ScrubJson, CleansNamesValuesAndWhatIsInside) {
  auto value = *json::parse(R"({"token":"x","nested":{"password":{"a":"b"},"list":["sk_live_0123456789",1,null]},
    "ee_live_abcdefghijklmnop_0123456789":true,"token_count":3,"nonce":null,"note":"fine"})");
  scrub(value);
  EXPECT_EQ(value, *json::parse(R"({"token":"***","nested":{"password":"***","list":["sk_***",1,null]},
    "ee_live_abcdefghijklmnop_***":true,"token_count":3,"nonce":null,"note":"fine"})"));
}

}  // namespace
}  // namespace ee
