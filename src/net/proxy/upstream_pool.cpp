#include "net/proxy/upstream_pool.h"

#include <algorithm>

namespace ee::net {

UpstreamPool::UpstreamPool(const ForwardPoolLimits& limits)
    : limits_(limits),
      per_target_((limits.idle_per_target + limits.io_threads - 1) / std::max<std::size_t>(limits.io_threads, 1)),
      total_(std::max<std::size_t>(limits.idle_total / std::max<std::size_t>(limits.io_threads, 1), 1)) {}

UpstreamPool::~UpstreamPool() {
  for (const Idle& idle : by_age_) idle.upstream->close();
}

std::shared_ptr<Upstream> UpstreamPool::take(const std::string& key, SteadyTime now) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return nullptr;
  Places& places = found->second;
  std::shared_ptr<Upstream> taken;
  while (!taken && !places.empty()) {
    const Place place = places.back();
    places.pop_back();
    if (now - place->since < limits_.idle_time && place->upstream->is_idle_and_open())
      taken = std::move(place->upstream);
    else
      place->upstream->close();
    by_age_.erase(place);
  }
  return taken;
}

void UpstreamPool::put(const std::string& key, std::shared_ptr<Upstream> upstream, SteadyTime now) {
  upstream->prepare_for_pool();
  // Whether it is still open is looked at when it is taken again.
  if (upstream->uses >= limits_.max_uses) return upstream->close();
  Places& places = by_key_[key];
  if (places.size() >= per_target_) return upstream->close();
  by_age_.push_back({.of_key = &places, .upstream = std::move(upstream), .since = now});
  places.push_back(std::prev(by_age_.end()));
  if (by_age_.size() > total_) drop(by_age_.begin());
}

void UpstreamPool::drop(Place place) {
  place->upstream->close();
  std::erase(*place->of_key, place);
  by_age_.erase(place);
}

void UpstreamPool::sweep(SteadyTime now) {
  while (!by_age_.empty() && now - by_age_.front().since >= limits_.idle_time) drop(by_age_.begin());
  std::erase_if(by_key_, [](const auto& entry) { return entry.second.empty(); });
}

}  // namespace ee::net
