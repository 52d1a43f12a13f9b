// Many refreshes at once, over real sockets: they wait for each other, and nobody's heartbeat waits for them.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "net/curl_http_client.h"
#include "tests/support/registered_agent.h"

namespace ee::testing {
namespace {

/// Holds whoever comes until it is opened.
class Hold {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    ++held_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return open_; });
  }
  bool wait_for(int count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), [&] { return held_ >= count; });
  }
  int held() {
    const std::lock_guard lock(mutex_);
    return held_;
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int held_ = 0;
  bool open_ = false;
};

int status_of(const HttpClientRequest& request) {
  const auto answer = net::CurlHttpClient().send(request);
  return answer ? answer->status : 0;
}

class RefreshLoad : public ::testing::Test {
 protected:
  HttpClientRequest refresh_of(const RegisteredAgent& agent) {
    const RegisteredAgent::Refresh refresh = agent.prepare_refresh(cp_);
    HttpClientRequest request = post(agent, "/attestation", json::write(refresh.request));
    request.headers.push_back(
        {"X-EE-Agent-Signature",
         agent.agent().sign_request("POST", agent.path("/attestation"), refresh.challenge.challenge_id, request.body)});
    return request;
  }
  HttpClientRequest beat_of(const RegisteredAgent& agent, int seq) {
    return post(
        agent, "/heartbeat",
        R"({"seq":)" + std::to_string(seq) +
            R"(,"boot_id":"1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed","sent_at":"2026-01-01T00:00:00.000Z","agent_version":"0.1.0","health":{"status":"healthy","checks":[]},"workload":null,"tunnel":{"state":"connected","ready_connections":4,"restarts":0},"stats":null,"draining":false})");
  }
  bool in_flight_comes_to(int count) {
    const std::string wanted = "ee_http_in_flight " + std::to_string(count) + "\n";
    for (const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
         std::chrono::steady_clock::now() < end; std::this_thread::sleep_for(std::chrono::milliseconds(5)))
      if (cp_.call("GET", "/metrics", "", {}, "127.0.0.1").body.find(wanted) != std::string::npos) return true;
    return false;
  }

  Hold hold_;
  std::atomic<bool> holding_ = false;
  TestControlPlane cp_{{.before_step = [this](cp::VerificationStep step) {
    if (holding_ && step == cp::VerificationStep::verifiers) hold_.pass();
  }}};

 private:
  HttpClientRequest post(const RegisteredAgent& agent, const std::string& rest, std::string body) {
    HttpClientRequest request{.method = "POST", .url = cp_.app().url() + agent.path(rest), .headers = agent.bearer()};
    request.headers.push_back({"Content-Type", "application/json"});
    request.body = std::move(body);
    request.total_timeout = Milliseconds(60'000);
    return request;
  }
};

TEST_F(RefreshLoad, HeartbeatsPassRefreshesThatWait) {
  constexpr int kRefreshes = 6;
  std::vector<RegisteredAgent> agents;
  for (int i = 0; i < kRefreshes; ++i) agents.emplace_back(cp_, "tdx-agent-" + std::to_string(i));
  const RegisteredAgent beating(cp_, "tdx-agent-beating");
  std::vector<HttpClientRequest> requests;
  for (const RegisteredAgent& agent : agents) requests.push_back(refresh_of(agent));
  holding_ = true;
  std::vector<int> statuses(kRefreshes);
  {
    std::vector<std::jthread> senders;
    struct Opens {
      Hold& hold;
      ~Opens() { hold.open(); }
    };
    for (std::size_t i = 0; i < requests.size(); ++i)
      senders.emplace_back([&, i] { statuses[i] = status_of(requests[i]); });
    const Opens opens{hold_};  // before the senders are waited for, also when an expectation below fails
    ASSERT_TRUE(hold_.wait_for(2));
    ASSERT_TRUE(in_flight_comes_to(kRefreshes)) << "the others wait for a worker";
    for (int seq = 1; seq <= 4; ++seq) {
      cp_.clock.advance(Seconds(6));  // past the life of a cached credential: each beat needs a worker and the database
      EXPECT_EQ(status_of(beat_of(beating, seq)), 200) << seq;
    }
    EXPECT_EQ(hold_.held(), 2) << "of four workers at most half verify";
  }
  EXPECT_EQ(statuses, std::vector<int>(kRefreshes, 200)) << "each had its turn afterwards";
  EXPECT_EQ(cp_.values<std::string>("SELECT health_status FROM agents WHERE vm_name='tdx-agent-beating'"),
            std::vector<std::string>{"healthy"});
}

}  // namespace
}  // namespace ee::testing
