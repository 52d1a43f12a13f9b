#pragma once
#include <cstdint>
#include <expected>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "attestation/validate/trust_store.h"
#include "common/bytes.h"
#include "common/env_config.h"
#include "common/log.h"
#include "common/secret.h"
#include "common/time.h"
#include "cp/domain/settings_registry.h"
#include "cp/domain/stage.h"

namespace ee::cp {

/// Where to listen: `address:port`, `[v6]:port` or `unix:/path`.
struct BindAddress {
  std::string host;        ///< an IP address without brackets; empty for a unix socket
  std::uint16_t port = 0;  ///< 0: the system chooses (development)
  std::string unix_path;

  bool is_unix() const { return !unix_path.empty(); }
  bool is_loopback() const;
  static std::optional<BindAddress> parse(std::string_view text);
};

struct DatabaseConfig {
  std::string sqlite_path;  ///< `:memory:` for none on disk; empty: PostgreSQL
  Secret postgres_url;      ///< `postgres://...`; empty: SQLite
  std::int64_t readers = 4;
  Milliseconds busy_timeout{5000};
  std::int64_t write_queue = 4096;
  std::int64_t group_max = 64;
  std::chrono::microseconds group_wait{1000};

  bool is_postgres() const { return !postgres_url.empty(); }
  bool in_memory() const { return sqlite_path == ":memory:"; }
};

/// Limits of 05 section 13.4 that the environment can change.
struct HttpLimits {
  std::int64_t max_connections = 8192;
  std::int64_t max_connections_per_ip = 256;
  std::int64_t max_in_flight = 1024;
  std::int64_t max_header_bytes = 32768;
  std::int64_t max_body_bytes = 1024LL * 1024;
};

/// Everything that is read from the environment once, at start (05 sections 1.2 and 13.4).
struct Config {
  Stage stage = Stage::production;
  std::string cluster_id;
  std::string public_url;  ///< an origin: `https://cp.example.com`
  BindAddress bind;
  DatabaseConfig database;
  std::int64_t http_threads = 2;
  std::int64_t worker_threads = 16;
  std::int64_t job_threads = 4;
  HttpLimits http;

  std::optional<std::string> tls_cert;       ///< PEM
  std::optional<Secret> tls_key;             ///< PEM
  std::optional<std::string> tls_cert_file;  ///< where they came from, to be read again on SIGHUP
  std::optional<std::string> tls_key_file;
  std::vector<std::string> trusted_proxies;  ///< address ranges
  std::optional<BindAddress> metrics_bind;
  std::optional<Secret> metrics_token;

  log::Level log_level = log::Level::info;
  log::Format log_format = log::Format::json;
  std::int64_t log_buffer_lines = 20000;
  std::optional<std::string> backup_dir;
  Seconds shutdown_grace{30};
  Milliseconds settings_ttl{5000};

  bool allow_emulated_tdx = false;
  bool allow_relaxed_policy = false;
  std::string tsm_root;
  std::string emulated_tdx_dir;

  std::optional<Secret> secrets_key;               ///< 32 raw bytes; always there outside dev
  std::vector<Secret> secrets_keys_old;            ///< 32 raw bytes each
  std::optional<Secret> cp_signing_key;            ///< PKCS#8 PEM, known to be good; always there outside dev
  std::vector<ByteArray<32>> cp_signing_keys_old;  ///< public keys
  attestation::TrustStore trust;                   ///< of TRUSTED_AGENT_MRTDS and the like

  /// Settings that the environment gives, already checked.
  std::map<Setting, SettingValue> settings;

  bool has_tls() const { return tls_cert && tls_key; }
  SettingsContext settings_context() const {
    return {.stage = stage,
            // Outside of dev the switch is a broken guardrail, and nothing may follow from it before that is told.
            .emulation_allowed = allow_emulated_tdx && stage == Stage::dev,
            .relaxed_policy_allowed = allow_relaxed_policy,
            .public_url = public_url};
  }
};

struct LoadOptions {
  unsigned cores = 0;  ///< 0: this machine's
  EnvFileReader read_file = read_env_file;
};

/// The configuration, or every problem, one line each, without the value of any secret. Guardrails are not checked
/// here.
std::expected<Config, std::vector<std::string>> load_config(const Environment& environment,
                                                            const LoadOptions& options = {});

}  // namespace ee::cp
