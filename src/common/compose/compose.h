#pragma once
#include <boost/json/value.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/error.h"
#include "common/image_ref.h"
#include "common/node_size.h"

/// Compose files: what a workload may ask for, as one set of rules that the control plane applies to what a user sends
/// and that the agent applies again to what it is told to run. 03 section 3.4.
namespace ee::compose {

constexpr std::size_t kMaxComposeBytes = 64UL * 1024;
/// Of a resolved document; `resolve` refuses more.
constexpr std::size_t kMaxResolvedBytes = 320UL * 1024;
constexpr std::size_t kMaxBreaches = 256;  ///< further ones are counted in the detail only

/// What the machine has; no service may ask for more.
struct Ceiling {
  std::int64_t vcpus = 0;
  std::int64_t memory_mib = 0;
  std::int64_t gpu_count = 0;
};
/// Of a row of the size table (which knows no GPUs).
Ceiling ceiling_of(const NodeSize& size);

/// Names of the values that come with a deploy request, not with the file.
struct RequestNames {
  std::vector<std::string> env = {};
  std::vector<std::string> env_secrets = {};   ///< `as: env`
  std::vector<std::string> file_secrets = {};  ///< `as: file`
};

struct CheckOptions {
  Ceiling ceiling;
  /// Nothing when there is no request yet (publishing): every name is taken for given, none for unused.
  std::optional<RequestNames> request = {};
  /// Each must be a published host port.
  std::vector<std::uint16_t> ingress_ports = {};
  std::vector<std::uint16_t> reserved_ports = {8088, 8089, 9100};
  /// Refuses an image without `@sha256:` (`image_unpinned`).
  bool require_digests = true;
  /// `registry.allowed_hosts`; empty = any registry.
  std::vector<std::string> allowed_registries = {};
};

struct Port {
  std::uint16_t host = 0;
  std::uint16_t container = 0;
  bool operator==(const Port&) const = default;
};

struct EnvVariable {
  std::string name;
  std::optional<std::string> value = {};  ///< nothing: from the request's env or secrets
};

struct Tmpfs {
  std::string target;
  std::optional<std::int64_t> size_bytes = {};
  std::optional<std::int64_t> mode = {};  ///< permission bits
};

struct VolumeMount {
  std::string volume;  ///< as declared at the top of the file
  std::string target;
  bool read_only = false;
};

enum class Condition : std::uint8_t { service_started, service_healthy, service_completed_successfully };

struct Dependency {
  std::string service;
  Condition condition = Condition::service_started;
};

struct Healthcheck {
  bool disabled = false;
  std::vector<std::string> test = {};  ///< in the engine's form: `CMD-SHELL`, text; empty = the image's
  std::optional<std::int64_t> interval_ns = {};
  std::optional<std::int64_t> timeout_ns = {};
  std::optional<std::int64_t> start_period_ns = {};
  std::optional<std::int64_t> retries = {};
};

struct NetworkUse {
  std::string network;
  std::vector<std::string> aliases = {};
};

struct OpenFiles {
  std::int64_t soft = 0;
  std::int64_t hard = 0;
};

/// One service with everything it asks for. Texts are literal: `$$` has become `$`, command lines are split.
struct Service {
  std::string name;
  ImageRef image;
  std::optional<std::vector<std::string>> command = {};
  std::optional<std::vector<std::string>> entrypoint = {};
  std::vector<EnvVariable> environment = {};
  /// Names that this service takes from the request, sorted: listed without a value, or all of them when the file has
  /// exactly one service. They win over a value in `environment`.
  std::vector<std::string> injected_env = {};
  std::vector<std::string> file_secrets = {};
  std::optional<std::string> working_dir = {};
  std::optional<std::string> user = {};
  std::optional<std::string> stop_signal = {};
  std::optional<std::int64_t> stop_grace_seconds = {};  ///< rounded up
  std::optional<bool> read_only = {};
  std::optional<bool> init = {};
  std::vector<std::string> cap_drop = {};
  std::map<std::string, std::string> labels = {};
  std::vector<std::uint16_t> expose = {};
  std::vector<Port> ports = {};
  std::vector<VolumeMount> volumes = {};
  std::vector<Tmpfs> tmpfs_mounts = {};   ///< from `volumes`, `type: tmpfs`
  std::vector<Tmpfs> tmpfs = {};          ///< from `tmpfs`
  std::vector<NetworkUse> networks = {};  ///< sorted by name; never empty
  std::vector<Dependency> depends_on = {};
  std::optional<Healthcheck> healthcheck = {};
  std::optional<OpenFiles> nofile = {};
  std::optional<std::int64_t> shm_bytes = {};
  std::optional<std::int64_t> pids_limit = {};
  std::optional<std::int64_t> nano_cpus = {};  ///< the limit
  std::optional<std::int64_t> memory_bytes = {};
  std::optional<std::int64_t> memory_reservation_bytes = {};
  std::int64_t gpu_count = 0;
};

struct Network {
  std::string name;  ///< `default` is the deployment's own
  bool internal = false;
};

/// The least machine that can hold every service's limits.
struct Needs {
  std::int64_t nano_cpus = 0;
  std::int64_t memory_mib = 0;
  std::int64_t gpu_count = 0;
};

/// A compose file that broke no rule.
struct Workload {
  std::vector<Service> services = {};  ///< in the order of the file (of a resolved document: by name)
  std::vector<std::string> volumes = {};
  std::vector<Network> networks = {};  ///< `default` first
  std::vector<Port> published = {};    ///< of all services
  Needs needs = {};
  boost::json::value as_written = {};  ///< the file as JSON, aliases and merge keys expanded
  boost::json::value accepted = {};    ///< the same less `name`, `version` and `x-*`

  const Service* find(std::string_view service) const;
};

/// Reads and checks what a user sent: YAML, at most kMaxComposeBytes.
/// Errors: `compose_invalid` (with members `line` and `column`, from 1), `compose_forbidden` with every breach by path
/// (`compose.services.web.privileged`) and code, then `env_unused`, then `ingress_port_unpublished`.
Result<Workload> check(std::string_view text, const CheckOptions& options);

/// The same rules for a resolved document (RFC 8785 text), which must also hold every forced value: what an agent runs
/// before it does anything. Digests are required whatever `options` say. Same errors; text that is not canonical is
/// `compose_invalid`.
Result<Workload> check_resolved(std::string_view canonical_json, const CheckOptions& options);

/// Service name -> pinned reference, when every service names a digest itself.
std::optional<std::map<std::string, std::string>> own_digests(const Workload& workload);

struct Resolved {
  std::string compose;         ///< canonical JSON with images by digest and the forced values: what agents get
  std::string compose_sha256;  ///< of `compose`, hex
  std::string compose_hash;    ///< of the file as written; 01 section 18.4
  std::string workload_hash;   ///< of the file as written with pinned images
  std::map<std::string, std::string> images;  ///< service -> `host/path@sha256:...`
};

/// Replaces each image by its pinned reference and adds the forced values. `pinned` names every service, and each
/// reference is to the repository that the service names. Errors: `image_ref_invalid`, `digest_mismatch` (another
/// repository), `compose_invalid` (longer than kMaxResolvedBytes).
Result<Resolved> resolve(const Workload& workload, const std::map<std::string, std::string>& pinned);

}  // namespace ee::compose
