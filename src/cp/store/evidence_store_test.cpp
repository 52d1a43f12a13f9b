#include "cp/store/evidence_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cp/store/trust_store.h"
#include "tests/support/test_database.h"

namespace ee::cp {
namespace {

using testing::TestDatabase;

class EvidenceStoreTest : public ::testing::Test {
 protected:
  void insert_agent(const std::string& id, const std::string& status = "undeployed") {
    db_.execute(
        "INSERT INTO agents (id, vm_name, status, health_changed_at, attestation_state, registration_id, boot_id, "
        "placement_key, placement_scope, signing_key, sealing_key, mrtd, rtmrs, tcb_status, evidence_kind, "
        "attestation_summary, attested_at, attestation_due_at, node_size, datacenter, cloud, agent_version, vcpus, "
        "memory_mib, disk_mib, gpu_count, registered_at, created_at, updated_at) VALUES (:id, :id, :status, 0, "
        "'verified', 'r', 'b', 'x', 'public', 's', 's', 'm', '[]', 'UpToDate', 'dcap', '{}', 0, 0, 'tiny', 'gcp:z', "
        "'gcp', '1', 1, 1, 1, 0, 0, 0, 0)",
        {{"id", id}, {"status", status}});
  }
  EvidenceRow row(const std::string& agent, std::int64_t policy_version = 1) const {
    return {.agent_id = AgentId(agent),
            .kind = "dcap",
            .quote = "cXVvdGU=",
            .preimage = "cA==",
            .mrtd = "m",
            .rtmr0 = "0",
            .rtmr1 = "1",
            .rtmr2 = "2",
            .rtmr3 = "3",
            .td_attributes = "10000000",
            .tcb_status = "UpToDate",
            .fmspc = "00806f050000",
            .node_size = "tiny",
            .binding = "b",
            .advisory_ids = R"(["INTEL-SA-1"])",
            .warnings = "[]",
            .policy_snapshot = "{}",
            .rtmr_profile_id = "p",
            .verifier_mode = "dcap",
            .policy_version = policy_version,
            .attested_at = from_unix_ms(5),
            .audit_id = "audit"};
  }
  Result<void> put(const EvidenceRow& row) {
    return db_->run_write([&](db::Transaction& tx) { return store_.put(tx, row); });
  }
  std::optional<EvidenceRow> get(const std::string& agent) {
    return *db_->read<std::optional<EvidenceRow>>([&](db::Transaction& tx) { return store_.get(tx, AgentId(agent)); });
  }

  TestDatabase db_;
  EvidenceStore store_;
};

TEST_F(EvidenceStoreTest, KeepsTheLastAcceptedEvidenceOfAnAgent) {
  insert_agent("a");
  ASSERT_TRUE(put(row("a")));
  EXPECT_EQ(get("a"), row("a"));
  EvidenceRow newer = row("a", 2);
  newer.quote = "bmV3";
  newer.fmspc.reset();
  newer.rtmr_profile_id.reset();
  ASSERT_TRUE(put(newer));
  EXPECT_EQ(get("a"), newer);
  EXPECT_EQ(get("b"), std::nullopt);
}

TEST_F(EvidenceStoreTest, BelongsToAnAgentAndGoesWithIt) {
  EXPECT_EQ(put(row("nobody")).error().code, ErrorCode::in_use);
  insert_agent("a");
  ASSERT_TRUE(put(row("a")));
  db_.execute("DELETE FROM agents WHERE id = 'a'");
  EXPECT_EQ(get("a"), std::nullopt);
}

TEST_F(EvidenceStoreTest, GivesTheOldestPolicyFirstAndOneOfTwoEvaluatorsWins) {
  for (const auto& [agent, version] : {std::pair{"a", 3}, {"b", 1}, {"c", 2}, {"d", 4}}) {
    insert_agent(agent);
    ASSERT_TRUE(put(row(agent, version)));
  }
  const auto outdated = [&](std::int64_t limit) {
    std::string agents;
    const auto rows =
        db_->read<std::vector<EvidenceRow>>([&](db::Transaction& tx) { return store_.outdated(tx, 4, limit); });
    for (const auto& found : *rows) agents += found.agent_id.str();
    return agents;
  };
  EXPECT_EQ(outdated(10), "bca");
  EXPECT_EQ(outdated(2), "bc");
  const auto mark = [&] {
    return *db_->write<bool>([&](db::Transaction& tx) { return store_.mark_evaluated(tx, AgentId("b"), 1, 4); });
  };
  EXPECT_TRUE(mark());
  EXPECT_FALSE(mark());
  EXPECT_EQ(outdated(10), "ca");
}

TEST_F(EvidenceStoreTest, TellsHowManyLiveAgentsRunWithAnMrtd) {
  insert_agent("a");
  insert_agent("b");
  insert_agent("gone", "deleted");
  for (const char* agent : {"a", "b", "gone"}) ASSERT_TRUE(put(row(agent)));
  const auto agents_with = [&](const std::string& mrtd) {
    return *db_->read<std::int64_t>([&](db::Transaction& tx) { return TrustStore().agents_with(tx, mrtd); });
  };
  EXPECT_EQ(agents_with("m"), 2);
  EXPECT_EQ(agents_with("other"), 0);
}

}  // namespace
}  // namespace ee::cp
