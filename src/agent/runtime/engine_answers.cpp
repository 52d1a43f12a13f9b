#include "agent/runtime/engine_answers.h"

#include <algorithm>
#include <boost/json/serialize.hpp>

#include "agent/runtime/engine_client.h"
#include "agent/runtime/engine_frames.h"
#include "common/bytes.h"

namespace ee::agent {
namespace {

using Value = boost::json::value;

constexpr std::size_t kMaxReferenceBytes = 512;
constexpr std::size_t kMaxIdBytes = 256;
constexpr int kOldestApi = 41;  ///< 1.41

std::unexpected<RuntimeError> bad_answer(std::string_view what) {
  return runtime_fail(RuntimeFailure::bad_answer, "the engine's answer lacks " + std::string(what));
}

const Value* path(const Value& from, std::initializer_list<std::string_view> names) {
  const Value* at = &from;
  for (const std::string_view name : names) {
    at = find_member(*at, name);
    if (!at) return nullptr;
  }
  return at;
}

bool flag_at(const Value& object, std::string_view name) {
  const Value* const value = find_member(object, name);
  return value && value->is_bool() && value->as_bool();
}

Labels labels_at(const Value& object, std::string_view name) {
  Labels labels;
  if (const Value* const value = find_member(object, name); value && value->is_object())
    for (const auto& entry : value->as_object())
      if (entry.value().is_string()) labels[std::string(entry.key())] = std::string(entry.value().as_string());
  return labels;
}

/// `1.41` -> 41; nothing for another major version.
std::optional<int> minor_version(std::string_view text) {
  if (!text.starts_with("1.")) return std::nullopt;
  int value = 0;
  text.remove_prefix(2);
  if (text.empty() || text.size() > 4) return std::nullopt;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  return value;
}

std::optional<UtcTime> time_at(const Value& object, std::string_view name) {
  const auto time = parse_engine_time(text_at(object, name));  // "0001-01-01T00:00:00Z" = never
  return time ? std::optional(from_unix_ms(*time / 1'000'000)) : std::nullopt;
}

ContainerStatus status_of(std::string_view text) {
  if (text == "running") return ContainerStatus::running;
  if (text == "paused") return ContainerStatus::paused;
  if (text == "restarting") return ContainerStatus::restarting;
  if (text == "removing") return ContainerStatus::removing;
  if (text == "exited" || text == "stopped" || text == "stopping") return ContainerStatus::exited;  // podman's words
  if (text == "dead") return ContainerStatus::dead;
  return ContainerStatus::created;  // `created`, and podman's `configured` and `initialized`
}

ContainerHealth health_of(const Value& state) {
  const Value* health = find_member(state, "Health");
  if (!health) health = find_member(state, "Healthcheck");  // podman's older name
  const std::string text = health ? text_at(*health, "Status") : std::string();
  if (text == "starting") return ContainerHealth::starting;
  if (text == "healthy") return ContainerHealth::healthy;
  if (text == "unhealthy") return ContainerHealth::unhealthy;
  return ContainerHealth::none;
}

std::string without_slash(std::string name) {
  if (name.starts_with('/')) name.erase(0, 1);
  return name;
}

bool declares_health_check(const Value& config) {
  const Value* const test = path(config, {"Healthcheck", "Test"});
  return test && test->is_array() && !test->as_array().empty() && test->as_array().front() != "NONE";
}

}  // namespace

const Value* find_member(const Value& object, std::string_view name) {
  return object.is_object() ? object.as_object().if_contains(name) : nullptr;
}

std::string text_at(const Value& object, std::string_view name) {
  const Value* const value = find_member(object, name);
  return value && value->is_string() ? std::string(value->as_string()) : std::string();
}

std::optional<std::int64_t> number_at(const Value& object, std::string_view name) {
  const Value* const value = find_member(object, name);
  return value && value->is_int64() ? std::optional(value->as_int64()) : std::nullopt;
}

std::optional<PinnedReference> parse_pinned(std::string_view text) {
  const std::size_t at = text.find('@');
  if (text.size() > kMaxReferenceBytes || at == std::string_view::npos || at == 0) return std::nullopt;
  PinnedReference reference{.repository = std::string(text.substr(0, at)),
                            .digest = std::string(text.substr(at + 1)),
                            .server = {},
                            .full = {}};
  const std::string_view digest = reference.digest;
  if (!digest.starts_with("sha256:") || !is_lower_hex(digest.substr(7), 64)) return std::nullopt;
  const std::string& repository = reference.repository;
  const bool plain = std::ranges::all_of(repository, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("._-/:[]").contains(c);
  });
  if (!plain || repository.starts_with('/') || repository.ends_with('/') || repository.contains("//") ||
      repository.contains(".."))
    return std::nullopt;
  const std::string first = repository.substr(0, repository.find('/'));
  const bool has_server =
      first.size() < repository.size() && (first.contains('.') || first.contains(':') || first == "localhost");
  reference.server = has_server ? first : "docker.io";
  if (reference.server == "index.docker.io") reference.server = "docker.io";
  std::string rest = has_server ? repository.substr(first.size() + 1) : repository;
  if (rest.contains(':')) return std::nullopt;  // a tag beside the digest
  if (reference.server == "docker.io" && !rest.contains('/')) rest.insert(0, "library/");
  reference.full = reference.server + "/" + rest + "@" + reference.digest;
  return reference;
}

RuntimeResult<RuntimeInfo> read_version(const Value& version) {
  RuntimeInfo info{.name = "docker",
                   .version = text_at(version, "Version").substr(0, 64),
                   .api_version = text_at(version, "ApiVersion").substr(0, 16),
                   .root_directory = {}};
  if (const Value* const components = find_member(version, "Components"); components && components->is_array())
    for (const Value& component : components->as_array())
      if (text_at(component, "Name") == "Podman Engine") info.name = "podman";
  const auto newest = minor_version(info.api_version);
  const auto oldest = minor_version(text_at(version, "MinAPIVersion"));
  if (!newest || !oldest) return bad_answer("its API versions");
  if (*newest < kOldestApi) return runtime_fail(RuntimeFailure::refused, "the engine does not speak API 1.41: too old");
  if (*oldest > kOldestApi) return runtime_fail(RuntimeFailure::refused, "the engine no longer speaks API 1.41");
  return info;
}

void read_info(const Value& info, RuntimeInfo& to) {
  const std::string cgroup = text_at(info, "CgroupVersion");
  to.cgroup_version = cgroup == "2" || cgroup == "v2" ? 2 : cgroup == "1" || cgroup == "v1" ? 1 : 0;
  to.root_directory = text_at(info, "DockerRootDir");
  const Value* const runtimes = find_member(info, "Runtimes");
  to.nvidia = runtimes && find_member(*runtimes, "nvidia") != nullptr;
}

RuntimeResult<ImageInfo> read_image(const Value& image, const PinnedReference& wanted) {
  bool named = false;
  if (const Value* const digests = find_member(image, "RepoDigests"); digests && digests->is_array())
    for (const Value& digest : digests->as_array()) {
      const auto reference = digest.is_string() ? parse_pinned(digest.as_string()) : std::nullopt;
      named = named || (reference && reference->full == wanted.full);
    }
  if (!named) return runtime_fail(RuntimeFailure::digest_mismatch, "the local image is not the one that was named");
  if (text_at(image, "Os") != "linux" || text_at(image, "Architecture") != "amd64")
    return runtime_fail(RuntimeFailure::digest_mismatch, "the image is not for linux/amd64");
  ImageInfo info{.id = text_at(image, "Id"), .config = "{}"};
  if (info.id.empty() || info.id.size() > kMaxIdBytes) return bad_answer("the image's id");
  if (!info.id.contains(':')) info.id.insert(0, "sha256:");  // podman leaves it out
  if (const Value* const config = find_member(image, "Config"); config && config->is_object()) {
    info.config = boost::json::serialize(*config);
    info.has_health_check = declares_health_check(*config);
  }
  return info;
}

RuntimeResult<NetworkInfo> read_network(const Value& network) {
  NetworkInfo info{.id = text_at(network, "Id"),
                   .name = text_at(network, "Name"),
                   .subnets = {},
                   .labels = labels_at(network, "Labels"),
                   .internal = flag_at(network, "Internal")};
  if (info.id.empty() || info.id.size() > kMaxIdBytes || info.name.empty()) return bad_answer("the network's id");
  if (const Value* const configs = path(network, {"IPAM", "Config"}); configs && configs->is_array())
    for (const Value& config : configs->as_array())
      if (std::string subnet = text_at(config, "Subnet"); !subnet.empty()) info.subnets.push_back(std::move(subnet));
  return info;
}

RuntimeResult<VolumeInfo> read_volume(const Value& volume) {
  VolumeInfo info{.name = text_at(volume, "Name"), .labels = labels_at(volume, "Labels")};
  if (info.name.empty()) return bad_answer("the volume's name");
  return info;
}

RuntimeResult<ContainerSummary> read_summary(const Value& container) {
  ContainerSummary summary{.id = text_at(container, "Id"),
                           .name = {},
                           .image_id = text_at(container, "ImageID"),
                           .status = status_of(text_at(container, "State")),
                           .labels = labels_at(container, "Labels")};
  if (summary.id.empty() || summary.id.size() > kMaxIdBytes) return bad_answer("the container's id");
  if (const Value* const names = find_member(container, "Names");
      names && names->is_array() && !names->as_array().empty() && names->as_array().front().is_string())
    summary.name = without_slash(std::string(names->as_array().front().as_string()));
  return summary;
}

RuntimeResult<ContainerState> read_state(const Value& container) {
  const Value* const state = find_member(container, "State");
  if (!state || !state->is_object()) return bad_answer("the container's state");
  ContainerState out{.id = text_at(container, "Id"),
                     .name = without_slash(text_at(container, "Name")),
                     .image_id = text_at(container, "Image"),
                     .status = status_of(text_at(*state, "Status")),
                     .running = flag_at(*state, "Running"),
                     .exit_code = number_at(*state, "ExitCode").value_or(0),
                     .oom_killed = flag_at(*state, "OOMKilled"),
                     .pid = std::max<std::int64_t>(number_at(*state, "Pid").value_or(0), 0),
                     .started_at = time_at(*state, "StartedAt"),
                     .finished_at = time_at(*state, "FinishedAt"),
                     .health = health_of(*state)};
  if (out.id.empty() || out.id.size() > kMaxIdBytes) return bad_answer("the container's id");
  if (!out.running) out.pid = 0;
  if (const Value* const config = find_member(container, "Config")) out.labels = labels_at(*config, "Labels");
  return out;
}

ContainerCounters read_counters(const Value& stats) {
  ContainerCounters counters;
  if (const Value* const usage = path(stats, {"cpu_stats", "cpu_usage"}))
    if (const auto nanos = number_at(*usage, "total_usage")) counters.cpu_usage_usec = *nanos / 1000;
  if (const Value* const memory = find_member(stats, "memory_stats")) {
    counters.memory_bytes = number_at(*memory, "usage");
    counters.memory_limit_bytes = number_at(*memory, "limit");
    if (const Value* const detail = find_member(*memory, "stats"); detail && counters.memory_bytes) {
      auto inactive = number_at(*detail, "total_inactive_file");  // cgroup v1
      if (!inactive) inactive = number_at(*detail, "inactive_file");
      counters.memory_bytes = std::max<std::int64_t>(*counters.memory_bytes - inactive.value_or(0), 0);
    }
  }
  if (const Value* const pids = find_member(stats, "pids_stats")) counters.pids = number_at(*pids, "current");
  if (const Value* const io = path(stats, {"blkio_stats", "io_service_bytes_recursive"}); io && io->is_array()) {
    std::int64_t read = 0;
    std::int64_t written = 0;
    for (const Value& entry : io->as_array()) {
      const std::string op = text_at(entry, "op");
      const std::int64_t bytes = std::clamp<std::int64_t>(number_at(entry, "value").value_or(0), 0, 1LL << 50);
      if (op == "Read" || op == "read") read += bytes;
      if (op == "Write" || op == "write") written += bytes;
    }
    counters.io_read_bytes = read;
    counters.io_write_bytes = written;
  }
  return counters;
}

std::optional<ContainerEvent> read_event(const Value& event) {
  const Value* const actor = find_member(event, "Actor");
  if (!actor || text_at(event, "Type") != "container") return std::nullopt;
  ContainerEvent out{.container_id = text_at(*actor, "ID"), .at = number_at(event, "timeNano").value_or(0)};
  if (out.container_id.empty() || out.container_id.size() > kMaxIdBytes) return std::nullopt;
  const std::string action = text_at(event, "Action");
  if (action == "start") out.kind = ContainerEventKind::start;
  if (action == "die" || action == "died") out.kind = ContainerEventKind::die;
  if (action == "oom") out.kind = ContainerEventKind::oom;
  if (action.starts_with("health_status")) out.kind = ContainerEventKind::health_status;
  if (action == "destroy" || action == "remove") out.kind = ContainerEventKind::destroy;
  return out;
}

}  // namespace ee::agent
