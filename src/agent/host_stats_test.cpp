#include "agent/host_stats.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "agent/proc_text.h"
#include "common/fake_clock.h"
#include "tests/support/temp_dir.h"

namespace ee::agent {
namespace {

using namespace std::chrono_literals;

/// A tree of kernel files of the test's own.
class Tree {
 public:
  void put(const std::string& path, std::string_view text) {
    const std::filesystem::path file = dir_ / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary | std::ios::trunc) << text;
  }
  void remove(const std::string& path) { std::filesystem::remove(dir_ / path); }
  std::string root() const { return dir_.path(); }

 private:
  testing::TempDir dir_;
};

// Lines as a kernel 6.1 prints them; numbers chosen.
constexpr std::string_view kNetDev =
    "Inter-|   Receive                                                |  Transmit\n"
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier "
    "compressed\n"
    "    lo:    3267      29    0    0    0     0          0         0     3267      29    0    0    0     0       0   "
    "       0\n"
    "  eth0: 1000     873    0    0    0     0          0         0    200     584    0    0    0     0       0        "
    "  0\n"
    "  eth1:36593522     873    0    0    0     0          0         0    53699     584    0    0    0     0       0   "
    "       0\n"
    "veth1a: 7 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0\n"
    "br-12ab: 7 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0\n";

// covers: S02_EEA_STAT_001
TEST(HostStats, S02_EEA_STAT_001_reads_exact_numbers) {
  Tree tree;
  tree.put("proc/stat", "cpu  100 20 30 5000 10 1 2 0 50 5\ncpu0 1 1 1 1 1 1 1 0 0 0\n");
  tree.put("proc/meminfo", "MemTotal:       16179200 kB\nMemFree:  1 kB\nMemAvailable:   14028800 kB\n");
  tree.put("proc/loadavg", "0.42 0.03 0.00 1/94 9986\n");
  tree.put("proc/net/dev", kNetDev);
  tree.put("proc/uptime", "86400.79 2849.20\n");
  FakeClock clock;
  const Host host(tree.root());
  HostStatsSampler sampler(host, clock, tree.root());
  EXPECT_EQ(sampler.sample().cpu_millis_used, std::nullopt);  // nothing to compare with

  tree.put("proc/stat", "cpu  400 30 80 9000 10 11 12 0 50 5\n");  // 300+10+50+10+10 ticks more
  clock.advance(10s);
  const agent_api::HostStats stats = sampler.sample();

  EXPECT_EQ(stats.cpu_millis_used, 380L * 100 / ::sysconf(_SC_CLK_TCK));
  EXPECT_EQ(stats.memory_total_mib, 15800);
  EXPECT_EQ(stats.memory_used_mib, 2100);
  EXPECT_EQ(stats.load1_milli, 420);
  EXPECT_EQ(stats.net_rx_bytes, 36594522);
  EXPECT_EQ(stats.net_tx_bytes, 53899);
  EXPECT_EQ(stats.uptime_seconds, 86400);
  EXPECT_GT(stats.disk_total_mib.value(), 0);
  EXPECT_LE(stats.disk_used_mib.value(), stats.disk_total_mib.value());
}

// Example of the agent contract, section 16.5.
TEST(HostStats, DividesLast) { EXPECT_EQ(cpu_millis(3'800'000, 10'000'000), 380); }

// covers: S02_EEA_STAT_002
TEST(HostStats, S02_EEA_STAT_002_skips_a_sample_whose_counter_fell) {
  Tree tree;
  FakeClock clock;
  const Host host(tree.root());
  HostStatsSampler sampler(host, clock, tree.root());
  tree.put("proc/stat", "cpu  1000 0 0 0 0 0 0 0 0 0\n");
  sampler.sample();
  clock.advance(10s);
  tree.put("proc/stat", "cpu  10 0 0 0 0 0 0 0 0 0\n");
  EXPECT_EQ(sampler.sample().cpu_millis_used, std::nullopt);
  clock.advance(10s);
  tree.put("proc/stat", "cpu  20 0 0 0 0 0 0 0 0 0\n");
  EXPECT_EQ(sampler.sample().cpu_millis_used, 10L * 100 / ::sysconf(_SC_CLK_TCK));
}

// covers: S02_EEA_STAT_003
TEST(HostStats, S02_EEA_STAT_003_missing_or_strange_files_make_fields_absent) {
  Tree tree;
  FakeClock clock;
  const Host host(tree.root());
  HostStatsSampler sampler(host, clock, "/nonexistent");
  EXPECT_EQ(sampler.sample(), agent_api::HostStats{});

  tree.put("proc/stat", "cpu x\n");
  tree.put("proc/meminfo", "MemTotal: 100\nMemAvailable: 50 kB\n");
  tree.put("proc/loadavg", "\n");
  tree.put("proc/net/dev", "eth0: 1 2\n");
  tree.put("proc/uptime", "-1 2\n");
  EXPECT_EQ(sampler.sample(), agent_api::HostStats{});
}

TEST(ProcText, CountsCpus) {
  EXPECT_EQ(count_cpu_list("0"), 1);
  EXPECT_EQ(count_cpu_list("0-3,8"), 5);
  for (const char* bad : {"", "a", "3-1", "0-", "-1", "0,,1", "0-99999999"})
    EXPECT_EQ(count_cpu_list(bad), std::nullopt) << bad;
}

TEST(ProcText, ReadsFractions) {
  EXPECT_EQ(decimal_milli("0.42"), 420);
  EXPECT_EQ(decimal_milli("12"), 12000);
  EXPECT_EQ(decimal_milli("1.23456"), 1234);
  for (const char* bad : {"", ".", "1.", "-1", "1.2x", "99999999999999999999"})
    EXPECT_EQ(decimal_milli(bad), std::nullopt) << bad;
}

TEST(Host, MeasuresThisMachinesCapacity) {
  Tree tree;
  tree.put("sys/devices/system/cpu/online", "0-3\n");
  tree.put("proc/meminfo", "MemTotal:       16179200 kB\n");
  tree.put("proc/driver/nvidia/gpus/0000:01:00.0/information", "x");
  tree.put("proc/sys/kernel/random/boot_id", "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed\n");
  const Host host(tree.root());

  const auto capacity = host.capacity(tree.root());

  ASSERT_TRUE(capacity);
  EXPECT_EQ(capacity->vcpus, 4);
  EXPECT_EQ(capacity->memory_mib, 15800);
  EXPECT_EQ(capacity->gpu_count, 1);
  EXPECT_GT(capacity->disk_mib, 0);
  EXPECT_EQ(host.boot_id().value(), "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed");
  EXPECT_FALSE(Host("/nonexistent").boot_id());
  EXPECT_FALSE(Host("/nonexistent").capacity("/"));
}

}  // namespace
}  // namespace ee::agent
