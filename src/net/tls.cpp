#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <climits>
#include <new>

namespace ee::net {
namespace {

struct Deleter {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};
using ContextPointer = std::unique_ptr<SSL_CTX, Deleter>;
using SslPointer = std::unique_ptr<SSL, Deleter>;

class Session final : public TlsSession {
 public:
  explicit Session(SSL_CTX* context)
      : ssl_(SSL_new(context)), from_peer_(BIO_new(BIO_s_mem())), to_peer_(BIO_new(BIO_s_mem())) {
    if (!ssl_ || !from_peer_ || !to_peer_) throw std::bad_alloc();
    BIO_set_mem_eof_return(from_peer_, -1);  // empty means "later", not end of file
    BIO_set_mem_eof_return(to_peer_, -1);
    SSL_set_bio(ssl_.get(), from_peer_, to_peer_);  // owns both from now on
    SSL_set_accept_state(ssl_.get());
  }

  /// Makes it the client's side. False when the name is unusable.
  bool connect_to(const std::string& server_name) {
    SSL_set_connect_state(ssl_.get());
    SSL_set_hostflags(ssl_.get(), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return !server_name.empty() && SSL_set1_host(ssl_.get(), server_name.c_str()) == 1 &&
           SSL_set_tlsext_host_name(ssl_.get(), server_name.c_str()) == 1;
  }

  bool receive(std::string_view bytes, std::string& plain, std::string& wire) override {
    if (bytes.size() > INT_MAX) return false;
    if (BIO_write(from_peer_, bytes.data(), static_cast<int>(bytes.size())) != static_cast<int>(bytes.size()))
      return false;
    ERR_clear_error();
    bool fine = true;
    std::array<char, 16384> record;  // a TLS record's largest payload
    while (true) {
      const int count = SSL_read(ssl_.get(), record.data(), static_cast<int>(record.size()));
      if (count > 0) {
        plain.append(record.data(), static_cast<std::size_t>(count));
        continue;
      }
      const int error = SSL_get_error(ssl_.get(), count);
      if (error == SSL_ERROR_ZERO_RETURN)
        peer_closed_ = true;
      else if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
        fine = false;
      break;
    }
    ERR_clear_error();
    take_output(wire);
    return fine;
  }

  bool send(std::string_view plain, std::string& wire) override {
    ERR_clear_error();
    while (!plain.empty()) {
      const int chunk = static_cast<int>(std::min<std::size_t>(plain.size(), INT_MAX));
      const int count = SSL_write(ssl_.get(), plain.data(), chunk);
      if (count <= 0) {
        ERR_clear_error();
        return false;
      }
      plain.remove_prefix(static_cast<std::size_t>(count));
    }
    take_output(wire);
    return true;
  }

  bool established() const override { return SSL_is_init_finished(ssl_.get()) == 1; }
  bool peer_closed() const override { return peer_closed_; }

  void close(std::string& wire) override {
    if (!established()) return;
    SSL_shutdown(ssl_.get());
    ERR_clear_error();
    take_output(wire);
  }

 private:
  void take_output(std::string& wire) {
    char* data = nullptr;
    const long count = BIO_get_mem_data(to_peer_, &data);
    if (count > 0) wire.append(data, static_cast<std::size_t>(count));
    (void)BIO_reset(to_peer_);
  }

  SslPointer ssl_;
  BIO* from_peer_;
  BIO* to_peer_;
  bool peer_closed_ = false;
};

class Context final : public TlsContext {
 public:
  explicit Context(ContextPointer context) : context_(std::move(context)) {}
  std::unique_ptr<TlsSession> new_session() const override { return std::make_unique<Session>(context_.get()); }

 private:
  ContextPointer context_;
};

class ClientContext final : public TlsClientContext {
 public:
  explicit ClientContext(ContextPointer context) : context_(std::move(context)) {}
  std::unique_ptr<TlsSession> new_session(const std::string& server_name) const override {
    auto session = std::make_unique<Session>(context_.get());
    return session->connect_to(server_name) ? std::move(session) : nullptr;
  }

 private:
  ContextPointer context_;
};

int select_http_1_1(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in, unsigned in_size,
                    void*) {
  static constexpr unsigned char kOffered[] = "\x08http/1.1";
  unsigned char* chosen = nullptr;
  const int result = SSL_select_next_proto(&chosen, out_size, kOffered, sizeof kOffered - 1, in, in_size);
  *out = chosen;
  return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

}  // namespace

std::expected<std::shared_ptr<const TlsContext>, std::string> TlsContext::load(const std::string& certificate_file,
                                                                               const std::string& key_file) {
  const auto failed = [](std::string text) {
    ERR_clear_error();
    return std::unexpected(std::move(text));
  };
  ContextPointer context(SSL_CTX_new(TLS_server_method()));
  if (!context) return failed("TLS: no context");
  SSL_CTX* const raw = context.get();
  SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
  SSL_CTX_set_options(raw, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS);
  if (SSL_CTX_set_cipher_list(raw, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1) return failed("TLS: no cipher suites");
  SSL_CTX_set_default_passwd_cb(raw, [](char*, int, int, void*) { return 0; });  // else OpenSSL asks at the terminal
  SSL_CTX_set_alpn_select_cb(raw, select_http_1_1, nullptr);
  constexpr unsigned char kSessionContext[] = "easyenclave";
  SSL_CTX_set_session_id_context(raw, kSessionContext, sizeof kSessionContext - 1);
  if (SSL_CTX_use_certificate_chain_file(raw, certificate_file.c_str()) != 1)
    return failed("TLS: " + certificate_file + " is not a readable PEM certificate chain");
  if (SSL_CTX_use_PrivateKey_file(raw, key_file.c_str(), SSL_FILETYPE_PEM) != 1)
    return failed("TLS: " + key_file + " is not a readable PEM key of that certificate");
  if (SSL_CTX_check_private_key(raw) != 1)
    return failed("TLS: " + key_file + " does not belong to " + certificate_file);
  return std::make_shared<Context>(std::move(context));
}

std::expected<std::shared_ptr<const TlsClientContext>, std::string> TlsClientContext::make(const std::string& ca_file) {
  ContextPointer context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX* const raw = context.get();
  const bool trusted = raw && (ca_file.empty() ? SSL_CTX_set_default_verify_paths(raw)
                                               : SSL_CTX_load_verify_file(raw, ca_file.c_str())) == 1;
  if (!trusted) {
    ERR_clear_error();
    return std::unexpected(ca_file.empty() ? "TLS: no system roots" : "TLS: " + ca_file + " has no usable roots");
  }
  SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
  SSL_CTX_set_options(raw, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_verify(raw, SSL_VERIFY_PEER, nullptr);
  if (SSL_CTX_set_cipher_list(raw, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1) return std::unexpected("TLS: no cipher suites");
  constexpr std::array<unsigned char, 9> kProtocols = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  SSL_CTX_set_alpn_protos(raw, kProtocols.data(), kProtocols.size());
  return std::make_shared<ClientContext>(std::move(context));
}

}  // namespace ee::net
