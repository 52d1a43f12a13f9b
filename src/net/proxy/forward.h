#pragma once
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "common/error.h"
#include "net/client_address.h"
#include "net/proxy/response_head.h"
#include "net/server.h"
#include "net/stream.h"
#include "net/tls.h"

namespace ee::net {

/// Where an attempt goes. The address is connected to as it is: whoever chose it has checked it.
struct ForwardTarget {
  std::string pool_key = {};  ///< whose idle connections are shared: backend, address and protocol
  IpAddress address = {};
  std::uint16_t port = 0;
  std::shared_ptr<const TlsClientContext> tls = {};  ///< nothing: plain
  std::string server_name = {};                      ///< for SNI, and verified
};

/// Bounds of one forwarded exchange; their meaning: 03 section 9.6.
struct ForwardLimits {
  Milliseconds connect{3'000};
  Milliseconds tls_handshake{5'000};
  Milliseconds header{60'000};
  Milliseconds idle{60'000};
  Milliseconds sse_idle{300'000};
  Milliseconds total{3'600'000};
  Milliseconds tunnel_idle{300'000};
  Milliseconds tunnel_life{86'400'000};
  std::uint64_t max_body_bytes = 100UL * 1024 * 1024;
  int max_attempts = 3;
};

/// How an attempt ended, for passive health.
enum class ForwardOutcome : std::uint8_t {
  answered,        ///< a head came
  connect_failed,  ///< or the TLS handshake
  closed,          ///< before a head
  bad_answer,      ///< not HTTP
  timed_out,       ///< no head in time
};

/// What became of an exchange.
struct ForwardSummary {
  int status = 0;                ///< sent to the client; 0: none
  ErrorCode code = ErrorCode{};  ///< of `failed`
  bool failed = false;           ///< the answer was made here
  bool cut = false;              ///< the backend broke off after its head
  bool client_gone = false;
  bool tunnel = false;
  int attempts = 0;
  std::uint64_t bytes_in = 0;   ///< of the client's body, or of the tunnel
  std::uint64_t bytes_out = 0;  ///< of the backend's
  Milliseconds total{};
  Milliseconds connect{};     ///< of the last attempt; 0 for a pooled connection
  Milliseconds first_byte{};  ///< from the start to the answer's head; 0: none came
};

/// Decides for one exchange whatever differs between proxies. On the io thread; must not block.
class ForwardPolicy {
 public:
  virtual ~ForwardPolicy() = default;
  using Chosen = std::move_only_function<void(std::expected<ForwardTarget, Response>)>;

  /// The first call. `head` is valid during it.
  virtual void begin(const RequestHead& head, ForwardLimits& limits) = 0;
  /// Where attempt 1, 2, ... goes, or the answer instead. `chosen` is called once, on this thread, now or later; later
  /// nothing of `exchange` may be used.
  virtual void choose(int attempt, Exchange& exchange, Chosen chosen) = 0;
  /// Appends request line and fields for the backend last chosen: no framing, nothing of this hop.
  virtual void write_request(std::string& out) = 0;
  /// Appends the answer's fields for the client: no framing, nothing of this hop.
  virtual void write_response(const ResponseHead& head, std::string& fields) = 0;
  /// An answer made here.
  virtual Response refusal(ErrorCode code) = 0;
  /// `head` comes with `answered`.
  virtual void on_attempt(ForwardOutcome outcome, const ResponseHead* head) = 0;
  /// Whether the exchange must end now; asked at each sweep once a backend has answered.
  virtual bool must_end(bool tunnel) = 0;
  /// Whether an exchange that still waits for its backend's answer must end now, with `service_unavailable`; asked at
  /// each sweep.
  virtual bool must_give_up() { return false; }
  /// The last call.
  virtual void on_end(const ForwardSummary& summary) = 0;
};

/// Connections to backends that wait for their next request, kept by each io thread for itself.
struct ForwardPoolLimits {
  std::size_t idle_per_target = 64;
  std::size_t idle_total = 4096;  ///< beyond, the oldest is closed
  Milliseconds idle_time{55'000};
  std::size_t max_uses = 1000;
  std::size_t io_threads = 1;  ///< the counts are divided by it
};

/// A reverse proxy's engine: connects, streams both ways with at most about 64 KiB waiting each way, joins WebSockets,
/// retries where that cannot do harm (03 section 9.7), and reads the backend's answers strictly. Thread-safe.
class Forwarder {
 public:
  explicit Forwarder(ForwardPoolLimits limits = {}) : limits_(limits) {}
  Forwarder(const Forwarder&) = delete;
  Forwarder& operator=(const Forwarder&) = delete;

  /// For `Application::open_stream`. `route` and the forwarder outlive the server.
  std::shared_ptr<StreamHandler> open(std::unique_ptr<ForwardPolicy> policy, const RouteInfo& route);
  const ForwardPoolLimits& limits() const { return limits_; }

 private:
  const ForwardPoolLimits limits_;
};

}  // namespace ee::net
