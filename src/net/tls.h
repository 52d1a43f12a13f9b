#pragma once
#include <expected>
#include <memory>
#include <string>
#include <string_view>

namespace ee::net {

/// One TLS connection without any socket: bytes in, bytes out. Not thread-safe.
class TlsSession {
 public:
  virtual ~TlsSession() = default;
  /// Takes bytes from the wire, appends what they decrypt to to `plain` and what must be sent back (handshake, alerts)
  /// to `wire`. False: the connection is broken; send `wire`, then close.
  [[nodiscard]] virtual bool receive(std::string_view bytes, std::string& plain, std::string& wire) = 0;
  /// Encrypts. Only after `established`. False: broken.
  [[nodiscard]] virtual bool send(std::string_view plain, std::string& wire) = 0;
  virtual bool established() const = 0;
  /// The peer said that it sends nothing more.
  virtual bool peer_closed() const = 0;
  /// Appends the closing alert.
  virtual void close(std::string& wire) = 0;
};

/// Certificate chain and key, TLS 1.2 and later, forward-secret AEAD suites. Immutable: a reload makes a new one.
class TlsContext {
 public:
  virtual ~TlsContext() = default;
  /// Both PEM. The error is a sentence that names the file, without its contents.
  static std::expected<std::shared_ptr<const TlsContext>, std::string> load(const std::string& certificate_file,
                                                                            const std::string& key_file);
  virtual std::unique_ptr<TlsSession> new_session() const = 0;
};

/// For connections that we make: TLS 1.2 and later, the peer's chain and name always verified. Immutable.
class TlsClientContext {
 public:
  virtual ~TlsClientContext() = default;
  /// Trusts the system's roots, or only those of the PEM file. The error is a sentence.
  static std::expected<std::shared_ptr<const TlsClientContext>, std::string> make(const std::string& ca_file = {});
  /// Sends `server_name` as SNI and wants a certificate for it. The first bytes to send come from
  /// `receive({}, ...)`. Nothing when the name is unusable.
  virtual std::unique_ptr<TlsSession> new_session(const std::string& server_name) const = 0;
};

}  // namespace ee::net
