#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/random.h"
#include "net/http.h"

namespace ee::net {
class Server;
}

namespace ee::standins {

/// An answer that comes instead of the right one.
struct RegistryFault {
  int status = 503;
  bool drop = false;          ///< closes the connection without a byte
  std::string location = {};  ///< with a redirect's status
  bool truncated = false;     ///< the right answer, cut in half
};

/// What `Docker-Content-Digest` says.
enum class DigestHeader { right, none, wrong };

/// Stand-in for an OCI registry with its token service: a real HTTP server on 127.0.0.1, or just `answer`. Serves
/// `GET /v2/<path>/manifests/<tag|digest>` from memory and `GET /token`. As a program it has images of its own and
/// takes `POST /_test/image {path, tag, content}`. Thread-safe.
class Registry {
 public:
  Registry();
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  /// Listens on `port`, 0: any free one. Throws when it cannot.
  void start(std::uint16_t port = 0);
  std::uint16_t port() const;
  /// `127.0.0.1:<port>`, as references name it.
  std::string host() const;

  /// Stores bytes under a digest, and under a tag unless it is empty; the digest.
  std::string put(const std::string& path, const std::string& tag, const std::string& media_type,
                  const std::string& body);
  /// A manifest for an image with this content; the digest.
  std::string put_image(const std::string& path, const std::string& tag, const std::string& content);
  /// An index of linux/amd64, linux/arm64 and an attestation; the digest of the index.
  std::string put_index(const std::string& path, const std::string& tag, const std::string& content);
  /// What the index's amd64 entry is.
  static std::string manifest_text(const std::string& content);
  static std::string digest_of(const std::string& body);
  void remove_tag(const std::string& path, const std::string& tag);

  /// Wants a bearer token, which `GET /token` gives to this name and password; to everybody when the name is empty.
  void require_token(const std::string& username = "", const std::string& password = "");
  /// Wants name and password at the registry itself.
  void require_basic(const std::string& username, const std::string& password);
  /// In place of its own `/token`.
  void set_realm(const std::string& realm);
  void set_token_body(const std::string& body);
  /// Tokens given so far are worth nothing any more.
  void revoke_tokens();
  /// Refuses every token.
  void refuse_tokens(bool on);
  void set_digest_header(DigestHeader mode);
  /// The next `count` requests for manifests of this path, or for `/token`, get this.
  void fail(const std::string& path, const RegistryFault& fault, std::size_t count = 1);

  std::vector<net::Request> requests() const;
  std::size_t count(std::string_view path_prefix) const;

  /// What the server answers; needs no server.
  net::Response answer(const net::Request& request);

 private:
  class App;
  struct Blob {
    std::string media_type;
    std::string body;
  };
  net::Response manifest(const net::Request& request);
  net::Response token(const net::Request& request);
  std::optional<net::Response> refusal(const net::Request& request) const;
  std::optional<RegistryFault> next_fault(const std::string& path);

  mutable std::mutex mutex_;
  std::map<std::string, Blob> blobs_;        // `path@digest`
  std::map<std::string, std::string> tags_;  // `path:tag` -> digest
  std::map<std::string, std::deque<RegistryFault>> faults_;
  bool wants_token_ = false;
  bool wants_basic_ = false;
  bool refuses_tokens_ = false;
  std::string username_, password_, realm_;
  std::string token_body_;
  std::string token_ = "token-1";
  DigestHeader digest_header_ = DigestHeader::right;
  std::vector<net::Request> requests_;
  SystemClock clock_;
  SystemRandom random_;
  std::unique_ptr<App> app_;
  std::unique_ptr<net::Server> server_;
};

}  // namespace ee::standins
