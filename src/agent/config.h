#pragma once
#include <array>
#include <cstdint>
#include <expected>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/agent_api.h"
#include "common/bytes.h"
#include "common/secret.h"
#include "common/time.h"

namespace ee::agent {

/// Exit codes of the program.
enum class ExitCode : int {
  ok = 0,
  internal = 1,
  bad_configuration = 2,
  no_tdx = 3,
  container_engine = 4,
  deleted = 10,
};

enum class Mode : std::uint8_t { agent, cp_bootstrap, measure };
enum class Environment : std::uint8_t { dev, staging, production };
enum class CpAttestationMode : std::uint8_t { required, optional, disabled };
enum class TdxProvider : std::uint8_t { configfs, emulated };
enum class ContainerRuntimeKind : std::uint8_t { automatic, docker, podman, none, fake };
enum class ShutdownWorkloads : std::uint8_t { keep, stop };

std::string_view to_string(Mode mode);
std::string_view to_string(Environment environment);

/// An IP address (text, IPv6 in brackets) and a TCP port.
struct Endpoint {
  std::string host;
  std::uint16_t port = 0;
  std::string str() const { return host + ":" + std::to_string(port); }
  bool operator==(const Endpoint&) const = default;
};

/// What a control plane's quote may measure. A register that is not set is not checked.
struct TrustedControlPlane {
  ByteArray<48> mrtd{};
  std::array<std::optional<ByteArray<48>>, 4> rtmrs = {};
  bool operator==(const TrustedControlPlane&) const = default;
};

/// What mode `cp-bootstrap` starts (agent contract, section 18). The program is the image's choice alone.
struct ControlPlaneHosting {
  std::string data_dir = "/data/ee-cp";
  std::vector<std::string> command = {"/usr/bin/ee-cp", "serve"};  ///< ends with `serve`
  std::optional<std::string> image = {};                           ///< `repo@sha256:<hex>`, in place of the command
  std::map<std::string, Secret> env = {};                          ///< names of the allow list only
};

/// What `ee-agent` runs with: checked, defaults filled in. The keys and their meaning are those of the agent contract,
/// section 12.3.
struct AgentConfig {
  Mode mode = Mode::agent;
  Environment env = Environment::production;
  std::string control_plane_url = {};  ///< an origin: scheme, host, port unless the scheme's own
  std::optional<std::string> vm_name = {};
  std::string node_size = {};
  std::string datacenter = {};
  std::optional<Secret> bootstrap_token = {};
  agent_api::EvidenceKind evidence = agent_api::EvidenceKind::dcap;
  std::optional<Secret> ita_api_key = {};
  std::string ita_api_url = "https://api.trustauthority.intel.com";
  CpAttestationMode cp_attestation_mode = CpAttestationMode::required;
  std::vector<TrustedControlPlane> trusted_cp_mrtds = {};
  std::vector<ByteArray<32>> cp_signing_keys = {};
  std::string dcap_pcs_url = "https://api.trustedservices.intel.com";
  Endpoint listen{.host = "127.0.0.1", .port = 8088};
  std::optional<std::string> direct_url = {};
  std::string workload_address = "127.0.0.1";
  std::optional<agent_api::Capacity> capacity = {};
  std::string data_dir = "/data/ee-agent";
  std::string run_dir = "/run/ee-agent";
  ContainerRuntimeKind container_runtime = ContainerRuntimeKind::automatic;
  std::optional<std::string> container_socket = {};
  std::string cloudflared_path = "cloudflared";
  std::string log_level = "info";
  std::string log_format = "json";
  std::optional<std::int64_t> max_workload_memory_mib = {};
  Seconds orphan_grace{600};
  bool poweroff_on_delete = false;
  Seconds disconnect_poweroff{0};
  bool allow_emulated_tdx = false;
  std::optional<std::string> ca_file = {};
  std::string tsm_root = "/sys/kernel/config/tsm/report";
  TdxProvider tdx_provider = TdxProvider::configfs;
  ShutdownWorkloads shutdown_workloads = ShutdownWorkloads::keep;
  std::optional<Endpoint> dev_insecure_registry = {};  ///< a loopback port that is piped to the host of the VM
  std::optional<std::string> vm_id = {};
  std::optional<std::string> order_id = {};
  ControlPlaneHosting cp = {};
  std::optional<std::string> gce_name = {};     ///< name of the instance, from metadata
  std::optional<std::string> config_disk = {};  ///< the bytes of source 4, which MRCONFIGID measures
  std::string emulated_tdx_dir = {};  ///< EE_EMULATED_TDX_DIR, else in `data_dir`; used only with emulation allowed

  /// Loopback address and port of cloudflared's own metrics: the port after that of `listen`.
  Endpoint cloudflared_metrics() const;
};

/// Where a value comes from, highest first. The first three lie in the measured image; the host controls the next two.
enum class Source : std::uint8_t { flags = 1, environment, file, config_disk, metadata, defaults };
std::string_view to_string(Source source);

/// A JSON object from a file, the config disk or metadata, as it was read.
struct SourceDocument {
  Source source = Source::file;
  std::string name = {};  ///< for messages: path, device or URL
  std::string text = {};
};

/// Everything that configuration is made of; gathered by `gather_inputs`, by hand in tests.
struct ConfigInputs {
  std::map<std::string, std::string> flags = {};                      ///< key -> text
  std::vector<std::pair<std::string, std::string>> environment = {};  ///< of the process; others than ours are skipped
  std::vector<SourceDocument> documents = {};
  std::optional<std::string> gce_zone = {};  ///< `us-central1-a`, from instance metadata
  std::optional<std::string> gce_name = {};  ///< from instance metadata
};

/// One line of `check-config`.
struct EffectiveValue {
  std::string key;
  std::string value;  ///< JSON; a secret that is set is `"***"`
  Source source = Source::defaults;
};

struct LoadedConfig {
  AgentConfig config;
  std::vector<EffectiveValue> values;  ///< every key, by name
  std::vector<std::string> warnings;
};

/// Why the program cannot run with this configuration. All problems that were found, each naming source and key; no
/// problem repeats a value.
struct ConfigFailure {
  ExitCode exit_code = ExitCode::bad_configuration;
  std::string slug = "config_invalid";  ///< or config_ambiguous, emulated_tdx_forbidden
  std::vector<std::string> problems;
};

/// Merges the sources key by key, checks every value (also those that a higher source hides), applies the rules for
/// sources that the host controls, and fills in defaults. Pure.
std::expected<LoadedConfig, ConfigFailure> load_config(const ConfigInputs& inputs);

/// Reads the process's environment and the configuration file: `config_flag`, else EE_AGENT_CONFIG, else
/// /etc/easyenclave/agent.json, which alone may be missing. At most 1 MiB.
std::expected<ConfigInputs, ConfigFailure> gather_inputs(const std::optional<std::string>& config_flag,
                                                         std::map<std::string, std::string> flags);

/// What `check-config` prints: one `key = value  # source` per line, then warnings.
std::string describe(const LoadedConfig& loaded);

}  // namespace ee::agent
