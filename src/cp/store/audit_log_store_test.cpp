#include "cp/store/audit_log_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/fake_random.h"
#include "common/id.h"
#include "cp/store/attestation_audit_store.h"
#include "tests/support/test_database.h"

namespace ee::cp {
namespace {

using testing::TestDatabase;

class AuditLogStoreTest : public ::testing::Test {
 protected:
  std::string append(const std::string& action, UtcTime at, const AuditEntry& rest = {}) {
    AuditEntry entry = rest;
    entry.action = action;
    if (entry.actor.empty()) entry.actor = "system:test";
    const auto id = db_->write<std::string>([&](db::Transaction& tx) { return store_.append(tx, entry, at, random_); });
    EXPECT_TRUE(id) << id.error().detail;
    return id.value_or("");
  }
  Page<AuditRow> list(const AuditFilter& filter = {}, const PageRequest& page = {}) {
    auto found = db_->read<Page<AuditRow>>([&](db::Transaction& tx) { return store_.list(tx, filter, page); });
    EXPECT_TRUE(found) << found.error().detail;
    return found.value_or(Page<AuditRow>{});
  }
  std::vector<std::string> actions(const AuditFilter& filter = {}) {
    std::vector<std::string> out;
    for (const AuditRow& row : list(filter).items) out.push_back(row.action);
    return out;
  }
  /// Where the chain is broken, or "ok".
  std::string check(std::int64_t step = 2) {
    AuditChainCheck chain;
    for (bool more = true; more;) {
      const auto done = db_->read<bool>([&](db::Transaction& tx) { return chain.step(tx, step); });
      EXPECT_TRUE(done);
      more = done.value_or(false);
    }
    return chain.broken_at().value_or("ok");
  }
  std::int64_t remove_before(UtcTime before, std::int64_t limit) {
    const auto removed =
        db_->write<std::int64_t>([&](db::Transaction& tx) { return store_.remove_before(tx, before, limit); });
    EXPECT_TRUE(removed) << removed.error().detail;
    return removed.value_or(-1);
  }

  TestDatabase db_;
  AuditLogStore store_;
  FakeRandom random_;
  UtcTime now_ = SystemClock().now();
};

TEST_F(AuditLogStoreTest, KeepsEveryField) {
  const std::string id = append("setting_changed", now_,
                                {.actor = "admin:s1",
                                 .object_type = "setting",
                                 .object_id = "ops.x",
                                 .result = AuditResult::refused,
                                 .reason_code = "setting_invalid",
                                 .request_id = "r1",
                                 .client_address = "192.0.2.1",
                                 .detail = R"({"before":1,"after":2})"});
  const auto page = list();
  ASSERT_EQ(page.items.size(), 1U);
  const AuditRow& row = page.items.front();
  EXPECT_EQ(row.id, id);
  EXPECT_TRUE(is_uuid(id));
  EXPECT_EQ(row.at, now_);
  EXPECT_EQ(row.actor, "admin:s1");
  EXPECT_EQ(row.object_id, "ops.x");
  EXPECT_EQ(row.result, AuditResult::refused);
  EXPECT_EQ(row.reason_code, "setting_invalid");
  EXPECT_EQ(row.client_address, "192.0.2.1");
  EXPECT_EQ(row.detail, R"({"before":1,"after":2})");
}

// covers: S05_AUD_04
TEST_F(AuditLogStoreTest, SecretsInDetailsAreTakenOut) {
  append("x", now_, {.detail = R"({"text":"sk_live_abcdefghijklmnopqrst","password":"planted-password"})"});
  const std::string detail = list().items.at(0).detail.value_or("");
  EXPECT_EQ(detail.find("abcdefghijklmnop"), std::string::npos) << detail;
  EXPECT_EQ(detail.find("planted-password"), std::string::npos) << detail;
}

TEST_F(AuditLogStoreTest, ADetailThatIsTooLongOrNoObjectIsDroppedNotTheRow) {
  append("long", now_, {.detail = R"({"a":")" + std::string(5000, 'x') + "\"}"});
  append("broken", now_, {.detail = "{"});
  append("list", now_, {.detail = "[1]"});
  std::vector<std::string> details;
  for (const AuditRow& row : list().items) details.push_back(*row.detail);
  EXPECT_THAT(details, ::testing::ElementsAre(R"({"dropped":"not_an_object"})", R"({"dropped":"not_an_object"})",
                                              R"({"dropped":"too_long"})"));
}

TEST_F(AuditLogStoreTest, IsNewestFirstAlsoWithinAMillisecondAndWhenTheClockStepsBack) {
  append("1", now_);
  append("2", now_);
  append("3", now_);
  append("4", now_ - Seconds(100));
  append("5", now_ + Seconds(1));
  EXPECT_THAT(actions(), ::testing::ElementsAre("5", "4", "3", "2", "1"));
  EXPECT_EQ(list().items[1].at, now_);
  EXPECT_EQ(list().items[1].detail, R"({"clock_said":")" + to_rfc3339(now_ - Seconds(100)) + "\"}");
  EXPECT_EQ(list().items[2].detail, "{}");
  EXPECT_EQ(check(), "ok");
}

TEST_F(AuditLogStoreTest, PagesThroughEverythingOnce) {
  for (int i = 0; i < 7; ++i) append(std::to_string(i), now_ + Milliseconds(i / 3));
  std::vector<std::string> seen;
  PageRequest request{.limit = 2};
  for (int pages = 0; pages < 10; ++pages) {
    const auto page = list({}, request);
    for (const AuditRow& row : page.items) seen.push_back(row.action);
    if (!page.next) break;
    request.after = page.next;
  }
  EXPECT_THAT(seen, ::testing::ElementsAre("6", "5", "4", "3", "2", "1", "0"));
}

TEST_F(AuditLogStoreTest, FiltersByEachField) {
  append("a", now_, {.actor = "admin:1", .object_type = "agent", .object_id = "x"});
  append("b", now_ + Seconds(1), {.actor = "admin:2", .object_type = "setting", .object_id = "y"});
  append("a", now_ + Seconds(2), {.actor = "admin:2", .result = AuditResult::failed});
  EXPECT_THAT(actions({.action = "a"}), ::testing::SizeIs(2));
  EXPECT_THAT(actions({.actor = "admin:1"}), ::testing::ElementsAre("a"));
  EXPECT_THAT(actions({.object_type = "setting", .object_id = "y"}), ::testing::ElementsAre("b"));
  EXPECT_THAT(actions({.result = AuditResult::failed}), ::testing::ElementsAre("a"));
  EXPECT_THAT(actions({.since = now_ + Seconds(1)}), ::testing::ElementsAre("a", "b"));
  EXPECT_THAT(actions({.until = now_ + Seconds(1)}), ::testing::ElementsAre("a"));
  EXPECT_THAT(actions({.action = "a", .actor = "admin:2"}), ::testing::SizeIs(1));
  EXPECT_THAT(actions({.action = "a' OR '1'='1"}), ::testing::IsEmpty());
}

TEST_F(AuditLogStoreTest, ShowsAttestationDecisionsInTheirPlace) {
  append("first", now_);
  const AttestationAuditRow refused{.id = *new_uuid_v7(now_ + Seconds(1), random_),
                                    .at = now_ + Seconds(1),
                                    .event = AttestationEvent::registration_attestation_rejected,
                                    .result = AttestationResult::rejected,
                                    .reason_code = "mrtd_untrusted",
                                    .vm_name = "vm-1",
                                    .source_ip = "192.0.2.9"};
  const AttestationAuditRow accepted{.id = *new_uuid_v7(now_ + Seconds(2), random_),
                                     .at = now_ + Seconds(2),
                                     .event = AttestationEvent::refresh_attestation_accepted,
                                     .result = AttestationResult::accepted,
                                     .agent_id = "agent-1"};
  for (const auto& row : {refused, accepted}) {
    ASSERT_TRUE(db_->run_write([&](db::Transaction& tx) { return AttestationAuditStore().append(tx, row); }));
  }
  append("last", now_ + Seconds(3));
  EXPECT_THAT(actions(), ::testing::ElementsAre("last", "refresh_attestation_accepted",
                                                "registration_attestation_rejected", "first"));
  const auto only = list({.result = AuditResult::refused}).items;
  ASSERT_EQ(only.size(), 1U);
  EXPECT_EQ(only[0].actor, "anonymous");
  EXPECT_EQ(only[0].object_id, "vm-1");
  EXPECT_EQ(only[0].client_address, "192.0.2.9");
  EXPECT_EQ(list({.actor = "agent:agent-1"}).items.size(), 1U);
}

// covers: S05_AUD_03
TEST_F(AuditLogStoreTest, TheChainShowsAChangedARemovedAndACutRow) {
  EXPECT_EQ(check(), "ok");
  for (int i = 0; i < 5; ++i) append(std::to_string(i), now_ + Milliseconds(i));
  EXPECT_EQ(check(), "ok");
  const std::string on_table = testing::on_postgres() ? " ON audit_log" : "";
  db_.execute("DROP TRIGGER audit_log_no_update" + on_table);
  db_.execute("DROP TRIGGER audit_log_no_delete" + on_table);
  const auto ids = db_.values<std::string>("SELECT id FROM audit_log ORDER BY at, id");

  db_.execute("UPDATE audit_log SET actor = 'somebody else' WHERE id = :id", {{"id", ids[2]}});
  EXPECT_EQ(check(), ids[2]);
  db_.execute("UPDATE audit_log SET actor = 'system:test' WHERE id = :id", {{"id", ids[2]}});
  EXPECT_EQ(check(), "ok");

  db_.execute("CREATE TABLE kept AS SELECT * FROM audit_log");
  db_.execute("DELETE FROM audit_log WHERE id = :id", {{"id", ids[1]}});
  EXPECT_EQ(check(), ids[2]);
  db_.execute("DELETE FROM audit_log");
  db_.execute("INSERT INTO audit_log SELECT * FROM kept");
  db_.execute("DELETE FROM audit_log WHERE id = :id", {{"id", ids[4]}});
  EXPECT_EQ(check(), "head");
}

TEST_F(AuditLogStoreTest, RetentionDeletesTheOldestAndTheChainStillHolds) {
  const UtcTime old = now_ - std::chrono::days(400);
  for (int i = 0; i < 5; ++i) append("old" + std::to_string(i), old + Milliseconds(i / 2));
  append("young", now_);
  EXPECT_EQ(remove_before(now_ - std::chrono::days(100), 3), 3);
  EXPECT_EQ(check(), "ok");
  EXPECT_THAT(actions(), ::testing::ElementsAre("young", "old4", "old3"));
  EXPECT_EQ(remove_before(now_ - std::chrono::days(100), 3), 2);
  EXPECT_EQ(remove_before(now_ - std::chrono::days(100), 3), 0);
  EXPECT_EQ(check(), "ok");
  append("younger", now_ + Seconds(1));
  EXPECT_EQ(check(), "ok");
}

TEST_F(AuditLogStoreTest, ARolledBackEffectLeavesNoRowAndNoGap) {
  append("kept", now_);
  const auto failed = db_->run_write([&](db::Transaction& tx) -> Result<void> {
    EXPECT_TRUE(store_.append(tx, {.actor = "a", .action = "lost"}, now_, random_));
    return fail(ErrorCode::version_mismatch);
  });
  EXPECT_FALSE(failed);
  append("next", now_);
  EXPECT_THAT(actions(), ::testing::ElementsAre("next", "kept"));
  EXPECT_EQ(check(), "ok");
}

TEST_F(AuditLogStoreTest, WithoutRandomNumbersNothingIsWritten) {
  random_.set_failing(true);
  EXPECT_FALSE(db_->write<std::string>(
      [&](db::Transaction& tx) { return store_.append(tx, {.actor = "a", .action = "x"}, now_, random_); }));
  EXPECT_THAT(actions(), ::testing::IsEmpty());
}

}  // namespace
}  // namespace ee::cp
