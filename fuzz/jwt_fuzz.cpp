// covers: S01_JOSE_005
// Tokens and key sets. The input is a token, or a key set if it begins with `{`; a token is checked with fixed keys of
// each type, so that everything behind the parser runs as well. The keys are those of RFC 7515, A.2 and A.3: nothing
// but the claims published there may ever be vouched for.
#include <boost/json/object.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "common/jose.h"

namespace {

namespace jose = ee::jose;

constexpr std::string_view kKeys = R"({"keys":[
{"kid":"rsa","kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"},
{"kid":"ec","kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
{"kid":"ed","kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]})";

constexpr std::string_view kPublishedClaims =
    "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}";

void expect(bool condition) {
  if (!condition) std::abort();
}

void fuzz_token(std::string_view text) {
  static const jose::KeySet keys = jose::KeySet::parse(kKeys).value();
  const jose::TokenRules rules{
      .algorithms = {jose::Algorithm::ps384, jose::Algorithm::rs256, jose::Algorithm::es256, jose::Algorithm::eddsa}};
  const auto token = jose::UnverifiedToken::parse(text, rules);
  if (!token) return;
  expect(!token->header().contains("crit"));
  for (const char* kid : {"rsa", "ec", "ed"}) {
    const auto key = keys.find(kid, token->algorithm());
    if (!key) continue;
    const auto verified = token->verify(**key);
    if (verified) expect(ee::text_of(verified->payload()) == kPublishedClaims);
  }
}

void fuzz_key_set(std::string_view text) {
  const auto set = jose::KeySet::parse(text);
  if (!set) return;
  for (const char* kid : {"rsa", "ec", "ed"})
    for (const auto algorithm : {jose::Algorithm::ps384, jose::Algorithm::es256, jose::Algorithm::eddsa}) {
      const auto key = set->find(kid, algorithm);
      if (key) expect(!(*key)->verify(algorithm, ee::bytes_of("message"), ee::ByteVector(64, 1)));
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = ee::text_of({data, size});
  if (text.starts_with('{'))
    fuzz_key_set(text);
  else
    fuzz_token(text);
  return 0;
}
