#include "agent/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/value.hpp>

#include "agent/config_keys.h"
#include "agent/config_values.h"
#include "attestation/emulation.h"
#include "common/json.h"
#include "common/node_size.h"
#include "common/url.h"

namespace ee::agent {
namespace {

namespace bj = boost::json;
constexpr std::size_t kMaxFileBytes = 1024UL * 1024;
constexpr std::size_t kMaxHostBytes = 64UL * 1024;
constexpr std::string_view kPrefix = "EE_AGENT_";
constexpr std::string_view kEmulationSwitch = "EE_ALLOW_EMULATED_TDX";
constexpr std::string_view kEmulationDir = "EE_EMULATED_TDX_DIR";

bool from_host(Source source) { return source == Source::config_disk || source == Source::metadata; }
std::string_view view(bj::string_view text) { return {text.data(), text.size()}; }

/// The value of a flag or an environment variable. Texts need no quotes; lists may be JSON or separated by commas.
std::optional<bj::value> value_of_text(const KeySpec& key, std::string_view text) {
  switch (key.kind) {
    case KeyKind::text: return bj::value(bj::string_view(text));
    case KeyKind::boolean:
      if (text == "true" || text == "1") return bj::value(true);
      if (text == "false" || text == "0") return bj::value(false);
      return std::nullopt;
    case KeyKind::list:
      if (!text.starts_with('[')) {
        bj::array items;
        while (true) {
          const std::size_t comma = text.find(',');
          items.push_back(bj::value(bj::string_view(text.substr(0, comma))));
          if (comma == std::string_view::npos) return bj::value(std::move(items));
          text.remove_prefix(comma + 1);
        }
      }
      [[fallthrough]];
    case KeyKind::integer:
    case KeyKind::object: {
      auto parsed = json::parse(text);
      if (!parsed) return std::nullopt;
      return std::move(*parsed);
    }
  }
  std::abort();
}

/// Gathers values by key, the highest source first, and every problem on the way.
class Merger {
 public:
  void add(Source source, std::string_view name, std::string_view key_name, const bj::value& value) {
    const KeySpec* key = find_config_key(key_name);
    if (key == nullptr) {
      const std::string text = fmt::format("{}: unknown key {}", name, json::quote(key_name.substr(0, 64)));
      (from_host(source) ? warnings : problems).push_back(text);
      return;
    }
    if (value.is_null()) return;  // says nothing: the next source decides
    AgentConfig scratch;
    if (const auto problem = key->set(scratch, value)) {
      problems.push_back(fmt::format("{}: {} {}", name, key->name, *problem));
      return;
    }
    if (from_host(source) && !host_may_set(*key, scratch, name)) return;
    const auto [it, fresh] = chosen.try_emplace(std::string(key->name), Chosen{source, value});
    if (!fresh && it->second.source == source) problems.push_back(fmt::format("{}: {} is set twice", name, key->name));
  }

  void add_document(const SourceDocument& document) {
    const std::size_t limit = from_host(document.source) ? kMaxHostBytes : kMaxFileBytes;
    const auto parsed = json::parse(document.text, {.max_bytes = limit, .max_depth = 8, .max_nodes = 10000});
    if (!parsed) {
      problems.push_back(fmt::format("{}: not valid JSON: {}", document.name, parsed.error().detail));
    } else if (!parsed->is_object()) {
      problems.push_back(fmt::format("{}: must be a JSON object", document.name));
    } else {
      for (const auto& member : parsed->get_object())
        add(document.source, document.name, view(member.key()), member.value());
    }
  }

  void add_text(Source source, std::string_view name, std::string_view key_name, std::string_view text) {
    const KeySpec* key = find_config_key(key_name);
    if (key == nullptr) return add(source, name, key_name, bj::value(nullptr));
    if (text.empty()) return;
    const auto value = value_of_text(*key, text);
    if (!value) {
      problems.push_back(fmt::format("{}: {} cannot be read", name, key->name));
      return;
    }
    add(source, name, key_name, *value);
  }

  struct Chosen {
    Source source;
    bj::value value;
  };
  std::map<std::string, Chosen> chosen;
  std::vector<std::string> problems;
  std::vector<std::string> warnings;
  bool host_asked_for_emulation = false;

 private:
  /// The host may not weaken what the measured image says. `wanted` holds the value.
  bool host_may_set(const KeySpec& key, const AgentConfig& wanted, std::string_view name) {
    if (key.host == HostRule::ignored) {
      warnings.push_back(fmt::format("{}: {} is ignored: only the image may set it", name, key.name));
      return false;
    }
    if (key.host == HostRule::allowed) return true;
    const bool weakens =
        (key.name == "env" && wanted.env == Environment::dev) ||
        (key.name == "cp_attestation_mode" && wanted.cp_attestation_mode != CpAttestationMode::required) ||
        wanted.allow_emulated_tdx;
    if (!weakens) return true;
    if (wanted.allow_emulated_tdx) host_asked_for_emulation = true;
    problems.push_back(fmt::format("{}: {} may be weakened only by the image", name, key.name));
    return false;
  }
};

void add_environment(Merger& merger, const ConfigInputs& inputs, AgentConfig& config) {
  bool switched = false;
  for (const auto& [name, text] : inputs.environment) {
    if (name == kEmulationDir && !text.empty()) config.emulated_tdx_dir = text;
    if (!name.starts_with(kPrefix) || name == "EE_AGENT_CONFIG") continue;
    std::string key = name.substr(kPrefix.size());
    std::ranges::transform(key, key.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    switched = switched || key == "allow_emulated_tdx";
    merger.add_text(Source::environment, name, key, text);
  }
  if (switched) return;
  for (const auto& [name, text] : inputs.environment)
    if (name == kEmulationSwitch) merger.add_text(Source::environment, name, "allow_emulated_tdx", text);
}

/// Pins that a host source brings count only when the image names none of either kind.
void drop_host_pins(Merger& merger) {
  const auto keys = merger.chosen.find("cp_signing_keys");
  const auto mrtds = merger.chosen.find("trusted_cp_mrtds");
  if (keys == merger.chosen.end() || !from_host(keys->second.source)) return;
  if (mrtds == merger.chosen.end() || mrtds->second.value.get_array().empty()) return;
  merger.warnings.push_back("cp_signing_keys of the host is ignored: the image pins the control plane");
  merger.chosen.erase(keys);
}

void fill_defaults(AgentConfig& config, const Merger& merger, const ConfigInputs& inputs) {
  const auto is_set = [&](std::string_view key) { return merger.chosen.contains(std::string(key)); };
  const bool dev = config.env == Environment::dev;
  if (!is_set("cp_attestation_mode"))
    config.cp_attestation_mode = dev ? CpAttestationMode::optional : CpAttestationMode::required;
  if (!is_set("direct_url") && dev && is_loopback_address(config.listen.host) && config.listen.port != 0)
    config.direct_url = "http://" + config.listen.str();
  if (!is_set("workload_address") && config.listen.host.starts_with("127."))
    config.workload_address = config.listen.host;
  config.gce_name = inputs.gce_name;
  if (config.datacenter.empty() && inputs.gce_zone) config.datacenter = "gcp:" + *inputs.gce_zone;
  if (config.emulated_tdx_dir.empty()) config.emulated_tdx_dir = config.data_dir + "/emulated-tdx";
  const NodeSize* size = find_node_size(config.node_size);
  if (!config.capacity && config.allow_emulated_tdx && size != nullptr)
    config.capacity = agent_api::Capacity{
        .vcpus = size->vcpus, .memory_mib = size->memory_mib(), .disk_mib = size->disk_gib * 1024, .gpu_count = 0};
}

void check_dev_only(const AgentConfig& config, Merger& merger) {
  if (config.env == Environment::dev) return;
  for (const KeySpec& key : config_keys())
    if (key.dev_only && merger.chosen.contains(std::string(key.name)))
      merger.problems.push_back(fmt::format("{} exists only with env dev", key.name));
  if (!is_loopback_address(config.listen.host)) merger.problems.emplace_back("listen must be loopback outside env dev");
  if (config.listen.port == 0) merger.problems.emplace_back("listen must name a port outside env dev");
  if (config.workload_address != "127.0.0.1" && merger.chosen.contains("workload_address"))
    merger.problems.emplace_back("workload_address may differ from 127.0.0.1 only in env dev");
  if (config.container_runtime == ContainerRuntimeKind::fake)
    merger.problems.emplace_back("container_runtime fake exists only with env dev");
  for (const auto& [key, url] :
       {std::pair{"control_plane_url", config.control_plane_url}, std::pair{"dcap_pcs_url", config.dcap_pcs_url},
        std::pair{"ita_api_url", config.ita_api_url}})
    if (url.starts_with("http:")) merger.problems.push_back(fmt::format("{} must be https outside env dev", key));
}

void check_required(const AgentConfig& config, Merger& merger) {
  if (config.mode == Mode::agent) {
    if (config.control_plane_url.empty()) merger.problems.emplace_back("control_plane_url is required");
    if (config.node_size.empty()) merger.problems.emplace_back("node_size is required");
    if (config.datacenter.empty()) merger.problems.emplace_back("datacenter is required");
  }
  if (config.env == Environment::dev && config.control_plane_url.starts_with("http:")) {
    const auto url = parse_url(config.control_plane_url);
    if (!url || (!is_loopback_address(url->host) && url->host != "localhost" && url->host != "10.0.2.2"))
      merger.problems.emplace_back("control_plane_url may be http only to loopback or 10.0.2.2");
  }
  if (config.mode == Mode::cp_bootstrap) {
    if (config.cp.image && merger.chosen.contains("cp_command"))
      merger.problems.emplace_back("cp_image and cp_command exclude each other");
    const auto stage = config.cp.env.find("EE_ENV");
    if (stage != config.cp.env.end() && stage->second.reveal() != to_string(config.env))
      merger.problems.emplace_back("cp_env EE_ENV must be what env says");
  }
  if (config.evidence == agent_api::EvidenceKind::ita && !config.ita_api_key)
    merger.problems.emplace_back("evidence ita needs ita_api_key");
  if (merger.chosen.contains("capacity") && !config.allow_emulated_tdx)
    merger.problems.emplace_back("capacity may be set only with emulated TDX allowed");
}

/// Emulation needs env dev, the switch, both from the image, and a build that has the emulator.
std::optional<ConfigFailure> check_emulation(const AgentConfig& config, const Merger& merger) {
  const auto refused = [](std::string why) {
    return ConfigFailure{.exit_code = ExitCode::no_tdx, .slug = "emulated_tdx_forbidden", .problems = {std::move(why)}};
  };
  if (merger.host_asked_for_emulation) return refused("allow_emulated_tdx may be set only by the image");
  const bool asked = config.allow_emulated_tdx || config.tdx_provider == TdxProvider::emulated;
  if (!asked) return std::nullopt;
  const auto allowed = attestation::EmulationAllowed::check(to_string(config.env), config.allow_emulated_tdx);
  if (!allowed) return refused("emulated TDX needs env dev, allow_emulated_tdx and a build with the emulator");
  return std::nullopt;
}

}  // namespace

std::string_view to_string(Mode mode) {
  switch (mode) {
    case Mode::agent: return "agent";
    case Mode::cp_bootstrap: return "cp-bootstrap";
    case Mode::measure: return "measure";
  }
  std::abort();
}

std::string_view to_string(Environment environment) {
  switch (environment) {
    case Environment::dev: return "dev";
    case Environment::staging: return "staging";
    case Environment::production: return "production";
  }
  std::abort();
}

std::string_view to_string(Source source) {
  switch (source) {
    case Source::flags: return "flag";
    case Source::environment: return "environment";
    case Source::file: return "file";
    case Source::config_disk: return "config disk";
    case Source::metadata: return "metadata";
    case Source::defaults: return "default";
  }
  std::abort();
}

Endpoint AgentConfig::cloudflared_metrics() const {
  const bool loopback = is_loopback_address(listen.host);
  return {.host = loopback ? listen.host : "127.0.0.1", .port = static_cast<std::uint16_t>(listen.port + 1)};
}

std::expected<LoadedConfig, ConfigFailure> load_config(const ConfigInputs& inputs) {
  Merger merger;
  AgentConfig config;
  for (const auto& [key, text] : inputs.flags) merger.add_text(Source::flags, "--" + key, key, text);
  add_environment(merger, inputs, config);
  const auto count = [&](Source source) {
    return std::ranges::count(inputs.documents, source, &SourceDocument::source);
  };
  if (count(Source::config_disk) > 0 && count(Source::metadata) > 0)
    return std::unexpected(ConfigFailure{
        .slug = "config_ambiguous", .problems = {"both a config disk and instance metadata hold a configuration"}});
  for (const Source source : {Source::file, Source::config_disk, Source::metadata})
    for (const SourceDocument& document : inputs.documents)
      if (document.source == source) {
        merger.add_document(document);
        if (source == Source::config_disk) config.config_disk = document.text;
      }
  drop_host_pins(merger);

  for (const auto& [name, chosen] : merger.chosen) {
    const KeySpec* key = find_config_key(name);
    if (const auto problem = key->set(config, chosen.value))  // was accepted once already
      merger.problems.push_back(fmt::format("{} {}", name, *problem));
  }
  fill_defaults(config, merger, inputs);
  if (auto refused = check_emulation(config, merger)) return std::unexpected(std::move(*refused));
  check_dev_only(config, merger);
  check_required(config, merger);
  if (!merger.problems.empty()) return std::unexpected(ConfigFailure{.problems = std::move(merger.problems)});

  LoadedConfig loaded{.config = std::move(config), .values = {}, .warnings = std::move(merger.warnings)};
  for (const KeySpec& key : config_keys()) {
    const auto it = merger.chosen.find(std::string(key.name));
    loaded.values.push_back({.key = std::string(key.name),
                             .value = key.show(loaded.config),
                             .source = it == merger.chosen.end() ? Source::defaults : it->second.source});
  }
  return loaded;
}

std::string describe(const LoadedConfig& loaded) {
  std::string out;
  for (const EffectiveValue& value : loaded.values)
    out += fmt::format("{} = {}  # {}\n", value.key, value.value, to_string(value.source));
  for (const std::string& warning : loaded.warnings) out += fmt::format("warning: {}\n", warning);
  return out;
}

}  // namespace ee::agent
