#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace ee::testing {

/// A workload behind an agent, and that agent's listener, for tests of proxies: an HTTP/1.1 server on 127.0.0.1 that
/// also breaks the rules when asked to. One thread per connection.
///
///   /echo              method, target, headers and body of the request, as text
///   /bytes/N           N bytes; /chunked/N the same in chunks
///   /sink              reads the body and says how long it was
///   /slow?ms=          answers after that time
///   /sse?n=&ms=        n events, that many milliseconds apart; then waits
///   /ws                101, then echoes what comes; a half-close comes back
///   /close             closes before a head; /close-mid in the middle of a body
///   /status/N          that status; /redirect?to= a 302 with that Location
///   /stuck             reads no body and never answers
///   /trailers          chunks and a trailer; /dup-cl two lengths; /hang never answers
///   /say?hex=          sends these bytes instead of an answer, then closes
///   /continue          100 and 103 before the 200
class FakeWorkload {
 public:
  struct Seen {
    std::string method;
    std::string target;
    std::string head;  ///< request line and fields
    std::string body;
    /// The value of the first field of that name (any case), or empty.
    std::string header(const std::string& name) const;
    bool has(const std::string& name) const;
  };

  /// `agent_id`: sent as `X-EE-Agent` on each proper answer, unless empty.
  explicit FakeWorkload(std::string agent_id = {});
  ~FakeWorkload();
  FakeWorkload(const FakeWorkload&) = delete;
  FakeWorkload& operator=(const FakeWorkload&) = delete;

  std::uint16_t port() const { return port_; }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  std::vector<Seen> seen() const;
  std::size_t count(const std::string& path) const;
  std::size_t connections() const { return connections_; }
  /// Connections that are open now.
  std::size_t open_connections() const { return open_; }
  /// Closes all connections, after their answers were sent; new ones are taken.
  void drop_connections();
  /// What `path` answers from now on: complete bytes on the wire.
  void answer(const std::string& path, std::string bytes);

 private:
  void accept_loop();
  void serve(int socket);
  bool serve_one(int socket, std::string& buffer);
  bool act(int socket, std::string& buffer, const Seen& request);
  bool send_events(int socket, const Seen& request);
  void echo_tunnel(int socket, std::string& buffer);
  std::string head(int status, const std::string& fields = {}) const;

  const std::string agent_id_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> stopping_ = false;
  std::atomic<std::size_t> connections_ = 0;
  std::atomic<std::size_t> open_ = 0;
  mutable std::mutex mutex_;
  std::vector<Seen> seen_;
  std::map<std::string, std::string> answers_;
  std::vector<int> sockets_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace ee::testing
