#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>

#include "agent/cloudflared.h"
#include "common/fake_clock.h"
#include "common/fake_random.h"
#include "common/json.h"
#include "common/posix_subprocess.h"
#include "net/curl_http_client.h"
#include "net/server.h"
#include "tests/support/temp_dir.h"

namespace ee::agent {
namespace {

using namespace std::chrono_literals;
using agent_api::TunnelLink;

/// What the stand-in for cloudflared calls when it connects and when it goes.
class Edge final : public net::Application {
 public:
  net::Admission admit(const net::RequestHead&) override { return {.route = &route_}; }
  net::Response handle(net::Request&& request) override {
    const auto body = json::parse(request.body);
    const std::lock_guard lock(mutex_);
    if (body) {
      const auto& object = body->get_object();
      connections_.push_back(object.at("connections").as_int64());
      token_ = std::string(object.at("token").as_string());
    }
    return {.status = 200, .body = "{}"};
  }
  std::vector<std::int64_t> connections() const {
    const std::lock_guard lock(mutex_);
    return connections_;
  }
  std::string token() const {
    const std::lock_guard lock(mutex_);
    return token_;
  }

 private:
  net::RouteInfo route_{.route_template = "/"};
  mutable std::mutex mutex_;
  std::vector<std::int64_t> connections_;
  std::string token_;
};

std::filesystem::path standin() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / "tests/standin-cloudflared";
}

/// The supervisor with a real child: the stand-in program, in a wrapper that tells it where its edge is.
// covers: S02_EEA_CFD_001, S02_EEA_CFD_003, S02_EEA_CFD_004
TEST(CloudflaredChild, S02_EEA_CFD_001_a_real_child_is_started_watched_restarted_and_ended) {
  if (!std::filesystem::exists(standin()))
    GTEST_SKIP() << "the stand-in for cloudflared is not built: standin-cloudflared";
  const ee::testing::TempDir dir;
  FakeClock clock;
  FakeRandom random;
  Edge edge;
  auto server = net::Server::start({}, edge, clock, random);
  ASSERT_TRUE(server) << server.error();
  const std::string wrapper = dir / "cloudflared";
  std::ofstream(wrapper) << "#!/bin/sh\nexport EE_FAKE_CLOUDFLARE_URL=" << (*server)->url() << "\nexec "
                         << standin().string() << " \"$@\"\n";
  ::chmod(wrapper.c_str(), 0700);
  // An address of loopback that no other process of this machine uses.
  const auto pid = static_cast<unsigned>(::getpid());
  const Endpoint metrics{.host = "127.77." + std::to_string(pid / 250 % 250 + 1) + "." + std::to_string(pid % 250 + 1),
                         .port = 8089};
  PosixSubprocessLauncher launcher;
  net::CurlHttpClient http;
  CloudflaredSupervisor supervisor({.program = wrapper, .metrics = metrics}, launcher, http, clock, random);
  std::stop_source stop;
  std::atomic<bool> ended = false;
  std::thread thread([&] {
    supervisor.run(stop.get_token());
    ended = true;
  });
  // The clock moves fast only while the supervisor sleeps on it, and at real pace while the child is wanted to get
  // somewhere: a process takes real time for what it does, and one that failed to start is started again after a while.
  const auto pass_until = [&](Milliseconds step, auto&& condition) {
    while (!condition()) {
      clock.wait_for_sleepers(1);
      clock.advance(step);
      std::this_thread::yield();
    }
  };
  const auto is_ready = [&] {
    const auto answer = http.send({.url = "http://" + metrics.str() + "/ready"});
    return answer && answer->status == 200;
  };
  const auto wait_until_ready = [&] {
    auto last = std::chrono::steady_clock::now();
    while (!is_ready()) {
      std::this_thread::yield();
      const auto passed = std::chrono::floor<Milliseconds>(std::chrono::steady_clock::now() - last);
      clock.advance(passed);
      last += passed;
    }
  };
  const auto state_is = [&](TunnelLink state) { return [&, state] { return supervisor.report().state == state; }; };

  supervisor.set_token(Secret("tok-1"));
  wait_until_ready();
  pass_until(10s, state_is(TunnelLink::connected));
  EXPECT_EQ(supervisor.report().ready_connections, 4);
  EXPECT_EQ(edge.token(), "tok-1");

  (void)http.send({.method = "POST", .url = "http://" + metrics.str() + "/crash"});
  while (is_ready()) std::this_thread::yield();
  pass_until(1s,
             [&] { return supervisor.report().restarts == 1 && supervisor.report().state == TunnelLink::starting; });
  wait_until_ready();
  pass_until(10s, state_is(TunnelLink::connected));

  supervisor.set_token(Secret("tok-2"));
  while (edge.connections().back() != 0) std::this_thread::yield();  // it was asked to go, and took its leave
  pass_until(100ms, state_is(TunnelLink::starting));
  wait_until_ready();
  pass_until(10s, state_is(TunnelLink::connected));
  EXPECT_EQ(edge.token(), "tok-2");

  stop.request_stop();
  while (edge.connections().back() != 0) std::this_thread::yield();
  while (!ended) {
    clock.advance(100ms);
    std::this_thread::yield();
  }
  thread.join();
  EXPECT_FALSE(is_ready());  // nobody is there any more
}

}  // namespace
}  // namespace ee::agent
