#pragma once
#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/error.h"
#include "common/secret.h"
#include "common/time.h"

namespace ee::agent {

/// The label by which an agent knows what it made: its instance UUID. `list*()` and `events()` see nothing else.
inline constexpr std::string_view kInstanceLabel = "com.easyenclave.instance";

/// Why an engine call failed, by what the caller can do about it.
enum class RuntimeFailure : std::uint8_t {
  cancelled,        ///< the caller's stop token fired; what the call may have made is found by its labels
  unavailable,      ///< no engine at the socket, or it closed or hung, after all tries: workloads are left alone
  bad_answer,       ///< the engine's answer was not understood or beyond its bound
  not_found,        ///< no such container, network or image (create: the image is gone, pull it again)
  refused,          ///< the engine will not do it as described: `compose_failed`
  disk_full,        ///< the engine failed and its disk has less than 64 MiB left
  pull_failed,      ///< may be tried again: `image_pull_failed`
  pull_refused,     ///< the registry said 401, 403 or 404: `image_pull_failed`, not tried again
  digest_mismatch,  ///< the image is not the one that was named, or not for linux/amd64
};
std::string_view to_string(RuntimeFailure failure);

/// `detail` is the engine's message or ours: at most 512 bytes of UTF-8, credentials taken out.
struct RuntimeError {
  RuntimeFailure failure;
  std::string detail = {};
};
/// The code to report for a deployment: compose_failed, disk_full, image_pull_failed, digest_mismatch; internal_error
/// for what says nothing about the deployment (cancelled, unavailable, bad_answer).
ErrorCode failure_code(RuntimeFailure failure);

template <class T>
using RuntimeResult = std::expected<T, RuntimeError>;

[[nodiscard]] inline std::unexpected<RuntimeError> runtime_fail(RuntimeFailure failure, std::string detail = {}) {
  return std::unexpected(RuntimeError{.failure = failure, .detail = std::move(detail)});
}

struct RuntimeInfo {
  std::string name;            ///< `docker`, `podman` or `fake`
  std::string version;         ///< as the engine says, at most 64 bytes
  std::string api_version;     ///< the newest that it speaks
  int cgroup_version = 0;      ///< 1 or 2; 0 = it did not say
  bool nvidia = false;         ///< has a runtime for NVIDIA GPUs
  std::string root_directory;  ///< where it keeps images and containers
};

struct RegistryCredentials {
  std::string server;  ///< host[:port] of the image reference
  std::string username;
  Secret password;
};

/// Of one pull: sums over the layers named so far, so the total grows at first.
struct PullProgress {
  std::int64_t current_bytes = 0;
  std::int64_t total_bytes = 0;
  std::int64_t layers_done = 0;
  std::int64_t layers = 0;
  bool operator==(const PullProgress&) const = default;
};
using OnPullProgress = std::function<void(const PullProgress&)>;

struct ImageInfo {
  std::string id;                 ///< `sha256:<hex>` of the image configuration
  std::string config;             ///< JSON object: the image's `Config`
  bool has_health_check = false;  ///< other than NONE
};

using Labels = std::map<std::string, std::string>;

struct NetworkSpec {
  std::string name;
  bool internal = false;
  Labels labels = {};
};
struct NetworkInfo {
  std::string id;
  std::string name;
  std::vector<std::string> subnets;  ///< `172.18.0.0/16`; they join the firewall before the first start
  Labels labels = {};
  bool internal = false;  ///< leads to no other network
};
struct VolumeInfo {
  std::string name;
  Labels labels = {};
};

struct FurtherNetwork {
  std::string network;  ///< name or id
  std::vector<std::string> aliases = {};
};
struct ContainerSpec {
  std::string name;
  std::string body;  ///< JSON object: the body of the engine's create request, labels included
  std::vector<FurtherNetwork> further_networks = {};
};

enum class ContainerStatus : std::uint8_t { created, running, paused, restarting, removing, exited, dead };
enum class ContainerHealth : std::uint8_t { none, starting, healthy, unhealthy };

struct ContainerSummary {
  std::string id;
  std::string name;
  std::string image_id;
  ContainerStatus status = ContainerStatus::created;
  Labels labels = {};
};
struct ContainerState {
  std::string id;
  std::string name;
  std::string image_id;
  ContainerStatus status = ContainerStatus::created;
  bool running = false;
  std::int64_t exit_code = 0;  ///< of the last run
  bool oom_killed = false;
  std::int64_t pid = 0;                     ///< 0: does not run
  std::optional<UtcTime> started_at = {};   ///< nothing: never started
  std::optional<UtcTime> finished_at = {};  ///< nothing: never ended
  ContainerHealth health = ContainerHealth::none;
  Labels labels = {};
};

struct WaitResult {
  std::int64_t exit_code = 0;
  std::string error = {};
};

/// A point of the engine's clock, in nanoseconds of Unix time; 0 = from the beginning.
using EngineTime = std::int64_t;

/// `listen_again` comes when the stream was opened, at first and after each loss: events may be missing, so ask `list`.
enum class ContainerEventKind : std::uint8_t { listen_again, start, die, oom, health_status, destroy, other };
/// Says only where to look: state is read by `inspect`.
struct ContainerEvent {
  ContainerEventKind kind = ContainerEventKind::other;
  std::string container_id = {};
  EngineTime at = 0;
};
using OnContainerEvent = std::function<void(const ContainerEvent&)>;

enum class LogStream : std::uint8_t { out, err };
/// One line as the container wrote it, without its end: any bytes, at most 16 KiB of them.
struct ContainerLogLine {
  LogStream stream = LogStream::out;
  EngineTime at = 0;
  std::string_view text = {};  ///< valid during the call
  bool truncated = false;
};
/// How a following of logs ended, other than by an error.
struct LogsEnd {
  EngineTime last_at = 0;            ///< of the last line that was handed out
  std::int64_t dropped_streams = 0;  ///< streams given up because their frames were malformed
};
using OnContainerLogLine = std::function<void(const ContainerLogLine&)>;

/// Counters as the engine gives them, where the cgroup files cannot be read. What it does not say is absent.
struct ContainerCounters {
  std::optional<std::int64_t> cpu_usage_usec = {};
  std::optional<std::int64_t> memory_bytes = {};
  std::optional<std::int64_t> memory_limit_bytes = {};
  std::optional<std::int64_t> pids = {};
  std::optional<std::int64_t> io_read_bytes = {};
  std::optional<std::int64_t> io_write_bytes = {};
};

/// Where containers are run. Thread-safe; every call blocks, has its own time-out (agent contract, section 16.1) and
/// ends soon after `stop` is requested, with `cancelled`. An `id` is the engine's id or a name.
///
/// Order of use: probe; pull and image for each reference; create_network, create_volume; create each container, then
/// start; wait, inspect, events, logs while it runs; stop, remove containers, then networks and volumes.
/// Implementations: engine_runtime.h (Docker Engine API), fake_runtime.h.
class ContainerRuntime {
 public:
  virtual ~ContainerRuntime() = default;

  virtual RuntimeResult<RuntimeInfo> probe(const std::stop_token& stop) = 0;

  /// One try to get `reference` (`host/repo@sha256:<hex>`), at most 600 s, 60 s without a byte. `credentials` null:
  /// anonymous. The stream's success is not proof: `image` decides. `on_progress` may be empty; called on this thread.
  virtual RuntimeResult<void> pull(const std::string& reference, const RegistryCredentials* credentials,
                                   const OnPullProgress& on_progress, const std::stop_token& stop) = 0;
  /// The local image that is exactly `reference`, for linux/amd64. Errors: not_found, digest_mismatch.
  virtual RuntimeResult<ImageInfo> image(const std::string& reference, const std::stop_token& stop) = 0;
  /// Removes local images by id; those in use stay, those gone count as removed. The number removed.
  virtual RuntimeResult<std::int64_t> prune_images(const std::vector<std::string>& ids,
                                                   const std::stop_token& stop) = 0;

  /// A bridge of its own. One of that name left by this instance is removed first; a foreign one is `refused`.
  virtual RuntimeResult<NetworkInfo> create_network(const NetworkSpec& spec, const std::stop_token& stop) = 0;
  /// One that is gone counts as removed.
  virtual RuntimeResult<void> remove_network(const std::string& id, const std::stop_token& stop) = 0;
  virtual RuntimeResult<std::vector<NetworkInfo>> list_networks(const std::stop_token& stop) = 0;

  /// An existing one of this instance is kept with its content; a foreign one of that name is `refused`.
  virtual RuntimeResult<void> create_volume(const VolumeInfo& spec, const std::stop_token& stop) = 0;
  virtual RuntimeResult<void> remove_volume(const std::string& name, const std::stop_token& stop) = 0;
  virtual RuntimeResult<std::vector<VolumeInfo>> list_volumes(const std::stop_token& stop) = 0;

  /// The id. A container of that name left by this instance is removed first; a foreign one is `refused`. When it
  /// fails after the container was made (a further network is missing), the container is removed again.
  virtual RuntimeResult<std::string> create(const ContainerSpec& spec, const std::stop_token& stop) = 0;
  /// One that runs already counts as started.
  virtual RuntimeResult<void> start(const std::string& id, const std::stop_token& stop) = 0;
  /// Until it does not run; at once for one that has ended or was never started. No time-out but `stop`.
  virtual RuntimeResult<WaitResult> wait(const std::string& id, const std::stop_token& stop) = 0;
  /// Its stop signal, after `grace` SIGKILL. One that does not run, or is gone, counts as stopped.
  virtual RuntimeResult<void> stop(const std::string& id, Seconds grace, const std::stop_token& stop) = 0;
  /// With its anonymous volumes, also while it runs. One that is gone counts as removed.
  virtual RuntimeResult<void> remove(const std::string& id, const std::stop_token& stop) = 0;

  /// All containers of this instance, in any state.
  virtual RuntimeResult<std::vector<ContainerSummary>> list(const std::stop_token& stop) = 0;
  virtual RuntimeResult<ContainerState> inspect(const std::string& id, const std::stop_token& stop) = 0;

  /// Hands out events of this instance's containers after `since` until `stop`; a lost stream is opened again by
  /// itself. Returns only `cancelled`.
  virtual RuntimeResult<void> events(EngineTime since, const OnContainerEvent& on_event,
                                     const std::stop_token& stop) = 0;
  /// Hands out a container's lines written after `since`, then follows it; returns when it has ended and all was read.
  /// A lost or malformed stream is opened again from the last line. Errors: not_found, cancelled, unavailable.
  virtual RuntimeResult<LogsEnd> logs(const std::string& id, EngineTime since, const OnContainerLogLine& on_line,
                                      const std::stop_token& stop) = 0;
  virtual RuntimeResult<ContainerCounters> stats(const std::string& id, const std::stop_token& stop) = 0;

  /// Whether the last call reached the engine: the health check `container_runtime`. Never blocks.
  virtual bool reachable() const = 0;
  /// How often the stream of `events` was lost: each time the engine may have been restarted, which ends containers
  /// through no fault of theirs. Never blocks.
  virtual std::int64_t interruptions() const { return 0; }
};

}  // namespace ee::agent
