#include "cp/service/tunnel_settings.h"

#include <algorithm>

#include "cp/domain/tunnel_names.h"

namespace ee::cp {
namespace {
constexpr std::int64_t kMaxBackoffSeconds = 3600;
constexpr std::int64_t kFirstBackoffSeconds = 10;
constexpr std::int64_t kMaxDoublings = 9;
}  // namespace

bool TunnelSettings::is_protected(std::string_view tunnel_name) const {
  return tunnel_name == control_plane_tunnel_name(cluster_id) ||
         std::ranges::find(protected_tunnels, tunnel_name) != protected_tunnels.end();
}

Milliseconds tunnel_backoff(std::int64_t attempts, Random& random) {
  const std::int64_t doublings = std::clamp<std::int64_t>(attempts, 0, kMaxDoublings);
  const std::int64_t seconds = std::min(kMaxBackoffSeconds, kFirstBackoffSeconds << doublings);
  const std::int64_t ms = seconds * 1000;
  return Milliseconds(random.between(ms - ms / 5, ms + ms / 5));
}

bool is_not_this_tunnels_fault(cloudflare::Failure failure) {
  using F = cloudflare::Failure;
  return failure == F::rate_limited || failure == F::over_budget || failure == F::bad_token || failure == F::cancelled;
}

}  // namespace ee::cp
