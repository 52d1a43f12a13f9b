// Images and their signatures (01 section 20); deployments, measurement and the proxy (03 section 12).
#include <algorithm>
#include <charconv>
#include <regex>

#include "common/url.h"
#include "cp/domain/settings_rows.h"

namespace ee::cp::rows {
namespace {

constexpr std::string_view kAnyWorkflow = R"(^https://github\.com/[^/]+/[^/]+/\.github/workflows/[^@]+@refs/.*$)";

std::optional<std::string> must_be_anchored_expression(std::string_view text) {
  if (text.empty()) return std::nullopt;
  if (!text.starts_with('^') || !text.ends_with('$')) return "must begin with ^ and end with $";
  try {
    (void)std::regex(text.begin(), text.end(), std::regex::ECMAScript);
  } catch (const std::regex_error&) {
    return "must be a regular expression";
  }
  return std::nullopt;
}

std::optional<std::string> must_be_registry_host(std::string_view text) {
  const std::string_view name = text.substr(0, text.find(':'));
  std::uint16_t port = 1;
  if (name.size() != text.size()) {
    const std::string_view digits = text.substr(name.size() + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (error != std::errc() || end != digits.data() + digits.size()) port = 0;
  }
  if (!name.empty() && port != 0 && !must_be_dns_name(name)) return std::nullopt;
  return "must be a host name, with :port if it has one";
}

std::optional<std::string> must_be_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error == std::errc() && end == text.data() + text.size() && port > 0) return std::nullopt;
  return "must be a port";
}

std::optional<std::string> must_be_version_or_empty(std::string_view text) {
  static const std::regex form(R"((\d{1,9}\.\d{1,9}\.\d{1,9})?)");
  if (std::regex_match(text.begin(), text.end(), form)) return std::nullopt;
  return "must be a version such as 2.0.1";
}

std::optional<SettingProblem> hosts_in_stage(const SettingValue& value, const SettingsContext& context) {
  if (context.stage == Stage::dev || std::get<std::vector<std::string>>(value).empty()) return std::nullopt;
  return SettingProblem{"not_allowed", "registries without TLS are for development only"};
}

std::optional<SettingProblem> raw_in_stage(const SettingValue& value, const SettingsContext& context) {
  if (context.stage != Stage::production || std::get<std::string>(value) != "allow") return std::nullopt;
  return SettingProblem{"not_in_enum", "allow is refused in production"};
}

std::optional<SettingProblem> measurer_in_stage(const SettingValue& value, const SettingsContext& context) {
  const std::string& url = std::get<std::string>(value);
  if (context.stage == Stage::dev || url.empty() || url.starts_with("https://")) return std::nullopt;
  return SettingProblem{"not_allowed", "must be an https URL outside of development"};
}

SettingValue fixed_ports(const SettingsContext&) { return std::vector<std::string>{"8088", "8089", "9100"}; }

std::optional<SettingProblem> holds_fixed_ports(const SettingValue& value, const SettingsContext&) {
  const auto& ports = std::get<std::vector<std::string>>(value);
  for (const std::string_view port : {"8088", "8089", "9100"})
    if (std::ranges::find(ports, port) == ports.end())
      return SettingProblem{"required", "8088, 8089 and 9100 stay reserved"};
  return std::nullopt;
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
  return out;
}

/// A workload on a host of that domain could otherwise set cookies for the console, or be the console.
std::optional<SettingProblem> away_from_console(const SettingValue& value, const SettingsContext& context) {
  const std::string suffix = lower_case(std::get<std::string>(value));
  const auto console = parse_url(context.public_url);
  if (suffix.empty() || !console) return std::nullopt;
  if (console->host != suffix && !console->host.ends_with("." + suffix)) return std::nullopt;
  return SettingProblem{"not_allowed", "must be neither the console's host nor a domain that it is in"};
}

void add_signatures(Rows& rows) {
  rows.push_back(str(Setting::cosign_binary, "cosign.binary", 256, "COSIGN_BIN",
                     "The program that checks signatures: an absolute path, or a name on PATH.")
                     .by_default([](const SettingsContext&) -> SettingValue { return std::string("cosign"); })
                     .not_empty()
                     .needs_restart());
  rows.push_back(choice(Setting::cosign_mode, "cosign.mode", {"keyless", "key"}, "COSIGN_MODE",
                        "Whether images are signed by an identity or by a key.")
                     .by_default([](const SettingsContext&) -> SettingValue { return std::string("keyless"); }));
  rows.push_back(url(Setting::cosign_oidc_issuer, "cosign.oidc_issuer", "COSIGN_CERTIFICATE_OIDC_ISSUER",
                     "Issuer of the identities that sign.")
                     .by_default([](const SettingsContext&) -> SettingValue {
                       return std::string("https://token.actions.githubusercontent.com");
                     }));
  rows.push_back(str(Setting::cosign_identity, "cosign.identity", 512, "COSIGN_CERTIFICATE_IDENTITY",
                     "The one identity that signs; it counts instead of cosign.identity_regexp."));
  rows.push_back(str(Setting::cosign_identity_regexp, "cosign.identity_regexp", 512,
                     "COSIGN_CERTIFICATE_IDENTITY_REGEXP", "What the identity that signs must match.")
                     .by_default([](const SettingsContext&) -> SettingValue { return std::string(kAnyWorkflow); })
                     .checked(must_be_anchored_expression));
  rows.push_back(
      str(Setting::cosign_public_key, "cosign.public_key", 8192, "COSIGN_PUBLIC_KEY", "PEM; needed for mode key.")
          .multi_line());
  rows.push_back(boolean(Setting::cosign_require_tlog, "cosign.require_tlog", "COSIGN_REQUIRE_TLOG",
                         "Whether a signature must be in the transparency log.")
                     .by_default(flag<true>));
}

void add_registries(Rows& rows) {
  rows.push_back(list(Setting::registry_allowed_hosts, "registry.allowed_hosts", 0, 100, "EE_REGISTRY_ALLOWED_HOSTS",
                      "Registries that images may come from; empty: all public ones.")
                     .checked(must_be_registry_host));
  rows.push_back(list(Setting::registry_allowed_private_hosts, "registry.allowed_private_hosts", 0, 100,
                      "EE_REGISTRY_ALLOWED_PRIVATE_HOSTS", "Registries that may have an address that is not public.")
                     .checked(must_be_registry_host));
  rows.push_back(list(Setting::registry_insecure_hosts, "registry.insecure_hosts", 0, 100, "EE_REGISTRY_INSECURE_HOSTS",
                      "Registries that are asked without TLS; in development only.")
                     .checked(must_be_registry_host)
                     .checked_in_stage(hosts_in_stage));
  rows.push_back(secret(Setting::registry_credentials, "registry.credentials", 16384, "EE_REGISTRY_CREDENTIALS",
                        "JSON: host to username, password and the accounts that may use them.")
                     .multi_line());
}

void add_deploying(Rows& rows) {
  rows.push_back(choice(Setting::deploy_raw_compose_policy, "deploy.raw_compose_policy", {"deny", "pinned", "allow"},
                        "EE_RAW_COMPOSE_POLICY", "Whether compose documents may be deployed without a catalogue entry.")
                     .by_default([](const SettingsContext&) -> SettingValue { return std::string("pinned"); })
                     .checked_in_stage(raw_in_stage));
  rows.push_back(choice(Setting::deploy_default_node_size, "deploy.default_node_size", {"tiny", "standard", "llm"},
                        "EE_DEFAULT_NODE_SIZE", "Node size of a raw deployment that names none.")
                     .by_default([](const SettingsContext&) -> SettingValue { return std::string("tiny"); }));
  rows.push_back(integer(Setting::deploy_max_active_per_account, "deploy.max_active_per_account", 1, 10000,
                         "EE_DEPLOY_MAX_ACTIVE", "Deployments of an account that have not ended.")
                     .by_default(number<100>));
  rows.push_back(seconds(Setting::deploy_dispatch_deadline_seconds, "deploy.dispatch_deadline_seconds", 30, 600,
                         "EE_DEPLOY_DISPATCH_DEADLINE_SECONDS", "How long an agent has to take a deployment.")
                     .by_default(number<120>));
  rows.push_back(seconds(Setting::deploy_stop_timeout_seconds, "deploy.stop_timeout_seconds", 60, 3600,
                         "EE_DEPLOY_STOP_TIMEOUT_SECONDS", "How long an agent has to confirm a stop.")
                     .by_default(number<600>));
  rows.push_back(integer(Setting::deploy_max_placement_attempts, "deploy.max_placement_attempts", 1, 10,
                         "EE_DEPLOY_MAX_PLACEMENTS", "Agents that are tried for one deployment.")
                     .by_default(number<3>));
  rows.push_back(integer(Setting::deploy_preflight_scan_limit, "deploy.preflight_scan_limit", 100, 50000,
                         "EE_DEPLOY_PREFLIGHT_SCAN", "Agents that a preflight looks at.")
                     .by_default(number<5000>));
  rows.push_back(str(Setting::deploy_min_agent_version, "deploy.min_agent_version", 64, "EE_DEPLOY_MIN_AGENT_VERSION",
                     "Agents below this version get no deployments.")
                     .checked(must_be_version_or_empty));
  rows.push_back(list(Setting::deploy_reserved_ports, "deploy.reserved_ports", 3, 100, "EE_DEPLOY_RESERVED_PORTS",
                      "Host ports that no workload may publish; 8088, 8089 and 9100 always belong to them.")
                     .by_default(fixed_ports)
                     .checked(must_be_port)
                     .checked_in_stage(holds_fixed_ports));
  rows.push_back(integer(Setting::deploy_event_retention_days, "deploy.event_retention_days", 1, 3650,
                         "EE_DEPLOY_EVENT_RETENTION_DAYS", "How long the events of an ended deployment are kept.")
                     .by_default(number<90>)
                     .in("days"));
}

void add_measuring(Rows& rows) {
  rows.push_back(choice(Setting::measure_mode, "measure.mode", {"local", "external"}, "EE_MEASURE_MODE",
                        "Who measures published versions: this process, or a measurer at measure.url.")
                     .by_default([](const SettingsContext&) -> SettingValue { return std::string("local"); }));
  rows.push_back(
      Row(Setting::measure_url, "measure.url", SettingType::url, "EE_MEASURER_URL", "The measurer of mode external.")
          .bounds(0, 2048)
          .by_default(empty_text)
          .checked_in_stage(measurer_in_stage));
  rows.push_back(integer(Setting::measure_concurrency, "measure.concurrency", 1, 16, "EE_MEASURE_CONCURRENCY",
                         "Measurements at once in a process.")
                     .by_default(number<2>));
  rows.push_back(seconds(Setting::measure_lease_seconds, "measure.lease_seconds", 60, 3600, "EE_MEASURE_LEASE_SECONDS",
                         "How long one measurement may take.")
                     .by_default(number<300>));
  rows.push_back(integer(Setting::measure_max_attempts, "measure.max_attempts", 1, 20, "EE_MEASURE_MAX_ATTEMPTS",
                         "Attempts at a measurement before the version is rejected.")
                     .by_default(number<8>));
}

void add_proxy_times(Rows& rows) {
  const auto millis = [&rows](Setting id, Text key, std::int64_t min, std::int64_t max, Text env, Fallback fallback,
                              Text description) {
    rows.push_back(integer(id, key, min, max, env, description).by_default(fallback).in("ms"));
  };
  millis(Setting::proxy_connect_ms, "proxy.connect_ms", 1000, 30000, "EE_PROXY_CONNECT_MS", number<3000>,
         "Time to connect to an agent.");
  millis(Setting::proxy_tls_ms, "proxy.tls_ms", 1000, 30000, "EE_PROXY_TLS_MS", number<5000>,
         "Time for the TLS handshake with an agent.");
  millis(Setting::proxy_header_ms, "proxy.header_ms", 1000, 900000, "EE_PROXY_HEADER_MS", number<60000>,
         "Time for a workload to begin its answer.");
  millis(Setting::proxy_idle_ms, "proxy.idle_ms", 5000, 3600000, "EE_PROXY_IDLE_MS", number<60000>,
         "How long a body may pause.");
  millis(Setting::proxy_sse_idle_ms, "proxy.sse_idle_ms", 10000, 3600000, "EE_PROXY_SSE_IDLE_MS", number<300000>,
         "How long a stream of events may pause.");
  millis(Setting::proxy_total_ms, "proxy.total_ms", 10000, 86400000, "EE_PROXY_TOTAL_MS", number<3600000>,
         "How long one request may take.");
  millis(Setting::proxy_ws_idle_ms, "proxy.ws_idle_ms", 10000, 3600000, "EE_PROXY_WS_IDLE_MS", number<300000>,
         "How long a WebSocket may be silent.");
}

void add_proxy(Rows& rows) {
  rows.push_back(str(Setting::proxy_host_suffix, "proxy.host_suffix", 200, "EE_PROXY_HOST_SUFFIX",
                     "Domain under which each service has a host of its own; empty: path mode only.")
                     .checked([](std::string_view text) -> std::optional<std::string> {
                       return text.empty() ? std::nullopt : must_be_dns_name(text);
                     })
                     .checked_in_stage(away_from_console));
  add_proxy_times(rows);
  rows.push_back(integer(Setting::proxy_max_body_bytes, "proxy.max_body_bytes", 1024, 10'737'418'240,
                         "EE_PROXY_MAX_BODY_BYTES", "Largest body of a request.")
                     .by_default(number<104'857'600>)
                     .in("bytes"));
  rows.push_back(integer(Setting::proxy_max_inflight, "proxy.max_inflight", 1, 1'000'000, "EE_PROXY_MAX_INFLIGHT",
                         "Requests at once.")
                     .by_default(number<10000>));
  rows.push_back(integer(Setting::proxy_max_inflight_service, "proxy.max_inflight_service", 1, 100'000,
                         "EE_PROXY_MAX_INFLIGHT_SERVICE", "Requests at once for one service.")
                     .by_default(number<512>));
  rows.push_back(integer(Setting::proxy_max_inflight_backend, "proxy.max_inflight_backend", 1, 100'000,
                         "EE_PROXY_MAX_INFLIGHT_BACKEND", "Requests at once for one deployment of a service.")
                     .by_default(number<256>));
  rows.push_back(integer(Setting::proxy_max_service_rps, "proxy.max_service_rps", 1, 100'000,
                         "EE_PROXY_MAX_SERVICE_RPS", "Rate up to which a service may raise its own limit.")
                     .by_default(number<5000>)
                     .in("1/s"));
  rows.push_back(seconds(Setting::proxy_drain_seconds, "proxy.drain_seconds", 0, 600, "EE_PROXY_DRAIN_SECONDS",
                         "How long connections of a deployment that left routing go on.")
                     .by_default(number<30>));
}

}  // namespace

void add_deployments(Rows& rows) {
  add_signatures(rows);
  add_registries(rows);
  add_deploying(rows);
  add_measuring(rows);
  add_proxy(rows);
}

}  // namespace ee::cp::rows
