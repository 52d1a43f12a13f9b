#include "cp/domain/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "common/ed25519.h"
#include "common/fake_random.h"
#include "tests/support/temp_dir.h"

namespace ee::cp {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using Lines = std::vector<std::string>;

const std::string kKey = to_base64(ByteArray<32>{1, 2, 3});

std::string signing_key() {
  FakeRandom random;
  return Ed25519PrivateKey::generate(random)->to_pkcs8_pem();
}

Environment production() {
  return {{"EE_ENV", "production"},
          {"EE_CLUSTER_ID", "prod-1"},
          {"EE_PUBLIC_URL", "https://cp.example.com"},
          {"EE_SECRETS_KEY", kKey},
          {"EE_CP_SIGNING_KEY", signing_key()}};
}
Environment dev(Environment more = {}) {
  more["EE_ENV"] = "dev";
  return more;
}

Lines problems(const Environment& environment, const LoadOptions& options = {.cores = 2}) {
  const auto config = load_config(environment, options);
  return config ? Lines{"accepted"} : config.error();
}

TEST(Config, IsCompleteInDevWithNothingButItsName) {
  const auto config = load_config(dev(), {.cores = 2});
  ASSERT_TRUE(config);
  EXPECT_EQ(config->stage, Stage::dev);
  EXPECT_EQ(config->cluster_id, "dev");
  EXPECT_EQ(config->public_url, "http://127.0.0.1:8080");
  EXPECT_EQ(config->bind.host, "127.0.0.1");
  EXPECT_EQ(config->bind.port, 8080);
  EXPECT_EQ(config->database.sqlite_path, "easyenclave.db");
  EXPECT_EQ(config->database.readers, 4);
  EXPECT_EQ(config->http_threads, 2);
  EXPECT_EQ(config->worker_threads, 16);
  EXPECT_EQ(config->http.max_body_bytes, 1048576);
  EXPECT_EQ(config->log_level, log::Level::info);
  EXPECT_EQ(config->settings_ttl, Milliseconds(5000));
  EXPECT_EQ(config->tsm_root, "/sys/kernel/config/tsm/report");
  EXPECT_EQ(config->emulated_tdx_dir, "emulated-tdx");
  EXPECT_FALSE(config->allow_emulated_tdx);
  EXPECT_TRUE(config->settings.empty());
}

TEST(Config, ReadsEveryVariable) {
  FakeRandom random(7);
  const auto old_key = Ed25519PrivateKey::generate(random)->public_key();
  Environment environment = production();
  const Environment more = {{"EE_BIND", "[::1]:9000"},
                            {"EE_DATABASE_URL", "sqlite:/var/lib/ee/cp.db"},
                            {"EE_DB_READERS", "8"},
                            {"EE_DB_BUSY_TIMEOUT_MS", "100"},
                            {"EE_DB_WRITE_QUEUE", "64"},
                            {"EE_DB_GROUP_MAX", "1"},
                            {"EE_DB_GROUP_WAIT_US", "0"},
                            {"EE_HTTP_THREADS", "3"},
                            {"EE_WORKER_THREADS", "5"},
                            {"EE_JOB_THREADS", "6"},
                            {"EE_TLS_CERT", "cert"},
                            {"EE_TLS_KEY", "key"},
                            {"EE_TRUSTED_PROXIES", "10.0.0.0/8, ::1"},
                            {"EE_METRICS_BIND", "127.0.0.1:9100"},
                            {"EE_METRICS_TOKEN", "metrics"},
                            {"EE_LOG_LEVEL", "debug"},
                            {"EE_LOG_FORMAT", "text"},
                            {"EE_LOG_BUFFER_LINES", "1000"},
                            {"EE_BACKUP_DIR", "/backup"},
                            {"EE_SHUTDOWN_GRACE_SECONDS", "1"},
                            {"EE_SETTINGS_TTL_MS", "100"},
                            {"EE_ALLOW_RELAXED_POLICY", "1"},
                            {"EE_TSM_ROOT", "/tsm"},
                            {"EE_EMULATED_TDX_DIR", "/emulated"},
                            {"EE_SECRETS_KEYS_OLD", kKey + "," + kKey},
                            {"EE_CP_SIGNING_KEYS_OLD", to_base64(old_key)},
                            {"EE_HTTP_MAX_CONNECTIONS", "64"},
                            {"EE_HTTP_MAX_CONNECTIONS_PER_IP", "7"},
                            {"EE_HTTP_MAX_IN_FLIGHT", "16"},
                            {"EE_HTTP_MAX_HEADER_BYTES", "8192"},
                            {"EE_HTTP_MAX_BODY_BYTES", "2048"},
                            {"TRUSTED_AGENT_MRTDS", std::string(96, 'a')},
                            {"AGENT_STALE_HOURS", "48"}};
  environment.insert(more.begin(), more.end());
  const auto config = load_config(environment, {.cores = 2});
  ASSERT_TRUE(config) << ::testing::PrintToString(config.error());
  EXPECT_EQ(config->bind.host, "::1");
  EXPECT_EQ(config->bind.port, 9000);
  EXPECT_EQ(config->database.sqlite_path, "/var/lib/ee/cp.db");
  EXPECT_EQ(config->database.readers, 8);
  EXPECT_EQ(config->database.busy_timeout, Milliseconds(100));
  EXPECT_EQ(config->database.write_queue, 64);
  EXPECT_EQ(config->database.group_max, 1);
  EXPECT_EQ(config->database.group_wait.count(), 0);
  EXPECT_EQ(config->http_threads + config->worker_threads + config->job_threads, 14);
  EXPECT_TRUE(config->has_tls());
  EXPECT_THAT(config->trusted_proxies, ElementsAre("10.0.0.0/8", "::1"));
  EXPECT_EQ(config->metrics_bind->port, 9100);
  EXPECT_EQ(config->metrics_token->reveal(), "metrics");
  EXPECT_EQ(config->log_level, log::Level::debug);
  EXPECT_EQ(config->log_format, log::Format::text);
  EXPECT_EQ(config->log_buffer_lines, 1000);
  EXPECT_EQ(config->backup_dir, "/backup");
  EXPECT_EQ(config->shutdown_grace, Seconds(1));
  EXPECT_EQ(config->settings_ttl, Milliseconds(100));
  EXPECT_TRUE(config->allow_relaxed_policy);
  EXPECT_EQ(config->tsm_root, "/tsm");
  EXPECT_EQ(config->emulated_tdx_dir, "/emulated");
  EXPECT_EQ(config->secrets_key->reveal().size(), 32U);
  EXPECT_EQ(config->secrets_keys_old.size(), 2U);
  EXPECT_EQ(config->cp_signing_keys_old.at(0), old_key);
  EXPECT_EQ(config->http.max_connections, 64);
  EXPECT_EQ(config->http.max_connections_per_ip, 7);
  EXPECT_EQ(config->http.max_in_flight, 16);
  EXPECT_EQ(config->http.max_header_bytes, 8192);
  EXPECT_EQ(config->http.max_body_bytes, 2048);
  EXPECT_EQ(config->trust.mrtds.size(), 1U);
  EXPECT_EQ(std::get<std::int64_t>(config->settings.at(Setting::agents_stale_hours)), 48);
}

// covers: S05_CFG_01
TEST(Config, S05_CFG_01_NamesEveryRequiredVariableThatIsMissing) {
  EXPECT_THAT(problems({}), Contains("EE_ENV: is required: dev, staging or production"));
  for (const char* stage : {"staging", "production"})
    EXPECT_THAT(
        problems({{"EE_ENV", stage}}),
        ElementsAre("EE_CLUSTER_ID: is required outside of dev", "EE_PUBLIC_URL: is required outside of dev",
                    "EE_SECRETS_KEY: is required outside of dev", "EE_CP_SIGNING_KEY: is required outside of dev"));
  EXPECT_EQ(problems(production()), Lines{"accepted"});
}

TEST(Config, TheDatabaseIsAFileOrPostgres) {
  Environment environment = production();
  for (const std::string url : {"postgres://user:hunter2@db/ee", "postgresql://db/ee?sslmode=verify-full"}) {
    environment["EE_DATABASE_URL"] = url;
    const auto config = load_config(environment);
    ASSERT_TRUE(config) << config.error().front();
    EXPECT_TRUE(config->database.is_postgres());
    EXPECT_EQ(config->database.postgres_url.reveal(), url);
    EXPECT_FALSE(config->database.in_memory());
  }
  environment["EE_BACKUP_DIR"] = "/var/backups";
  const Lines found = problems(environment);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_NE(found[0].find("pg_dump"), std::string::npos) << found[0];
}

// covers: S05_CFG_02
TEST(Config, S05_CFG_02_TellsAllProblemsAtOnceAndNoSecret) {
  Environment environment = production();
  environment["EE_SECRETS_KEY"] = "hunter2-secrets";
  environment["EE_SECRETS_KEYS_OLD"] = "hunter2-old";
  environment["EE_CP_SIGNING_KEY"] = "hunter2-signing";
  environment["EE_CP_SIGNING_KEYS_OLD"] = "hunter2-public";
  environment["EE_DATABASE_URL"] = "mysql://user:hunter2@db/ee";
  environment["CLOUDFLARE_API_TOKEN"] = "hunter2 with a space";
  environment["ADMIN_PASSWORD_HASH"] = "hunter2";
  environment["ITA_API_URL"] = "https://user:hunter2@api.example.com";
  environment["EE_DB_READERS"] = "0";
  environment["EE_TLS_KEY"] = "hunter2-tls";
  environment["TRUSTED_AGENT_MRTDS"] = "hunter2";
  environment["TRUSTED_RTMR_PROFILES"] = "hunter2";
  const Lines found = problems(environment);
  EXPECT_EQ(found.size(), 12U) << ::testing::PrintToString(found);
  EXPECT_THAT(found,
              IsSupersetOf({"EE_DB_READERS: 0 is below the minimum 1", "EE_SECRETS_KEY: must be 32 bytes in base64",
                            "EE_TLS_CERT: is required with the other one of the pair",
                            "ADMIN_PASSWORD_HASH: must be an Argon2id text, as ee-cp hash-password prints"}));
  for (const std::string& line : found) EXPECT_EQ(line.find("hunter2"), std::string::npos) << line;
}

// covers: S05_CFG_03
TEST(Config, S05_CFG_03_RefusesUnknownVariablesOfItsOwn) {
  EXPECT_THAT(problems(dev({{"EE_DB_READER", "1"}})),
              ElementsAre("EE_DB_READER: is not a known variable; is EE_DB_READERS meant?"));
  EXPECT_THAT(problems(dev({{"EE_SHOE_SIZE", "1"}})), ElementsAre("EE_SHOE_SIZE: is not a known variable"));
  EXPECT_EQ(problems(dev({{"EE_SHOE_SIZE", "1"}, {"EE_ALLOW_UNKNOWN_ENV", "1"}})), Lines{"accepted"});
  EXPECT_EQ(problems(dev({{"EE_AGENT_X", "1"},
                          {"EE_LAUNCHER_X", "1"},
                          {"EE_TEST_X", "1"},
                          {"EE_E2E_X", "1"},
                          {"EE_URL", "1"},
                          {"EE_PROFILE", "1"},
                          {"EE_API_KEY", "1"},
                          {"EE_API_KEY_FILE", "1"},
                          {"EE_EMPTY", ""},
                          {"HOME", "/"}})),
            Lines{"accepted"});
}

// covers: S05_CFG_04
TEST(Config, S05_CFG_04_TakesSecretsAndSettingsFromFilesButNotFromBoth) {
  ::ee::testing::TempDir dir;
  std::ofstream(dir / "key") << signing_key();
  std::ofstream(dir / "token") << "from-the-file\n";
  Environment environment = production();
  environment.erase("EE_CP_SIGNING_KEY");
  environment["EE_CP_SIGNING_KEY_FILE"] = dir / "key";
  environment["CLOUDFLARE_API_TOKEN_FILE"] = dir / "token";
  const auto config = load_config(environment, {.cores = 2});
  ASSERT_TRUE(config);
  EXPECT_EQ(std::get<Secret>(config->settings.at(Setting::cloudflare_api_token)).reveal(), "from-the-file");
  environment["EE_CP_SIGNING_KEY"] = signing_key();
  EXPECT_THAT(problems(environment), Contains("EE_CP_SIGNING_KEY: is set together with EE_CP_SIGNING_KEY_FILE"));
  EXPECT_THAT(problems(dev({{"EE_METRICS_TOKEN_FILE", dir / "none"}})),
              Contains(HasSubstr("EE_METRICS_TOKEN_FILE: cannot read")));
  // A certificate's path is kept, so that it can be read again.
  std::ofstream(dir / "cert.pem") << "cert\n";
  const auto tls =
      load_config(dev({{"EE_TLS_CERT_FILE", dir / "cert.pem"}, {"EE_TLS_KEY_FILE", dir / "key"}}), {.cores = 2});
  ASSERT_TRUE(tls);
  EXPECT_EQ(tls->tls_cert, "cert");
  EXPECT_EQ(tls->tls_cert_file, (dir / "cert.pem").string());
}

// covers: S05_CFG_05
TEST(Config, S05_CFG_05_HoldsEveryVariableToItsBounds) {
  struct Bound {
    const char* name;
    std::int64_t min, max;
  };
  for (const Bound& bound : {Bound{"EE_DB_READERS", 1, 64}, Bound{"EE_DB_BUSY_TIMEOUT_MS", 100, 60000},
                             Bound{"EE_DB_WRITE_QUEUE", 64, 65536}, Bound{"EE_DB_GROUP_MAX", 1, 1024},
                             Bound{"EE_DB_GROUP_WAIT_US", 0, 20000}, Bound{"EE_HTTP_THREADS", 1, 64},
                             Bound{"EE_WORKER_THREADS", 4, 256}, Bound{"EE_JOB_THREADS", 2, 32},
                             Bound{"EE_SHUTDOWN_GRACE_SECONDS", 1, 300}, Bound{"EE_SETTINGS_TTL_MS", 100, 60000},
                             Bound{"EE_LOG_BUFFER_LINES", 1000, 200000}, Bound{"EE_HTTP_MAX_CONNECTIONS", 64, 200000},
                             Bound{"NONCE_TTL_SECONDS", 30, 900}, Bound{"EE_AGENT_MAX", 1, 1000000}}) {
    for (const std::int64_t good : {bound.min, bound.max})
      EXPECT_EQ(problems(dev({{bound.name, std::to_string(good)}})), Lines{"accepted"}) << bound.name;
    for (const std::int64_t bad : {bound.min - 1, bound.max + 1}) {
      const Lines found = problems(dev({{bound.name, std::to_string(bad)}}));
      ASSERT_EQ(found.size(), 1U) << bound.name << bad;
      EXPECT_THAT(found[0], HasSubstr(std::string(bound.name) + ": " + std::to_string(bad) + " is "));
    }
  }
}

TEST(Config, RefusesBadTexts) {
  const std::pair<const char*, const char*> rows[] = {
      {"EE_ENV", "prod"},
      {"EE_CLUSTER_ID", "Prod"},
      {"EE_CLUSTER_ID", "a1234567890123456789012345678901234567890"},
      {"EE_PUBLIC_URL", "cp.example.com"},
      {"EE_PUBLIC_URL", "https://cp.example.com/path"},
      {"EE_PUBLIC_URL", "https://user@cp.example.com"},
      {"EE_PUBLIC_URL", "https://cp.example.com?x"},
      {"EE_BIND", "8080"},
      {"EE_BIND", "localhost:8080"},
      {"EE_BIND", "127.0.0.1:65536"},
      {"EE_BIND", "127.0.0.1:-1"},
      {"EE_BIND", "127.0.0.1:"},
      {"EE_BIND", "::1:8080"},
      {"EE_BIND", "unix:relative"},
      {"EE_METRICS_BIND", "x"},
      {"EE_DATABASE_URL", "/var/lib/cp.db"},
      {"EE_DATABASE_URL", "sqlite:"},
      {"EE_TRUSTED_PROXIES", "10.0.0.1/8"},
      {"EE_TRUSTED_PROXIES", "proxy"},
      {"EE_LOG_LEVEL", "verbose"},
      {"EE_LOG_FORMAT", "xml"},
      {"EE_ALLOW_EMULATED_TDX", "yes"},
      {"EE_SECRETS_KEY", "c2hvcnQ="},
      {"EE_CP_SIGNING_KEYS_OLD", "c2hvcnQ="},
      {"TRUSTED_AGENT_MRTDS", "00"},
      {"TRUSTED_CONTROL_PLANE_MRTDS", "zz"},
      {"TRUSTED_RTMR_PROFILES", "[{}]"},
      {"ALLOWED_TCB_STATUSES", "UpToDate,Revoked"},
      {"TCB_ENFORCEMENT_MODE", "off"},
  };
  for (const auto& [name, value] : rows) {
    Environment environment = dev();
    environment[name] = value;
    const Lines found = problems(environment);
    ASSERT_EQ(found.size(), 1U) << name << "=" << value << ::testing::PrintToString(found);
    EXPECT_TRUE(found[0].starts_with(std::string(name) + ": ")) << found[0];
  }
  Environment plain = production();
  plain["EE_PUBLIC_URL"] = "http://cp.example.com";
  EXPECT_THAT(problems(plain), ElementsAre("EE_PUBLIC_URL: must be https outside of dev"));
  EXPECT_THAT(problems(dev({{"EE_CP_SIGNING_KEYS_OLD", kKey + "," + kKey + "," + kKey + "," + kKey + "," + kKey + "," +
                                                           kKey + "," + kKey + "," + kKey}})),
              ElementsAre("EE_CP_SIGNING_KEYS_OLD: has more than 7 keys"));
}

// covers: S05_CFG_06
TEST(Config, S05_CFG_06_PrefersTheStagesOwnProviderVariables) {
  const auto account = [](Environment environment) {
    environment["CLOUDFLARE_ACCOUNT_ID"] = std::string(32, '0');
    environment["STAGING_CLOUDFLARE_ACCOUNT_ID"] = std::string(32, '1');
    environment["PRODUCTION_CLOUDFLARE_ACCOUNT_ID"] = std::string(32, '2');
    environment["AGENT_STALE_HOURS"] = "5";
    environment["STAGING_AGENT_STALE_HOURS"] = "6";
    environment["PRODUCTION_AGENT_STALE_HOURS"] = "7";
    const auto config = load_config(environment, {.cores = 2});
    EXPECT_TRUE(config);
    // Only the variables of outside services have a stage's own form.
    EXPECT_EQ(std::get<std::int64_t>(config->settings.at(Setting::agents_stale_hours)), 5);
    return std::get<std::string>(config->settings.at(Setting::cloudflare_account_id));
  };
  Environment staging = production();
  staging["EE_ENV"] = "staging";
  EXPECT_EQ(account(dev()), std::string(32, '0'));
  EXPECT_EQ(account(staging), std::string(32, '1'));
  EXPECT_EQ(account(production()), std::string(32, '2'));
}

TEST(Config, ChecksRulesOverSeveralSettings) {
  EXPECT_THAT(problems(dev({{"EE_AGENT_HEALTH_INTERVAL_SECONDS", "60"}})),
              ElementsAre("EE_AGENT_SILENCE_SECONDS: agents.silence_seconds must be at least 180: three times "
                          "agents.health_interval_seconds"));
  EXPECT_EQ(problems(dev({{"EE_AGENT_HEALTH_INTERVAL_SECONDS", "60"},
                          {"EE_AGENT_SILENCE_SECONDS", "180"},
                          {"EE_AGENT_LOST_AFTER_SECONDS", "181"}})),
            Lines{"accepted"});
}

TEST(Config, TakesThreadsFromTheCoresWithinBounds) {
  const auto threads = [](unsigned cores) {
    const auto config = load_config(dev(), {.cores = cores});
    return std::pair(config->http_threads, config->worker_threads);
  };
  EXPECT_EQ(threads(1), std::pair(std::int64_t{2}, std::int64_t{16}));
  EXPECT_EQ(threads(8), std::pair(std::int64_t{8}, std::int64_t{32}));
  EXPECT_EQ(threads(128), std::pair(std::int64_t{16}, std::int64_t{64}));
}

TEST(Config, PutsTheEmulatorBesideTheDatabase) {
  EXPECT_EQ(load_config(dev({{"EE_DATABASE_URL", "sqlite:/data/cp.db"}}), {.cores = 1})->emulated_tdx_dir,
            "/data/emulated-tdx");
  EXPECT_EQ(load_config(dev({{"EE_DATABASE_URL", "sqlite::memory:"}}), {.cores = 1})->emulated_tdx_dir, "emulated-tdx");
}

}  // namespace
}  // namespace ee::cp
