#pragma once
#include <gtest/gtest.h>

#include <atomic>
#include <boost/json/value.hpp>
#include <memory>
#include <string>

#include "common/fake_clock.h"
#include "common/fake_random.h"
#include "common/json.h"
#include "common/metrics.h"
#include "cp/service/settings.h"
#include "cp/service/settings_api.h"
#include "tests/support/test_database.h"

namespace ee::cp::settings_tests {

/// The real database, that can be told to fail its reads.
class BreakableDatabase final : public db::Database {
 public:
  explicit BreakableDatabase(db::Database& real) : real_(real) {}
  Result<void> run_write(const std::function<Result<void>(db::Transaction&)>& work) override {
    return real_.run_write(work);
  }
  Result<void> run_read(const std::function<Result<void>(db::Transaction&)>& work) override {
    ++reads;
    if (broken) return fail(ErrorCode::database_unavailable, "broken by the test");
    return real_.run_read(work);
  }
  std::atomic<bool> broken = false;
  std::atomic<int> reads = 0;

 private:
  db::Database& real_;
};

inline Config config_of(Stage stage, EnvironmentSettings environment = {}) {
  Config config;
  config.stage = stage;
  config.settings_ttl = Milliseconds(5000);
  config.settings = std::move(environment);
  return config;
}

inline EnvironmentSettings production_environment() {
  return {{Setting::cloudflare_account_id, std::string(32, 'a')},
          {Setting::cloudflare_zone_id, std::string(32, 'b')},
          {Setting::cloudflare_api_token, Secret("token-of-the-environment")},
          {Setting::intel_ta_api_key, Secret("key-of-the-environment")},
          {Setting::github_oauth_client_id, std::string("client-of-the-environment")},
          {Setting::github_oauth_client_secret, Secret("secret-of-the-environment")},
          {Setting::gcp_project_id, std::string("project-1")},
          {Setting::gcp_auth_mode, std::string("metadata")},
          {Setting::gcp_image, std::string("projects/project-1/global/images/ee-agent-1")}};
}

inline const Actor kAdmin{
    .name = "admin:0190a000-0000-7000-8000-000000000009", .request_id = "req-12345678", .client_address = "192.0.2.7"};

class SettingsTest : public ::testing::Test {
 protected:
  void start(const Config& config) {
    service_ = std::make_unique<SettingsService>(config, database_, clock_, random_, metrics_);
    ASSERT_TRUE(service_->load());
  }
  void start(Stage stage = Stage::dev) {
    start(config_of(stage, stage == Stage::dev ? EnvironmentSettings{} : production_environment()));
  }
  Result<SettingView> put(std::string_view key, std::string_view json, std::optional<std::int64_t> if_version = {}) {
    return service_->put(key, *json::parse(json), if_version, kAdmin);
  }
  /// Somebody changes the table, and not through this service.
  void store_by_hand(std::string_view key, std::string_view value) {
    test_database_.execute(
        "INSERT INTO settings (key, value, is_secret, version, updated_by, updated_at) "
        "VALUES (:key, :value, 0, 1, 'hand', 0) "
        "ON CONFLICT (key) DO UPDATE SET value = excluded.value, version = settings.version + 1",
        {{"key", key}, {"value", value}});
  }
  /// What is seen once the reload that this read may have started is over.
  SettingsPtr settled() {
    service_->snapshot();
    service_->settle();
    return service_->snapshot();
  }
  std::int64_t stale_hours() { return service_->snapshot()->integer(Setting::agents_stale_hours); }
  double metric(const std::string& line) {
    const std::string text = metrics_.text();
    const std::size_t at = text.find("\n" + line + " ");
    return at == std::string::npos ? 0 : std::stod(text.substr(at + 1 + line.size()));
  }
  std::string audit_text() {
    std::string out;
    for (const std::string& row :
         test_database_.values<std::string>("SELECT action || ' ' || actor || ' ' || object_id || ' ' || result || ' ' "
                                            "|| COALESCE(reason_code, '-') || ' ' || detail "
                                            "FROM audit_log ORDER BY at, id"))
      out += row + "\n";
    return out;
  }

  FakeClock clock_;
  FakeRandom random_;
  metrics::Registry metrics_;
  ::ee::testing::TestDatabase test_database_;
  BreakableDatabase database_{test_database_};
  std::unique_ptr<SettingsService> service_;
};

}  // namespace ee::cp::settings_tests
