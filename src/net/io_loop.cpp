#include "net/io_loop.h"

#include <algorithm>

#include "common/require.h"
#include "net/connection.h"
#include "net/response_writer.h"

namespace ee::net {
namespace {

std::int64_t steady_ms() {
  return std::chrono::duration_cast<Milliseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// SplitMix64 (Steele, Lea, Flood 2014): a bijection, so that ids of one loop never repeat.
std::uint64_t mix(std::uint64_t value) {
  value = (value ^ (value >> 30U)) * 0xbf58476d1ce4e5b9ULL;
  value = (value ^ (value >> 27U)) * 0x94d049bb133111ebULL;
  return value ^ (value >> 31U);
}

}  // namespace

IoLoop::IoLoop(ServerState& state) : state_(state), context_(1), timer_(context_.get_executor()) {
  std::array<std::uint8_t, 8> seed{};
  if (!state.random.fill(seed)) require(false);
  for (const std::uint8_t byte : seed) request_id_state_ = request_id_state_ << 8U | byte;
}

IoLoop::~IoLoop() { stop(); }

void IoLoop::start() {
  next_tick_ = std::chrono::steady_clock::now();
  sweep();
  schedule_tick();
  thread_ = std::thread([this] { context_.run(); });
}

void IoLoop::stop() {
  if (!thread_.joinable()) return;
  post([this] {
    timer_.cancel();
    reset_all();
    locals_.clear();
    context_.stop();
  });
  thread_.join();
}

Milliseconds IoLoop::lag() const {
  return Milliseconds(std::max({last_lag_ms_.load(std::memory_order_relaxed),
                                steady_ms() - next_tick_ms_.load(std::memory_order_relaxed), std::int64_t{0}}));
}

void IoLoop::schedule_tick() {
  next_tick_ += state_.config.sweep_interval;
  const auto now = std::chrono::steady_clock::now();
  if (next_tick_ < now) next_tick_ = now + state_.config.sweep_interval;
  next_tick_ms_.store(std::chrono::duration_cast<Milliseconds>(next_tick_.time_since_epoch()).count(),
                      std::memory_order_relaxed);
  timer_.expires_at(next_tick_);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    const auto time = std::chrono::steady_clock::now();
    const auto late = std::chrono::duration_cast<Milliseconds>(time - next_tick_);
    last_lag_ms_.store(late.count(), std::memory_order_relaxed);
    tick();
    if (stall_guard_.may_judge(time, late)) begin_round();
    if (on_tick) on_tick();
    schedule_tick();
  });
}

void IoLoop::adopt(int descriptor, int family, std::string peer_address, std::string address_key) {
  Socket socket(context_.get_executor());
  boost::system::error_code error;
  socket.assign(asio::generic::stream_protocol(family, 0), descriptor, error);
  auto connection =
      std::make_shared<Connection>(state_, *this, std::move(socket), std::move(peer_address), std::move(address_key));
  connection->index = connections_.size();
  connections_.push_back(connection);
  if (error || state_.draining.load(std::memory_order_relaxed))
    connection->close();
  else
    connection->start();
}

void IoLoop::forget(Connection& connection) {
  const std::size_t index = connection.index;
  require(index < connections_.size() && connections_[index].get() == &connection);
  std::swap(connections_[index], connections_.back());
  connections_[index]->index = index;
  connections_.pop_back();
}

void IoLoop::tick() {
  const std::int64_t second = std::chrono::floor<Seconds>(state_.clock.now()).time_since_epoch().count();
  if (second != date_second_) date_ = http_date(std::chrono::sys_seconds(Seconds(second)));
  date_second_ = second;
  const SteadyTime now = state_.clock.steady_now();
  for (auto& [owner, local] : locals_) local->sweep(now);
}

void IoLoop::begin_round() {
  if (to_sweep_ > 0) return;  // the last one goes on
  to_sweep_ = connections_.size();
  sweep_some();
}

/// A part of the connections, then the rest when the sockets have had their turn: all at once, thousands of them would
/// hold up every message that is on its way.
void IoLoop::sweep_some() {
  constexpr std::size_t kLeast = 16;
  constexpr std::size_t kTurns = 64;  // at most
  const SteadyTime now = state_.clock.steady_now();
  for (std::size_t left = std::max(kLeast, connections_.size() / kTurns + 1); left > 0 && to_sweep_ > 0; --left)
    sweep_next(now);
  if (to_sweep_ > 0) post([this] { sweep_some(); });
}

// A connection that this closes is replaced by the last one, which has had its turn: hence backwards.
void IoLoop::sweep_next(SteadyTime now) {
  to_sweep_ = std::min(to_sweep_, connections_.size());
  if (to_sweep_ == 0) return;
  const std::shared_ptr<Connection> connection = connections_[--to_sweep_];
  connection->sweep(now);
}

void IoLoop::sweep() {
  tick();
  const SteadyTime now = state_.clock.steady_now();
  to_sweep_ = connections_.size();
  while (to_sweep_ > 0) sweep_next(now);
}

void IoLoop::begin_drain() {
  for (std::size_t i = connections_.size(); i-- > 0;) {
    const std::shared_ptr<Connection> connection = connections_[i];
    connection->begin_drain();
  }
}

void IoLoop::reset_all() {
  while (!connections_.empty()) {
    const std::shared_ptr<Connection> connection = connections_.back();
    connection->reset();
  }
}

SocketPoller* IoLoop::poller() {
  if (!poller_) poller_ = SocketPoller::make(executor());
  return poller_.get();
}

std::string IoLoop::next_request_id() {
  constexpr std::string_view kDigits = "0123456789abcdef";
  request_id_state_ += 0x9e3779b97f4a7c15ULL;
  std::uint64_t value = mix(request_id_state_);
  std::string id(16, '0');
  for (char& c : id) {
    c = kDigits[value & 15U];
    value >>= 4U;
  }
  return id;
}

}  // namespace ee::net
