// The command line of ee-cp beside `serve`, with the real program.
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>

#include "common/ed25519.h"
#include "db/sqlite_database.h"
#include "tests/e2e/control_plane_process.h"
#include "tests/support/raw_client.h"

namespace ee::testing {
namespace {

class CommandLine : public ::testing::Test {
 protected:
  struct Ended {
    int exit_code = -1;
    std::string output;
  };
  /// `input`: what standard input holds.
  Ended run(const std::string& arguments, const std::string& input = "") {
    const auto in = dir_ / "input", out = dir_ / ("output-" + std::to_string(++runs_));
    std::ofstream(in) << input;
    ChildProcess process({"/bin/sh", "-c", program("ee-cp") + " " + arguments + " < " + in.string()}, environment_,
                         out);
    const auto code = process.wait(60000);
    return {.exit_code = code.value_or(-1), .output = process.output()};
  }
  TempDir dir_;
  int runs_ = 0;
  std::map<std::string, std::string> environment_ = {
      {"EE_ENV", "dev"}, {"EE_DATABASE_URL", "sqlite:" + (dir_ / "easyenclave.db").string()}};
};

TEST_F(CommandLine, MigratesOnceAndSaysWhatItWouldDo) {
  const Ended plan = run("migrate --dry-run");
  EXPECT_EQ(plan.exit_code, 0) << plan.output;
  EXPECT_NE(plan.output.find("schema version 0, would be "), std::string::npos) << plan.output;
  EXPECT_NE(plan.output.find("001 operations"), std::string::npos) << plan.output;
  EXPECT_EQ(run("db-check").exit_code, 4) << "nothing was done";
  const Ended done = run("migrate");
  EXPECT_EQ(done.exit_code, 0) << done.output;
  EXPECT_NE(done.output.find(", was 0"), std::string::npos) << done.output;
  const Ended again = run("migrate");
  EXPECT_EQ(again.exit_code, 0) << again.output;
  EXPECT_EQ(again.output.find(", was 0"), std::string::npos) << again.output;
  EXPECT_EQ(run("db-check").output, "no findings\n");
  environment_["EE_CLUSTER_ID"] = "another";
  const Ended other = run("migrate");
  EXPECT_EQ(other.exit_code, 6) << other.output;
  EXPECT_NE(other.output.find("environment_mismatch"), std::string::npos) << other.output;
}

TEST_F(CommandLine, FindsDamage) {
  ASSERT_EQ(run("migrate").exit_code, 0);
  ASSERT_EQ(run("settings set agents.stale_hours 7").exit_code, 0);
  ASSERT_EQ(run("db-check").exit_code, 0);
  // A row of the audit log is changed by somebody who knows how to get past the guards.
  db::SqliteOptions options{.path = dir_ / "easyenclave.db", .strict = false};
  SystemClock clock;
  {
    auto database = db::SqliteDatabase::open(options, clock);
    ASSERT_TRUE(database);
    const auto changed = (*database)->write<std::int64_t>([](db::Transaction& tx) -> Result<std::int64_t> {
      if (auto dropped = tx.execute("DROP TRIGGER audit_log_no_update"); !dropped) return dropped;
      return tx.execute("UPDATE audit_log SET actor = 'nobody'");
    });
    ASSERT_TRUE(changed) << changed.error().detail;
  }
  const Ended found = run("db-check");
  EXPECT_EQ(found.exit_code, 4);
  EXPECT_NE(found.output.find("the audit log's chain is broken"), std::string::npos) << found.output;
}

TEST_F(CommandLine, FindsABalanceThatTheLedgerDoesNotExplain) {
  ASSERT_EQ(run("migrate").exit_code, 0);
  ASSERT_EQ(run("db-check").output, "no findings\n");
  {
    SystemClock clock;
    auto database = db::SqliteDatabase::open({.path = dir_ / "easyenclave.db", .strict = false}, clock);
    ASSERT_TRUE(database);
    const auto changed = (*database)->write<std::int64_t>([](db::Transaction& tx) {
      return tx.execute(
          "UPDATE account_balances SET balance_micros = balance_micros + 1 WHERE account_id ="
          " (SELECT MIN(account_id) FROM account_balances)");
    });
    ASSERT_TRUE(changed) << changed.error().detail;
    ASSERT_EQ(*changed, 1);
  }
  const Ended found = run("db-check");
  EXPECT_EQ(found.exit_code, 4);
  EXPECT_NE(found.output.find("the ledger is not sound: balance"), std::string::npos) << found.output;
}

TEST_F(CommandLine, ReadsAndChangesSettings) {
  EXPECT_EQ(run("settings get agents.stale_hours").output, "24\n");
  const Ended set = run("settings set agents.stale_hours 7");
  EXPECT_EQ(set.exit_code, 0) << set.output;
  EXPECT_EQ(set.output, "agents.stale_hours = 7  (database)\n");
  EXPECT_EQ(run("settings get agents.stale_hours").output, "7\n");
  EXPECT_EQ(run("settings reset agents.stale_hours").output, "agents.stale_hours = 24  (default)\n");
  EXPECT_NE(run("settings list").output.find("agents.stale_hours = 24  (default)\n"), std::string::npos);

  EXPECT_EQ(run("settings set intel_ta.api_key planted-secret-4711").exit_code, 2) << "others could see it";
  const Ended secret = run("settings set intel_ta.api_key -", "planted-secret-4711\n");
  EXPECT_EQ(secret.exit_code, 0) << secret.output;
  EXPECT_EQ(secret.output, "intel_ta.api_key = (secret, set)  (database)\n");
  EXPECT_EQ(run("settings get intel_ta.api_key").output, "(secret, set)\n");
  EXPECT_EQ(run("settings list").output.find("planted-secret"), std::string::npos);

  const Ended wrong = run("settings set agents.stale_hours 0");
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_NE(wrong.output.find("setting_invalid: agents.stale_hours"), std::string::npos) << wrong.output;
  EXPECT_EQ(run("settings get no.such_key").exit_code, 2);
  EXPECT_EQ(run("settings").exit_code, 2);
  EXPECT_EQ(run("settings set agents.stale_hours").exit_code, 2);
}

// covers: S01_POL_009
TEST_F(CommandLine, GuardrailsRefuseTheStartOutsideDev) {
  SystemRandom random;
  environment_ = {{"EE_ENV", "staging"},
                  {"EE_CLUSTER_ID", "staging-1"},
                  {"EE_PUBLIC_URL", "https://cp.example.com"},
                  {"EE_BIND", "127.0.0.1:0"},
                  {"EE_DATABASE_URL", "sqlite:" + (dir_ / "staging.db").string()},
                  {"EE_SECRETS_KEY", to_base64(ByteArray<32>{1, 2, 3})},
                  {"EE_CP_SIGNING_KEY", Ed25519PrivateKey::generate(random)->to_pkcs8_pem()},
                  {"STAGING_CLOUDFLARE_ACCOUNT_ID", std::string(32, 'a')},
                  {"STAGING_CLOUDFLARE_ZONE_ID", std::string(32, 'b')},
                  {"STAGING_CLOUDFLARE_API_TOKEN", "token"},
                  {"STAGING_CLOUDFLARE_DOMAIN", "example.com"},
                  {"STAGING_ITA_API_KEY", "key"},
                  {"STAGING_GCP_PROJECT_ID", "project-1"},
                  {"EE_GCP_AUTH_MODE", "metadata"}};
  const auto good = environment_;
  EXPECT_EQ(run("check-config").exit_code, 0) << run("check-config").output;
  const std::pair<std::map<std::string, std::string>, const char*> rows[] = {
      {{{"EE_ALLOW_EMULATED_TDX", "1"}}, "emulated_tdx_forbidden"},
      {{{"TCB_ENFORCEMENT_MODE", "warn"}}, "strict_policy_required"},
      {{{"RTMR_ENFORCEMENT_MODE", "disabled"}, {"EE_ALLOW_RELAXED_POLICY", "1"}}, "strict_policy_required"},
      {{{"STAGING_ITA_API_KEY", ""}}, "verifier_missing"},
      {{{"STAGING_GCP_PROJECT_ID", ""}}, "gcp_missing"},
      {{{"STAGING_GCP_SERVICE_ACCOUNT_KEY", "{}"}, {"EE_GCP_AUTH_MODE", "key"}}, "gcp_missing"},
      {{{"EE_GCP_IMAGE", "projects/ubuntu-os-cloud/global/images/family/ubuntu"}}, "gcp_image_not_pinned"}};
  for (const auto& [change, slug] : rows) {
    environment_ = good;
    for (const auto& [name, value] : change) environment_[name] = value;
    const Ended refused = run("serve");
    EXPECT_EQ(refused.exit_code, 6) << slug << refused.output;
    EXPECT_NE(refused.output.find(slug), std::string::npos) << refused.output;
    EXPECT_EQ(run("check-config").exit_code, 6) << slug;
  }
}

TEST(CommandLineBeside, ARunningControlPlaneKeepsItsDatabase) {
  ControlPlaneProcess control_plane;
  control_plane.start();
  TempDir dir;
  for (const std::string& command : {std::string("migrate"), std::string("db-check")}) {
    ChildProcess beside({program("ee-cp"), command},
                        {{"EE_ENV", "dev"}, {"EE_DATABASE_URL", "sqlite:" + control_plane.database().string()}},
                        dir / "output");
    EXPECT_EQ(beside.wait(60000), 4);
    EXPECT_NE(beside.output().find("database_in_use"), std::string::npos) << beside.output();
  }
  EXPECT_EQ(control_plane.stop(), 0);
}

// covers: S05_OPS_04
TEST(Signals, ASecondSignalEndsTheProcessAtOnce) {
  ControlPlaneProcess control_plane(std::map<std::string, std::string>{{"EE_SHUTDOWN_GRACE_SECONDS", "300"}});
  control_plane.start();
  const std::string& url = control_plane.url();
  RawClient slow(static_cast<std::uint16_t>(std::stoi(url.substr(url.rfind(':') + 1))));
  slow.send(
      "POST /api/v1/agents/challenge HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
      "Content-Length: 100\r\n\r\n{");
  ASSERT_EQ(control_plane.call("GET", "/health").status, 200);
  control_plane.process()->signal(SIGTERM);
  ASSERT_TRUE(eventually([&] { return control_plane.call("GET", "/ready").status != 200; }));
  EXPECT_TRUE(control_plane.process()->running()) << "it waits for the request that is under way";
  EXPECT_TRUE(eventually([&] {
    control_plane.process()->signal(SIGTERM);
    return !control_plane.process()->running();
  })) << control_plane.process()->output();
  EXPECT_EQ(control_plane.process()->wait(10000), 1);
}

}  // namespace
}  // namespace ee::testing
