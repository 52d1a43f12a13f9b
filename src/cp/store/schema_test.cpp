#include "cp/store/schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/fake_random.h"
#include "tests/support/test_database.h"

namespace ee::cp {
namespace {

using testing::TestDatabase;

TEST(Schema, VersionsRunFromOneWithoutAGap) {
  int expected = 1;
  for (const auto& migration : migrations()) {
    EXPECT_EQ(migration.version, expected++);
    EXPECT_FALSE(migration.name.empty());
    EXPECT_FALSE(migration.sql.empty());
  }
  EXPECT_GE(expected, 5);
}

TEST(Schema, HoldsTheTablesOfTheSpec) {
  EE_SKIP_ON_POSTGRES("its own catalogue");
  TestDatabase db;
  EXPECT_THAT(db.values<std::string>("SELECT name FROM sqlite_master WHERE type = 'table'"),
              ::testing::IsSupersetOf({"schema_migrations", "meta", "settings", "idempotency_keys", "jobs", "job_runs",
                                       "audit_log", "attestation_nonces", "trusted_mrtds", "trusted_rtmr_profiles",
                                       "attestation_audit", "attestation_collateral", "agent_evidence", "agents",
                                       "agent_live", "agent_control_credentials", "admin_sessions", "login_throttle"}));
}

TEST(Schema, UsesOnlyTheColumnTypesBothEnginesShare) {
  EE_SKIP_ON_POSTGRES("its own catalogue");
  TestDatabase db;
  const auto types = db.values<std::string>(
      "SELECT DISTINCT upper(c.type) FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'");
  EXPECT_THAT(types, ::testing::Each(::testing::AnyOf("TEXT", "BIGINT", "INTEGER")));
}

TEST(Schema, TimesAreBigint) {
  EE_SKIP_ON_POSTGRES("its own catalogue");
  TestDatabase db;
  EXPECT_THAT(
      db.values<std::string>("SELECT DISTINCT upper(c.type) FROM sqlite_master m JOIN pragma_table_info(m.name) c "
                             "WHERE m.type = 'table' AND (c.name LIKE '%\\_at' ESCAPE '\\' OR c.name = 'at')"),
      ::testing::ElementsAre("BIGINT"));
}

TEST(Schema, EveryForeignKeyColumnHasAnIndex) {
  EE_SKIP_ON_POSTGRES("its own catalogue");
  TestDatabase db;
  const auto keys = db.values<std::string>(
      "SELECT m.name || '.' || f.\"from\" FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f "
      "WHERE m.type = 'table'");
  const auto indexed = db.values<std::string>(
      "SELECT m.name || '.' || c.name FROM sqlite_master m JOIN pragma_index_list(m.name) i "
      "JOIN pragma_index_info(i.name) c WHERE m.type = 'table' AND c.seqno = 0");
  EXPECT_FALSE(keys.empty());
  for (const auto& key : keys) EXPECT_THAT(indexed, ::testing::Contains(key));
}

TEST(Schema, APreparedDatabaseIsPreparedAgainWithoutAChange) {
  TestDatabase db;
  const SystemClock clock;
  FakeRandom random;
  const auto again = prepare_schema(*db, testing::test_identity(), clock, random);
  ASSERT_TRUE(again) << again.error().detail;
  EXPECT_EQ(again->migration.from, again->migration.to);
  EXPECT_TRUE(again->restored_guards.empty());
}

std::int64_t insert_audit(TestDatabase& db, const std::string& table, const std::string& id, UtcTime at) {
  const std::string columns = table == "audit_log" ? "actor, action, result) VALUES (:id, :at, 'system:x', 'x', 'ok')"
                                                   : "event, result) VALUES (:id, :at, 'policy_relaxed', 'info')";
  return db.execute("INSERT INTO " + table + " (id, at, " + columns, {{"id", id}, {"at", at}});
}

// covers: S05_AUD_02
TEST(Schema, AuditRowsAreNeverUpdatedAndYoungOnesNeverDeleted) {
  TestDatabase db;
  const UtcTime now = SystemClock().now();
  for (const std::string table : {"audit_log", "attestation_audit"}) {
    SCOPED_TRACE(table);
    if (testing::on_postgres())
      EXPECT_FALSE(db->run_write([&](db::Transaction& tx) -> Result<void> {
        if (auto emptied = tx.execute("TRUNCATE " + table); !emptied) return std::unexpected(emptied.error());
        return {};
      }));
    insert_audit(db, table, "young", now - std::chrono::days(89));
    insert_audit(db, table, "old", now - std::chrono::days(91));
    const auto attempt = [&](const std::string& sql) {
      return db->write<std::int64_t>([&](db::Transaction& t) { return t.execute(sql); });
    };
    EXPECT_FALSE(attempt("UPDATE " + table + " SET reason_code = 'changed' WHERE id = 'old'"));
    EXPECT_FALSE(attempt("DELETE FROM " + table + " WHERE id = 'young'"));
    if (!testing::on_postgres())
      EXPECT_FALSE(attempt("INSERT OR REPLACE INTO " + table + " SELECT * FROM " + table + " WHERE id = 'young'"));
    EXPECT_TRUE(attempt("DELETE FROM " + table + " WHERE id = 'old'"));
    EXPECT_THAT(db.values<std::string>("SELECT id FROM " + table), ::testing::ElementsAre("young"));
  }
}

TEST(Schema, ARemovedGuardComesBackAndIsReported) {
  EE_SKIP_ON_POSTGRES("its own catalogue");
  TestDatabase db;
  db.execute("DROP TRIGGER audit_log_no_update");
  db.execute("DROP TRIGGER audit_log_no_delete");
  db.execute("CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log WHEN 0 BEGIN SELECT 1; END");
  const SystemClock clock;
  FakeRandom random;
  const auto report = prepare_schema(*db, testing::test_identity(), clock, random);
  ASSERT_TRUE(report) << report.error().detail;
  EXPECT_THAT(report->restored_guards, ::testing::ElementsAre("audit_log_no_delete", "audit_log_no_update"));
  insert_audit(db, "audit_log", "a", clock.now());
  EXPECT_FALSE(db->write<std::int64_t>([](db::Transaction& t) { return t.execute("DELETE FROM audit_log"); }));
}

// covers: S05_DB_18
TEST(Schema, OnPostgresAWeakenedGuardComesBackAndIsReported) {
  if (!testing::on_postgres()) GTEST_SKIP() << "the test above is SQLite's";
  TestDatabase db;
  for (const char* attack :
       {"DROP TRIGGER audit_log_no_update ON audit_log", "ALTER TABLE audit_log DISABLE TRIGGER audit_log_no_delete",
        "ALTER TABLE transactions ENABLE TRIGGER transactions_no_truncate",
        R"(CREATE OR REPLACE FUNCTION guard_transactions_no_update() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RETURN NEW; END $$)",
        "ALTER FUNCTION guard_transactions_sealed() SET search_path = nowhere"})
    db.execute(attack);
  const SystemClock clock;
  FakeRandom random;
  const auto report = prepare_schema(*db, testing::test_identity(), clock, random);
  ASSERT_TRUE(report) << report.error().detail;
  EXPECT_THAT(report->restored_guards,
              ::testing::ElementsAre("audit_log_no_delete", "audit_log_no_update", "transactions_no_truncate",
                                     "transactions_no_update", "transactions_sealed"));
  EXPECT_TRUE(is_ledger_guard("transactions_no_truncate"));
  EXPECT_FALSE(is_ledger_guard("audit_log_no_truncate"));
  const auto again = prepare_schema(*db, testing::test_identity(), clock, random);
  ASSERT_TRUE(again);
  EXPECT_THAT(again->restored_guards, ::testing::IsEmpty());
}

TEST(Schema, AQuarantinedAgentHasAReasonAndNoOtherHas) {
  TestDatabase db;
  const auto insert = [&](const std::string& status, const std::string& reason) {
    return db->write<std::int64_t>([&](db::Transaction& t) {
      return t.execute(
          "INSERT INTO agents (id, vm_name, status, quarantine_reason, health_changed_at, attestation_state, "
          "registration_id, boot_id, placement_key, placement_scope, signing_key, sealing_key, mrtd, rtmrs, "
          "tcb_status, "
          "evidence_kind, attestation_summary, attested_at, attestation_due_at, node_size, datacenter, cloud, "
          "agent_version, vcpus, memory_mib, disk_mib, gpu_count, registered_at, created_at, updated_at) VALUES "
          "(:id, :id, :status, :reason, 0, 'verified', 'r', 'b', 'x', 'public', 's', 's', 'm', '[]', 'UpToDate', "
          "'dcap', '{}', 0, 0, 'tiny', 'gcp:z', 'gcp', '1', 1, 1, 1, 0, 0, 0, 0)",
          {{"id", status + reason},
           {"status", status},
           {"reason", reason.empty() ? std::optional<std::string>() : std::optional(reason)}});
    });
  };
  EXPECT_TRUE(insert("undeployed", ""));
  EXPECT_TRUE(insert("quarantined", "agent_lost"));
  EXPECT_FALSE(insert("quarantined", ""));
  EXPECT_FALSE(insert("undeployed", "agent_lost"));
  EXPECT_FALSE(insert("quarantined", "bored"));
}

TEST(TestDatabaseFixture, ARestartKeepsWhatWasWritten) {
  TestDatabase db;
  db.execute("INSERT INTO meta (key, value) VALUES ('k', 'v')");
  db.restart();
  EXPECT_EQ(db.value<std::string>("SELECT value FROM meta WHERE key = 'k'"), "v");
  EXPECT_EQ(db.value<std::string>("SELECT value FROM meta WHERE key = 'ee_env'"), "dev");
}

}  // namespace
}  // namespace ee::cp
