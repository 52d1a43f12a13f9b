#include "agent/event_log.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/temp_dir.h"
#include "tests/support/vectors.h"

namespace ee::agent {
namespace {

TEST(EventLog, TrimsRecordedLogsAtTheirEndMarker) {
  EE_NEED_VECTORS();
  for (const char* name : {"go-tdx-guest/ccel_data.dat", "attestation-rs/tdx_ccel_live.bin"}) {
    const ByteVector area = testing::read_vector(name);
    const auto used = trim_event_log(area);
    ASSERT_TRUE(used) << name;
    EXPECT_GT(used->size(), 1000U) << name;
    EXPECT_LT(used->size(), 64U * 1024) << name;
    EXPECT_TRUE(std::equal(used->begin(), used->end(), area.begin())) << name;
    // What follows is the marker: nothing of the log was lost.
    const Bytes rest = Bytes(area).subspan(used->size());
    const bool marker = rest[0] == 0xff && rest[1] == 0xff && rest[2] == 0xff && rest[3] == 0xff;
    const bool zeros = std::all_of(rest.begin(), rest.begin() + 12, [](auto byte) { return byte == 0; });
    EXPECT_TRUE(marker || zeros) << name;
    EXPECT_EQ(trim_event_log(*used), used) << name;
  }
}

TEST(EventLog, RefusesEveryTruncationInsideARecord) {
  EE_NEED_VECTORS();
  const ByteVector area = testing::read_vector("attestation-rs/tdx_ccel_live.bin");
  const ByteVector used = *trim_event_log(area);
  std::size_t whole = 0;
  for (std::size_t size = 0; size < used.size(); ++size)
    if (const auto trimmed = trim_event_log(Bytes(used).first(size))) {
      EXPECT_EQ(trimmed->size(), size);  // cut exactly between two records
      ++whole;
    }
  EXPECT_GT(whole, 5U);
  EXPECT_LT(whole, 4096U);
}

TEST(EventLog, RefusesAbsurdSizes) {
  EE_NEED_VECTORS();
  ByteVector area = testing::read_vector("attestation-rs/tdx_ccel_live.bin");
  area[28] = area[29] = area[30] = area[31] = 0xff;  // size of the first event
  EXPECT_EQ(trim_event_log(area), std::nullopt);
  EXPECT_EQ(trim_event_log({}), std::nullopt);
  EXPECT_EQ(trim_event_log(ByteVector(100000, 0)), std::nullopt);
  EXPECT_EQ(trim_event_log(ByteVector(100000, 0xff)), std::nullopt);
}

TEST(EventLog, IsReadFromTheFirmwaresTable) {
  EE_NEED_VECTORS();
  const testing::TempDir dir;
  EXPECT_EQ(read_event_log(Host(dir.path())), std::nullopt);
  const auto file = dir.path() / "sys/firmware/acpi/tables/data/CCEL";
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << testing::read_vector_text("attestation-rs/tdx_ccel_live.bin");
  EXPECT_TRUE(read_event_log(Host(dir.path())));
}

}  // namespace
}  // namespace ee::agent
