#pragma once
#include <string>

namespace ee::testing {

/// An RSA key made for one test: also such as the product refuses.
struct RsaKeyText {
  std::string pem;  ///< PKCS#8
  std::string n;    ///< base64url, as in a JWK
  std::string e;
};
/// Takes 0.1 s for 2048 bits; throws when OpenSSL cannot make one.
RsaKeyText make_rsa_key(int bits, unsigned exponent = 65537);
/// A P-256 key, PKCS#8 PEM.
std::string make_p256_pem();

}  // namespace ee::testing
