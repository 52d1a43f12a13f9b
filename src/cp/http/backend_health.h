#pragma once
#include <cstdint>
#include <expected>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/random.h"
#include "common/time.h"
#include "cp/service/route_table.h"

namespace ee::cp {

/// How this process gets on with the backends: requests in flight, and who is left alone for a while (03 section 9.7).
/// What was not used for `kForget` is forgotten when room is needed. Thread-safe.
class BackendHealth {
 public:
  static constexpr int kFailures = 5;  ///< in a row
  static constexpr Seconds kFirstEjection{10};
  static constexpr Seconds kLongestEjection{300};
  static constexpr Seconds kForget{600};
  static constexpr std::size_t kTrimAt = 1024;  ///< backends known, then twice as many as were kept

  explicit BackendHealth(Random& random) : random_(random) {}

  enum class NoChoice : std::uint8_t { none, all_full };
  /// Of two at random the one with fewer requests in flight (the lower id when equal), among those that are neither
  /// ejected nor in `tried`, as long as there are such. Counts a request in flight until `release`.
  std::expected<const BackendRoute*, NoChoice> choose(const ServiceRoute& service,
                                                      const std::vector<std::string>& tried, std::int64_t max_in_flight,
                                                      SteadyTime now);
  void release(const BackendRoute& backend);
  /// An attempt failed in a way that says something of the backend. True when that ejected it.
  bool failed(const BackendRoute& backend, SteadyTime now);
  void succeeded(const BackendRoute& backend);
  std::int64_t ejected(SteadyTime now) const;
  std::size_t known() const;

 private:
  struct State {
    std::int64_t in_flight = 0;
    int failures = 0;
    int ejections = 0;  ///< since the last success
    SteadyTime ejected_until{};
    SteadyTime used_at{};
  };
  State& state(const BackendRoute& backend) { return states_[backend.deployment_id]; }
  void trim(SteadyTime now);

  Random& random_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, State> states_;  ///< by deployment
  std::size_t trim_at_ = kTrimAt;
};

}  // namespace ee::cp
