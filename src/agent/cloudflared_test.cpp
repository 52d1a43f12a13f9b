#include "agent/cloudflared.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "common/fake_clock.h"
#include "common/fake_http_client.h"
#include "common/fake_random.h"
#include "common/fake_subprocess.h"

namespace ee::agent {
namespace {

using namespace std::chrono_literals;
using agent_api::TunnelLink;

/// A supervisor whose world the test moves. Sleeps pass at once; `run_until` follows the supervisor's own deadlines.
class CloudflaredTest : public ::testing::Test {
 protected:
  CloudflaredTest() : http_([this](const HttpClientRequest&) { return answer_; }) { clock_.set_auto_advance(true); }

  static HttpClientResponse ready(int connections) {
    return {.status = connections > 0 ? 200 : 503,
            .body = R"({"status":200,"readyConnections":)" + std::to_string(connections) + R"(,"connectorId":"x"})"};
  }
  void set_ready(int connections) { answer_ = ready(connections); }
  void set_unreachable() { answer_ = std::unexpected(HttpFailure::connect); }

  /// Steps until the time is over, or `done` says so.
  void run_for(Milliseconds time, const std::function<bool()>& done = [] { return false; }) {
    const SteadyTime end = clock_.steady_now() + time;
    while (!done()) {
      const SteadyTime next = supervisor_.step();
      if (done() || next >= end) break;
      clock_.sleep_until(next, {});
    }
    if (!done() && clock_.steady_now() < end) clock_.sleep_until(end, {});
  }
  /// Lets the running child end at once and steps until the next one starts; the time between.
  Milliseconds crash_and_wait_for_restart(int code = 1) {
    const std::size_t before = launcher_.started();
    launcher_.end_newest(code);
    supervisor_.step();  // sees the end
    const SteadyTime seen = clock_.steady_now();
    run_for(10min, [&] { return launcher_.started() > before; });
    return std::chrono::duration_cast<Milliseconds>(clock_.steady_now() - seen);
  }

  FakeClock clock_;
  FakeRandom random_;
  FakeSubprocessLauncher launcher_;
  std::expected<HttpClientResponse, HttpFailure> answer_ = std::unexpected(HttpFailure::connect);
  FakeHttpClient http_;
  int fresh_asked_ = 0;
  std::optional<Secret> fresh_token_;
  std::vector<std::string> printed_;
  CloudflaredSupervisor supervisor_{{.program = "/usr/bin/cloudflared",
                                     .metrics = {.host = "127.0.1.1", .port = 8089},
                                     .fresh_token =
                                         [this] {
                                           ++fresh_asked_;
                                           return fresh_token_;
                                         },
                                     .on_line = [this](std::string_view line) { printed_.emplace_back(line); }},
                                    launcher_,
                                    http_,
                                    clock_,
                                    random_};
};

TEST_F(CloudflaredTest, RunsOnlyWithAToken) {
  run_for(1h);
  EXPECT_EQ(launcher_.started(), 0U);
  EXPECT_EQ(supervisor_.report(), (agent_api::TunnelReport{}));
}

TEST_F(CloudflaredTest, StartsWithTheTokenInTheEnvironmentOnly) {
  supervisor_.set_token(Secret("eyJ0b2tlbiI6MX0"));
  supervisor_.step();

  ASSERT_EQ(launcher_.started(), 1U);
  const auto child = launcher_.child(0);
  EXPECT_EQ(child.spec.argv, (std::vector<std::string>{"/usr/bin/cloudflared", "tunnel", "--no-autoupdate", "--metrics",
                                                       "127.0.1.1:8089", "--grace-period", "10s", "run"}));
  const auto token = std::ranges::find(child.spec.environment, "TUNNEL_TOKEN", [](const auto& e) { return e.first; });
  ASSERT_NE(token, child.spec.environment.end());
  EXPECT_EQ(token->second.reveal(), "eyJ0b2tlbiI6MX0");
  child.spec.on_line("INF starting with eyJ0b2tlbiI6MX0 and eyJ0b2tlbiI6MX0.");
  EXPECT_EQ(printed_, std::vector<std::string>{"INF starting with *** and ***."});
}

TEST_F(CloudflaredTest, ReportsItsConnections) {
  supervisor_.set_token(Secret("t"));
  set_unreachable();
  run_for(5s);
  EXPECT_EQ(supervisor_.report().state, TunnelLink::starting);
  set_ready(4);
  run_for(10s);
  EXPECT_EQ(supervisor_.report(),
            (agent_api::TunnelReport{.state = TunnelLink::connected, .ready_connections = 4, .restarts = 0}));
  EXPECT_EQ(http_.calls().back().url, "http://127.0.1.1:8089/ready");
  set_ready(0);
  run_for(10s);
  EXPECT_EQ(supervisor_.report().state, TunnelLink::disconnected);
  EXPECT_EQ(launcher_.started(), 1U);
}

TEST_F(CloudflaredTest, PollsReadinessEveryTenSeconds) {
  supervisor_.set_token(Secret("t"));
  set_ready(1);
  run_for(100s);
  EXPECT_GE(http_.calls().size(), 9U);
  EXPECT_LE(http_.calls().size(), 10U);
}

// covers: S02_EEA_CFD_001
TEST_F(CloudflaredTest, S02_EEA_CFD_001_restarts_a_crashing_child_with_growing_delays) {
  supervisor_.set_token(Secret("t"));
  supervisor_.step();
  std::vector<Milliseconds> delays;
  for (int i = 0; i < 9; ++i) delays.push_back(crash_and_wait_for_restart());

  const std::vector<Milliseconds> expected = {1s, 2s, 4s, 8s, 16s, 32s, 60s, 60s, 60s};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_GE(delays[i], expected[i] * 8 / 10) << i;
    EXPECT_LE(delays[i], expected[i] * 12 / 10 + 1s) << i;  // and a second until the exit is seen
  }
  EXPECT_EQ(supervisor_.report().restarts, 9);

  set_ready(2);  // after 120 s of readiness the delays start over
  run_for(140s);
  EXPECT_LE(crash_and_wait_for_restart(), 2200ms);
}

TEST_F(CloudflaredTest, ShortReadinessKeepsTheDelay) {
  supervisor_.set_token(Secret("t"));
  supervisor_.step();
  for (int i = 0; i < 6; ++i) crash_and_wait_for_restart();
  set_ready(2);
  run_for(60s);
  EXPECT_GE(crash_and_wait_for_restart(), 48s);
}

// covers: S02_EEA_CFD_002
TEST_F(CloudflaredTest, S02_EEA_CFD_002_restarts_a_child_that_is_never_ready) {
  supervisor_.set_token(Secret("t"));
  set_ready(0);
  run_for(179s);
  EXPECT_EQ(launcher_.started(), 1U);
  run_for(10s);
  EXPECT_EQ(launcher_.started(), 2U);
  EXPECT_EQ(launcher_.child(0).signals, std::vector{SubprocessSignal::terminate});
  EXPECT_EQ(launcher_.running(), 1U);
}

TEST_F(CloudflaredTest, AsksForAFreshTokenAfterFiveQuickExits) {
  fresh_token_ = Secret("fresh");
  supervisor_.set_token(Secret("stale"));
  supervisor_.step();
  for (int i = 0; i < 4; ++i) crash_and_wait_for_restart();
  EXPECT_EQ(fresh_asked_, 0);
  crash_and_wait_for_restart();
  EXPECT_EQ(fresh_asked_, 1);
  EXPECT_EQ(launcher_.child(launcher_.started() - 1).spec.environment.at(0).second.reveal(), "fresh");
  supervisor_.step();
  EXPECT_EQ(launcher_.running(), 1U);  // the fresh token is not a change any more
}

TEST_F(CloudflaredTest, AnExitAfterTenSecondsIsNotQuick) {
  supervisor_.set_token(Secret("t"));
  supervisor_.step();
  for (int i = 0; i < 12; ++i) {
    run_for(11s);
    crash_and_wait_for_restart();
  }
  EXPECT_EQ(fresh_asked_, 0);
}

// covers: S02_EEA_CFD_003
TEST_F(CloudflaredTest, S02_EEA_CFD_003_a_changed_token_replaces_the_child) {
  supervisor_.set_token(Secret("one"));
  supervisor_.step();
  launcher_.set_ignore_terminate(true);  // counts for children to come
  supervisor_.set_token(Secret("two"));
  supervisor_.step();
  ASSERT_EQ(launcher_.started(), 2U);
  EXPECT_EQ(launcher_.child(0).signals, std::vector{SubprocessSignal::terminate});
  EXPECT_EQ(launcher_.child(1).spec.environment.at(0).second.reveal(), "two");

  supervisor_.set_token(Secret("two"));  // the same again
  supervisor_.step();
  EXPECT_EQ(launcher_.started(), 2U);

  const SteadyTime before = clock_.steady_now();
  supervisor_.set_token(std::nullopt);  // the second one does not heed SIGTERM
  supervisor_.step();
  EXPECT_EQ(launcher_.child(1).signals, (std::vector{SubprocessSignal::terminate, SubprocessSignal::kill}));
  EXPECT_GE(clock_.steady_now() - before, 15s);
  EXPECT_LE(clock_.steady_now() - before, 16s);
  EXPECT_EQ(launcher_.running(), 0U);
  EXPECT_EQ(supervisor_.report().state, TunnelLink::none);
}

TEST_F(CloudflaredTest, AMissingProgramIsReportedAndTriedAgain) {
  launcher_.set_failing(true);
  supervisor_.set_token(Secret("t"));
  run_for(20s);
  EXPECT_EQ(supervisor_.report().state, TunnelLink::failed);
  EXPECT_GE(supervisor_.report().restarts, 3);
  launcher_.set_failing(false);
  run_for(60s);
  EXPECT_EQ(launcher_.running(), 1U);
}

TEST_F(CloudflaredTest, StoppingEndsTheChild) {
  supervisor_.set_token(Secret("t"));
  std::stop_source stop;
  clock_.set_auto_advance(false);
  std::thread thread([&] { supervisor_.run(stop.get_token()); });
  clock_.wait_for_sleepers(1);
  EXPECT_EQ(launcher_.running(), 1U);
  stop.request_stop();
  thread.join();
  EXPECT_EQ(launcher_.running(), 0U);
  EXPECT_EQ(launcher_.child(0).signals, std::vector{SubprocessSignal::terminate});
}

TEST_F(CloudflaredTest, MalformedReadinessIsNotReady) {
  supervisor_.set_token(Secret("t"));
  for (const char* body :
       {"", "[]", R"({"readyConnections":"4"})", R"({"readyConnections":-1})", R"({"readyConnections":0})"}) {
    answer_ = HttpClientResponse{.status = 200, .body = body};
    run_for(11s);
    EXPECT_EQ(supervisor_.report().state, TunnelLink::starting) << body;
  }
}

}  // namespace
}  // namespace ee::agent
