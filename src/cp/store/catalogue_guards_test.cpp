// The database itself keeps what was published and who was promised a share (03 sections 7.2 and 8).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/test_accounts.h"

namespace ee::cp {
namespace {

using ::testing::HasSubstr;

struct CatalogueGuards : ::testing::Test {
  CatalogueGuards() {
    const AccountId account = testing::add_test_account(db, 1);
    db.execute(
        "INSERT INTO apps (id, name, owner_account_id, created_at, updated_at) VALUES ('a', 'shop', :account, 0, 0), "
        "('b', 'other', :account, 0, 0)",
        {{"account", account}});
    db.execute(
        "INSERT INTO app_versions (id, app_id, version, node_size, compose, compose_sha256, status, published_by, "
        "published_at, next_attempt_at) VALUES ('v', 'a', '1.0', '', 'services: {}', 'cc', 'pending', 'x', 0, 0)");
    db.execute(
        "INSERT INTO app_share_sets (id, app_id, set_version, effective_at, total_bps, created_at, created_by) VALUES "
        "('s', 'a', 1, 3600000, 7000, 0, 'x')");
    db.execute(
        "INSERT INTO app_revenue_shares (id, app_id, set_id, account_id, share_bps, position, created_at, created_by) "
        "VALUES ('r', 'a', 's', :account, 7000, 0, 0, 'x')",
        {{"account", account}});
  }
  std::string statement(const std::string& sql) {
    const auto done = db->write<std::int64_t>([&](db::Transaction& tx) { return tx.execute(sql); });
    return done ? "ok" : done.error().detail;
  }
  void set(const std::string& assignment) { db.execute("UPDATE app_versions SET " + assignment + " WHERE id='v'"); }

  testing::TestDatabase db;
};

constexpr const char* kMeasured =
    "status='attested', attested_at=1, resolved_compose='r', images='i', compose_hash='c', workload_hash='w', "
    "measurement='m'";

TEST_F(CatalogueGuards, S03_VER_003_AVersionsContentIsNeverUpdated) {
  for (const std::string column :
       {"id", "version", "node_size", "compose", "compose_sha256", "ingress", "health_path", "declared_digests"})
    EXPECT_THAT(statement("UPDATE app_versions SET " + column + "='changed'"), HasSubstr("version_content_immutable"))
        << column;
  EXPECT_THAT(statement("UPDATE app_versions SET app_id='b'"), HasSubstr("version_content_immutable"));
  EXPECT_EQ(statement("UPDATE app_versions SET compose=compose, attempts=attempts+1"), "ok");
}

// covers: S03_VER_003
TEST_F(CatalogueGuards, WhatWasMeasuredIsWrittenOnce) {
  set(kMeasured);
  for (const std::string column : {"resolved_compose", "images", "compose_hash", "workload_hash", "measurement"}) {
    EXPECT_THAT(statement("UPDATE app_versions SET " + column + "='changed'"), HasSubstr("version_content_immutable"))
        << column;
    EXPECT_NE(statement("UPDATE app_versions SET " + column + "=NULL"), "ok") << column;
  }
  EXPECT_EQ(statement("UPDATE app_versions SET mrtd='aa'"), "ok");
  EXPECT_THAT(statement("UPDATE app_versions SET mrtd='bb'"), HasSubstr("version_content_immutable"));
  EXPECT_THAT(statement("UPDATE app_versions SET mrtd=NULL"), HasSubstr("version_content_immutable"));
  EXPECT_EQ(statement("UPDATE app_versions SET status='yanked', yanked_at=2"), "ok");
}

TEST_F(CatalogueGuards, AVersionIsNeitherDeletedNorReplaced) {
  EXPECT_NE(statement("DELETE FROM app_versions"), "ok");
  EXPECT_NE(statement("INSERT OR REPLACE INTO app_versions SELECT * FROM app_versions"), "ok");
  EXPECT_NE(statement("INSERT OR REPLACE INTO app_versions (id, app_id, version, node_size, compose, compose_sha256, "
                      "status, published_by, published_at, next_attempt_at) VALUES ('new', 'a', '1.0', '', 'x', 'x', "
                      "'pending', 'x', 0, 0)"),
            "ok");
  EXPECT_EQ(db.value<std::string>("SELECT id || compose FROM app_versions"), "vservices: {}");
}

TEST_F(CatalogueGuards, AnAttestedVersionHasItsMeasurementAndOnlyARejectedOneACode) {
  EXPECT_NE(statement("UPDATE app_versions SET status='attested', attested_at=1"), "ok");
  EXPECT_NE(statement("UPDATE app_versions SET status='rejected'"), "ok");
  EXPECT_NE(statement("UPDATE app_versions SET rejection_code='image_not_found'"), "ok");
  EXPECT_NE(statement("UPDATE app_versions SET status='measuring'"), "ok");
  EXPECT_EQ(statement("UPDATE app_versions SET status='rejected', rejection_code='image_not_found'"), "ok");
}

TEST_F(CatalogueGuards, ListsOfSharesAreOnlyAddedTo) {
  for (const std::string sql : {"UPDATE app_share_sets SET effective_at=0", "DELETE FROM app_share_sets",
                                "UPDATE app_revenue_shares SET share_bps=1", "DELETE FROM app_revenue_shares"})
    EXPECT_THAT(statement(sql), HasSubstr("shares_append_only")) << sql;
  EXPECT_NE(statement("INSERT INTO app_share_sets (id, app_id, set_version, effective_at, total_bps, created_at, "
                      "created_by) VALUES ('t', 'a', 2, 3600001, 0, 0, 'x')"),
            "ok")
      << "not at a full hour";
}

TEST_F(CatalogueGuards, AnAppIsArchivedAndNeverDeleted) {
  EXPECT_THAT(statement("DELETE FROM apps WHERE id='b'"), HasSubstr("app_names_stay_taken"));
}

}  // namespace
}  // namespace ee::cp
