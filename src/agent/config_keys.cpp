#include "agent/config_keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json/value.hpp>
#include <filesystem>

#include "agent/config_values.h"
#include "common/json.h"
#include "common/node_size.h"
#include "common/url.h"

namespace ee::agent {
namespace {

namespace bj = boost::json;
using Problem = std::optional<std::string>;
constexpr std::size_t kMaxText = 4096;

std::string_view view(const bj::string& text) { return {text.data(), text.size()}; }

// ---- setters: one per shape of value -------------------------------------------------------------------------------

Problem read_text(const bj::value& value, std::string& to) {
  if (!value.is_string()) return "must be a text";
  const std::string_view text = view(value.get_string());
  if (text.empty()) return "must not be empty";
  if (text.size() > kMaxText) return "is too long";
  if (std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20; }))
    return "must not hold control characters";
  to = std::string(text);
  return std::nullopt;
}

template <auto kMember>
Problem set_text(AgentConfig& config, const bj::value& value) {
  std::string text;
  if (auto problem = read_text(value, text)) return problem;
  config.*kMember = std::move(text);
  return std::nullopt;
}

template <auto kMember>
Problem set_secret(AgentConfig& config, const bj::value& value) {
  std::string text;
  if (auto problem = read_text(value, text)) return problem;
  config.*kMember = Secret(std::move(text));
  return std::nullopt;
}

template <auto kMember>
Problem set_bool(AgentConfig& config, const bj::value& value) {
  if (!value.is_bool()) return "must be true or false";
  config.*kMember = value.get_bool();
  return std::nullopt;
}

template <auto kMember>
Problem set_path(AgentConfig& config, const bj::value& value) {
  std::string text;
  if (auto problem = read_text(value, text)) return problem;
  std::error_code failed;
  std::string path = std::filesystem::absolute(text, failed).lexically_normal().string();
  if (failed) return "is no usable path";
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  config.*kMember = std::move(path);
  return std::nullopt;
}

Problem read_integer(const bj::value& value, std::int64_t low, std::int64_t high, std::int64_t& to) {
  if (!value.is_int64()) return "must be an integer";
  if (value.get_int64() < low || value.get_int64() > high) return fmt::format("must be {} to {}", low, high);
  to = value.get_int64();
  return std::nullopt;
}

template <auto kMember, std::int64_t kHigh>
Problem set_seconds(AgentConfig& config, const bj::value& value) {
  std::int64_t seconds = 0;
  if (auto problem = read_integer(value, 0, kHigh, seconds)) return problem;
  config.*kMember = Seconds(seconds);
  return std::nullopt;
}

template <class Enum>
struct Choice {
  std::string_view name;
  Enum value;
};
constexpr std::array kModes = {Choice{"agent", Mode::agent}, Choice{"cp-bootstrap", Mode::cp_bootstrap},
                               Choice{"measure", Mode::measure}};
constexpr std::array kEnvironments = {Choice{"dev", Environment::dev}, Choice{"staging", Environment::staging},
                                      Choice{"production", Environment::production}};
constexpr std::array kCpModes = {Choice{"required", CpAttestationMode::required},
                                 Choice{"optional", CpAttestationMode::optional},
                                 Choice{"disabled", CpAttestationMode::disabled}};
constexpr std::array kProviders = {Choice{"configfs", TdxProvider::configfs},
                                   Choice{"emulated", TdxProvider::emulated}};
constexpr std::array kRuntimes = {
    Choice{"auto", ContainerRuntimeKind::automatic}, Choice{"docker", ContainerRuntimeKind::docker},
    Choice{"podman", ContainerRuntimeKind::podman}, Choice{"none", ContainerRuntimeKind::none},
    Choice{"fake", ContainerRuntimeKind::fake}};
constexpr std::array kShutdown = {Choice{"keep", ShutdownWorkloads::keep}, Choice{"stop", ShutdownWorkloads::stop}};
constexpr std::array kEvidence = {Choice{"dcap", agent_api::EvidenceKind::dcap},
                                  Choice{"ita", agent_api::EvidenceKind::ita}};
constexpr std::array kLogLevels = {Choice{"trace", 0}, Choice{"debug", 1}, Choice{"info", 2}, Choice{"warn", 3},
                                   Choice{"error", 4}};
constexpr std::array kLogFormats = {Choice{"json", 0}, Choice{"text", 1}};

template <const auto& kChoices>
const auto* find_choice(std::string_view text) {
  const auto* found = std::ranges::find_if(kChoices, [&](const auto& choice) { return choice.name == text; });
  return found == kChoices.end() ? nullptr : found;
}
template <const auto& kChoices>
std::string not_a_choice() {
  std::string out = "must be one of";
  for (const auto& choice : kChoices) out += fmt::format(" {}", choice.name);
  return out;
}
template <const auto& kChoices, auto kMember>
Problem set_choice(AgentConfig& config, const bj::value& value) {
  const auto* choice = value.is_string() ? find_choice<kChoices>(view(value.get_string())) : nullptr;
  if (choice == nullptr) return not_a_choice<kChoices>();
  if constexpr (std::is_same_v<std::remove_cvref_t<decltype(config.*kMember)>, std::string>) {
    config.*kMember = std::string(choice->name);
  } else {
    config.*kMember = choice->value;
  }
  return std::nullopt;
}
template <const auto& kChoices, auto kMember>
std::string show_choice(const AgentConfig& config) {
  for (const auto& choice : kChoices)
    if (choice.value == config.*kMember) return json::quote(choice.name);
  return "null";
}

/// https or http; `origin_only`: nothing after the authority but a slash.
Problem read_url(const bj::value& value, bool origin_only, std::string& to) {
  std::string text;
  if (auto problem = read_text(value, text)) return problem;
  const auto url = parse_url(text);
  if (!url || url->has_user || url->has_query || url->has_fragment) return "must be an http or https URL";
  if (origin_only && !url->path.empty() && url->path != "/") return "must be an origin: no path";
  to = url->origin() + (url->path == "/" ? "" : url->path);
  while (to.ends_with('/')) to.pop_back();
  return std::nullopt;
}

template <auto kMember, bool kOriginOnly>
Problem set_url(AgentConfig& config, const bj::value& value) {
  std::string url;
  if (auto problem = read_url(value, kOriginOnly, url)) return problem;
  config.*kMember = std::move(url);
  return std::nullopt;
}

Problem set_vm_name(AgentConfig& config, const bj::value& value) {
  if (!value.is_string() || !is_dns_label(view(value.get_string()))) return "must be a DNS label";
  config.vm_name = std::string(view(value.get_string()));
  return std::nullopt;
}

Problem set_node_size(AgentConfig& config, const bj::value& value) {
  if (!value.is_string() || find_node_size(view(value.get_string())) == nullptr) return "is not a known node size";
  config.node_size = std::string(view(value.get_string()));
  return std::nullopt;
}

Problem set_datacenter(AgentConfig& config, const bj::value& value) {
  if (!value.is_string() || !parse_datacenter(view(value.get_string()))) return "must be <cloud>:<zone>";
  config.datacenter = std::string(view(value.get_string()));
  return std::nullopt;
}

Problem set_version(AgentConfig&, const bj::value& value) {
  if (!value.is_int64() || value.get_int64() != 1) return "must be 1";
  return std::nullopt;
}

Problem set_max_workload_memory(AgentConfig& config, const bj::value& value) {
  std::int64_t mib = 0;
  if (auto problem = read_integer(value, 64, agent_api::kMaxMib, mib)) return problem;
  config.max_workload_memory_mib = mib;
  return std::nullopt;
}

Problem set_listen(AgentConfig& config, const bj::value& value) {
  const auto endpoint = value.is_string() ? parse_endpoint(view(value.get_string())) : std::nullopt;
  if (!endpoint) return "must be <IPv4 address>:<port> or [::1]:<port>, port 0 to 65534";
  config.listen = *endpoint;
  return std::nullopt;
}

Problem set_dev_registry(AgentConfig& config, const bj::value& value) {
  const auto endpoint = value.is_string() ? parse_endpoint(view(value.get_string())) : std::nullopt;
  if (!endpoint || endpoint->port == 0 || !is_ipv4(endpoint->host) || !is_loopback_address(endpoint->host))
    return "must be an address of 127.0.0.0/8 and a port";
  config.dev_insecure_registry = *endpoint;
  return std::nullopt;
}

Problem set_workload_address(AgentConfig& config, const bj::value& value) {
  if (!value.is_string() || !is_loopback_address(view(value.get_string())) || !is_ipv4(view(value.get_string())))
    return "must be an address of 127.0.0.0/8";
  config.workload_address = std::string(view(value.get_string()));
  return std::nullopt;
}

Problem set_capacity(AgentConfig& config, const bj::value& value) {
  auto capacity = json::read_value<agent_api::Capacity>(value);
  if (!capacity) return "must hold vcpus, memory_mib, disk_mib, gpu_count: non-negative integers";
  config.capacity = *capacity;
  return std::nullopt;
}

Problem set_signing_keys(AgentConfig& config, const bj::value& value) {
  constexpr std::size_t kMaxPins = 8;
  if (!value.is_array() || value.get_array().size() > kMaxPins) return "must be a list of at most 8 keys";
  std::vector<ByteArray<32>> keys;
  for (const bj::value& entry : value.get_array()) {
    const auto raw = entry.is_string() ? from_base64(view(entry.get_string())) : std::nullopt;
    if (!raw || raw->size() != 32) return "must hold base64 of raw 32-byte public keys";
    std::ranges::copy(*raw, keys.emplace_back().begin());
  }
  config.cp_signing_keys = std::move(keys);
  return std::nullopt;
}

Problem set_trusted_cp_mrtds(AgentConfig& config, const bj::value& value) {
  constexpr std::size_t kMaxEntries = 64;
  if (!value.is_array() || value.get_array().size() > kMaxEntries) return "must be a list of at most 64 entries";
  std::vector<TrustedControlPlane> entries;
  for (const bj::value& entry : value.get_array()) {
    const auto trusted = parse_trusted_control_plane(entry);
    if (!trusted) return R"(entries must be 96 hex digits or {"mrtd","rtmr0".."rtmr3"})";
    entries.push_back(*trusted);
  }
  config.trusted_cp_mrtds = std::move(entries);
  return std::nullopt;
}

// ---- what check-config shows ---------------------------------------------------------------------------------------

template <auto kMember>
std::string show_text(const AgentConfig& config) {
  const auto& value = config.*kMember;
  if constexpr (std::is_same_v<std::remove_cvref_t<decltype(value)>, std::optional<std::string>>) {
    return value ? json::quote(*value) : "null";
  } else {
    return value.empty() ? "null" : json::quote(value);
  }
}
template <auto kMember>
std::string show_secret(const AgentConfig& config) {
  return config.*kMember ? "\"***\"" : "null";
}
template <auto kMember>
std::string show_bool(const AgentConfig& config) {
  return config.*kMember ? "true" : "false";
}
template <auto kMember>
std::string show_seconds(const AgentConfig& config) {
  return fmt::to_string((config.*kMember).count());
}
std::string show_max_memory(const AgentConfig& config) {
  return config.max_workload_memory_mib ? fmt::to_string(*config.max_workload_memory_mib) : "null";
}
std::string show_capacity(const AgentConfig& config) {
  return config.capacity ? json::write(*config.capacity) : "null";
}
std::string show_dev_registry(const AgentConfig& config) {
  return config.dev_insecure_registry ? json::quote(config.dev_insecure_registry->str()) : "null";
}
std::string show_listen(const AgentConfig& config) { return json::quote(config.listen.str()); }
std::string show_version(const AgentConfig&) { return "1"; }
std::string show_signing_keys(const AgentConfig& config) {
  std::vector<std::string> out;
  for (const auto& key : config.cp_signing_keys) out.push_back(json::quote(to_base64(key)));
  return fmt::format("[{}]", fmt::join(out, ","));
}
std::string show_trusted(const AgentConfig& config) {
  std::vector<std::string> out;
  for (const auto& entry : config.trusted_cp_mrtds) {
    std::string text = fmt::format(R"({{"mrtd":"{}")", to_hex(entry.mrtd));
    for (std::size_t i = 0; i < entry.rtmrs.size(); ++i)
      text += fmt::format(R"(,"rtmr{}":{})", i, entry.rtmrs[i] ? json::quote(to_hex(*entry.rtmrs[i])) : "null");
    out.push_back(text + "}");
  }
  return fmt::format("[{}]", fmt::join(out, ","));
}

// ---- the table -----------------------------------------------------------------------------------------------------

using C = AgentConfig;
using enum HostRule;
constexpr std::array kKeys = {
    KeySpec{"allow_emulated_tdx", KeyKind::boolean, forbidden, false, set_bool<&C::allow_emulated_tdx>,
            show_bool<&C::allow_emulated_tdx>},
    KeySpec{"bootstrap_token", KeyKind::text, allowed, false, set_secret<&C::bootstrap_token>,
            show_secret<&C::bootstrap_token>},
    KeySpec{"ca_file", KeyKind::text, allowed, false, set_path<&C::ca_file>, show_text<&C::ca_file>},
    KeySpec{"capacity", KeyKind::object, allowed, false, set_capacity, show_capacity},
    KeySpec{"cloudflared_path", KeyKind::text, ignored, false, set_text<&C::cloudflared_path>,
            show_text<&C::cloudflared_path>},
    KeySpec{"container_runtime", KeyKind::text, allowed, false, set_choice<kRuntimes, &C::container_runtime>,
            show_choice<kRuntimes, &C::container_runtime>},
    KeySpec{"container_socket", KeyKind::text, ignored, false, set_path<&C::container_socket>,
            show_text<&C::container_socket>},
    KeySpec{"control_plane_url", KeyKind::text, allowed, false, set_url<&C::control_plane_url, true>,
            show_text<&C::control_plane_url>},
    KeySpec{"cp_attestation_mode", KeyKind::text, forbidden, false, set_choice<kCpModes, &C::cp_attestation_mode>,
            show_choice<kCpModes, &C::cp_attestation_mode>},
    KeySpec{"cp_command", KeyKind::list, ignored, false, set_cp_command, show_cp_command},
    KeySpec{"cp_data_dir", KeyKind::text, ignored, false, set_cp_data_dir, show_cp_data_dir},
    KeySpec{"cp_env", KeyKind::object, allowed, false, set_cp_env, show_cp_env},
    KeySpec{"cp_image", KeyKind::text, ignored, false, set_cp_image, show_cp_image},
    KeySpec{"cp_signing_keys", KeyKind::list, allowed, false, set_signing_keys, show_signing_keys},
    KeySpec{"data_dir", KeyKind::text, allowed, false, set_path<&C::data_dir>, show_text<&C::data_dir>},
    KeySpec{"datacenter", KeyKind::text, allowed, false, set_datacenter, show_text<&C::datacenter>},
    KeySpec{"dcap_pcs_url", KeyKind::text, allowed, false, set_url<&C::dcap_pcs_url, false>,
            show_text<&C::dcap_pcs_url>},
    KeySpec{"dev_insecure_registry", KeyKind::text, allowed, true, set_dev_registry, show_dev_registry},
    KeySpec{"direct_url", KeyKind::text, allowed, true, set_url<&C::direct_url, false>, show_text<&C::direct_url>},
    KeySpec{"disconnect_poweroff_seconds", KeyKind::integer, allowed, false,
            set_seconds<&C::disconnect_poweroff, 31536000>, show_seconds<&C::disconnect_poweroff>},
    KeySpec{"env", KeyKind::text, forbidden, false, set_choice<kEnvironments, &C::env>,
            show_choice<kEnvironments, &C::env>},
    KeySpec{"evidence", KeyKind::text, allowed, false, set_choice<kEvidence, &C::evidence>,
            show_choice<kEvidence, &C::evidence>},
    KeySpec{"ita_api_key", KeyKind::text, allowed, false, set_secret<&C::ita_api_key>, show_secret<&C::ita_api_key>},
    KeySpec{"ita_api_url", KeyKind::text, allowed, false, set_url<&C::ita_api_url, false>, show_text<&C::ita_api_url>},
    KeySpec{"listen", KeyKind::text, allowed, false, set_listen, show_listen},
    KeySpec{"log_format", KeyKind::text, allowed, false, set_choice<kLogFormats, &C::log_format>,
            show_text<&C::log_format>},
    KeySpec{"log_level", KeyKind::text, allowed, false, set_choice<kLogLevels, &C::log_level>,
            show_text<&C::log_level>},
    KeySpec{"max_workload_memory_mib", KeyKind::integer, allowed, false, set_max_workload_memory, show_max_memory},
    KeySpec{"mode", KeyKind::text, allowed, false, set_choice<kModes, &C::mode>, show_choice<kModes, &C::mode>},
    KeySpec{"node_size", KeyKind::text, allowed, false, set_node_size, show_text<&C::node_size>},
    KeySpec{"order_id", KeyKind::text, allowed, false, set_text<&C::order_id>, show_text<&C::order_id>},
    KeySpec{"orphan_grace_seconds", KeyKind::integer, allowed, false, set_seconds<&C::orphan_grace, 86400>,
            show_seconds<&C::orphan_grace>},
    KeySpec{"poweroff_on_delete", KeyKind::boolean, allowed, false, set_bool<&C::poweroff_on_delete>,
            show_bool<&C::poweroff_on_delete>},
    KeySpec{"run_dir", KeyKind::text, allowed, false, set_path<&C::run_dir>, show_text<&C::run_dir>},
    KeySpec{"shutdown_workloads", KeyKind::text, allowed, false, set_choice<kShutdown, &C::shutdown_workloads>,
            show_choice<kShutdown, &C::shutdown_workloads>},
    KeySpec{"tdx_provider", KeyKind::text, ignored, false, set_choice<kProviders, &C::tdx_provider>,
            show_choice<kProviders, &C::tdx_provider>},
    KeySpec{"trusted_cp_mrtds", KeyKind::list, ignored, false, set_trusted_cp_mrtds, show_trusted},
    KeySpec{"tsm_root", KeyKind::text, ignored, false, set_path<&C::tsm_root>, show_text<&C::tsm_root>},
    KeySpec{"v", KeyKind::integer, allowed, false, set_version, show_version},
    KeySpec{"vm_id", KeyKind::text, allowed, false, set_text<&C::vm_id>, show_text<&C::vm_id>},
    KeySpec{"vm_name", KeyKind::text, allowed, false, set_vm_name, show_text<&C::vm_name>},
    KeySpec{"workload_address", KeyKind::text, allowed, false, set_workload_address, show_text<&C::workload_address>},
};
static_assert(std::ranges::is_sorted(kKeys, {}, &KeySpec::name));

}  // namespace

std::span<const KeySpec> config_keys() { return kKeys; }

const KeySpec* find_config_key(std::string_view name) {
  const auto* found = std::ranges::lower_bound(kKeys, name, {}, &KeySpec::name);
  return found != kKeys.end() && found->name == name ? found : nullptr;
}

}  // namespace ee::agent
