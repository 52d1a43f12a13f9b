#include "cp/http/proxy.h"

#include <algorithm>

#include "cp/http/proxied_request.h"

namespace ee::cp {
namespace {

constexpr std::size_t kMaxBody = 10UL * 1024 * 1024 * 1024;
constexpr std::int64_t kServiceRps = 200;
constexpr std::int64_t kServiceBurst = 400;
constexpr std::int64_t kNsPerSecond = 1'000'000'000;
constexpr std::size_t kMaxIdleLoads = 20'000;

}  // namespace

Proxy::Proxy(Parts parts)
    : parts_(std::move(parts)),
      route_{.route_template = "/proxy/{service}/{path}", .max_body_bytes = kMaxBody, .security_headers = false},
      forwarder_(net::ForwardPoolLimits{.io_threads = parts_.io_threads}),
      health_(parts_.random),
      by_address_({.count = 50, .period = Seconds(1), .burst = 100}, parts_.clock),
      by_account_({.count = 1000, .period = Seconds(1), .burst = 2000}, parts_.clock),
      counters_(std::make_unique<Counters>(parts_.metrics)) {}

Proxy::~Proxy() = default;

std::shared_ptr<net::StreamHandler> Proxy::open(const net::RequestHead& head) {
  ProxySettings settings = parts_.settings();
  std::string by_host = service_of_host(head.field("host").value_or(""), settings.host_suffix);
  const bool path_mode = by_host.empty();
  // Views into the head would not outlive this call: the path's copy is the request's own.
  ProxyPath path = path_mode ? read_proxy_path(head.path) : read_host_path(head.path);
  if (path.kind == ProxyPathKind::other) return nullptr;
  if (!path_mode) path.service = std::move(by_host);
  scale_rates(settings);
  return forwarder_.open(std::make_unique<ProxiedRequest>(*this, std::move(path), path_mode, std::move(settings)),
                         route_);
}

void Proxy::scale_rates(const ProxySettings& settings) {
  const std::int64_t percent = settings.rate_scale_percent;
  if (rate_scale_percent_.load(std::memory_order_relaxed) == percent) return;
  rate_scale_percent_ = percent;
  by_address_.set_scale_percent(percent);
  by_account_.set_scale_percent(percent);
}

void Proxy::update_gauges() { counters_->ejected.set(static_cast<double>(health_.ejected(parts_.clock.steady_now()))); }

Result<void> Proxy::enter(const ServiceRoute& service, bool tunnel, const ProxySettings& settings) {
  if (in_flight_.fetch_add(1) >= settings.max_in_flight) {
    in_flight_.fetch_sub(1);
    return fail(ErrorCode::proxy_overloaded);
  }
  {
    const std::lock_guard lock(mutex_);
    ServiceLoad& load = load_[service.id];
    // WebSockets have a bound of their own: they stay for hours.
    std::int64_t& count = tunnel ? load.tunnels : load.in_flight;
    const std::int64_t most = tunnel ? settings.max_tunnels_service : settings.max_in_flight_service;
    if (count >= most) {
      in_flight_.fetch_sub(1);
      return fail(ErrorCode::proxy_overloaded);
    }
    ++count;
  }
  counters_->in_flight.add(1);
  if (tunnel) counters_->tunnels.add(1);
  return {};
}

void Proxy::leave(const std::string& service_id, bool tunnel) {
  in_flight_.fetch_sub(1);
  counters_->in_flight.add(-1);
  if (tunnel) counters_->tunnels.add(-1);
  const std::lock_guard lock(mutex_);
  ServiceLoad& load = load_[service_id];
  --(tunnel ? load.tunnels : load.in_flight);
}

net::RateDecision Proxy::take_service(const ServiceRoute& service, const ProxySettings& settings) {
  const auto scaled = [&](std::int64_t number) {
    return std::max<std::int64_t>(number * settings.rate_scale_percent / 100, 1);
  };
  const std::int64_t own_rps = std::min(service.overrides.rps.value_or(kServiceRps), settings.max_service_rps);
  const std::int64_t rps = scaled(own_rps);
  const std::int64_t burst =
      scaled(service.overrides.burst.value_or(service.overrides.rps ? own_rps * 2 : kServiceBurst));
  const std::int64_t step = kNsPerSecond / std::max<std::int64_t>(rps, 1);
  const std::int64_t now =
      std::chrono::duration_cast<std::chrono::nanoseconds>(parts_.clock.steady_now().time_since_epoch()).count();
  const auto up_to_seconds = [](std::int64_t ns) { return Seconds((ns + kNsPerSecond - 1) / kNsPerSecond); };
  const std::lock_guard lock(mutex_);
  if (load_.size() > kMaxIdleLoads)
    std::erase_if(load_, [&](const auto& entry) {
      return entry.second.in_flight == 0 && entry.second.tunnels == 0 && entry.second.full_at_ns <= now;
    });
  ServiceLoad& load = load_[service.id];
  const std::int64_t full_at = std::max(load.full_at_ns, now) + step;
  const std::int64_t over = full_at - now - burst * step;
  net::RateDecision decision{.allowed = over <= 0, .limit = burst};
  if (decision.allowed) load.full_at_ns = full_at;
  decision.remaining = (burst * step - (std::max(load.full_at_ns, now) - now)) / step;
  decision.reset = up_to_seconds(std::max(load.full_at_ns, now) - now);
  if (!decision.allowed) decision.retry_after = std::max(up_to_seconds(over), Seconds(1));
  return decision;
}

}  // namespace ee::cp
