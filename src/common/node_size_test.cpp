#include "common/node_size.h"

#include <gtest/gtest.h>

#include <limits>

namespace ee {
namespace {

agent_api::Capacity capacity(std::int64_t vcpus, std::int64_t memory_mib) {
  return {.vcpus = vcpus, .memory_mib = memory_mib, .disk_mib = 0, .gpu_count = 0};
}

// The limits are the worked example of the agent contract: tiny accepts 4 and 3482, refuses 3 or 3481.
TEST(NodeSize, AcceptsCapacityAtTheLimitAndRefusesOneBelow) {
  EXPECT_TRUE(check_capacity("tiny", capacity(4, 3482)));
  EXPECT_TRUE(check_capacity("tiny", capacity(5, 16000)));
  EXPECT_EQ(check_capacity("tiny", capacity(3, 3482)).error().code, ErrorCode::capacity_below_size);
  EXPECT_EQ(check_capacity("tiny", capacity(4, 3481)).error().code, ErrorCode::capacity_below_size);
  EXPECT_TRUE(check_capacity("standard", capacity(16, 13927)));
  EXPECT_EQ(check_capacity("standard", capacity(16, 13926)).error().code, ErrorCode::capacity_below_size);
  EXPECT_EQ(check_capacity("llm", capacity(7, 16384)).error().code, ErrorCode::capacity_below_size);
}

TEST(NodeSize, SurvivesAbsurdNumbers) {
  constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
  constexpr auto kMin = std::numeric_limits<std::int64_t>::min();
  EXPECT_TRUE(check_capacity("tiny", capacity(kMax, kMax)));
  EXPECT_FALSE(check_capacity("tiny", capacity(kMin, kMax)));
  EXPECT_FALSE(check_capacity("tiny", capacity(4, kMin / 100)));
}

TEST(NodeSize, RefusesASizeThatIsNotInTheTable) {
  for (const auto* name : {"", "Tiny", "huge", "tiny "})
    EXPECT_EQ(check_capacity(name, capacity(100, 100000)).error().code, ErrorCode::unknown_node_size) << name;
}

TEST(NodeSize, HasMachineTypesThatMeetTheMinimum) {
  for (const NodeSize& size : node_sizes()) {
    EXPECT_TRUE(is_node_size_name(size.name));
    ASSERT_FALSE(size.gcp_machine_types.empty());
    for (const auto type : size.gcp_machine_types) {
      const MachineType* machine = find_machine_type(type);
      ASSERT_NE(machine, nullptr) << type;
      EXPECT_GE(machine->vcpus, size.vcpus) << type;
      EXPECT_GE(machine->memory_gib, size.memory_gib) << type;
    }
  }
  EXPECT_EQ(find_machine_type("c3-standard-176")->memory_gib, 704);
  EXPECT_EQ(find_machine_type("n2-standard-4"), nullptr);
}

TEST(NodeSize, NameHasAGrammarOfItsOwn) {
  for (const auto* good : {"a", "0", "tiny", "gpu_h100-1", "abcdefghijklmnopqrstuvwxyz012345"})
    EXPECT_TRUE(is_node_size_name(good)) << good;
  for (const auto* bad : {"", "-a", "_a", "A", "a b", "a.b", "abcdefghijklmnopqrstuvwxyz0123456"})
    EXPECT_FALSE(is_node_size_name(bad)) << bad;
}

TEST(Datacenter, IsCloudAndZoneWithoutAliases) {
  const auto parsed = parse_datacenter("gcp:us-central1-a");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->cloud, "gcp");
  EXPECT_EQ(parsed->zone, "us-central1-a");
  EXPECT_TRUE(parse_datacenter("baremetal:rack_1.row-2"));
  EXPECT_TRUE(parse_datacenter("azure:" + std::string(96, 'z')));
  for (const auto* bad : {"", "gcp", "gcp:", ":us", "GCP:us", "gcp:US", "google:us-a", "gcp:-a", "gcp:a:b", "gcp:a b"})
    EXPECT_FALSE(parse_datacenter(bad)) << bad;
  EXPECT_FALSE(parse_datacenter("aws:" + std::string(97, 'z')));
}

}  // namespace
}  // namespace ee
