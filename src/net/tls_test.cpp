#include "net/tls.h"

#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <fstream>

#include "net/curl_http_client.h"
#include "net/server_test_support.h"
#include "net/tls_test_support.h"
#include "tests/support/temp_dir.h"

namespace ee::net {
namespace {

struct TlsTest : ::testing::Test {
  ee::testing::TempDir dir;
  std::string certificate = (dir / "cert.pem").string();
  std::string key = (dir / "key.pem").string();
  TestServer test;

  TlsTest() { make_pair(certificate, key, 1); }
  void start() {
    test.config.tls_certificate_file = certificate;
    test.config.tls_key_file = key;
    test.start();
  }
};

TEST_F(TlsTest, ServesOverTls) {
  test.app.routes["POST /echo"].info.max_body_bytes = 1024UL * 1024;
  start();
  CurlHttpClient client;
  EXPECT_TRUE(test.server->url().starts_with("https://127.0.0.1:"));

  const auto answer = client.send({.url = test.server->url() + "/", .ca_file = certificate});
  ASSERT_TRUE(answer) << to_string(answer.error());
  EXPECT_EQ(answer->body, "hello");
  const std::string body(500'000, 'x');
  EXPECT_EQ(
      client.send({.method = "POST", .url = test.server->url() + "/echo", .body = body, .ca_file = certificate})->body,
      body);
  EXPECT_EQ(test.server->stats().connections, 1U) << "the connection is kept";
}

TEST_F(TlsTest, IsNotTrustedWithoutItsAuthority) {
  start();

  EXPECT_EQ(CurlHttpClient().send({.url = test.server->url() + "/"}).error(), HttpFailure::tls);
  const std::string by_name = "https://localhost:" + std::to_string(test.server->port());
  EXPECT_EQ(CurlHttpClient().send({.url = by_name, .ca_file = certificate}).error(), HttpFailure::tls)
      << "another name";
}

TEST_F(TlsTest, RefusesPlainHttpAndGarbage) {
  start();
  auto client = test.connect();
  client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  client.read_to_end();  // an alert at most

  EXPECT_TRUE(test.app.requests().empty());
  test.wait_for_connections(0);
}

TEST_F(TlsTest, GivesAHandshakeTheTimeOfAHead) {
  start();
  auto client = test.connect();
  client.send(std::string("\x16\x03\x01\x02\x00", 5));
  test.pass(Milliseconds(9'999));
  EXPECT_EQ(test.server->stats().connections, 1U);
  test.pass(Milliseconds(1));

  EXPECT_TRUE(client.closed());
}

/// The version that a client gets which offers at most `version`; 0 when refused.
int negotiated(std::uint16_t port, int version) {
  SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
  SSL_CTX_set_max_proto_version(context, version);
  SSL_CTX_set_cipher_list(context, "ALL:@SECLEVEL=0");
  BIO* const connection = BIO_new_ssl_connect(context);
  BIO_set_conn_hostname(connection, ("127.0.0.1:" + std::to_string(port)).c_str());
  SSL* ssl = nullptr;
  BIO_get_ssl(connection, &ssl);
  const int result = BIO_do_handshake(connection) == 1 ? SSL_version(ssl) : 0;
  BIO_free_all(connection);
  SSL_CTX_free(context);
  return result;
}

TEST_F(TlsTest, SpeaksTls12AndLater) {
  start();

  EXPECT_EQ(negotiated(test.server->port(), TLS1_1_VERSION), 0);
  EXPECT_EQ(negotiated(test.server->port(), TLS1_2_VERSION), TLS1_2_VERSION);
  EXPECT_EQ(negotiated(test.server->port(), TLS1_3_VERSION), TLS1_3_VERSION);
}

TEST_F(TlsTest, ReloadsTheNewPairWithoutDroppingConnections) {
  start();
  const std::string old = (dir / "old.pem").string();
  std::filesystem::copy_file(certificate, old);
  CurlHttpClient kept;
  ASSERT_TRUE(kept.send({.url = test.server->url() + "/", .ca_file = old}));
  make_pair(certificate, key, 2);

  ASSERT_TRUE(test.server->reload_tls());

  EXPECT_TRUE(kept.send({.url = test.server->url() + "/", .ca_file = old})) << "goes on over its old connection";
  EXPECT_EQ(test.server->stats().connections, 1U);
  EXPECT_TRUE(CurlHttpClient().send({.url = test.server->url() + "/", .ca_file = certificate}));
  EXPECT_EQ(CurlHttpClient().send({.url = test.server->url() + "/", .ca_file = old}).error(), HttpFailure::tls);
}

TEST_F(TlsTest, KeepsTheOldPairWhenTheNewOneIsBroken) {
  start();
  const std::string old = (dir / "old.pem").string();
  std::filesystem::copy_file(certificate, old);
  const auto still_serves = [&] {
    return CurlHttpClient().send({.url = test.server->url() + "/", .ca_file = old}).has_value();
  };

  std::ofstream(certificate) << "-----BEGIN CERTIFICATE-----\nbroken\n";
  EXPECT_EQ(test.server->reload_tls().error(), "TLS: " + certificate + " is not a readable PEM certificate chain");
  EXPECT_TRUE(still_serves());
  make_pair(certificate, (dir / "other.pem").string(), 3);
  EXPECT_FALSE(test.server->reload_tls()) << "the key belongs to another certificate";
  EXPECT_TRUE(still_serves());
  std::filesystem::remove(key);
  EXPECT_FALSE(test.server->reload_tls());
  EXPECT_TRUE(still_serves());
}

TEST_F(TlsTest, DoesNotStartWithoutAUsablePair) {
  std::ofstream(key) << "no key";
  EXPECT_THROW(start(), std::runtime_error);
  test.config.tls_key_file.clear();
  EXPECT_THROW(test.start(), std::runtime_error);
}

TEST_F(TlsTest, AsksForNoPassphrase) {
  FILE* const file = std::fopen(key.c_str(), "we");
  EVP_PKEY* const secret = EVP_EC_gen("P-256");
  PEM_write_PrivateKey(file, secret, EVP_aes_128_cbc(), nullptr, 0, nullptr, const_cast<char*>("passphrase"));
  std::fclose(file);
  EVP_PKEY_free(secret);

  EXPECT_THROW(start(), std::runtime_error);  // and does not wait at a terminal
}

}  // namespace
}  // namespace ee::net
