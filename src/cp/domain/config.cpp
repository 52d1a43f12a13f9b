#include "cp/domain/config.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <thread>

#include "common/ed25519.h"
#include "common/id.h"
#include "common/ip_network.h"
#include "common/url.h"
#include "cp/domain/setting_text.h"

namespace ee::cp {
namespace {

constexpr std::int64_t kMiB = 1024LL * 1024;
constexpr std::size_t kMaxClusterId = 40;
constexpr std::size_t kMaxOldSigningKeys = 7;
constexpr std::size_t kMaxUnixPath = 107;  // sockaddr_un::sun_path less its end

/// One line of a variable's own, or the text that stands for it when it is empty.
std::string text_or(EnvReader& env, std::string_view name, std::string fallback) {
  return env.text(name).value_or(std::move(fallback));
}

void read_identity(EnvReader& env, Config& config) {
  const bool dev = config.stage == Stage::dev;
  if (const auto id = env.text("EE_CLUSTER_ID")) {
    config.cluster_id = *id;
    if (!is_dns_label(*id) || id->size() > kMaxClusterId)
      env.problem("EE_CLUSTER_ID", fmt::format("must be a DNS label of at most {} characters", kMaxClusterId));
  } else if (dev) {
    config.cluster_id = "dev";
  } else {
    env.problem("EE_CLUSTER_ID", "is required outside of dev");
  }
  const auto url = env.text("EE_PUBLIC_URL");
  if (!url) {
    config.public_url = "http://127.0.0.1:8080";
    if (!dev) env.problem("EE_PUBLIC_URL", "is required outside of dev");
    return;
  }
  const auto parsed = parse_url(*url);
  if (!parsed || parsed->has_user || parsed->has_query || parsed->has_fragment ||
      (!parsed->path.empty() && parsed->path != "/")) {
    env.problem("EE_PUBLIC_URL", "must be an http or https URL without path, query or user part");
  } else if (!dev && parsed->scheme != "https") {
    env.problem("EE_PUBLIC_URL", "must be https outside of dev");
  } else {
    config.public_url = parsed->origin();
  }
}

void read_database(EnvReader& env, Config& config) {
  DatabaseConfig& database = config.database;
  const std::string url = env.text("EE_DATABASE_URL", EnvSource::file_too).value_or("sqlite:easyenclave.db");
  constexpr std::string_view kSqlite = "sqlite:";
  if (url.starts_with(kSqlite) && url.size() > kSqlite.size()) {
    database.sqlite_path = url.substr(kSqlite.size());
  } else if (url.starts_with("postgres://") || url.starts_with("postgresql://")) {
    database.postgres_url = Secret(url);
  } else {
    env.problem("EE_DATABASE_URL", "must be sqlite:PATH or postgres://...");
  }
  database.readers = env.integer("EE_DB_READERS", 4, 1, 64);
  database.busy_timeout = Milliseconds(env.integer("EE_DB_BUSY_TIMEOUT_MS", 5000, 100, 60000));
  database.write_queue = env.integer("EE_DB_WRITE_QUEUE", 4096, 64, 65536);
  database.group_max = env.integer("EE_DB_GROUP_MAX", 64, 1, 1024);
  database.group_wait = std::chrono::microseconds(env.integer("EE_DB_GROUP_WAIT_US", 1000, 0, 20000));
}

std::optional<BindAddress> read_bind(EnvReader& env, std::string_view name, const std::optional<std::string>& text) {
  if (!text) return std::nullopt;
  auto bind = BindAddress::parse(*text);
  if (!bind) env.problem(name, "must be address:port, [v6]:port or unix:/path");
  return bind;
}

void read_server(EnvReader& env, Config& config, unsigned cores) {
  const std::int64_t count = cores == 0 ? std::max(1U, std::thread::hardware_concurrency()) : cores;
  const std::string bind = text_or(env, "EE_BIND", config.stage == Stage::dev ? "127.0.0.1:8080" : "0.0.0.0:8080");
  config.bind = read_bind(env, "EE_BIND", bind).value_or(BindAddress{});
  config.metrics_bind = read_bind(env, "EE_METRICS_BIND", env.text("EE_METRICS_BIND"));
  config.metrics_token = env.secret("EE_METRICS_TOKEN");
  config.http_threads = env.integer("EE_HTTP_THREADS", std::clamp<std::int64_t>(count, 2, 16), 1, 64);
  config.worker_threads = env.integer("EE_WORKER_THREADS", std::clamp<std::int64_t>(4 * count, 16, 64), 4, 256);
  config.job_threads = env.integer("EE_JOB_THREADS", 4, 2, 32);
  config.http.max_connections = env.integer("EE_HTTP_MAX_CONNECTIONS", 8192, 64, 200000);
  config.http.max_connections_per_ip = env.integer("EE_HTTP_MAX_CONNECTIONS_PER_IP", 256, 1, 200000);
  config.http.max_in_flight = env.integer("EE_HTTP_MAX_IN_FLIGHT", 1024, 16, 100000);
  config.http.max_header_bytes = env.integer("EE_HTTP_MAX_HEADER_BYTES", 32768, 8192, 262144);
  config.http.max_body_bytes = env.integer("EE_HTTP_MAX_BODY_BYTES", kMiB, 1024, 64 * kMiB);
  config.tls_cert = env.text("EE_TLS_CERT", EnvSource::file_too);
  config.tls_key = env.secret("EE_TLS_KEY");
  config.tls_cert_file = env.file_of("EE_TLS_CERT");
  config.tls_key_file = env.file_of("EE_TLS_KEY");
  if (config.tls_cert.has_value() != config.tls_key.has_value())
    env.problem(config.tls_cert ? "EE_TLS_KEY" : "EE_TLS_CERT", "is required with the other one of the pair");
  config.trusted_proxies = env.list("EE_TRUSTED_PROXIES");
  for (const std::string& range : config.trusted_proxies)
    if (!is_ip_network(range))
      env.problem("EE_TRUSTED_PROXIES", "must be a comma list of address ranges such as 10.0.0.0/8");
}

void read_operation(EnvReader& env, Config& config) {
  config.log_level = env.choice("EE_LOG_LEVEL", log::Level::info);
  config.log_format = env.choice("EE_LOG_FORMAT", log::Format::json);
  config.log_buffer_lines = env.integer("EE_LOG_BUFFER_LINES", 20000, 1000, 200000);
  config.backup_dir = env.text("EE_BACKUP_DIR");
  if (config.backup_dir && config.database.is_postgres())
    env.problem("EE_BACKUP_DIR", "PostgreSQL is backed up by the tools of the server (pg_dump), not by this program");
  config.shutdown_grace = Seconds(env.integer("EE_SHUTDOWN_GRACE_SECONDS", 30, 1, 300));
  config.settings_ttl = Milliseconds(env.integer("EE_SETTINGS_TTL_MS", 5000, 100, 60000));
  config.allow_emulated_tdx = env.flag("EE_ALLOW_EMULATED_TDX", false);
  config.allow_relaxed_policy = env.flag("EE_ALLOW_RELAXED_POLICY", false);
  config.tsm_root = text_or(env, "EE_TSM_ROOT", "/sys/kernel/config/tsm/report");
  const auto beside = config.database.in_memory() ? std::filesystem::path{}
                                                  : std::filesystem::path(config.database.sqlite_path).parent_path();
  config.emulated_tdx_dir = text_or(env, "EE_EMULATED_TDX_DIR", (beside / "emulated-tdx").string());
}

std::optional<Secret> raw_key(std::string_view base64) {
  auto bytes = from_base64(base64);
  if (!bytes || bytes->size() != 32) return std::nullopt;
  Secret key{std::string(text_of(*bytes))};
  std::ranges::fill(*bytes, std::uint8_t{0});
  return key;
}

void read_keys(EnvReader& env, Config& config) {
  if (const auto key = env.secret("EE_SECRETS_KEY")) {
    config.secrets_key = raw_key(key->reveal());
    if (!config.secrets_key) env.problem("EE_SECRETS_KEY", "must be 32 bytes in base64");
  } else if (config.stage != Stage::dev) {
    env.problem("EE_SECRETS_KEY", "is required outside of dev");
  }
  for (const std::string& text : env.list("EE_SECRETS_KEYS_OLD", EnvSource::file_too)) {
    auto key = raw_key(text);
    if (key) {
      config.secrets_keys_old.push_back(std::move(*key));
    } else {
      env.problem("EE_SECRETS_KEYS_OLD", "must be a comma list of 32 bytes in base64 each");
    }
  }
  if (auto key = env.secret("EE_CP_SIGNING_KEY")) {
    if (!Ed25519PrivateKey::from_pkcs8_pem(key->reveal()))
      env.problem("EE_CP_SIGNING_KEY", "must be an Ed25519 private key, PKCS#8 in PEM");
    config.cp_signing_key = std::move(*key);
  } else if (config.stage != Stage::dev) {
    env.problem("EE_CP_SIGNING_KEY", "is required outside of dev");
  }
  const auto old = env.list("EE_CP_SIGNING_KEYS_OLD");
  if (old.size() > kMaxOldSigningKeys) env.problem("EE_CP_SIGNING_KEYS_OLD", "has more than 7 keys");
  for (const std::string& text : old) {
    const auto bytes = from_base64(text);
    if (bytes && bytes->size() == 32) {
      std::copy(bytes->begin(), bytes->end(), config.cp_signing_keys_old.emplace_back().begin());
    } else {
      env.problem("EE_CP_SIGNING_KEYS_OLD", "must be a comma list of Ed25519 public keys in base64");
    }
  }
}

void read_trust(EnvReader& env, Config& config) {
  const std::string agents = text_or(env, "TRUSTED_AGENT_MRTDS", "");
  const std::string control_planes = text_or(env, "TRUSTED_CONTROL_PLANE_MRTDS", "");
  const std::string profiles = text_or(env, "TRUSTED_RTMR_PROFILES", "");
  auto trust = attestation::parse_environment_trust(agents, control_planes, profiles);
  if (trust) {
    config.trust = std::move(*trust);
    return;
  }
  // Its detail names the variable already; each is tried alone, so that all that are wrong are told.
  for (const auto& parsed : {attestation::parse_environment_trust(agents, "", ""),
                             attestation::parse_environment_trust("", control_planes, ""),
                             attestation::parse_environment_trust("", "", profiles)})
    if (!parsed) env.problem_line(parsed.error().detail);
}

void read_settings(EnvReader& env, Config& config) {
  const SettingsContext context = config.settings_context();
  SettingValues values(context);
  const bool was_ok = env.ok();
  bool all_read = true;
  for (const SettingSpec& spec : settings_registry()) {
    const auto text = env.text(spec.env, spec.provider ? EnvSource::provider : EnvSource::file_too);
    if (!text) continue;
    auto value = parse_env_setting(spec, *text, context);
    if (!value) {
      env.problem(spec.env, value.error().detail);
      all_read = false;
      continue;
    }
    values.set(spec.id, *value);
    config.settings.emplace(spec.id, std::move(*value));
  }
  if (!all_read || !was_ok) return;
  for (const SettingConflict& conflict : setting_conflicts(values))
    env.problem(setting_spec(conflict.id).env, conflict.problem.detail);
}

}  // namespace

bool BindAddress::is_loopback() const { return host.starts_with("127.") || host == "::1"; }

std::optional<BindAddress> BindAddress::parse(std::string_view text) {
  BindAddress out;
  constexpr std::string_view kUnix = "unix:";
  if (text.starts_with(kUnix)) {
    out.unix_path = text.substr(kUnix.size());
    if (!out.unix_path.starts_with('/') || out.unix_path.size() > kMaxUnixPath) return std::nullopt;
    return out;
  }
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto port = parse_integer(text.substr(colon + 1));
  if (!port || *port < 0 || *port > 65535 || text[colon + 1] == '-') return std::nullopt;
  out.port = static_cast<std::uint16_t>(*port);
  out.host = text.substr(0, colon);
  std::array<unsigned char, 16> address{};
  if (out.host.starts_with('[') && out.host.ends_with(']')) {
    out.host = out.host.substr(1, out.host.size() - 2);
    if (::inet_pton(AF_INET6, out.host.c_str(), address.data()) != 1) return std::nullopt;
  } else if (::inet_pton(AF_INET, out.host.c_str(), address.data()) != 1) {
    return std::nullopt;
  }
  return out;
}

std::expected<Config, std::vector<std::string>> load_config(const Environment& environment,
                                                            const LoadOptions& options) {
  EnvReader env(environment, options.read_file);
  Config config;
  // Without a usable EE_ENV the rest is read as in dev, which demands least: what it reports is wrong in any case.
  config.stage = env.choice("EE_ENV", Stage::dev);
  if (!env.text("EE_ENV")) env.problem("EE_ENV", "is required: dev, staging or production");
  if (config.stage == Stage::staging) env.set_provider_prefix("STAGING_");
  if (config.stage == Stage::production) env.set_provider_prefix("PRODUCTION_");
  read_identity(env, config);
  read_database(env, config);
  read_server(env, config, options.cores);
  read_operation(env, config);
  read_keys(env, config);
  read_trust(env, config);
  read_settings(env, config);
  // The `ee` command's own, which may stand in the same shell.
  for (const char* name : {"EE_URL", "EE_PROFILE"}) env.know(name);
  env.know("EE_API_KEY", EnvSource::file_too);
  if (!env.flag("EE_ALLOW_UNKNOWN_ENV", false))
    env.refuse_unknown({"EE_AGENT_", "EE_LAUNCHER_", "EE_TEST_", "EE_E2E_"});
  if (!env.ok()) return std::unexpected(env.finish());
  return config;
}

}  // namespace ee::cp
