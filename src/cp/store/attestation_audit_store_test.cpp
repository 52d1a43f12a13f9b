#include "cp/store/attestation_audit_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/query_plan.h"
#include "tests/support/test_database.h"

namespace ee::cp {
namespace {

using testing::TestDatabase;

using ee::testing::PlanRow;

class AttestationAuditStoreTest : public ::testing::Test {
 protected:
  AttestationAuditRow row(const std::string& id, Seconds after = Seconds(0)) const {
    return {.id = id,
            .at = now_ + after,
            .event = AttestationEvent::registration_attestation_rejected,
            .result = AttestationResult::rejected};
  }
  void append(const AttestationAuditRow& row) {
    const auto done = db_->run_write([&](db::Transaction& tx) { return store_.append(tx, row); });
    ASSERT_TRUE(done) << done.error().detail;
  }
  std::vector<std::string> ids(const AttestationAuditFilter& filter, const PageRequest& page = {}) {
    std::vector<std::string> out;
    const auto found =
        db_->read<Page<AttestationAuditRow>>([&](db::Transaction& tx) { return store_.list(tx, filter, page); });
    EXPECT_TRUE(found);
    for (const auto& item : found->items) out.push_back(item.id);
    return out;
  }

  TestDatabase db_;
  AttestationAuditStore store_;
  UtcTime now_ = SystemClock().now();
};

TEST_F(AttestationAuditStoreTest, KeepsEveryField) {
  AttestationAuditRow full{.id = "id-1",
                           .at = now_,
                           .event = AttestationEvent::refresh_attestation_accepted,
                           .request_id = "r",
                           .result = AttestationResult::accepted,
                           .reason_code = "ok",
                           .warnings = "[\"jwks_stale\"]",
                           .agent_id = "a",
                           .vm_name = "v",
                           .actor = "agent:a",
                           .source_ip = "192.0.2.1",
                           .purpose = "refresh",
                           .nonce_id = "n",
                           .quote_sha256 = "q",
                           .mrtd = "m",
                           .rtmr0 = "0",
                           .rtmr1 = "1",
                           .rtmr2 = "2",
                           .rtmr3 = "3",
                           .td_attributes = "10000000",
                           .tcb_status = "UpToDate",
                           .fmspc = "f",
                           .advisory_ids = "[]",
                           .ita_token_sha256 = "t",
                           .verifier_mode = "dcap",
                           .policy_snapshot = "{}",
                           .details = "{\"registers\":[1]}",
                           .duration_ms = 12};
  append(full);
  const auto back =
      db_->read<std::optional<AttestationAuditRow>>([&](db::Transaction& tx) { return store_.get(tx, "id-1"); });
  ASSERT_TRUE(back && *back);
  EXPECT_EQ(**back, full);
}

/// Rows without an agent or a measurement, as those of garbage are, take no room in these two.
TEST_F(AttestationAuditStoreTest, SearchesByAgentAndMeasurementUseTheirIndexes) {
  EE_SKIP_ON_POSTGRES("it reads SQLite's query plan");
  const auto plan_of = [&](const std::string& sql, const db::Params& params) {
    std::string plan;
    for (const PlanRow& step : db_.values<PlanRow>("EXPLAIN QUERY PLAN " + sql, params)) plan += step.detail + "\n";
    return plan;
  };
  const std::string from = "FROM attestation_audit WHERE ";
  EXPECT_THAT(plan_of("SELECT id " + from + "1=1 AND agent_id=:agent ORDER BY at DESC, id DESC LIMIT :limit",
                      {{"agent", "a"}, {"limit", 50}}),
              ::testing::HasSubstr("attestation_audit_agent"));
  EXPECT_THAT(plan_of("SELECT COUNT(*) " + from + "agent_id=:agent AND at>=:since AND event='x'",
                      {{"agent", "a"}, {"since", 1}}),
              ::testing::HasSubstr("attestation_audit_agent"));
  EXPECT_THAT(
      plan_of("SELECT 1 " + from + "mrtd=:mrtd AND at>=:since AND event='x' LIMIT 1", {{"mrtd", "m"}, {"since", 1}}),
      ::testing::HasSubstr("attestation_audit_mrtd"));
}

TEST_F(AttestationAuditStoreTest, LongDetailsAreDroppedNotTheRow) {
  AttestationAuditRow long_row = row("long");
  long_row.details = std::string(8193, 'x');
  append(long_row);
  EXPECT_EQ(db_.value<std::string>("SELECT details FROM attestation_audit"), R"({"dropped":"too_long"})");
}

TEST_F(AttestationAuditStoreTest, ListsNewestFirstByFilterAndPage) {
  AttestationAuditRow other = row("c", Seconds(2));
  other.agent_id = "agent-1";
  other.reason_code = "mrtd_untrusted";
  other.mrtd = "m";
  other.vm_name = "vm";
  other.result = AttestationResult::accepted;
  append(row("a"));
  append(row("b", Seconds(1)));
  append(other);
  EXPECT_THAT(ids({}), ::testing::ElementsAre("c", "b", "a"));
  EXPECT_THAT(ids({.agent_id = "agent-1"}), ::testing::ElementsAre("c"));
  EXPECT_THAT(ids({.vm_name = "vm"}), ::testing::ElementsAre("c"));
  EXPECT_THAT(ids({.reason_code = "mrtd_untrusted", .mrtd = "m"}), ::testing::ElementsAre("c"));
  EXPECT_THAT(ids({.result = AttestationResult::rejected}), ::testing::ElementsAre("b", "a"));
  EXPECT_THAT(ids({.from = now_ + Seconds(1), .to = now_ + Seconds(2)}), ::testing::ElementsAre("b"));
  EXPECT_THAT(ids({}, {.limit = 2}), ::testing::ElementsAre("c", "b"));
  EXPECT_THAT(ids({}, {.limit = 2, .after = PagePosition{.at = now_ + Seconds(1), .id = "b"}}),
              ::testing::ElementsAre("a"));
}

TEST_F(AttestationAuditStoreTest, RetentionDeletesInSteps) {
  for (int i = 0; i < 3; ++i) append(row("old" + std::to_string(i), -std::chrono::days(200)));
  append(row("young"));
  const auto remove = [&] {
    return *db_->write<std::int64_t>(
        [&](db::Transaction& tx) { return store_.remove_before(tx, now_ - std::chrono::days(100), 2); });
  };
  EXPECT_EQ(remove(), 2);
  EXPECT_EQ(remove(), 1);
  EXPECT_EQ(remove(), 0);
  EXPECT_THAT(ids({}), ::testing::ElementsAre("young"));
}

}  // namespace
}  // namespace ee::cp
