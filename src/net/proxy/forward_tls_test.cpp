#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/proxy/forward_test_support.h"
#include "net/stream_test_support.h"
#include "net/tls_test_support.h"
#include "tests/support/temp_dir.h"

namespace ee::net {
namespace {

using ee::testing::RawClient;

constexpr const char* kName = "a1.tunnel.example";

/// A proxy in front of a backend that speaks TLS, trusting the backend's own certificate.
struct TlsProxy : ProxyServer {
  ee::testing::TempDir dir;
  std::string certificate = (dir / "cert.pem").string();
  std::string key = (dir / "key.pem").string();

  explicit TlsProxy(const char* names = "DNS:a1.tunnel.example", long seconds = 3600) {
    make_pair(certificate, key, 1, names, seconds);
    app.plan.tls = TlsClientContext::make(certificate).value();
    app.plan.server_name = kName;
  }
  void with_tls(ServerConfig& backend) const {
    backend.tls_certificate_file = certificate;
    backend.tls_key_file = key;
  }
};

/// Speaks TLS by hand on one connection, then calls `serve` and drops the connection.
class RawTlsBackend {
 public:
  RawTlsBackend(const TlsProxy& proxy, std::function<void(SSL*)> serve)
      : context_(SSL_CTX_new(TLS_server_method())), serve_(std::move(serve)) {
    SSL_CTX_use_certificate_chain_file(context_, proxy.certificate.c_str());
    SSL_CTX_use_PrivateKey_file(context_, proxy.key.c_str(), SSL_FILETYPE_PEM);
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_, 8) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
      throw std::runtime_error("the backend cannot listen");
    port = ntohs(address.sin_port);
    thread_ = std::thread([this] { run(); });
  }
  ~RawTlsBackend() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
    SSL_CTX_free(context_);
  }
  RawTlsBackend(const RawTlsBackend&) = delete;
  RawTlsBackend& operator=(const RawTlsBackend&) = delete;

  std::uint16_t port = 0;

 private:
  void run() {
    const int socket = ::accept(listener_, nullptr, nullptr);
    if (socket < 0) return;
    SSL* const ssl = SSL_new(context_);
    SSL_set_fd(ssl, socket);
    if (SSL_accept(ssl) == 1) serve_(ssl);
    SSL_free(ssl);
    ::close(socket);
  }
  SSL_CTX* const context_;
  const std::function<void(SSL*)> serve_;
  int listener_ = -1;
  std::thread thread_;
};

void read_request(SSL* ssl) {
  std::string text;
  char bytes[4096];
  while (text.find("\r\n\r\n") == std::string::npos) {
    const int count = SSL_read(ssl, bytes, sizeof bytes);
    if (count <= 0) return;
    text.append(bytes, static_cast<std::size_t>(count));
  }
}

void say(SSL* ssl, const std::string& text) { SSL_write(ssl, text.data(), static_cast<int>(text.size())); }

TEST(ForwardTls, PassesRequestsAndBodiesAndReusesTheConnection) {
  TlsProxy test;
  TestServer backend;
  test.with_tls(backend.config);
  backend.app.routes["POST /echo"].info.max_body_bytes = 4UL * 1024 * 1024;
  test.app.plan.ports = {backend.start().port()};
  RawClient client = test.connect();
  const std::string body(2UL * 1024 * 1024, 'x');
  for (int i = 0; i < 5; ++i) {
    client.send(post("/echo", body));
    const auto answer = client.read_response();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 200);
    EXPECT_EQ(answer->body, body);
  }
  EXPECT_EQ(backend.server->stats().connections, 1U) << "one handshake for all";
}

TEST(ForwardTls, SendsNothingToABackendThatIsNotTheOneNamed) {
  const auto refused = [](const char* names, long seconds, bool trusted) {
    TlsProxy test(names, seconds);
    TestServer backend;
    test.with_tls(backend.config);
    test.app.plan.ports = {backend.start().port()};
    if (!trusted) test.app.plan.tls = TlsClientContext::make().value();
    const auto answer = test.call(post("/echo", "secret"));
    EXPECT_TRUE(backend.app.requests().empty());
    return answer.body;
  };
  EXPECT_EQ(refused("DNS:a2.tunnel.example", 3600, true), "upstream_connect_failed") << "another name";
  EXPECT_EQ(refused("DNS:*.example", 3600, true), "upstream_connect_failed") << "a wildcard covers one label";
  EXPECT_EQ(refused("IP:127.0.0.1", 3600, true), "upstream_connect_failed") << "the address is not the name";
  EXPECT_EQ(refused("DNS:a1.tunnel.example", -60, true), "upstream_connect_failed") << "expired";
  EXPECT_EQ(refused("DNS:a1.tunnel.example", 3600, false), "upstream_connect_failed") << "nobody vouches for it";
}

TEST(ForwardTls, NamesTheBackendInTheHandshake) {
  TlsProxy test;
  std::string name, version;
  {
    RawTlsBackend backend(test, [&](SSL* ssl) {
      if (const char* sent = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)) name = sent;
      version = SSL_get_version(ssl);
      read_request(ssl);
      say(ssl, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    test.app.plan.ports = {backend.port};
    EXPECT_EQ(test.call(get("/x")).body, "ok");
  }
  EXPECT_EQ(name, kName);
  EXPECT_EQ(version, "TLSv1.3");
}

// Whoever can cut the connection could otherwise shorten an answer unseen.
TEST(ForwardTls, AnEndWithoutTheClosingAlertIsNoEnd) {
  for (const bool alert : {true, false}) {
    TlsProxy test;
    RawTlsBackend backend(test, [&](SSL* ssl) {
      read_request(ssl);
      say(ssl, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf");
      if (alert) SSL_shutdown(ssl);
    });
    test.app.plan.ports = {backend.port};
    RawClient client = test.connect();
    client.send(get("/x", "Connection: close\r\n"));
    const std::string all = client.read_to_end();
    EXPECT_NE(all.find("half"), std::string::npos);
    EXPECT_EQ(all.ends_with("0\r\n\r\n"), alert);
    EXPECT_EQ(test.summary().cut, !alert);
  }
}

TEST(ForwardTls, GivesUpAHandshakeThatHangs) {
  TlsProxy test;
  ee::testing::FakeWorkload silent;  // waits for a request in plain text
  test.app.plan.ports = {silent.port()};
  test.app.plan.limits.max_attempts = 1;
  RawClient client = test.connect();
  client.send(get("/x"));
  ASSERT_TRUE(eventually([&] { return silent.connections() == 1; }));
  auto answer = std::async(std::launch::async, [&] { return next(client); });
  test.server->sweep();  // notices that TCP is there
  test.clock.advance(Milliseconds(3'001));
  test.server->sweep();
  EXPECT_EQ(answer.wait_for(Milliseconds(50)), std::future_status::timeout) << "TLS has time of its own";
  test.clock.advance(Milliseconds(5'000));
  EXPECT_EQ(answer.get()->body, "upstream_connect_failed");
}

TEST(ForwardTls, TunnelsWebSockets) {
  TlsProxy test;
  StreamServer backend;
  test.with_tls(backend.config);
  backend.script->start = [](Exchange& exchange, const RequestHead&) {
    exchange.switch_protocols("Upgrade: websocket\r\nConnection: Upgrade\r\n");
  };
  backend.script->body = [](Exchange& exchange, std::string_view bytes, bool last) {
    exchange.write(bytes);
    if (last) exchange.finish();
  };
  backend.start();
  test.app.plan.ports = {backend.server->port()};
  RawClient client = test.connect();
  client.send(get("/stream",
                  "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"));
  EXPECT_EQ(next(client, true)->status, 101);
  const std::string large(300'000, 'w');
  client.send(large);
  EXPECT_EQ(client.read_some(large.size()), large);
  client.half_close();
  EXPECT_EQ(client.read_to_end(), "");
}

}  // namespace
}  // namespace ee::net
