#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/bytes.h"
#include "common/time.h"

struct evp_pkey_st;

/// X.509 of any shape, also wrong ones, for tests of the code that reads it.
namespace ee::testing {

/// A fresh private key. Copies share it.
class TestKey {
 public:
  static TestKey p256();
  static TestKey p384();
  static TestKey rsa();

  evp_pkey_st* handle() const { return key_.get(); }
  /// x || y of a P-256 key.
  ByteArray<64> point() const;
  /// ECDSA with SHA-256 by a P-256 key, r || s.
  ByteArray<64> sign(Bytes message) const;

 private:
  explicit TestKey(evp_pkey_st* key);
  std::shared_ptr<evp_pkey_st> key_;
};

/// One extension by its DER value.
struct TestExtension {
  std::string oid;
  ByteVector value;
  bool critical = false;
};

struct TestCertificate {
  std::string common_name;
  std::string issuer;
  TestKey key;
  TestKey issuer_key;
  ByteVector serial = {0x42, 0x01};
  std::string not_before = "20200101000000Z";
  std::string not_after = "20491231235959Z";
  std::string basic_constraints = "critical,CA:FALSE";  ///< as in OpenSSL's configuration; empty: none
  std::string key_usage = "critical,digitalSignature,nonRepudiation";
  std::vector<TestExtension> extensions = {};
  std::string digest = "SHA256";
  long version = 2;  ///< 2 is version 3
  bool second_common_name = false;
};
ByteVector make_certificate_der(const TestCertificate& wanted);

struct TestCrl {
  std::string issuer;
  TestKey issuer_key;
  std::string this_update = "20260101000000Z";
  std::string next_update = "20260201000000Z";  ///< empty: none
  std::vector<ByteVector> revoked = {};
  std::vector<TestExtension> extensions = {};
  std::vector<TestExtension> entry_extensions = {};  ///< of every entry
  std::string digest = "SHA256";
  long version = 1;  ///< 1 is version 2
};
ByteVector make_crl_der(const TestCrl& wanted);

/// PEM with lines of 64 characters.
std::string to_pem(Bytes der, const std::string& label = "CERTIFICATE");
std::string to_pem(const std::vector<ByteVector>& certificates);

}  // namespace ee::testing
