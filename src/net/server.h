#pragma once
#include <atomic>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "common/error.h"
#include "common/random.h"
#include "net/client_address.h"
#include "net/head.h"
#include "net/http.h"

namespace ee::net {

class StreamHandler;

/// Who is turned away first when the process cannot keep up: lists, logs and console data; then everything; heartbeats
/// and money never (only by the in-flight bound).
enum class Shed : std::uint8_t { first, second, never };

/// How many requests of one route may be with workers or wait for them. What is beyond is answered `overloaded`, with a
/// random time within these bounds to come back.
struct WorkBound {
  WorkBound(std::size_t most, Seconds retry_min, Seconds retry_max)
      : limit(most), retry_after_min(retry_min), retry_after_max(retry_max) {}
  const std::size_t limit;
  const Seconds retry_after_min;
  const Seconds retry_after_max;
  std::atomic<std::size_t> count = 0;
};

/// What the server must know of a route before it reads a body. The application owns these; they outlive the server.
struct RouteInfo {
  std::string route_template = {};  ///< for logs and metrics: from a closed set
  std::size_t max_body_bytes = 1024UL * 1024;
  Milliseconds handler_timeout{30'000};
  bool fast = false;      ///< `try_fast` is asked on the io thread first
  bool outside = false;   ///< waits for outside services: at most half of the workers at once
  bool reserved = false;  ///< has its own tenth of the in-flight bound and its own workers: health, heartbeats, admin
  Shed shed = Shed::second;
  bool security_headers = true;           ///< false on proxied answers only
  std::shared_ptr<WorkBound> bound = {};  ///< beside the server's own in-flight bound; copies share it
};

/// A request before its body was read. Views are valid during the call only.
struct RequestHead {
  std::string_view method;
  std::string_view path;  ///< not decoded
  std::string_view query;
  std::span<const HeadField> fields;
  std::optional<std::uint64_t> content_length;
  bool chunked = false;
  std::string_view peer_address;
  std::string_view client_address;
  std::string_view request_id;
  std::string_view traceparent = {};
  bool peer_trusted = false;  ///< else forwarding fields are dropped already
  bool http_1_0 = false;
  bool tls = false;

  std::optional<std::string_view> field(std::string_view name) const;
};

/// What `Application::admit` decides: an answer at once (404, 405, 413, 429, or a ready one such as health), or a
/// route.
struct Admission {
  const RouteInfo* route = nullptr;
  std::size_t route_index = 0;
  std::vector<RouteParam> params = {};
  std::optional<Response> answer = {};
};

/// One line of the access log. Views are valid during the call only.
struct AccessRecord {
  const RouteInfo* route = nullptr;  ///< nothing when refused before routing
  std::string_view method;
  std::string_view path;
  std::string_view query;
  std::string_view client_address;
  std::string_view request_id;
  std::string_view traceparent;
  std::string_view principal;
  std::string_view code;  ///< slug of the error, or of the server's own refusal; empty when none
  int status = 0;
  std::chrono::microseconds duration{};
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;
};

/// What the server serves. `handle` runs on worker threads and may block; all others run on io threads and must not.
/// All may run at the same time. What they throw becomes a 500.
class Application {
 public:
  virtual ~Application() = default;
  /// Asked first, for every request: a handler for one that is to be streamed (net/stream.h), or nothing.
  virtual std::shared_ptr<StreamHandler> open_stream(const RequestHead& head);
  virtual Admission admit(const RequestHead& head) = 0;
  /// Asked for routes with `fast`, body read. Nothing: `handle` gets the request.
  virtual std::optional<Response> try_fast(Request& request);
  virtual Response handle(Request&& request) = 0;
  /// After each answer, also the server's own refusals.
  virtual void observe(const AccessRecord& record);
  /// Exact origins that browsers may call from (05 section 13.4).
  virtual bool allows_origin(std::string_view origin);
};

/// Defaults: 05 section 13.4.
struct ServerConfig {
  std::string bind = "127.0.0.1:0";  ///< address:port, [v6]:port, unix:/path; port 0: any free one
  std::size_t io_threads = 1;
  std::size_t worker_threads = 4;
  std::size_t max_connections = 8192;
  std::size_t max_connections_per_ip = 256;  ///< an IPv6 /64 counts as one; not for trusted proxies and unix sockets
  std::size_t max_in_flight = 1024;
  std::size_t max_buffered_body_bytes = 256UL * 1024 * 1024;  ///< of all requests together; beyond: 503
  HeadLimits head = {};
  Milliseconds header_timeout{10'000};
  Milliseconds body_timeout{60'000};
  std::uint64_t min_body_rate_bytes = 1024;  ///< per second, over any `body_rate_window`; 0: off
  Milliseconds body_rate_window{10'000};
  Milliseconds idle_timeout{75'000};
  Milliseconds write_stall_timeout{30'000};
  Milliseconds linger_timeout{2'000};  ///< how long a closing connection is read empty, so that the answer arrives
  std::size_t max_requests_per_connection = 1000;
  Seconds overload_retry_after_min{1};
  Seconds overload_retry_after_max{5};
  Milliseconds sweep_interval{100};  ///< how often time-outs are looked at (their resolution)
  Milliseconds shed_lag{250};        ///< event loop this late ...
  Milliseconds shed_after{2'000};    ///< ... for this long: shedding starts
  bool hsts = false;
  std::string cors_methods = "GET, HEAD, POST, PUT, PATCH, DELETE";  ///< told to pages of allowed origins
  std::vector<IpNetwork> trusted_proxies = {};
  std::string tls_certificate_file = {};  ///< PEM chain; both or neither
  std::string tls_key_file = {};
};

struct ServerStats {
  std::size_t connections = 0;
  std::size_t in_flight = 0;  ///< requests given to workers and not answered yet
  std::size_t buffered_body_bytes = 0;
  Milliseconds loop_lag{};  ///< of the worst io thread: how late its last tick came, or how overdue the next one is
  bool shedding = false;
  bool accept_paused = false;
  std::uint64_t refused_connections = 0;  ///< closed at once: too many of their address
  std::uint64_t lost_records = 0;         ///< `observe` threw
  std::uint64_t bytes_received = 0;       ///< off all sockets since the start, TLS not taken off
};

/// An HTTP/1.1 server. Thread-safe.
///
/// Io threads own the sockets; a bounded worker pool runs the handlers. Everything a peer sends is bounded in size and
/// time. Time-outs are looked at every `sweep_interval`, so they come up to that much late.
class Server {
 public:
  /// Listens and serves from now on. `application`, `clock` and `random` outlive the server. The error is a sentence
  /// for the operator.
  static std::expected<std::unique_ptr<Server>, std::string> start(ServerConfig config, Application& application,
                                                                   Clock& clock, Random& random);
  /// Resets what is left; waits for running handlers, whose stop tokens fire.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  std::uint16_t port() const;  ///< 0 for a unix socket
  std::string url() const;     ///< `http://127.0.0.1:4711`, `https://...`, `unix:/path`

  /// Stops listening, closes idle connections, and closes the others after the answer that they wait for.
  void drain();
  /// After `drain`: true when all connections are gone, false at the deadline of the system's monotonic clock; then
  /// the rest is reset, and stop tokens fire.
  bool wait_drained(std::chrono::steady_clock::time_point deadline);

  /// The application's own overload signal, such as a long write queue. Starts shedding after no delay.
  void set_overloaded(bool overloaded);
  ServerStats stats() const;
  /// Reads certificate and key again; new connections get them. On failure the old pair stays; the error is a
  /// sentence for the log.
  std::expected<void, std::string> reload_tls();
  /// Looks at all time-outs now and returns when done. For tests with a fake clock.
  void sweep();

 private:
  struct Core;
  explicit Server(std::unique_ptr<Core> core);
  std::unique_ptr<Core> core_;
};

}  // namespace ee::net
