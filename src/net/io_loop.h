#pragma once
// Inside of net/server: one io thread.
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "net/asio.h"
#include "net/polled_socket.h"
#include "net/server_state.h"
#include "net/stall_guard.h"

namespace ee::net {

class Connection;

/// What somebody keeps on an io thread beside its connections, such as idle connections to backends. Made, used and
/// destroyed on that thread.
class LoopLocal {
 public:
  virtual ~LoopLocal() = default;
  virtual void sweep(SteadyTime now) = 0;
};

/// One event loop on one thread, with the connections that it serves. All but the constructor, `start`, `stop`, `post`,
/// `lag` and `bytes_received` belong to that thread.
class IoLoop {
 public:
  explicit IoLoop(ServerState& state);
  ~IoLoop();
  IoLoop(const IoLoop&) = delete;
  IoLoop& operator=(const IoLoop&) = delete;

  void start();
  /// Resets all connections and ends the thread.
  void stop();
  template <class Function>
  void post(Function&& function) {
    asio::post(context_, std::forward<Function>(function));
  }
  /// How late the last tick came, or how overdue the next one is.
  Milliseconds lag() const;
  std::uint64_t bytes_received() const { return bytes_received_.load(std::memory_order_relaxed); }

  /// Takes a socket just accepted.
  void adopt(int descriptor, int family, std::string peer_address, std::string address_key);
  void forget(Connection& connection);
  /// Has all time-outs looked at now.
  void sweep();
  void begin_drain();
  void reset_all();

  Executor executor() { return context_.get_executor(); }
  /// For the `Date` field, at most a tick old.
  const std::string& date() const { return date_; }
  std::string next_request_id();
  void count_received(std::size_t bytes) {
    bytes_received_.store(bytes_received() + bytes, std::memory_order_relaxed);  // one writer
  }
  /// The object that `owner` keeps here; made by `make` (a unique_ptr to a LoopLocal) the first time.
  template <class Local, class Make>
  Local& local(const void* owner, Make make) {
    std::unique_ptr<LoopLocal>& place = locals_[owner];
    if (!place) place = make();
    return static_cast<Local&>(*place);
  }
  Clock& clock() { return state_.clock; }
  /// For connected TCP sockets. Made when first asked for; nothing when the system is out of descriptors: then they
  /// stay with Asio.
  SocketPoller* poller();
  /// Called at each tick, on this thread.
  std::function<void()> on_tick;

 private:
  void schedule_tick();
  void tick();
  void begin_round();
  void sweep_some();
  void sweep_next(SteadyTime now);

  ServerState& state_;
  asio::io_context context_;
  Timer timer_;
  std::unique_ptr<SocketPoller> poller_;
  std::vector<std::shared_ptr<Connection>> connections_;
  std::size_t to_sweep_ = 0;  ///< the first so many of them have not had their turn since the last tick
  std::string date_;
  std::int64_t date_second_ = -1;
  std::uint64_t request_id_state_ = 0;
  std::chrono::steady_clock::time_point next_tick_;
  StallGuard stall_guard_;
  std::atomic<std::int64_t> next_tick_ms_ = 0;  ///< of the steady clock
  std::atomic<std::int64_t> last_lag_ms_ = 0;
  std::atomic<std::uint64_t> bytes_received_ = 0;
  std::unordered_map<const void*, std::unique_ptr<LoopLocal>> locals_;
  std::thread thread_;
};

}  // namespace ee::net
