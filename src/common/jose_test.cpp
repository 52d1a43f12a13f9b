#include "common/jose.h"

#include <gtest/gtest.h>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "tests/support/jose_keys.h"

namespace ee::jose {
namespace {

constexpr std::string_view kRsaN =
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgN"
    "MsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xs"
    "mtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_"
    "h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
constexpr std::string_view kRs256Token =
    "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl"
    "fQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7"
    "t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--"
    "xi12jzD"
    "wusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77"
    "Rw";
constexpr std::string_view kEs256Jwk =
    R"({"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})";
constexpr std::string_view kEs256Token =
    "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl"
    "fQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
constexpr std::string_view kPs384N =
    "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_"
    "NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC"
    "0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__"
    "kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw";
constexpr std::string_view kPs384Token =
    "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGc"
    "m9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGh"
    "l"
    "cmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4.cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42mi"
    "Ah2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8Z"
    "nyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRH"
    "tfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw";
constexpr std::string_view kEdDsaJwk =
    R"({"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})";
constexpr std::string_view kEdDsaToken =
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4i"
    "ylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

std::string rsa_jwk(std::string_view n, std::string_view e = "AQAB", std::string_view more = "") {
  return R"({"kty":"RSA","n":")" + std::string(n) + R"(","e":")" + std::string(e) + '"' + std::string(more) + '}';
}

TokenRules any_payload(Algorithm algorithm) { return {.algorithms = {algorithm}, .claims_are_json = false}; }

std::string raw_token(std::string_view header, std::string_view claims, std::string_view signature = "AAAA") {
  return to_base64url(bytes_of(header)) + '.' + to_base64url(bytes_of(claims)) + '.' + std::string(signature);
}

/// Refused before a key is asked for.
Refusal refusal_of(std::string_view token,
                   const TokenRules& rules = {.algorithms = {Algorithm::ps384, Algorithm::rs256}}) {
  const auto parsed = UnverifiedToken::parse(token, rules);
  if (parsed) {
    ADD_FAILURE() << "accepted: " << token;
    return Refusal::signature_invalid;
  }
  return parsed.error();
}

// covers: S01_JOSE_001
TEST(Jose, VerifiesThePublishedVectors) {
  struct Vector {
    Algorithm algorithm;
    std::string jwk;
    std::string_view token;
  };
  const Vector vectors[] = {
      {Algorithm::rs256, rsa_jwk(kRsaN), kRs256Token},          // RFC 7515 A.2
      {Algorithm::es256, std::string(kEs256Jwk), kEs256Token},  // RFC 7515 A.3
      {Algorithm::ps384, rsa_jwk(kPs384N), kPs384Token},        // RFC 7520 4.2
      {Algorithm::eddsa, std::string(kEdDsaJwk), kEdDsaToken},  // RFC 8037 A.4
  };
  for (const Vector& vector : vectors) {
    SCOPED_TRACE(to_string(vector.algorithm));
    const auto key = PublicKey::from_jwk_text(vector.jwk);
    ASSERT_TRUE(key);
    const auto token = UnverifiedToken::parse(vector.token, any_payload(vector.algorithm));
    ASSERT_TRUE(token);
    EXPECT_EQ(token->algorithm(), vector.algorithm);
    EXPECT_TRUE(token->verify(*key));
    // Each altered byte of the signed part or of the signature.
    const std::size_t payload_at = vector.token.find('.') + 1;
    for (std::size_t i = payload_at; i < vector.token.size(); ++i) {
      std::string altered(vector.token);
      if (altered[i] == '.') continue;
      altered[i] = altered[i] == 'A' ? 'Q' : 'A';
      const auto parsed = UnverifiedToken::parse(altered, any_payload(vector.algorithm));
      if (!parsed) continue;  // the last character has unused bits
      const auto verified = parsed->verify(*key);
      ASSERT_FALSE(verified) << i;
      EXPECT_EQ(verified.error(), Refusal::signature_invalid);
    }
  }
}

// covers: S01_JOSE_001
TEST(Jose, MakesThePublishedEdDsaToken) {
  const auto seed = from_base64url("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").value();
  const auto key = PrivateKey::from_ed25519(Ed25519PrivateKey::from_seed(seed).value());
  EXPECT_EQ(sign_compact(key, Algorithm::eddsa, "", "", "Example of Ed25519 signing"), kEdDsaToken);
  EXPECT_EQ(PublicKey::from_jwk_text(key.public_jwk("a", Algorithm::eddsa))->kid(), "a");
}

TEST(Jose, GivesTheClaimsOfAVerifiedToken) {
  const auto parsed = UnverifiedToken::parse(kRs256Token, {.algorithms = {Algorithm::rs256}});
  const auto verified = parsed->verify(PublicKey::from_jwk_text(rsa_jwk(kRsaN)).value());
  ASSERT_TRUE(verified);
  EXPECT_EQ(text_member(verified->claims(), "iss"), "joe");
  EXPECT_EQ(integer_member(verified->claims(), "exp"), 1300819380);
  EXPECT_FALSE(text_member(verified->claims(), "exp"));
  EXPECT_FALSE(integer_member(verified->claims(), "iss"));
  EXPECT_FALSE(integer_member(verified->claims(), "nbf"));
}

// covers: S01_JOSE_003
TEST(Jose, RefusesOtherShapes) {
  const std::string good_header = R"({"alg":"PS384"})";
  const std::string head = to_base64url(bytes_of(good_header));
  const std::string malformed[] = {
      "",
      ".",
      "..",
      "...",
      "a",
      head,
      head + ".e30",
      head + ".e30.AAAA.AAAA",
      head + ".e30.AAAA.",
      head + ".e30=.AAAA",      // padding
      head + ".e30.AAAA=",      //
      head + ".e30.AA+/",       // standard alphabet
      head + ".e31.AAAA",       // unused bits set
      head + ". e30.AAAA",      // white space
      head + ".e30.AAAA\n",     //
      raw_token("[]", "{}"),    //
      raw_token("null", "{}"),  //
      raw_token("", "{}"),      //
      raw_token("{", "{}"),     //
      raw_token(good_header, "[]"),
      raw_token(good_header, "1"),
      raw_token(good_header, "{} {}"),
      raw_token(R"({"alg":"PS384","alg":"PS384"})", "{}"),
      raw_token(good_header, R"({"iss":"a","iss":"a"})"),
      raw_token(good_header, R"({"a":{"b":1,"b":1}})"),
      raw_token(R"({"alg":"PS384","kid":1})", "{}"),
      raw_token(R"({"alg":"PS384","kid":null})", "{}"),
      raw_token(R"({"alg":"PS384","typ":["JWT"]})", "{}"),
      raw_token(good_header, "{\"a\":\"\xff\"}"),
      raw_token(good_header, R"({"a":1e400})"),
  };
  for (const std::string& token : malformed) EXPECT_EQ(refusal_of(token), Refusal::malformed) << token;
}

// covers: S01_JOSE_003
TEST(Jose, BoundsLengthAndMembers) {
  const TokenRules rules{.algorithms = {Algorithm::ps384}, .max_bytes = 100, .max_members = 3};
  const std::string fits = raw_token(R"({"alg":"PS384"})", R"({"a":1,"b":2,"c":3})");
  EXPECT_TRUE(UnverifiedToken::parse(fits, rules));
  EXPECT_EQ(refusal_of(raw_token(R"({"alg":"PS384"})", R"({"a":1,"b":2,"c":3,"d":4})"), rules), Refusal::malformed);
  const std::string padded = fits + std::string(101 - fits.size(), 'A');
  EXPECT_EQ(refusal_of(padded, rules), Refusal::malformed);
}

// covers: S01_JOSE_003
TEST(Jose, RefusesHeadersAndAlgorithms) {
  EXPECT_EQ(refusal_of(raw_token(R"({"alg":"PS384","crit":["exp"]})", "{}")), Refusal::header_refused);
  EXPECT_EQ(refusal_of(raw_token(R"({"alg":"PS384","crit":null})", "{}")), Refusal::header_refused);
  EXPECT_EQ(refusal_of(raw_token(R"({"alg":"PS384","typ":"at+jwt"})", "{}")), Refusal::header_refused);
  EXPECT_EQ(refusal_of(raw_token(R"({"alg":"PS384","typ":"jwt"})", "{}")), Refusal::header_refused);
  EXPECT_EQ(refusal_of(raw_token(R"({"alg":"PS384","typ":""})", "{}")), Refusal::header_refused);
  for (const std::string alg :
       {"none", "None", "HS256", "HS384", "ES256", "EdDSA", "RS384", "RS512", "PS256", "PS512", "ps384", "PS384 ", ""})
    EXPECT_EQ(refusal_of(raw_token(R"({"alg":")" + alg + "\"}", "{}")), Refusal::algorithm_refused) << alg;
  EXPECT_EQ(refusal_of(raw_token("{}", "{}", "")), Refusal::algorithm_refused);
  EXPECT_EQ(refusal_of(raw_token(R"({"alg":["PS384"]})", "{}")), Refusal::algorithm_refused);
  EXPECT_EQ(refusal_of(raw_token(R"({"alg":"none"})", "{}", "")), Refusal::algorithm_refused);
  EXPECT_TRUE(
      UnverifiedToken::parse(raw_token(R"({"alg":"PS384","typ":"JWT"})", "{}"), {.algorithms = {Algorithm::ps384}}));
}

// covers: S01_JOSE_004
TEST(Jose, KeysThatDoNotFitTheAlgorithm) {
  const PublicKey keys[] = {PublicKey::from_jwk_text(rsa_jwk(kRsaN)).value(),
                            PublicKey::from_jwk_text(kEs256Jwk).value(), PublicKey::from_jwk_text(kEdDsaJwk).value()};
  for (const auto algorithm : {Algorithm::ps384, Algorithm::rs256, Algorithm::es256, Algorithm::eddsa}) {
    const auto token = UnverifiedToken::parse(
        raw_token(R"({"alg":")" + std::string(to_string(algorithm)) + "\"}", "{}"), {.algorithms = {algorithm}});
    ASSERT_TRUE(token);
    for (const PublicKey& key : keys) {
      const auto verified = token->verify(key);
      ASSERT_FALSE(verified);
      EXPECT_EQ(verified.error(),
                key.type() == key_type_of(algorithm) ? Refusal::signature_invalid : Refusal::key_unusable);
    }
  }
  // The key's own algorithm counts.
  const auto rs256_only = PublicKey::from_jwk_text(rsa_jwk(kPs384N, "AQAB", R"(,"alg":"RS256")")).value();
  const auto ps384 = UnverifiedToken::parse(kPs384Token, any_payload(Algorithm::ps384));
  EXPECT_EQ(ps384->verify(rs256_only).error(), Refusal::key_unusable);
}

// covers: S01_JOSE_004
TEST(Jose, UnusableKeys) {
  const auto weak = testing::make_rsa_key(1024);
  const auto exponent_3 = testing::make_rsa_key(2048, 3);
  const std::string unusable[] = {
      rsa_jwk(weak.n),
      rsa_jwk(kRsaN, "AQ"),            // e = 1
      rsa_jwk(kRsaN, "Ag"),            // e = 2
      rsa_jwk(kRsaN, "AQAAAAAAAAAB"),  // e over 64 bits
      rsa_jwk(kRsaN, ""),
      rsa_jwk(std::string(kRsaN.substr(0, kRsaN.size() - 2)) + "oA"),  // even modulus
      rsa_jwk("AQAB" + std::string(1400, 'A') + "AQ"),                 // over 8192 bits
      rsa_jwk(std::string(kRsaN) + "=="),
      rsa_jwk(kRsaN, "AQAB", R"(,"use":"enc")"),
      rsa_jwk(kRsaN, "AQAB", R"(,"use":1)"),
      rsa_jwk(kRsaN, "AQAB", R"(,"key_ops":["sign"])"),
      rsa_jwk(kRsaN, "AQAB", R"(,"key_ops":"verify")"),
      rsa_jwk(kRsaN, "AQAB", R"(,"d":"AQAB")"),
      R"({"kty":"RSA"})",
      R"({"kty":"oct","k":"AAAA"})",
      R"({"kty":"EC","crv":"P-384","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})",
      // not on the curve
      R"({"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"})",
      // one byte short
      R"({"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVA","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})",
      R"({"kty":"OKP","crv":"Ed448","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})",
      R"({"kty":"OKP","crv":"X25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})",
      R"({"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHUQ"})",
  };
  for (const std::string& jwk : unusable) {
    const auto key = PublicKey::from_jwk_text(jwk);
    ASSERT_FALSE(key) << jwk;
    EXPECT_EQ(key.error(), Refusal::key_unusable) << jwk;
  }
  for (const std::string jwk :
       {"", "[]", "{}", R"({"kty":1})", R"({"kty":"RSA","kty":"RSA"})", R"({"kty":"RSA","kid":7})"}) {
    const auto key = PublicKey::from_jwk_text(jwk);
    ASSERT_FALSE(key) << jwk;
    EXPECT_EQ(key.error(), Refusal::malformed) << jwk;
  }
  const auto small_exponent = PublicKey::from_jwk_text(rsa_jwk(exponent_3.n, exponent_3.e));
  ASSERT_TRUE(small_exponent);  // a caller may ask for more
  EXPECT_EQ(small_exponent->rsa_exponent(), 3U);
  EXPECT_TRUE(
      PublicKey::from_jwk_text(rsa_jwk(kRsaN, "AQAB", R"(,"key_ops":["verify"],"use":"sig","x5c":["ignored"])")));
}

// covers: S01_JOSE_004
TEST(Jose, Es256SignaturesOfOtherForms) {
  const auto key = PublicKey::from_jwk_text(kEs256Jwk).value();
  const std::string_view signed_part = kEs256Token.substr(0, kEs256Token.rfind('.'));
  const auto raw = from_base64url(kEs256Token.substr(kEs256Token.rfind('.') + 1)).value();
  EXPECT_TRUE(key.verify(Algorithm::es256, bytes_of(signed_part), raw));
  ByteVector der = {0x30, 0x45, 0x02, 0x20};
  append(der, Bytes(raw).first(32));
  append(der, ByteVector{0x02, 0x21, 0x00});
  append(der, Bytes(raw).last(32));
  ByteVector longer = raw;
  longer.push_back(0);
  const ByteVector zeros(64, 0);
  for (const ByteVector& other : {der, longer, ByteVector(raw.begin(), raw.end() - 1), ByteVector(), zeros})
    EXPECT_FALSE(key.verify(Algorithm::es256, bytes_of(signed_part), other));
}

TEST(Jose, RsaPaddingsAreNotInterchangeable) {
  const auto key = PrivateKey::from_pem(testing::make_rsa_key(2048).pem).value();
  const auto message = bytes_of("message");
  for (const auto made : {Algorithm::ps384, Algorithm::rs256}) {
    const auto signature = key.sign(made, message).value();
    for (const auto checked : {Algorithm::ps384, Algorithm::rs256})
      EXPECT_EQ(key.public_key().verify(checked, message, signature), made == checked);
    EXPECT_FALSE(key.public_key().verify(made, message, Bytes(signature).first(signature.size() - 1)));
    EXPECT_FALSE(key.public_key().verify(made, bytes_of("messagf"), signature));
  }
  EXPECT_FALSE(key.sign(Algorithm::es256, message));
  EXPECT_FALSE(key.sign(Algorithm::eddsa, message));
}

TEST(Jose, PrivateKeysFromPem) {
  EXPECT_TRUE(PrivateKey::from_pem(testing::make_p256_pem()));
  EXPECT_FALSE(PrivateKey::from_pem(testing::make_rsa_key(1024).pem));
  EXPECT_FALSE(PrivateKey::from_pem(""));
  EXPECT_FALSE(PrivateKey::from_pem(std::string(20000, 'A')));
  // P-384, from `openssl genpkey`.
  EXPECT_FALSE(PrivateKey::from_pem(R"(-----BEGIN PRIVATE KEY-----
MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDAVi6DIrk+HoRLqovri
rBd1x7QpBJOYD+0sL7mGfftvoxQKhuRHRCayDnNhaFxlQQChZANiAATiexiemFfA
+WWIPKhAcv8x+diCLOAaGARSnLez0nlxGED+atp7URQ+UvpV/BJiiSGwAxfr5p0B
J28mxlSi9cHS3u+uxirVCj/oD823YP7IlqTyODnvl40KdkgQCfsRHSc=
-----END PRIVATE KEY-----
)"));
}

TEST(KeySet, FindsTheOneKeyOfAnId) {
  const std::string good = rsa_jwk(kRsaN, "AQAB", R"(,"kid":"good","alg":"RS256")");
  const std::string text = R"({"keys":[)" + good + ',' + rsa_jwk(kRsaN, "AQAB", R"(,"kid":"twice")") + ',' +
                           rsa_jwk(kPs384N, "AQAB", R"(,"kid":"twice")") + R"(,{"kty":"oct","k":"AAAA","kid":"oct"},)" +
                           R"({"kty":"future","kid":"future"},)" + rsa_jwk(kRsaN) + R"(],"more":1})";
  const auto set = KeySet::parse(text);
  ASSERT_TRUE(set);
  EXPECT_TRUE(set->find("good", Algorithm::rs256));
  EXPECT_TRUE(set->contains("good"));
  EXPECT_EQ(set->find("good", Algorithm::ps384).error(), Refusal::key_unusable);
  EXPECT_EQ(set->find("good", Algorithm::es256).error(), Refusal::key_unusable);
  EXPECT_EQ(set->find("twice", Algorithm::rs256).error(), Refusal::key_unusable);
  EXPECT_EQ(set->find("oct", Algorithm::rs256).error(), Refusal::key_unusable);
  EXPECT_EQ(set->find("future", Algorithm::rs256).error(), Refusal::key_unusable);
  EXPECT_EQ(set->find("other", Algorithm::rs256).error(), Refusal::key_unknown);
  EXPECT_EQ(set->find("", Algorithm::rs256).error(), Refusal::key_unknown);
  EXPECT_FALSE(set->contains("other"));
}

TEST(KeySet, RefusesWhatIsNoBoundedSet) {
  for (const std::string text : {"", "[]", "{}", R"({"keys":{}})", R"({"keys":[1]})", R"({"keys":[],"keys":[]})",
                                 R"({"keys":[{"kty":"RSA","kid":"a","kid":"b"}]})"})
    EXPECT_FALSE(KeySet::parse(text)) << text;
  std::string many = R"({"keys":[)";
  for (int i = 0; i < 65; ++i)
    many += (i == 0 ? "" : ",") + std::string(R"({"kty":"oct","kid":")") + std::to_string(i) + "\"}";
  EXPECT_FALSE(KeySet::parse(many + "]}"));
  EXPECT_TRUE(KeySet::parse(many + "]}", KeySet::kMaxBytes, 65));
  EXPECT_FALSE(KeySet::parse(many + "]}", 100, 65));
}

}  // namespace
}  // namespace ee::jose
