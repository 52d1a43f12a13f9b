#include "agent/runtime/firewall.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <thread>

#include "agent/runtime/engine_runtime.h"
#include "common/deadline_stop.h"
#include "common/fake_clock.h"
#include "common/fake_subprocess.h"
#include "common/posix_subprocess.h"
#include "tests/support/real_engine.h"

namespace ee::agent {
namespace {

using testing::RealEngine;
constexpr const char* kInstance = "firewall-test-instance";

TEST(Firewall, commands_replace_the_whole_table) {
  EXPECT_EQ(*firewall_commands("t", {"172.18.0.0/16", "10.1.2.0/24"}, {8088, 8089}),
            "add table inet t; delete table inet t; add table inet t; "
            "add set inet t subnets { type ipv4_addr; flags interval; auto-merge; "
            "elements = { 172.18.0.0/16, 10.1.2.0/24 }; }; "
            "add chain inet t prerouting { type filter hook prerouting priority -300; policy accept; }; "
            "add rule inet t prerouting ip saddr @subnets ip daddr 169.254.0.0/16 drop; "
            "add rule inet t prerouting ip saddr @subnets ip daddr 168.63.129.16 meta l4proto { tcp, udp } "
            "th dport != 53 drop; "
            "add rule inet t prerouting ip saddr @subnets meta l4proto { tcp, udp } th dport { 8088, 8089 } "
            "fib daddr type local drop");
  EXPECT_TRUE(firewall_commands("t", {}, {1, 2}).has_value());
  for (const char* bad :
       {"", "10.0.0.0", "10.0.0.1/8", "fd00::/64", "10.0.0.0/8 }; flush ruleset", "10.0.0.0/33", "x/8"})
    EXPECT_EQ(firewall_commands("t", {bad}, {1, 2}), std::nullopt) << bad;
  EXPECT_EQ(firewall_commands("t", std::vector<std::string>(65, "10.0.0.0/8"), {1, 2}), std::nullopt);
}

TEST(Firewall, a_failing_program_is_an_error_and_rules_count_as_missing) {
  FakeSubprocessLauncher subprocesses;
  FakeClock clock;
  NftFirewall firewall(subprocesses, clock, kInstance, {8088, 8089});
  EXPECT_FALSE(firewall.in_place({})) << "nothing was set";
  subprocesses.set_failing(true);
  EXPECT_FALSE(firewall.set_subnets({"10.0.0.0/8"}, {}).has_value());
  EXPECT_FALSE(firewall.in_place({}));
  subprocesses.set_failing(false);
  clock.set_auto_advance(true);  // it never ends
  const auto hung = firewall.set_subnets({"10.0.0.0/8"}, {});
  ASSERT_FALSE(hung.has_value());
  EXPECT_FALSE(firewall.in_place({}));
  EXPECT_FALSE(firewall.set_subnets({"fd00::/64"}, {}).has_value());
}

/// Listens on every address of this host, on a port of the kernel's choice, and closes each connection at once.
class Listener {
 public:
  Listener() : descriptor_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(descriptor_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(descriptor_, 16), 0);
    EXPECT_EQ(::getsockname(descriptor_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::jthread([this](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        pollfd ready{.fd = descriptor_, .events = POLLIN, .revents = 0};
        if (::poll(&ready, 1, 20) > 0) ::close(::accept4(descriptor_, nullptr, nullptr, SOCK_CLOEXEC));
      }
    });
  }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener() {
    thread_.request_stop();
    thread_.join();
    ::close(descriptor_);
  }
  std::uint16_t port() const { return port_; }

 private:
  int descriptor_;
  std::uint16_t port_ = 0;
  std::jthread thread_;
};

class FirewallKernelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto engine = RealEngine::start();
    if (!engine) GTEST_SKIP() << engine.error();
    engine_ = std::move(*engine);
    if (auto set = firewall_.set_subnets({}, {}); !set) GTEST_SKIP() << "nftables_unusable: " << set.error().detail;
    runtime_ =
        std::make_unique<EngineRuntime>(EngineOptions{.socket = engine_->socket(), .instance = kInstance}, clock_);
    image_ = engine_->push({.name = "firewall", .keep_local = true});
    // A subnet that no engine gives out by itself: rules that a killed agent left behind do not cover it.
    const auto made =
        engine_->call("POST", "/networks/create",
                      R"({"Name":"ee-fw","Driver":"bridge","IPAM":{"Config":[{"Subnet":"10.213.77.0/24"}]},)"
                      R"("Labels":{"com.easyenclave.instance":"firewall-test-instance"}})");
    ASSERT_EQ(made.status, 201) << made.body;
    const auto networks = runtime_->list_networks({});
    ASSERT_TRUE(networks.has_value()) << networks.error().detail;
    ASSERT_EQ(networks->size(), 1U);
    subnets_ = networks->front().subnets;
    ASSERT_EQ(subnets_, std::vector<std::string>{"10.213.77.0/24"});
    gateway_ = "10.213.77.1";
  }
  void TearDown() override { (void)firewall_.remove({}); }

  /// Whether a container on the network reaches that address.
  bool reaches(const std::string& address, std::uint16_t port) {
    const std::string script = "nc -w 1 " + address + " " + std::to_string(port) + " </dev/null";
    const auto id = runtime_->create(
        {.name = "ee-fw-nc",
         .body =
             R"({"Image":")" + image_ + R"(","Cmd":["/bin/sh","-c",")" + script +
             R"("],"Labels":{"com.easyenclave.instance":"firewall-test-instance"},"HostConfig":{"NetworkMode":"ee-fw"}})"},
        {});
    EXPECT_TRUE(id.has_value()) << id.error().detail;
    const auto started = runtime_->start(*id, {});
    EXPECT_TRUE(started.has_value()) << started.error().detail;
    const DeadlineStop limit(clock_, clock_.steady_now() + Seconds(20), {});
    const auto end = runtime_->wait(*id, limit.token());
    EXPECT_TRUE(end.has_value()) << "nc does not end";
    return end.has_value() && end->exit_code == 0;
  }

  Listener api_;
  Listener metrics_;
  Listener other_;
  SystemClock clock_;
  PosixSubprocessLauncher subprocesses_;
  NftFirewall firewall_{subprocesses_, clock_, kInstance, {api_.port(), metrics_.port()}};
  std::unique_ptr<RealEngine> engine_;
  std::unique_ptr<EngineRuntime> runtime_;
  std::string image_;
  std::vector<std::string> subnets_;
  std::string gateway_;
};

/// An address of the metadata range on this host, for the time of a test.
class MetadataAddress {
 public:
  MetadataAddress() { good_ = run("add"); }
  MetadataAddress(const MetadataAddress&) = delete;
  MetadataAddress& operator=(const MetadataAddress&) = delete;
  ~MetadataAddress() { run("del"); }
  bool good() const { return good_; }
  static constexpr const char* kAddress = "169.254.213.77";
  static constexpr const char* kAzureAddress = "168.63.129.16";

 private:
  static bool run(const char* what) {
    bool good = true;
    for (const char* address : {kAddress, kAzureAddress})
      good &= std::system(fmt::format("ip addr {} {}/32 dev lo 2>/dev/null", what, address).c_str()) == 0;
    return good;
  }
  bool good_ = false;
};

// covers: S02_EEA_FW_001
TEST_F(FirewallKernelTest, S02_EEA_FW_001_containers_reach_neither_the_agent_nor_metadata) {
  const MetadataAddress metadata;
  ASSERT_TRUE(metadata.good());
  // Without the rules all of it is open: the test can fail.
  ASSERT_TRUE(reaches(gateway_, api_.port()));
  ASSERT_TRUE(reaches(MetadataAddress::kAddress, other_.port()));
  ASSERT_TRUE(reaches(MetadataAddress::kAzureAddress, other_.port()));
  ASSERT_TRUE(firewall_.set_subnets(subnets_, {}).has_value());
  EXPECT_TRUE(firewall_.in_place({}));
  EXPECT_FALSE(reaches(gateway_, api_.port()));
  EXPECT_FALSE(reaches(gateway_, metrics_.port()));
  EXPECT_FALSE(reaches(MetadataAddress::kAddress, other_.port()));
  EXPECT_FALSE(reaches(MetadataAddress::kAzureAddress, other_.port()));
  EXPECT_TRUE(reaches(gateway_, other_.port())) << "nothing else is closed";
  // Somebody takes the rules away, or changes them: seen.
  const std::string nft = "nft ";
  ASSERT_EQ(std::system((nft + "flush chain inet " + firewall_.table() + " prerouting").c_str()), 0);
  EXPECT_FALSE(firewall_.in_place({}));
  ASSERT_TRUE(firewall_.set_subnets(subnets_, {}).has_value());
  ASSERT_EQ(std::system((nft + "delete table inet " + firewall_.table()).c_str()), 0);
  EXPECT_FALSE(firewall_.in_place({}));
  ASSERT_TRUE(firewall_.set_subnets(subnets_, {}).has_value());
  EXPECT_TRUE(firewall_.in_place({}));
  ASSERT_TRUE(firewall_.remove({}).has_value());
  ASSERT_TRUE(firewall_.remove({}).has_value());
  EXPECT_FALSE(firewall_.in_place({}));
}

TEST(Firewall, a_listing_tells_whom_it_may_guard) {
  const auto listing = [](const std::string& elements) {
    return "table inet t {\n\tset subnets {\n\t\ttype ipv4_addr\n\t\tflags interval\n\t\tauto-merge\n\t\telements = "
           "{ " +
           elements + " }\n\t}\n}\n";
  };
  const std::vector<std::string> here = {"127.0.0.1", "172.18.0.1"};
  EXPECT_TRUE(may_guard(listing("172.18.0.0/16"), here));
  EXPECT_TRUE(may_guard(listing("10.0.0.0/8,\n\t\t\t     172.17.0.0-172.18.255.255"), here));
  EXPECT_TRUE(may_guard(listing("172.18.0.1"), here));
  EXPECT_TRUE(may_guard(listing("0.0.0.0/0"), here));
  EXPECT_FALSE(may_guard(listing("172.19.0.0/16, 10.0.0.0/8"), here));
  EXPECT_FALSE(may_guard(listing("172.18.0.2-172.18.0.9"), here));
  EXPECT_FALSE(may_guard("table inet t {\n\tset subnets {\n\t\ttype ipv4_addr\n\t}\n}\n", here)) << "an empty set";
  // What is not understood is left alone.
  for (const char* odd : {"10.0.0.0/33", "10.0.0", "fd00::/8", "10.0.0.0/8-10.0.0.1", "x", ""})
    EXPECT_TRUE(may_guard(listing(odd), here)) << odd;
  EXPECT_TRUE(may_guard("elements = { 10.0.0.0/8", here));
  EXPECT_TRUE(may_guard("", here));
}

TEST(Firewall, an_owner_that_lives_is_known_by_its_claim) {
  std::optional<TableClaim> owner(std::in_place, "ee_agent_claimtest01");
  EXPECT_TRUE(owner->held());
  EXPECT_FALSE(TableClaim("ee_agent_claimtest01").held());
  EXPECT_TRUE(TableClaim("ee_agent_claimtest02").held());
  owner.reset();
  EXPECT_TRUE(TableClaim("ee_agent_claimtest01").held());
}

/// Real tables, of agents that are there or gone.
class StaleRulesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (auto set = starting_.set_subnets({}, {}); !set) GTEST_SKIP() << "nftables_unusable: " << set.error().detail;
  }
  void TearDown() override {
    for (const NftFirewall* each : {&starting_, &living_}) run("delete", each->table());
    run("delete", gone_);
    run("delete", "ee_agent_not_ours_x");
  }
  static int run(const std::string& what, const std::string& table) {
    return std::system(("nft " + what + " table inet " + table + " >/dev/null 2>&1").c_str());
  }
  static bool exists(const std::string& table) { return run("list", table) == 0; }

  SystemClock clock_;
  PosixSubprocessLauncher subprocesses_;
  NftFirewall starting_{subprocesses_, clock_, "stale-test-starting", {1, 2}};
  NftFirewall living_{subprocesses_, clock_, "stale-test-living", {1, 2}};
  std::string gone_;
};

TEST_F(StaleRulesTest, a_starting_agent_removes_what_a_killed_one_left) {
  ASSERT_TRUE(living_.set_subnets({"10.213.78.0/24"}, {}));
  {
    NftFirewall killed(subprocesses_, clock_, "stale-test-gone", {1, 2});
    gone_ = killed.table();
    ASSERT_TRUE(killed.set_subnets({"10.213.79.0/24"}, {}));
  }
  ASSERT_EQ(run("add", "ee_agent_not_ours_x"), 0);
  // A container may be behind it: this host has an address in its subnet.
  ASSERT_TRUE(starting_.remove_stale({"127.0.0.1", "10.213.79.1"}, {}));
  EXPECT_TRUE(exists(gone_));
  const auto removed = starting_.remove_stale({"127.0.0.1"}, {});
  ASSERT_TRUE(removed) << removed.error().detail;
  EXPECT_GE(*removed, 1);
  EXPECT_FALSE(exists(gone_));
  EXPECT_TRUE(exists(living_.table())) << "its agent lives";
  EXPECT_TRUE(exists(starting_.table()));
  EXPECT_TRUE(exists("ee_agent_not_ours_x")) << "a name of another form";
}

TEST(LocalAddresses, HoldLoopback) {
  const auto addresses = local_ipv4_addresses();
  EXPECT_NE(std::ranges::find(addresses, "127.0.0.1"), addresses.end());
}

}  // namespace
}  // namespace ee::agent
