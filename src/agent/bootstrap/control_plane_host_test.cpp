#include "agent/bootstrap/control_plane_host.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <boost/json/value.hpp>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>

#include "attestation/quote/quote.h"
#include "common/crypto.h"
#include "common/fake_http_client.h"
#include "common/json.h"
#include "common/random.h"
#include "net/curl_http_client.h"
#include "tests/support/child_process.h"
#include "tests/support/temp_dir.h"

#ifdef EE_EMULATOR

namespace ee::agent {
namespace {

using namespace std::chrono_literals;
using ee::testing::eventually;

/// Children that run until they are told to end, or end at once as scripted; what happens to them is recorded in order.
class RecordingLauncher final : public SubprocessLauncher {
 public:
  Result<std::unique_ptr<Subprocess>> start(const SubprocessSpec& spec) override {
    const std::string name = name_of(spec);
    record("start " + name);
    if (name == "ingress" && spec.on_output) spec.on_output(ingress_output);
    return std::make_unique<Child>(*this, name, name == "ingress" ? std::optional(ingress_code) : std::nullopt);
  }
  std::vector<std::string> events() const {
    const std::lock_guard lock(mutex_);
    return events_;
  }
  bool happened(const std::string& event) const {
    const std::lock_guard lock(mutex_);
    return std::ranges::find(events_, event) != events_.end();
  }
  std::string ingress_output = R"({"tunnel_id":"t","token":"tunnel-token","hostnames":[]})";
  int ingress_code = 0;

 private:
  static std::string name_of(const SubprocessSpec& spec) {
    if (spec.argv.back() == "serve") return "ee-cp";
    return spec.argv.back() == "--json" ? "ingress" : "cloudflared";
  }
  void record(std::string event) {
    const std::lock_guard lock(mutex_);
    events_.push_back(std::move(event));
  }
  class Child final : public Subprocess {
   public:
    Child(RecordingLauncher& owner, std::string name, std::optional<int> code)
        : owner_(owner), name_(std::move(name)), code_(code) {}
    ~Child() override {
      if (!code_) owner_.record("kill " + name_);
    }
    std::optional<ExitStatus> poll() override {
      return code_ ? std::optional(ExitStatus{.code = code_, .signal = {}}) : std::nullopt;
    }
    void send(SubprocessSignal) override {
      owner_.record("end " + name_);
      code_ = 0;
    }

   private:
    RecordingLauncher& owner_;
    std::string name_;
    std::optional<int> code_;
  };
  mutable std::mutex mutex_;
  std::vector<std::string> events_;
};

class ControlPlaneHostTest : public ::testing::Test {
 protected:
  ControlPlaneHostTest() {
    config_.mode = Mode::cp_bootstrap;
    config_.env = Environment::dev;
    config_.allow_emulated_tdx = true;
    config_.tdx_provider = TdxProvider::emulated;
    config_.listen = {.host = "127.0.1.77", .port = 0};
    config_.data_dir = dir_ / "agent";
    config_.run_dir = dir_ / "run";
    config_.emulated_tdx_dir = dir_ / "tdx";
    config_.cp.data_dir = dir_ / "cp";
    config_.cp.command = {"/bin/true", "serve"};
  }
  std::expected<std::unique_ptr<ControlPlaneHost>, StartFailure> start() {
    return ControlPlaneHost::start(config_, {.clock = clock_,
                                             .random = random_,
                                             .http = http_,
                                             .subprocesses = launcher_,
                                             .host = host_,
                                             .manager = manager_});
  }
  ExitCode refusal() {
    auto started = start();
    return started ? ExitCode::ok : started.error().exit_code;
  }

  ee::testing::TempDir dir_;
  SystemClock clock_;
  SystemRandom random_;
  FakeHttpClient http_{
      [](const HttpClientRequest&) { return HttpClientResponse{.status = 200, .body = R"({"readyConnections":4})"}; }};
  RecordingLauncher launcher_;
  Host host_{"/nonexistent"};
  ServiceManager manager_{"", ""};
  AgentConfig config_;
};

// covers: S02_EEA_CP_001
TEST_F(ControlPlaneHostTest, S02_EEA_CP_001_proves_what_it_starts) {
  auto host = start();
  ASSERT_TRUE(host) << host.error().reason;
  const std::string path = config_.run_dir + "/cp-boot-evidence.json";
  struct stat info{};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0644U);
  std::ifstream file(path);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto evidence = json::parse(text);
  ASSERT_TRUE(evidence) << text;
  const auto member = [&](const char* name) { return std::string(evidence->at(name).as_string()); };
  EXPECT_TRUE(evidence->at("emulated").as_bool());
  EXPECT_EQ(member("program"), "/bin/true serve");
  const auto quote_bytes = from_base64(member("quote"));
  ASSERT_TRUE(quote_bytes);
  const auto quote = attestation::parse_quote(*quote_bytes, attestation::TrailingPolicy::zeros);
  ASSERT_TRUE(quote);
  EXPECT_EQ(to_hex(quote->mrtd()), member("mrtd"));
  ByteVector preimage;
  append(preimage, "ee-cp-boot-v1");
  preimage.push_back(0);
  append(preimage, *from_hex(member("nonce")));
  append(preimage, sha256(bytes_of(member("program"))));
  EXPECT_TRUE(std::ranges::equal(quote->report_data(), sha512(preimage)));
}

// covers: S02_EEA_CP_005
TEST_F(ControlPlaneHostTest, S02_EEA_CP_005_the_tunnel_ends_before_the_control_plane) {
  auto host = start();
  ASSERT_TRUE(host) << host.error().reason;
  std::stop_source stop;
  ExitCode code = ExitCode::internal;
  std::thread running([&] { code = (*host)->run(stop.get_token()); });
  EXPECT_TRUE(eventually([&] { return launcher_.happened("start cloudflared"); }));

  // Only the health is there.
  net::CurlHttpClient http;
  const auto status_of = [&](const std::string& path) {
    const auto answer = http.send({.url = (*host)->local_url() + path});
    return answer ? answer->status : 0;
  };
  const auto health = http.send({.url = (*host)->local_url() + "/.easyenclave/v1/health"});
  ASSERT_TRUE(health);
  EXPECT_EQ(health->status, 200);
  EXPECT_NE(health->body.find(R"("status":"ok")"), std::string::npos) << health->body;
  for (const char* path : {"/", "/.easyenclave/v1/status", "/.easyenclave/v1/evidence", "/.easyenclave/v1/deployment"})
    EXPECT_EQ(status_of(path), 404) << path;

  stop.request_stop();
  running.join();
  EXPECT_EQ(code, ExitCode::ok);
  EXPECT_EQ(launcher_.events(), (std::vector<std::string>{"start ee-cp", "start ingress", "start cloudflared",
                                                          "end cloudflared", "end ee-cp"}));
}

// covers: S02_EEA_CP_004
TEST_F(ControlPlaneHostTest, S02_EEA_CP_004_a_failing_ingress_is_told_and_the_control_plane_stays) {
  launcher_.ingress_code = 1;
  auto host = start();
  ASSERT_TRUE(host) << host.error().reason;
  std::stop_source stop;
  std::thread running([&] { (void)(*host)->run(stop.get_token()); });
  net::CurlHttpClient http;
  EXPECT_TRUE(eventually([&] {
    const auto health = http.send({.url = (*host)->local_url() + "/.easyenclave/v1/health"});
    return health && health->body.find("degraded") != std::string::npos && launcher_.happened("start ingress");
  }));
  stop.request_stop();
  running.join();
  EXPECT_FALSE(launcher_.happened("start cloudflared"));
  EXPECT_EQ(launcher_.events().back(), "end ee-cp");
}

TEST_F(ControlPlaneHostTest, RefusesWhatItCannotUse) {
  config_.cp.command = {"/nonexistent/ee-cp", "serve"};
  EXPECT_EQ(refusal(), ExitCode::bad_configuration);
  config_.cp.command = {"/bin/true", "serve"};
  std::ofstream(dir_ / "file") << "x";
  config_.cp.data_dir = dir_ / "file";
  EXPECT_EQ(refusal(), ExitCode::bad_configuration);
  config_.cp.data_dir = dir_ / "cp";
  config_.cp.env.emplace("EE_BIND", Secret("unix:/x"));
  EXPECT_EQ(refusal(), ExitCode::bad_configuration);
  config_.cp.env.clear();
  config_.config_disk = "{}";  // fits an MRCONFIGID of zeros
  EXPECT_EQ(refusal(), ExitCode::ok);
  config_.allow_emulated_tdx = false;
  EXPECT_EQ(refusal(), ExitCode::no_tdx);
}

TEST_F(ControlPlaneHostTest, OutsideDevSecretsStayInMemory) {
  config_.env = Environment::staging;
  config_.cp.env.emplace("EE_CP_SIGNING_KEY_FILE", Secret("/etc/hostname"));
  auto refused = start();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().exit_code, ExitCode::bad_configuration);
  EXPECT_NE(refused.error().reason.find("tmpfs"), std::string::npos) << refused.error().reason;
}

TEST_F(ControlPlaneHostTest, TwoDoNotShareADirectory) {
  auto first = start();
  ASSERT_TRUE(first);
  EXPECT_EQ(refusal(), ExitCode::bad_configuration);
}

}  // namespace
}  // namespace ee::agent

#endif
