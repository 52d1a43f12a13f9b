#pragma once
#include <array>
#include <boost/describe/class.hpp>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "agent/host.h"
#include "agent/runtime/container_runtime.h"
#include "common/clock.h"
#include "common/json_type.h"

namespace ee::agent {

/// Use of one container, agent contract section 16.5. What cannot be read is null.
struct ContainerStats {
  std::optional<std::int64_t> cpu_millis = {};  ///< thousandths of one CPU between two samples
  std::optional<std::int64_t> memory_bytes = {};
  std::optional<std::int64_t> memory_limit_bytes = {};  ///< null: no limit
  std::optional<std::int64_t> oom_kills = {};
  std::optional<std::int64_t> pids = {};
  std::optional<std::int64_t> io_read_bytes = {};
  std::optional<std::int64_t> io_write_bytes = {};
  bool operator==(const ContainerStats&) const = default;
};
BOOST_DESCRIBE_STRUCT(ContainerStats, (),
                      (cpu_millis, memory_bytes, memory_limit_bytes, oom_kills, pids, io_read_bytes, io_write_bytes))
constexpr auto json_rules(json::For<ContainerStats>) {
  return std::array{json::field("cpu_millis").at_least(0), json::field("memory_bytes").at_least(0)};
}
constexpr std::string_view json_name(json::For<ContainerStats>) { return "ContainerStats"; }

/// Reads the cgroup v2 files of containers; the engine is asked only where they cannot be read. Under cgroup v1
/// everything is null. Thread-safe.
class ContainerStatsSampler {
 public:
  /// All must outlive it.
  ContainerStatsSampler(const Host& host, const Clock& clock, ContainerRuntime& runtime)
      : host_(host), clock_(clock), runtime_(runtime) {}

  /// `pid` is that of `inspect`; 0 (does not run) gives nulls. CPU is the use since this container's last sample, so
  /// the first has none, nor has one whose counter went back (a restart).
  ContainerStats sample(const std::string& container_id, std::int64_t pid, const std::stop_token& stop);
  void forget(const std::string& container_id);

 private:
  struct CpuSample {
    std::int64_t usage_usec;
    SteadyTime at;
  };
  std::optional<std::int64_t> cpu_millis_of(const std::string& container_id, std::int64_t usage_usec);

  const Host& host_;
  const Clock& clock_;
  ContainerRuntime& runtime_;
  std::mutex mutex_;
  std::map<std::string, CpuSample> last_;
};

/// Whether this kernel has cgroup v2 as its only hierarchy; else the health check `cgroup_v1` is degraded.
bool has_cgroup_v2(const Host& host);

}  // namespace ee::agent
