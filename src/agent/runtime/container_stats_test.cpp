#include "agent/runtime/container_stats.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "agent/runtime/fake_runtime.h"
#include "common/fake_clock.h"
#include "tests/support/temp_dir.h"

namespace ee::agent {
namespace {

using namespace std::chrono_literals;

class ContainerStatsTest : public ::testing::Test {
 protected:
  void put(const std::string& path, std::string_view text) {
    const std::filesystem::path file = dir_ / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary | std::ios::trunc) << text;
  }
  /// Files as a kernel 6.1 prints them.
  void put_container() {
    put("sys/fs/cgroup/cgroup.controllers", "cpu io memory pids\n");
    put("proc/77/cgroup", "0::/system.slice/docker-abc.scope\n");
    put(kGroup + "cpu.stat", "usage_usec 1000000\nuser_usec 600000\nsystem_usec 400000\n");
    put(kGroup + "memory.current", "104857600\n");
    put(kGroup + "memory.stat", "anon 1\nfile 2\ninactive_file 4857600\nactive_file 3\n");
    put(kGroup + "memory.max", "268435456\n");
    put(kGroup + "memory.events", "low 0\nhigh 0\nmax 4\noom 2\noom_kill 1\noom_group_kill 0\n");
    put(kGroup + "pids.current", "12\n");
    put(kGroup + "io.stat",
        "8:0 rbytes=1000 wbytes=50 rios=1 wios=2 dbytes=0 dios=0\n254:0 rbytes=24 wbytes=6 rios=1\n");
  }
  ContainerStats sample() { return sampler_.sample("c", 77, {}); }

  const std::string kGroup = "sys/fs/cgroup/system.slice/docker-abc.scope/";
  testing::TempDir dir_;
  FakeClock clock_;
  FakeRuntime runtime_{clock_, "i"};
  Host host_{dir_.path()};
  ContainerStatsSampler sampler_{host_, clock_, runtime_};
};

// covers: S02_EEA_STAT_001
TEST_F(ContainerStatsTest, S02_EEA_STAT_001_reads_exact_numbers) {
  put_container();
  const ContainerStats first = sample();
  EXPECT_EQ(first, (ContainerStats{.cpu_millis = std::nullopt,
                                   .memory_bytes = 100'000'000,
                                   .memory_limit_bytes = 268435456,
                                   .oom_kills = 1,
                                   .pids = 12,
                                   .io_read_bytes = 1024,
                                   .io_write_bytes = 56}));
  put(kGroup + "cpu.stat", "usage_usec 4800000\n");
  clock_.advance(10s);
  EXPECT_EQ(sample().cpu_millis, 380);  // the example of section 16.5
}

// covers: S02_EEA_STAT_002
TEST_F(ContainerStatsTest, S02_EEA_STAT_002_a_counter_that_went_back_gives_no_sample) {
  put_container();
  sample();
  put(kGroup + "cpu.stat", "usage_usec 10\n");
  clock_.advance(10s);
  EXPECT_EQ(sample().cpu_millis, std::nullopt);
  put(kGroup + "cpu.stat", "usage_usec 1010\n");
  clock_.advance(1s);
  EXPECT_EQ(sample().cpu_millis, 1);
  EXPECT_EQ(sample().cpu_millis, std::nullopt) << "no time has passed";
  sampler_.forget("c");
  clock_.advance(1s);
  EXPECT_EQ(sample().cpu_millis, std::nullopt);
}

// covers: S02_EEA_STAT_003
TEST_F(ContainerStatsTest, S02_EEA_STAT_003_what_is_missing_is_null) {
  put_container();
  put(kGroup + "memory.max", "max\n");
  put(kGroup + "pids.current", "many\n");
  std::filesystem::remove(dir_ / (kGroup + "io.stat"));
  std::filesystem::remove(dir_ / (kGroup + "memory.stat"));
  const ContainerStats stats = sample();
  EXPECT_EQ(stats.memory_limit_bytes, std::nullopt);
  EXPECT_EQ(stats.pids, std::nullopt);
  EXPECT_EQ(stats.io_read_bytes, std::nullopt);
  EXPECT_EQ(stats.memory_bytes, std::nullopt);
  EXPECT_EQ(stats.oom_kills, 1);
  EXPECT_EQ(sampler_.sample("c", 0, {}), ContainerStats{});
}

TEST_F(ContainerStatsTest, S02_EEA_STAT_003_the_engine_is_asked_where_the_files_are_out_of_reach) {
  runtime_.add_image("r@sha256:1", {}, true);
  const std::string id = runtime_.create({.name = "c", .body = R"({"Image":"r@sha256:1"})"}, {}).value();
  runtime_.set_counters(id, {.cpu_usage_usec = 100, .memory_bytes = 7, .memory_limit_bytes = {}, .pids = 3});
  put("sys/fs/cgroup/cgroup.controllers", "cpu\n");
  put("proc/77/cgroup", "0::/../../elsewhere\n");
  EXPECT_EQ(sample().memory_bytes, 7);
  runtime_.set_counters(id, {.cpu_usage_usec = 1'000'100, .memory_bytes = 8, .memory_limit_bytes = {}, .pids = 3});
  clock_.advance(2s);
  EXPECT_EQ(sample().cpu_millis, 500);
  // cgroup v1: nothing at all, and a health check says why.
  EXPECT_TRUE(has_cgroup_v2(host_));
  std::filesystem::remove(dir_ / "sys/fs/cgroup/cgroup.controllers");
  EXPECT_FALSE(has_cgroup_v2(host_));
  EXPECT_EQ(sample(), ContainerStats{});
}

}  // namespace
}  // namespace ee::agent
