#include "net/server_state.h"

#include "common/problem.h"

namespace ee::net {
namespace {

InFlightSlot take(std::atomic<std::size_t>& counter, std::size_t limit) {
  if (counter.fetch_add(1, std::memory_order_relaxed) < limit) return InFlightSlot(counter);
  counter.fetch_sub(1, std::memory_order_relaxed);
  return {};
}

}  // namespace

InFlightSlot ServerState::take_slot(bool reserved) {
  if (reserved) {
    constexpr std::size_t kReservedShare = 10;
    const std::size_t own = std::max<std::size_t>(config.max_in_flight / kReservedShare, 1);
    if (InFlightSlot slot = take(reserved_in_flight, own)) return slot;
  }
  return take(in_flight, config.max_in_flight);
}

InFlightSlot ServerState::take_slot(WorkBound& bound) { return take(bound.count, bound.limit); }

bool ServerState::add_connection(const std::string& address_key) {
  if (!address_key.empty()) {
    const std::lock_guard lock(mutex_);
    std::size_t& count = per_address_[address_key];
    if (count >= config.max_connections_per_ip) return false;
    ++count;
  }
  connections.fetch_add(1, std::memory_order_relaxed);
  return true;
}

void ServerState::remove_connection(const std::string& address_key) {
  if (!address_key.empty()) {
    const std::lock_guard lock(mutex_);
    const auto found = per_address_.find(address_key);
    if (found != per_address_.end() && --found->second == 0) per_address_.erase(found);
  }
  connections.fetch_sub(1, std::memory_order_release);
}

bool ServerState::charge_body(std::size_t bytes) {
  if (buffered_body_bytes.fetch_add(bytes, std::memory_order_relaxed) + bytes <= config.max_buffered_body_bytes)
    return true;
  uncharge_body(bytes);
  return false;
}

Seconds ServerState::retry_after() {
  return Seconds(random.between(config.overload_retry_after_min.count(), config.overload_retry_after_max.count()));
}

std::shared_ptr<const TlsContext> ServerState::tls() const {
  const std::lock_guard lock(mutex_);
  return tls_;
}

void ServerState::set_tls(std::shared_ptr<const TlsContext> context) {
  const std::lock_guard lock(mutex_);
  tls_ = std::move(context);
}

Response problem_response(const Error& error, std::string_view request_id) {
  Response response{.status = error_info(error.code).http_status};
  response.headers.push_back({"Content-Type", "application/problem+json"});
  if (error.retry_after) response.headers.push_back({"Retry-After", std::to_string(error.retry_after->count())});
  response.body = problem_json(error, request_id);
  response.code = slug(error.code);
  return response;
}

}  // namespace ee::net
