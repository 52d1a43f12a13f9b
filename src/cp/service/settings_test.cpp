#include "cp/service/settings.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "common/fake_log.h"
#include "cp/service/settings_fixture.h"

namespace ee::cp::settings_tests {
namespace {

// covers: S05_SET_01
TEST_F(SettingsTest, S05_SET_01_PrefersDatabaseThenEnvironmentThenDefault) {
  start(config_of(Stage::dev, {{Setting::agents_stale_hours, std::int64_t{6}}}));
  EXPECT_EQ(service_->get("agents.stale_hours")->source, SettingSource::environment);
  EXPECT_EQ(stale_hours(), 6);
  ASSERT_TRUE(put("agents.stale_hours", "7"));
  EXPECT_EQ(stale_hours(), 7);
  EXPECT_EQ(service_->get("agents.stale_hours")->source, SettingSource::database);
  EXPECT_EQ(service_->snapshot()->integer(Setting::agents_max_agents), 200000);
}

// covers: S05_SET_02
TEST_F(SettingsTest, S05_SET_02_FallsBackWhenARowIsRemoved) {
  start(config_of(Stage::dev, {{Setting::agents_stale_hours, std::int64_t{6}}}));
  ASSERT_TRUE(put("agents.stale_hours", "7"));
  const auto view = service_->reset("agents.stale_hours", {}, kAdmin);
  ASSERT_TRUE(view);
  EXPECT_EQ(view->source, SettingSource::environment);
  EXPECT_EQ(view->version, 0);
  EXPECT_EQ(stale_hours(), 6);
  EXPECT_TRUE(service_->reset("agents.stale_hours", {}, kAdmin)) << "removing nothing is no error";
}

// covers: S05_SET_04
TEST_F(SettingsTest, S05_SET_04_AnEmptyStoredTextWinsOverTheEnvironment) {
  start(config_of(Stage::dev, {{Setting::cloudflare_domain, std::string("example.com")}}));
  EXPECT_EQ(service_->snapshot()->text(Setting::cloudflare_domain), "example.com");
  ASSERT_TRUE(put("cloudflare.domain", "\"\""));
  EXPECT_EQ(service_->snapshot()->text(Setting::cloudflare_domain), "");
  EXPECT_EQ(service_->get("cloudflare.domain")->source, SettingSource::database);
  ASSERT_TRUE(service_->reset("cloudflare.domain", {}, kAdmin)) << "unset means that the row is deleted";
  EXPECT_EQ(service_->snapshot()->text(Setting::cloudflare_domain), "example.com");
}

// covers: S05_SET_05
TEST_F(SettingsTest, S05_SET_05_DoesNotUseARowThatCannotBeRead) {
  store_by_hand("agents.stale_hours", "seven");
  store_by_hand("attestation.tcb_mode", "lenient");
  store_by_hand("feature.of_a_later_version", "x");
  CaptureLogs logs;
  start();
  EXPECT_EQ(stale_hours(), 24);
  EXPECT_EQ(service_->snapshot()->text(Setting::attestation_tcb_mode), "strict");
  EXPECT_EQ(metric("ee_settings_invalid{key=\"agents.stale_hours\"}"), 1);
  EXPECT_TRUE(logs->contains("a stored setting is not used"));
  EXPECT_EQ(logs->records().at(0).level, log::Level::error);
  ASSERT_TRUE(put("agents.stale_hours", "8"));
  clock_.advance(Milliseconds(5001));
  settled();
  EXPECT_EQ(metric("ee_settings_invalid{key=\"agents.stale_hours\"}"), 0);
  EXPECT_EQ(metric("ee_settings_invalid{key=\"attestation.tcb_mode\"}"), 1);
}

// covers: S05_SET_06
TEST_F(SettingsTest, S05_SET_06_SeesAChangeBehindItsBackAfterTheTtlAndNotBefore) {
  start();
  store_by_hand("agents.stale_hours", "7");
  clock_.advance(Milliseconds(5000));
  EXPECT_EQ(settled()->integer(Setting::agents_stale_hours), 24);
  clock_.advance(Milliseconds(1));
  EXPECT_EQ(settled()->integer(Setting::agents_stale_hours), 7);
}

TEST_F(SettingsTest, AnswersAtOnceWithTheOldWhileItReadsAnew) {
  start();
  store_by_hand("agents.stale_hours", "7");
  const int reads = database_.reads;
  clock_.advance(Milliseconds(12 * 5000));
  std::vector<std::jthread> readers;
  for (int i = 0; i < 8; ++i) readers.emplace_back([&] { EXPECT_NE(service_->snapshot(), nullptr); });
  readers.clear();
  service_->settle();
  EXPECT_EQ(database_.reads, reads + 1) << "one reload for all";
  EXPECT_EQ(stale_hours(), 7);
}

TEST_F(SettingsTest, WaitsForTheReloadWhenTheSnapshotIsTooOld) {
  start();
  store_by_hand("agents.stale_hours", "7");
  clock_.advance(Milliseconds(12 * 5000 + 1));
  EXPECT_EQ(stale_hours(), 7) << "no old value past 12 TTLs";
}

// covers: S05_SET_07
TEST_F(SettingsTest, S05_SET_07_SeesItsOwnWriteAtOnceAndForGood) {
  start();
  ASSERT_TRUE(put("agents.stale_hours", "7"));
  EXPECT_EQ(stale_hours(), 7);
  EXPECT_EQ(service_->snapshot()->version(), 1);
  clock_.advance(Milliseconds(5001));
  EXPECT_EQ(settled()->integer(Setting::agents_stale_hours), 7);
}

// covers: S05_SET_08
TEST_F(SettingsTest, S05_SET_08_KeepsTheOldSnapshotWhileReloadsFail) {
  start();
  store_by_hand("agents.stale_hours", "7");
  database_.broken = true;
  clock_.advance(Milliseconds(5001));
  EXPECT_EQ(service_->stale_for(), Milliseconds(0));
  EXPECT_EQ(settled()->integer(Setting::agents_stale_hours), 24);
  EXPECT_GT(service_->stale_for(), Milliseconds(0));
  EXPECT_EQ(metric("ee_settings_reload_failures_total"), 1);
  clock_.advance(std::chrono::minutes(10));
  settled();
  EXPECT_GE(service_->stale_for(), std::chrono::minutes(10));
  EXPECT_EQ(metric("ee_settings_reload_failures_total"), 2);
  database_.broken = false;
  clock_.advance(Milliseconds(5001));
  EXPECT_EQ(settled()->integer(Setting::agents_stale_hours), 7);
  EXPECT_EQ(service_->stale_for(), Milliseconds(0));
}

TEST_F(SettingsTest, FailsToStartWithoutTheDatabase) {
  database_.broken = true;
  SettingsService service(config_of(Stage::dev), database_, clock_, random_, metrics_);
  EXPECT_EQ(service.load().error().code, ErrorCode::database_unavailable);
  EXPECT_EQ(service.snapshot()->integer(Setting::agents_stale_hours), 24);
}

TEST_F(SettingsTest, TellsListenersOfEachChange) {
  service_ = std::make_unique<SettingsService>(config_of(Stage::dev), database_, clock_, random_, metrics_);
  std::vector<std::int64_t> seen;
  service_->on_change([&](const SettingsSnapshot& now) { seen.push_back(now.integer(Setting::agents_stale_hours)); });
  ASSERT_TRUE(service_->load());
  ASSERT_TRUE(put("agents.stale_hours", "7"));
  store_by_hand("agents.stale_hours", "8");
  clock_.advance(Milliseconds(5001));
  settled();
  clock_.advance(Milliseconds(5001));
  settled();
  EXPECT_EQ(seen, (std::vector<std::int64_t>{7, 8}));
}

TEST_F(SettingsTest, ServesReadersWhileItIsWritten) {
  start();
  std::atomic<bool> done = false;
  {
    std::vector<std::jthread> readers;
    for (int i = 0; i < 3; ++i)
      readers.emplace_back([&] {
        std::int64_t last = 0;
        while (!done) {
          const auto settings = service_->snapshot();
          EXPECT_GE(settings->version(), last) << "never an older one";
          last = settings->version();
          EXPECT_EQ(settings->version() == 0 ? 24 : settings->version(),
                    settings->integer(Setting::agents_stale_hours));
        }
      });
    for (int i = 1; i <= 50; ++i) {
      EXPECT_TRUE(put("agents.stale_hours", std::to_string(i)));
      clock_.advance(Milliseconds(5001));
    }
    done = true;
  }
  EXPECT_EQ(stale_hours(), 50);
}

}  // namespace
}  // namespace ee::cp::settings_tests
