#pragma once
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

#include "agent/host.h"
#include "common/agent_api.h"
#include "common/clock.h"

namespace ee::agent {

/// Use of this VM as heartbeats report it. CPU is the use between two samples, so the first sample has none; a counter
/// that is lower than before gives none either; what cannot be read is absent. Thread-safe.
class HostStatsSampler {
 public:
  /// All must outlive the sampler.
  HostStatsSampler(const Host& host, const Clock& clock, std::string data_dir)
      : host_(host), clock_(clock), data_dir_(std::move(data_dir)) {}

  agent_api::HostStats sample();

 private:
  struct CpuSample {
    std::int64_t busy_usec;
    SteadyTime at;
  };
  std::optional<std::int64_t> cpu_millis(SteadyTime now);

  const Host& host_;
  const Clock& clock_;
  std::string data_dir_;
  std::mutex mutex_;
  std::optional<CpuSample> last_;
};

/// CPU time in use of all vCPUs since the boot, in microseconds: all of the first line of /proc/stat but idle, iowait
/// and guest times (which are inside user and nice). `ticks_per_second` is sysconf(_SC_CLK_TCK). Source: proc(5).
std::optional<std::int64_t> busy_usec(std::string_view proc_stat, std::int64_t ticks_per_second);

/// Thousandths of one CPU in use: delta_usage * 1000 / delta_wall, divided last.
std::int64_t cpu_millis(std::int64_t usage_usec, std::int64_t wall_usec);

struct NetBytes {
  std::int64_t received = 0;
  std::int64_t sent = 0;
};
/// Sums of /proc/net/dev without lo and what belongs to containers (veth, br, docker, podman, cni).
std::optional<NetBytes> net_bytes(std::string_view proc_net_dev);

}  // namespace ee::agent
