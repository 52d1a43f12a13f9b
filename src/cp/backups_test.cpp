// Backups and the way back (05 section 3.5), with the real database.
#include <gmock/gmock.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "cp/admin_tools.h"
#include "cp/jobs/maintenance_jobs.h"
#include "cp/service/backups.h"
#include "cp/store/schema.h"
#include "db/sqlite_backup.h"
#include "db/sqlite_files.h"
#include "tests/support/test_control_plane.h"

namespace ee::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class BackupsTest : public ::testing::Test {
 protected:
  void SetUp() override { EE_SKIP_ON_POSTGRES("its file is copied"); }
  fs::path database() const { return cp.config().database.sqlite_path; }
  fs::path backup() const { return dir_ / "copy.db"; }
  std::expected<cp::BackupFacts, db::StartError> copy() {
    return cp::make_backup(database(), backup(), "1.0", cp.clock, {});
  }
  void note(const std::string& key) { cp.execute("INSERT INTO meta (key, value) VALUES (:key, 'x')", {{"key", key}}); }
  bool knows(const std::string& key) {
    return !cp.values<std::string>("SELECT key FROM meta WHERE key=:key", {{"key", key}}).empty();
  }
  cp::ToolResult restore(bool force = true) { return cp::restore_tool(cp.config(), backup(), force, cp.clock); }

  /// Whether the sweep of orphaned tunnels keeps its hands off; otherwise it asks Cloudflare, which does not answer.
  bool holds_removals() {
    cp.clock.set_auto_advance(true);  // its retries wait
    const auto swept = cp.app().run_job("cloudflare_orphan_sweep");
    cp.clock.set_auto_advance(false);
    return swept && swept->notes == std::vector<std::string>{"restore_hold"};
  }

  TestControlPlane cp{{.environment = {{"CLOUDFLARE_ACCOUNT_ID", std::string(32, 'a')},
                                       {"CLOUDFLARE_ZONE_ID", std::string(32, 'b')},
                                       {"CLOUDFLARE_API_TOKEN", "token"},
                                       {"CLOUDFLARE_DOMAIN", "example.com"}}}};
  TempDir dir_;
};

// covers: S05_DB_13
TEST_F(BackupsTest, ACopyUnderLoadIsConsistent) {
  // Two rows that are always written together; enough pages that the copy takes many steps.
  cp.execute("CREATE TABLE pairs (n BIGINT PRIMARY KEY, a BIGINT NOT NULL, b TEXT NOT NULL)");
  const auto write = [&](std::int64_t n) {
    const auto done = cp.app().database().run_write([&](db::Transaction& tx) -> Result<void> {
      for (const std::int64_t half : {2 * n, 2 * n + 1}) {
        const auto put = tx.execute("INSERT INTO pairs (n, a, b) VALUES (:n, :a, :b)",
                                    {{"n", half}, {"a", n}, {"b", std::string(2000, 'x')}});
        if (!put) return std::unexpected(put.error());
      }
      return {};
    });
    ASSERT_TRUE(done);
  };
  for (std::int64_t n = 0; n < 600; ++n) write(n);
  std::atomic<bool> over = false;
  std::atomic<std::int64_t> written = 600;
  std::thread writer([&] {
    while (!over) write(written++);
  });
  const auto facts = copy();
  over = true;
  writer.join();
  ASSERT_TRUE(facts) << facts.error().detail;
  EXPECT_GT(written, 600);
  EXPECT_EQ(db::check_file(backup()), std::vector<std::string>());
  EXPECT_EQ(fs::status(backup()).permissions(), fs::perms::owner_read | fs::perms::owner_write);

  cp.stop();
  ASSERT_EQ(restore().exit_code, 0);
  cp.start();
  const std::int64_t halves = cp.values<std::int64_t>("SELECT COUNT(*) FROM pairs").front();
  EXPECT_GE(halves, 1200);
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM (SELECT a FROM pairs GROUP BY a HAVING COUNT(*)<>2) AS odd"),
            std::vector<std::int64_t>{0});
}

// covers: S05_DB_14
TEST_F(BackupsTest, ARestoreBringsBackWhatTheCopyHeldAndKeepsWhatWasThere) {
  note("before");
  const auto facts = copy();
  ASSERT_TRUE(facts) << facts.error().detail;
  EXPECT_EQ(facts->schema_version, cp::migrations().back().version);
  EXPECT_EQ(facts->env, "dev");
  EXPECT_EQ(facts->instance_id, cp.values<std::string>("SELECT value FROM meta WHERE key='instance_id'").front());
  note("after");
  cp.stop();

  const cp::ToolResult refused = restore(false);
  EXPECT_EQ(refused.exit_code, 4);
  EXPECT_THAT(refused.lines.front(), HasSubstr("database_exists"));
  const cp::ToolResult done = restore();
  ASSERT_EQ(done.exit_code, 0) << done.lines.front();
  cp.start();
  EXPECT_TRUE(knows("before"));
  EXPECT_FALSE(knows("after"));
  EXPECT_EQ(cp.values<std::int64_t>("SELECT COUNT(*) FROM accounts WHERE name='sys-platform'").front(), 1);

  // The database that was there is whole under its new name.
  cp.stop();
  fs::path aside;
  for (const auto& entry : fs::directory_iterator(database().parent_path()))
    if (entry.path().string().find(".replaced-") != std::string::npos) aside = entry.path();
  ASSERT_FALSE(aside.empty());
  fs::rename(aside, database());
  cp.start();
  EXPECT_TRUE(knows("after"));
}

// covers: S05_DB_15
TEST_F(BackupsTest, ADamagedForeignOrNewerBackupIsRefusedAndNothingChanges) {
  note("kept");
  ASSERT_TRUE(copy());
  cp.stop();
  const auto facts_file = cp::facts_path(backup());
  const auto read = [](const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  const auto write = [](const fs::path& path, const std::string& text) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
  };
  const std::string bytes = read(backup());
  const std::string facts = read(facts_file);
  const auto expect_refused = [&](const std::string& code, int exit_code) {
    const cp::ToolResult result = restore();
    EXPECT_EQ(result.exit_code, exit_code) << code;
    EXPECT_THAT(result.lines.front(), HasSubstr(code));
  };
  const auto with_facts = [&](const std::string& from, const std::string& to) {
    std::string changed = facts;
    const std::size_t at = changed.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    write(facts_file, changed.replace(at, from.size(), to));
  };

  std::string flipped = bytes;
  flipped[flipped.size() / 2] = static_cast<char>(flipped[flipped.size() / 2] ^ 1);
  write(backup(), flipped);
  expect_refused("backup_invalid", 4);
  write(backup(), bytes.substr(0, bytes.size() / 2));
  expect_refused("backup_invalid", 4);
  write(backup(), bytes);
  write(facts_file, "{");
  expect_refused("backup_invalid", 4);
  fs::remove(facts_file);
  expect_refused("backup_invalid", 4);
  with_facts(R"("schema_version":)" + std::to_string(cp::migrations().back().version), R"("schema_version":9999)");
  expect_refused("database_newer_than_binary", 4);
  with_facts(R"("env":"dev")", R"("env":"production")");
  expect_refused("environment_mismatch", 6);
  write(facts_file, facts);
  cp::Config other = cp.config();
  other.cluster_id = "another";
  EXPECT_EQ(cp::restore_tool(other, backup(), true, cp.clock).exit_code, 6);

  cp.start();
  EXPECT_TRUE(knows("kept"));
}

// covers: S05_DB_16
TEST_F(BackupsTest, NothingIsRestoredUnderARunningControlPlane) {
  ASSERT_TRUE(copy());
  const cp::ToolResult refused = restore();
  EXPECT_EQ(refused.exit_code, 4);
  EXPECT_THAT(refused.lines.front(), HasSubstr("database_in_use"));
  EXPECT_EQ(cp.call("GET", "/health").status, 200);
}

// covers: S05_DB_17
TEST_F(BackupsTest, ARestoreHoldsRemovalsForADayOrUntilAnAdministratorLiftsThem) {
  EXPECT_EQ(cp.admin("DELETE", "/api/v1/admin/cleanup/hold").body, R"({"held":false,"was_held":false})");
  ASSERT_TRUE(copy());
  const auto restored = [&] {
    cp.stop();
    ASSERT_EQ(restore().exit_code, 0);
    cp.start();
    EXPECT_EQ(cp.values<std::string>("SELECT value FROM meta WHERE key='restored_at'"),
              std::vector<std::string>{std::to_string(unix_ms(cp.clock.now()))});
  };
  restored();
  EXPECT_TRUE(holds_removals());
  EXPECT_EQ(cp.admin("DELETE", "/api/v1/admin/cleanup/hold").body, R"({"held":false,"was_held":true})");
  EXPECT_FALSE(holds_removals());
  EXPECT_EQ(cp.values<std::string>("SELECT action FROM audit_log WHERE action='reap_hold_lifted'").size(), 1U);

  restored();
  EXPECT_TRUE(holds_removals());
  cp.clock.advance(Seconds(24 * 3600));
  EXPECT_FALSE(holds_removals());
}

TEST_F(BackupsTest, TheJobKeepsTheNewestAndAFailedOneRemovesNothing) {
  const fs::path directory = dir_ / "backups";
  fs::path source = database();
  const auto run = [&] {
    const cp::JobDefinition job = cp::db_backup({.database = source,
                                                 .directory = directory,
                                                 .app_version = "1.0",
                                                 .keep = [] { return std::int64_t{2}; },
                                                 .period = [] { return Milliseconds(1); }},
                                                cp.clock);
    cp.clock.advance(Seconds(60));
    return job.run({.stop = {}, .deadline = cp.clock.steady_now() + job.timeout, .lease = {}}).has_value();
  };
  const auto files = [&] { return std::distance(fs::directory_iterator(directory), fs::directory_iterator()); };
  ASSERT_TRUE(run());
  std::ofstream(directory / "notes.txt") << "not ours";
  ASSERT_TRUE(run());
  ASSERT_TRUE(run());
  EXPECT_EQ(files(), 5) << "two backups, their facts, and the file that is not ours";
  EXPECT_EQ(fs::status(directory).permissions(), fs::perms::owner_all);
  source = dir_ / "absent.db";
  EXPECT_FALSE(run());
  EXPECT_EQ(files(), 5);
}

}  // namespace
}  // namespace ee::testing
