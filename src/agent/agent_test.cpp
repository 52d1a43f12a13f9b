#include "agent/agent.h"

#include <gtest/gtest.h>
#include <linux/magic.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/un.h>
#include <unistd.h>

#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <thread>

#include "agent/fake_control_plane.h"
#include "common/compose/compose.h"
#include "common/fake_random.h"
#include "common/fake_subprocess.h"
#include "net/curl_http_client.h"
#include "tests/support/fake_workload.h"
#include "tests/support/temp_dir.h"

#ifdef EE_EMULATOR

namespace ee::agent {
namespace {

using namespace std::chrono_literals;
using testing::FakeControlPlane;

/// A socket as systemd has one for its services.
class NotifySocket {
 public:
  explicit NotifySocket(const std::string& path) : path_(path), fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::ranges::copy(path, address.sun_path);
    if (::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
      throw std::runtime_error("bind");
  }
  NotifySocket(const NotifySocket&) = delete;
  NotifySocket& operator=(const NotifySocket&) = delete;
  ~NotifySocket() { ::close(fd_); }
  const std::string& path() const { return path_; }
  std::string receive() const {
    std::string out(256, '\0');
    const ssize_t got = ::recv(fd_, out.data(), out.size(), 0);
    out.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return out;
  }

 private:
  std::string path_;
  int fd_;
};

/// Calls to the control plane go to the fake one, others to real sockets.
class AnyHttp final : public HttpClient {
 public:
  AnyHttp(HttpClient& control_plane, HttpClient& real) : control_plane_(control_plane), real_(real) {}
  std::expected<HttpClientResponse, HttpFailure> send(const HttpClientRequest& request) override {
    return (request.url.starts_with(FakeControlPlane::kOrigin) ? control_plane_ : real_).send(request);
  }

 private:
  HttpClient& control_plane_;
  HttpClient& real_;
};

/// The whole agent around a fake control plane; only its local API is on a real socket.
class AgentTest : public ::testing::Test {
 protected:
  AgentTest() : cp_(clock_), notify_(dir_ / "notify"), manager_(notify_.path(), "30000000") {
    std::filesystem::create_directories(dir_.path() / "root/proc/sys/kernel/random");
    std::ofstream(dir_.path() / "root/proc/sys/kernel/random/boot_id") << "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed\n";
    config_.env = Environment::dev;
    config_.control_plane_url = FakeControlPlane::kOrigin;
    config_.vm_name = "vm-1";
    config_.node_size = "tiny";
    config_.datacenter = "baremetal:local";
    config_.cp_signing_keys = {cp_.key.public_key()};
    config_.listen = {.host = "127.0.0.1", .port = 0};
    config_.capacity = agent_api::Capacity{.vcpus = 4, .memory_mib = 4096, .disk_mib = 1, .gpu_count = 0};
    config_.data_dir = dir_ / "data";
    config_.run_dir = dir_ / "run";
    config_.allow_emulated_tdx = true;
    config_.container_runtime = ContainerRuntimeKind::none;
    config_.tsm_root = "/nonexistent";
    config_.emulated_tdx_dir = dir_ / "data/emulated-tdx";
    cp_.on_call([this](const auto&) {
      const std::lock_guard lock(mutex_);
      ++calls_;
      called_.notify_all();
    });
  }

  std::expected<std::unique_ptr<Agent>, StartFailure> start() {
    return Agent::start(config_, {.clock = clock_,
                                  .random = random_,
                                  .http = cp_.http(),
                                  .subprocesses = launcher_,
                                  .host = host_,
                                  .manager = manager_,
                                  .power_off = [this] { ++power_offs_; }});
  }
  /// Blocks until the control plane has answered that many calls of a kind.
  void wait_for(const std::string& what, std::size_t count) {
    std::unique_lock lock(mutex_);
    called_.wait(lock, [&] { return cp_.calls(what).size() >= count; });
  }

  ee::testing::TempDir dir_;
  FakeClock clock_;
  FakeRandom random_;
  FakeControlPlane cp_;
  FakeSubprocessLauncher launcher_;
  NotifySocket notify_;
  ServiceManager manager_;
  Host host_{dir_ / "root"};
  AgentConfig config_;
  int power_offs_ = 0;
  std::mutex mutex_;
  std::condition_variable called_;
  int calls_ = 0;
};

TEST_F(AgentTest, RegistersBeatsServesAndStopsCleanly) {
  cp_.knobs.tunnel = {.state = agent_api::TunnelState::ready, .version = 2, .hostname = "vm-1.example.com"};
  auto agent = start();
  ASSERT_TRUE(agent) << agent.error().reason;
  std::stop_source stop;
  ExitCode code = ExitCode::internal;
  std::thread thread([&] { code = (*agent)->run(stop.get_token()); });
  wait_for("heartbeat", 1);

  EXPECT_EQ(notify_.receive(), "READY=1");
  const auto request = cp_.registrations().at(0);
  EXPECT_EQ(request.vm_name, "vm-1");
  EXPECT_EQ(request.direct_url, (*agent)->local_url());  // the port that was free
  net::CurlHttpClient http;
  const auto health = http.send({.url = (*agent)->local_url() + "/.easyenclave/v1/health"});
  ASSERT_TRUE(health);
  EXPECT_EQ(health->header("X-EE-Agent"), FakeControlPlane::kAgentId);
  while (launcher_.started() == 0) std::this_thread::yield();  // cloudflared, by its own thread

  stop.request_stop();
  // Its end takes the clock: cloudflared gets its time, the server's connections theirs.
  thread.join();

  EXPECT_EQ(code, ExitCode::ok);
  EXPECT_TRUE(cp_.heartbeats().back().draining);
  EXPECT_EQ(launcher_.running(), 0U);
  EXPECT_EQ(power_offs_, 0);
  std::string news;
  do news = notify_.receive();
  while (news == "WATCHDOG=1");
  EXPECT_EQ(news, "STOPPING=1");
  EXPECT_FALSE(http.send({.url = (*agent)->local_url() + "/.easyenclave/v1/health"}));
}

TEST_F(AgentTest, KeepsItsIdentityOverARestartAndItsKeysInMemoryOnly) {
  for (std::size_t i = 0; i < 2; ++i) {
    auto agent = start();
    ASSERT_TRUE(agent) << agent.error().reason;
    std::stop_source stop;
    std::thread thread([&] { (*agent)->run(stop.get_token()); });
    wait_for("heartbeat", 2 * i + 1);
    stop.request_stop();
    thread.join();
  }
  const auto requests = cp_.registrations();
  ASSERT_EQ(requests.size(), 2U);
  EXPECT_EQ(requests[0].previous_credential, std::nullopt);
  EXPECT_TRUE(requests[1].previous_credential.has_value());
  EXPECT_NE(requests[0].signing_key, requests[1].signing_key);
  EXPECT_EQ(requests[0].boot_id, requests[1].boot_id);
}

TEST_F(AgentTest, WatchdogIsFedAtHalfItsLimit) {
  auto agent = start();
  ASSERT_TRUE(agent);
  std::stop_source stop;
  std::thread thread([&] { (*agent)->run(stop.get_token()); });
  wait_for("heartbeat", 1);
  EXPECT_EQ(notify_.receive(), "READY=1");
  clock_.wait_for_sleepers(5);  // loop, cloudflared, fetcher, refresher, watchdog
  clock_.advance(15s);
  EXPECT_EQ(notify_.receive(), "WATCHDOG=1");
  stop.request_stop();
  thread.join();
}

TEST_F(AgentTest, DeletionEndsItWithItsOwnCode) {
  config_.poweroff_on_delete = true;
  cp_.script("heartbeat", 410, "agent_deleted", {}, "owner");
  auto agent = start();
  ASSERT_TRUE(agent);
  EXPECT_EQ((*agent)->run({}), ExitCode::deleted);
  EXPECT_EQ(power_offs_, 1);
  EXPECT_EQ(cp_.calls("heartbeat").size(), 1U);  // a deleted agent has no last word
}

TEST_F(AgentTest, OneAgentEachDirectory) {
  auto first = start();
  ASSERT_TRUE(first);
  config_.emulated_tdx_dir = dir_ / "other-tdx";
  const auto second = start();
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().exit_code, ExitCode::bad_configuration);
}

TEST_F(AgentTest, WithoutTdxItDoesNotStart) {
  config_.allow_emulated_tdx = false;
  const auto agent = start();
  ASSERT_FALSE(agent);
  EXPECT_EQ(agent.error().exit_code, ExitCode::no_tdx);
}

TEST_F(AgentTest, OutsideDevelopmentTheRunDirectoryMustBeTmpfs) {
  config_.env = Environment::production;
  struct statfs info{};
  ASSERT_EQ(::statfs(dir_.path().c_str(), &info), 0);
  if (static_cast<unsigned long>(info.f_type) == TMPFS_MAGIC) GTEST_SKIP() << "temporary files are on tmpfs here";
  const auto agent = start();
  ASSERT_FALSE(agent);
  EXPECT_EQ(agent.error().exit_code, ExitCode::bad_configuration);
}

TEST(ServiceManager, WithoutSocketNothingHappens) {
  const ServiceManager nobody("", "30000000");
  nobody.notify("READY=1");
  EXPECT_EQ(nobody.watchdog_period(), std::nullopt);
  EXPECT_EQ(ServiceManager("/run/x", "30000000").watchdog_period(), 15s);
  EXPECT_EQ(ServiceManager("/run/x", "").watchdog_period(), std::nullopt);
  ServiceManager("relative", "").notify("READY=1");
  ServiceManager("/" + std::string(200, 'x'), "").notify("READY=1");
}

TEST_F(AgentTest, a_wanted_deployment_is_fetched_deployed_reported_and_stopped) {
  config_.container_runtime = ContainerRuntimeKind::fake;
  const std::uint16_t port = [] {  // free a moment ago
    return ee::testing::FakeWorkload().port();
  }();
  const std::string image = "registry.example.com/web@sha256:" + std::string(64, 'a');
  const auto checked = compose::check(
      R"({"services":{"web":{"image":")" + image + R"(","ports":[")" + std::to_string(port) + R"(:80"]}}})",
      {.ceiling = {.vcpus = 4, .memory_mib = 4096, .gpu_count = 0}});
  ASSERT_TRUE(checked);
  const auto resolved = compose::resolve(*checked, *compose::own_digests(*checked)).value();
  agent_api::DeploymentDocument document;
  document.deployment_id = "0190a000-0000-7000-8000-0000000000d1";
  document.assignment_epoch = 1;
  document.revision = 1;
  document.service = "hello";
  document.compose = resolved.compose;
  document.compose_sha256 = resolved.compose_sha256;
  document.ingress = {{.path_prefix = "/", .port = port}};
  document.health_path = "/health";
  document.access = agent_api::WorkloadAccess::public_;
  document.deploy_timeout_seconds = 300;
  cp_.knobs.document = [&](const ByteArray<32>&) { return std::optional(json::write(document)); };
  cp_.knobs.desired = {.action = agent_api::DesiredAction::run,
                       .deployment_id = document.deployment_id,
                       .assignment_epoch = 1,
                       .revision = 1,
                       .grace_seconds = 0};
  net::CurlHttpClient curl;
  AnyHttp http(cp_.http(), curl);
  auto agent = Agent::start(config_, {.clock = clock_,
                                      .random = random_,
                                      .http = http,
                                      .subprocesses = launcher_,
                                      .host = host_,
                                      .manager = manager_,
                                      .power_off = [] {}});
  ASSERT_TRUE(agent) << agent.error().reason;
  std::stop_source stop;
  std::jthread running([&] { EXPECT_EQ((*agent)->run(stop.get_token()), ExitCode::ok); });
  const auto advance_until = [&](const auto& done) {
    for (int i = 0; i < 500 && !done(); ++i) {
      clock_.advance(1s);
      std::this_thread::sleep_for(10ms);
    }
    return done();
  };
  ASSERT_TRUE(advance_until([&] { return !cp_.calls("deployed").empty(); }));
  const auto deployed = json::read<agent_api::DeployedRequest>(cp_.calls("deployed").back().request.body).value();
  EXPECT_EQ(deployed.workload.phase, agent_api::WorkloadPhase::running);
  EXPECT_EQ(deployed.services.front().digest, "sha256:" + std::string(64, 'a'));
  const auto answer = curl.send({.url = (*agent)->local_url() + "/any"});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  EXPECT_NE(answer->body.find(R"("service":"web")"), std::string::npos) << answer->body;
  const auto shown =
      curl.send({.url = (*agent)->local_url() + "/.easyenclave/v1/evidence?nonce=" + std::string(64, 'b')});
  ASSERT_TRUE(shown);
  EXPECT_NE(shown->body.find(R"(\"op\":\"deploy\")"), std::string::npos) << "measured into RTMR3";
  EXPECT_NE(shown->body.find(resolved.compose_sha256), std::string::npos);

  cp_.knobs.desired = {.action = agent_api::DesiredAction::none, .grace_seconds = 0};
  ASSERT_TRUE(advance_until([&] {
    const auto beats = cp_.heartbeats();
    const auto told = cp_.calls("status");
    return !beats.back().workload && !told.empty() &&
           json::read<agent_api::StatusRequest>(told.back().request.body)->workload->phase ==
               agent_api::WorkloadPhase::stopped;
  }));
  stop.request_stop();
}

}  // namespace
}  // namespace ee::agent

#endif
