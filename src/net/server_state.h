#pragma once
// Inside of net/server: what the connections of one server share.
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>

#include "net/server.h"
#include "net/tls.h"
#include "net/worker_pool.h"

namespace ee::net {

/// Counts one request against the in-flight bounds until it is released or destroyed.
class InFlightSlot {
 public:
  InFlightSlot() = default;
  explicit InFlightSlot(std::atomic<std::size_t>& counter) : counter_(&counter) {}
  InFlightSlot(InFlightSlot&& other) noexcept : counter_(std::exchange(other.counter_, nullptr)) {}
  InFlightSlot& operator=(InFlightSlot&& other) noexcept {
    release();
    counter_ = std::exchange(other.counter_, nullptr);
    return *this;
  }
  ~InFlightSlot() { release(); }
  void release() {
    if (counter_) counter_->fetch_sub(1, std::memory_order_relaxed);
    counter_ = nullptr;
  }
  explicit operator bool() const { return counter_ != nullptr; }

 private:
  std::atomic<std::size_t>* counter_ = nullptr;
};

/// Thread-safe.
class ServerState {
 public:
  ServerState(ServerConfig configuration, Application& application, Clock& clock, Random& random)
      : config(std::move(configuration)),
        app(application),
        clock(clock),
        random(random),
        proxies(config.trusted_proxies),
        pool(config.worker_threads) {}

  /// Nothing in it when the bound is reached. Reserved routes take their own share first.
  InFlightSlot take_slot(bool reserved);
  /// The same by a route's own bound. The bound outlives the slot.
  static InFlightSlot take_slot(WorkBound& bound);
  /// Counts the address's connections. False: it has too many already.
  bool add_connection(const std::string& address_key);
  void remove_connection(const std::string& address_key);
  /// False, and nothing counted, when the bound on buffered bodies would be crossed.
  bool charge_body(std::size_t bytes);
  void uncharge_body(std::size_t bytes) { buffered_body_bytes.fetch_sub(bytes, std::memory_order_relaxed); }
  bool sheds(Shed order) const {
    const int level = shed_level.load(std::memory_order_relaxed);
    return (level >= 1 && order == Shed::first) || (level >= 2 && order == Shed::second);
  }
  /// For `Retry-After` of an overload answer.
  Seconds retry_after();
  std::shared_ptr<const TlsContext> tls() const;
  void set_tls(std::shared_ptr<const TlsContext> context);

  const ServerConfig config;
  Application& app;
  Clock& clock;
  Random& random;
  const TrustedProxies proxies;
  std::atomic<std::size_t> connections = 0;
  std::atomic<std::size_t> in_flight = 0;
  std::atomic<std::size_t> reserved_in_flight = 0;
  std::atomic<std::size_t> buffered_body_bytes = 0;
  std::atomic<int> shed_level = 0;  ///< 0: none, 1: Shed::first, 2: Shed::second too
  std::atomic<bool> draining = false;
  std::atomic<std::uint64_t> lost_records = 0;
  WorkerPool pool;  // last: its threads end before the rest goes

 private:
  mutable std::mutex mutex_;
  std::unordered_map<std::string, std::size_t> per_address_;
  std::shared_ptr<const TlsContext> tls_;
};

/// The answer to an error, as application/problem+json; its code is noted for the access record.
Response problem_response(const Error& error, std::string_view request_id);

}  // namespace ee::net
