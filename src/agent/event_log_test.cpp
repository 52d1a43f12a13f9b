#include "agent/event_log.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "attestation/event_log.h"
#include "tests/support/temp_dir.h"
#include "tests/support/vectors.h"

namespace ee::agent {
namespace {

class AgentEventLog : public ::testing::Test {
 protected:
  std::optional<ByteVector> read(std::string_view table) {
    const auto file = dir_.path() / "sys/firmware/acpi/tables/data/CCEL";
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary | std::ios::trunc) << table;
    return read_event_log(Host(dir_.path()));
  }
  ee::testing::TempDir dir_;
};

TEST_F(AgentEventLog, IsTheRecordedLogUpToItsEndMarker) {
  EE_NEED_VECTORS();
  for (const char* name : {"go-tdx-guest/ccel_data.dat", "attestation-rs/tdx_ccel_live.bin"}) {
    const ByteVector area = ee::testing::read_vector(name);
    const auto log = read(text_of(area));
    ASSERT_TRUE(log) << name;
    EXPECT_GT(log->size(), 1000U) << name;
    EXPECT_LT(log->size(), 64U * 1024) << name;
    EXPECT_TRUE(std::equal(log->begin(), log->end(), area.begin())) << name;
    // Nothing was lost: the shorter text leads to the same registers.
    EXPECT_EQ(attestation::replay_ccel(*log)->rtmrs, attestation::replay_ccel(area)->rtmrs) << name;
  }
}

TEST_F(AgentEventLog, IsFoundInATableThatIsLargerThanALogMayBe) {
  EE_NEED_VECTORS();
  const std::string area = ee::testing::read_vector_text("attestation-rs/tdx_ccel_live.bin");
  EXPECT_EQ(read(area + std::string(1024UL * 1024, '\xff')), read(area));
}

TEST_F(AgentEventLog, IsAbsentWhenMissingOrDamaged) {
  EXPECT_EQ(read_event_log(Host("/nonexistent")), std::nullopt);
  EXPECT_EQ(read(""), std::nullopt);
  EXPECT_EQ(read(std::string(4096, 'x')), std::nullopt);
}

}  // namespace
}  // namespace ee::agent
