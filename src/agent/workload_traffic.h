#pragma once
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "agent/board.h"
#include "agent/request_path.h"
#include "agent/workload/reconciler.h"
#include "common/clock.h"
#include "net/proxy/forward.h"
#include "net/server.h"

namespace ee::agent {

/// Judges `X-EE-Proxy-Assertion`: the control plane's word that its proxy has let a request in. A good one is
/// remembered by its SHA-256 until it expires. Thread-safe; never blocks.
class ProxyAssertions {
 public:
  static constexpr std::size_t kMaxKept = 1024;

  /// Outlives the object.
  explicit ProxyAssertions(const Board& board) : board_(board) {}

  /// Whether `token` is a JWS (EdDSA, `ee-proxy+jwt`) of a signer of this registration for this agent, this deployment
  /// and epoch, that lives at most 120 s and not yet longer.
  bool accepts(std::string_view token, const ServedWorkload& served);
  std::size_t kept() const;

 private:
  struct Good {
    std::string deployment_id;
    std::int64_t epoch = 0;
    std::string registration_id;
    UtcTime expires_at{};
  };
  bool verify(std::string_view token, Good& good) const;

  const Board& board_;
  mutable std::mutex mutex_;
  std::map<ByteArray<32>, Good> good_;
};

/// Passes requests on to the workload: 02 section 15.4. Thread-safe.
class WorkloadTraffic {
 public:
  static constexpr int kMaxStreams = 512;
  using Served = std::function<std::shared_ptr<const ServedWorkload>()>;

  /// `board` outlives the object, which outlives the server. `workload_address` is an IPv4 address.
  WorkloadTraffic(const Board& board, Served served, const std::string& workload_address);

  std::shared_ptr<net::StreamHandler> open(const net::RequestHead& head, const ClassifiedPath& path);

 private:
  class Policy;

  const Board& board_;
  const Served served_;
  const net::IpAddress address_;
  const net::RouteInfo route_;
  ProxyAssertions assertions_;
  net::Forwarder forwarder_;
  std::atomic<int> streams_ = 0;
};

}  // namespace ee::agent
