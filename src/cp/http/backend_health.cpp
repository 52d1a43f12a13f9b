#include "cp/http/backend_health.h"

#include <algorithm>

namespace ee::cp {

std::expected<const BackendRoute*, BackendHealth::NoChoice> BackendHealth::choose(const ServiceRoute& service,
                                                                                  const std::vector<std::string>& tried,
                                                                                  std::int64_t max_in_flight,
                                                                                  SteadyTime now) {
  const std::lock_guard lock(mutex_);
  if (states_.size() >= trim_at_) trim(now);
  const auto was_tried = [&](const BackendRoute& backend) {
    return std::ranges::find(tried, backend.deployment_id) != tried.end();
  };
  // From the best to whatever there is: all ejected means that all are tried.
  std::vector<const BackendRoute*> best;
  int best_rank = 4;
  bool any_full = false;
  for (const BackendRoute& backend : service.backends) {
    const State& known = state(backend);
    if (known.in_flight >= max_in_flight) {
      any_full = true;
      continue;
    }
    const int rank = (now < known.ejected_until ? 2 : 0) + (was_tried(backend) ? 1 : 0);
    if (rank > best_rank) continue;
    if (rank < best_rank) best.clear();
    best_rank = rank;
    best.push_back(&backend);
  }
  if (best.empty()) return std::unexpected(any_full ? NoChoice::all_full : NoChoice::none);
  const BackendRoute* chosen = best.front();
  if (best.size() > 1) {
    const auto count = static_cast<std::int64_t>(best.size());
    const auto first = static_cast<std::size_t>(random_.between(0, count - 1));
    auto second = static_cast<std::size_t>(random_.between(0, count - 2));
    if (second >= first) ++second;
    const BackendRoute* const a = best[std::min(first, second)];  // backends stand in the order of their ids
    const BackendRoute* const b = best[std::max(first, second)];
    chosen = state(*b).in_flight < state(*a).in_flight ? b : a;
  }
  State& taken = state(*chosen);
  ++taken.in_flight;
  taken.used_at = now;
  return chosen;
}

void BackendHealth::release(const BackendRoute& backend) {
  const std::lock_guard lock(mutex_);
  --state(backend).in_flight;
}

bool BackendHealth::failed(const BackendRoute& backend, SteadyTime now) {
  const std::lock_guard lock(mutex_);
  State& known = state(backend);
  if (now < known.ejected_until || ++known.failures < kFailures) return false;
  constexpr int kMaxDoublings = 5;  // 10 s, 20 s, ... 300 s
  const Seconds time = std::min(kLongestEjection, kFirstEjection * (1 << std::min(known.ejections, kMaxDoublings)));
  known.failures = 0;
  ++known.ejections;
  known.ejected_until = now + time;
  return true;
}

void BackendHealth::succeeded(const BackendRoute& backend) {
  const std::lock_guard lock(mutex_);
  State& known = state(backend);
  known.failures = known.ejections = 0;
  known.ejected_until = {};
}

std::int64_t BackendHealth::ejected(SteadyTime now) const {
  const std::lock_guard lock(mutex_);
  return std::ranges::count_if(states_, [&](const auto& entry) { return now < entry.second.ejected_until; });
}

std::size_t BackendHealth::known() const {
  const std::lock_guard lock(mutex_);
  return states_.size();
}

void BackendHealth::trim(SteadyTime now) {
  std::erase_if(
      states_, [&](const auto& entry) { return entry.second.in_flight == 0 && now - entry.second.used_at >= kForget; });
  trim_at_ = std::max(kTrimAt, states_.size() * 2);
}

}  // namespace ee::cp
