#include "agent/workload/workload_log.h"

#include <gtest/gtest.h>

#include <fstream>

#include "common/crypto.h"
#include "common/fake_clock.h"
#include "tests/support/temp_dir.h"

namespace ee::agent {
namespace {

/// A register in memory, which can be switched off.
ByteArray<48> replayed(const std::vector<agent_api::WorkloadLogEntry>& entries) {
  std::vector<std::string_view> payloads;
  for (const auto& entry : entries) payloads.emplace_back(entry.payload);
  return attestation::replay_workload_log(payloads);
}

class FakeRegister final : public RuntimeRegister {
 public:
  explicit FakeRegister(ByteArray<48>& value, const bool& broken) : value_(value), broken_(broken) {}
  Result<ByteArray<48>> read() override { return value_; }
  Result<void> extend(const ByteArray<48>& digest) override {
    if (broken_) return fail(ErrorCode::tdx_unavailable, "scripted");
    ByteVector both(value_.begin(), value_.end());
    append(both, digest);
    value_ = sha384(both);
    return {};
  }

 private:
  ByteArray<48>& value_;
  const bool& broken_;
};

class WorkloadLogTest : public ::testing::Test {
 protected:
  std::unique_ptr<WorkloadLog> open() {
    return std::make_unique<WorkloadLog>(std::make_unique<FakeRegister>(value_, broken_), dir_ / "log.json", board_);
  }
  static agent_api::DeploymentDocument document() {
    agent_api::DeploymentDocument out;
    out.deployment_id = "0190a000-0000-7000-8000-000000000001";
    out.app = "hello";
    out.service = "web";
    for (int i = 0; i < 32; ++i) out.compose_sha256 += "ab";
    return out;
  }
  ee::testing::TempDir dir_;
  FakeClock clock_;
  Board board_{clock_};
  ByteArray<48> value_{};
  bool broken_ = false;
};

TEST_F(WorkloadLogTest, S01_ELOG_005_the_worked_vector_is_what_is_measured) {
  const std::string payload = attestation::workload_payload(measured_event(true, document()));
  EXPECT_EQ(payload.size(), 168U);
  EXPECT_EQ(to_hex(attestation::workload_digest(payload)),
            "f48c0b5d4e45c6f71b4f872114e44924c67b563ccce5d5568e2f9c9344df5742a54a58cfbc4154c38ebb2851621e0f67");
  const auto log = open();
  ASSERT_TRUE(log->measure(true, document()));
  EXPECT_EQ(to_hex(value_),
            "de7253d5507a5a215f70bf387c8b702c4b57d509a780902bbc2d98d3a87932321080caba62840493cf546eab8410912e");
  EXPECT_EQ(log->entries().front().payload, payload);
}

TEST_F(WorkloadLogTest, goes_on_after_a_restart) {
  ASSERT_TRUE(open()->measure(true, document()));
  const auto log = open();
  ASSERT_TRUE(log->measure(false, document()));
  EXPECT_EQ(log->entries().size(), 2U);
  EXPECT_EQ(replayed(log->entries()), value_);
  EXPECT_TRUE(board_.health().checks.empty());
}

TEST_F(WorkloadLogTest, an_entry_that_was_not_extended_is_taken_back) {
  ASSERT_TRUE(open()->measure(true, document()));
  broken_ = true;  // the end of the process between the two writes leaves the same behind
  EXPECT_FALSE(open()->measure(false, document()));
  broken_ = false;
  const auto log = open();
  EXPECT_EQ(log->entries().size(), 1U);
  EXPECT_EQ(replayed(log->entries()), value_);
}

TEST_F(WorkloadLogTest, a_log_that_leads_elsewhere_is_told) {
  value_[0] = 1;
  open();
  ASSERT_EQ(board_.health().checks.size(), 1U);
  EXPECT_EQ(board_.health().checks.front().code, "workload_log_mismatch");
}

TEST_F(WorkloadLogTest, a_full_log_starts_nothing_more) {
  const auto log = open();
  for (std::size_t i = 0; i < WorkloadLog::kMaxEntries; ++i) ASSERT_TRUE(log->measure(i % 2 == 0, document()));
  EXPECT_FALSE(log->measure(true, document()));
  EXPECT_EQ(board_.health().checks.front().name, "reboot_required");
}

TEST_F(WorkloadLogTest, without_the_register_the_log_stays_empty) {
  WorkloadLog log(nullptr, dir_ / "log.json", board_);
  EXPECT_FALSE(log.supported());
  EXPECT_TRUE(log.measure(true, document()));
  EXPECT_TRUE(log.entries().empty());
  EXPECT_EQ(kernel_register(dir_ / "absent"), nullptr);
}

TEST_F(WorkloadLogTest, the_kernels_file_takes_and_gives_48_bytes) {
  const std::string path = dir_ / "rtmr3:sha384";
  std::ofstream(path) << std::string(48, 'x');
  const auto file = kernel_register(path);
  ASSERT_TRUE(file);
  EXPECT_EQ(file->read().value()[0], 'x');
  ByteArray<48> digest{};
  digest.fill('y');
  ASSERT_TRUE(file->extend(digest));
  EXPECT_EQ(file->read().value(), digest);  // a plain file keeps what was written; the kernel would extend
}

}  // namespace
}  // namespace ee::agent
