#include "agent/bootstrap/cp_supervisor.h"

#include <gtest/gtest.h>

#include "common/fake_clock.h"
#include "common/fake_http_client.h"
#include "common/fake_random.h"
#include "common/fake_subprocess.h"

namespace ee::agent {
namespace {

using namespace std::chrono_literals;

/// A supervisor whose world the test moves. Sleeps pass at once.
class CpSupervisorTest : public ::testing::Test {
 protected:
  CpSupervisorTest() : http_([this](const HttpClientRequest& request) { return answer(request); }) {
    clock_.set_auto_advance(true);
  }
  std::expected<HttpClientResponse, HttpFailure> answer(const HttpClientRequest& request) const {
    if (request.url.ends_with("/ready")) return HttpClientResponse{.status = ready_ ? 200 : 503};
    if (!healthy_) return std::unexpected(HttpFailure::timeout);
    return HttpClientResponse{.status = 200};
  }
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
  /// Children whose arguments end so, as `serve` or `--json`, in the order of their start.
  std::vector<std::size_t> started(const std::string& last) const {
    std::vector<std::size_t> out;
    for (std::size_t i = 0; i < launcher_.started(); ++i)
      if (launcher_.child(i).spec.argv.back() == last) out.push_back(i);
    return out;
  }
  bool check(const std::string& name) const {
    for (const auto& each : board_.health().checks)
      if (each.name == name) return true;
    return false;
  }
  /// The control plane is ready and `ingress ensure` runs.
  void get_ready() {
    ready_ = true;
    run_for(10s, [&] { return started("--json").size() == 1; });
    ASSERT_EQ(started("--json").size(), 1U);
  }
  /// The newest child prints that and ends.
  void newest_ends(int code, const std::string& printed = "") {
    const auto child = launcher_.child(launcher_.started() - 1);
    if (!printed.empty()) child.spec.on_output(printed);
    launcher_.end_newest(code);
    supervisor_.step();
  }

  FakeClock clock_;
  FakeRandom random_;
  FakeSubprocessLauncher launcher_;
  bool ready_ = false;
  bool healthy_ = true;
  FakeHttpClient http_;
  Board board_{clock_};
  std::vector<std::string> tokens_;
  CpSupervisor supervisor_{
      {.serve = {"/usr/bin/ee-cp", "serve"},
       .ingress = {"/usr/bin/ee-cp", "ingress", "ensure", "--json"},
       .environment = {.variables = {{"EE_ENV", Secret("dev")}}, .files = {}, .url = "http://127.0.0.1:8080"},
       .set_tunnel_token = [this](const Secret& token) { tokens_.emplace_back(token.reveal()); }},
      launcher_,
      http_,
      clock_,
      random_,
      board_};
};

// covers: S02_EEA_CP_001
TEST_F(CpSupervisorTest, S02_EEA_CP_001_starts_waits_for_ready_then_makes_the_tunnel) {
  run_for(60s);
  ASSERT_EQ(launcher_.started(), 1U);
  EXPECT_EQ(launcher_.child(0).spec.argv, (std::vector<std::string>{"/usr/bin/ee-cp", "serve"}));
  EXPECT_EQ(launcher_.child(0).spec.environment.front().first, "EE_ENV");
  EXPECT_EQ(http_.calls().back().url, "http://127.0.0.1:8080/ready");
  EXPECT_TRUE(check("control_plane"));
  EXPECT_EQ(board_.phase(), AgentPhase::starting);

  get_ready();
  EXPECT_FALSE(check("control_plane"));
  EXPECT_EQ(board_.phase(), AgentPhase::active);
  EXPECT_EQ(launcher_.child(1).spec.argv, (std::vector<std::string>{"/usr/bin/ee-cp", "ingress", "ensure", "--json"}));
  newest_ends(0, R"({"tunnel_id":"t","token":"eyJhIjoi","hostnames":["cp.example.com"]})");
  EXPECT_EQ(tokens_, std::vector<std::string>{"eyJhIjoi"});
  run_for(10min);
  EXPECT_EQ(launcher_.started(), 2U) << "once made it stays";
  EXPECT_EQ(board_.health().status, agent_api::HealthStatus::healthy);
}

// covers: S02_EEA_CP_001
TEST_F(CpSupervisorTest, S02_EEA_CP_001_one_that_does_not_get_ready_is_restarted) {
  run_for(119s);
  EXPECT_EQ(launcher_.started(), 1U);
  EXPECT_TRUE(launcher_.child(0).signals.empty());
  run_for(5s);
  EXPECT_EQ(launcher_.child(0).signals, std::vector{SubprocessSignal::terminate});
  EXPECT_EQ(launcher_.started(), 2U);
  launcher_.set_ignore_terminate(true);
  run_for(200s, [&] { return launcher_.started() == 3; });
  EXPECT_TRUE(launcher_.child(1).signals.size() == 1);
  const SteadyTime begin = clock_.steady_now();
  run_for(300s, [&] { return launcher_.child(2).ended.has_value(); });
  EXPECT_EQ(launcher_.child(2).signals, (std::vector{SubprocessSignal::terminate, SubprocessSignal::kill}));
  EXPECT_GE(clock_.steady_now() - begin, 150s) << "120 s to get ready, 30 s to end";
}

// covers: S02_EEA_CP_003
TEST_F(CpSupervisorTest, S02_EEA_CP_003_a_crashed_child_is_started_again_after_growing_waits) {
  supervisor_.step();
  std::vector<Milliseconds> waits;
  for (int i = 0; i < 8; ++i) {
    const std::size_t before = launcher_.started();
    launcher_.end_newest(1);
    supervisor_.step();
    const SteadyTime seen = clock_.steady_now();
    run_for(10min, [&] { return launcher_.started() > before; });
    waits.push_back(std::chrono::duration_cast<Milliseconds>(clock_.steady_now() - seen));
  }
  EXPECT_EQ(waits, (std::vector<Milliseconds>{1s, 2s, 4s, 8s, 16s, 32s, 60s, 60s}));
  EXPECT_FALSE(check("crash_loop"));
  for (int i = 0; i < 2; ++i) {
    const std::size_t before = launcher_.started();
    launcher_.end_newest(1);
    supervisor_.step();
    run_for(10min, [&] { return launcher_.started() > before; });
  }
  EXPECT_TRUE(check("crash_loop")) << "ten within ten minutes";
  EXPECT_EQ(board_.health().status, agent_api::HealthStatus::degraded);

  // It recovers: after ten good minutes it counts as well again.
  ready_ = true;
  run_for(9min);
  EXPECT_TRUE(check("crash_loop"));
  run_for(2min);
  EXPECT_FALSE(check("crash_loop"));
}

// covers: S02_EEA_CP_003
TEST_F(CpSupervisorTest, S02_EEA_CP_003_two_good_minutes_reset_the_wait) {
  supervisor_.step();
  for (int i = 0; i < 4; ++i) {
    const std::size_t before = launcher_.started();
    launcher_.end_newest(1);
    run_for(10min, [&] { return launcher_.started() > before; });
  }
  get_ready();
  newest_ends(3);
  run_for(3min);
  healthy_ = false;
  const std::size_t before = launcher_.started();
  run_for(10min, [&] { return !launcher_.child(4).signals.empty(); });
  EXPECT_EQ(launcher_.started(), before);
  const SteadyTime ended = clock_.steady_now();
  run_for(10min, [&] { return launcher_.started() > before; });
  EXPECT_LE(clock_.steady_now() - ended, 2s);
}

// covers: S02_EEA_CP_003
TEST_F(CpSupervisorTest, S02_EEA_CP_003_six_failed_looks_end_it) {
  get_ready();
  newest_ends(3);
  healthy_ = false;
  run_for(49s);
  healthy_ = true;
  run_for(20s);
  EXPECT_TRUE(launcher_.child(0).signals.empty()) << "five in a row are forgiven";
  healthy_ = false;
  run_for(75s, [&] { return !launcher_.child(0).signals.empty(); });
  EXPECT_EQ(launcher_.child(0).signals, std::vector{SubprocessSignal::terminate});
  healthy_ = true;
  run_for(10s);
  EXPECT_EQ(started("serve").size(), 2U);
}

// covers: S02_EEA_CP_003
TEST_F(CpSupervisorTest, S02_EEA_CP_003_a_program_that_cannot_be_started_is_tried_again) {
  launcher_.set_failing(true);
  run_for(100s);
  EXPECT_EQ(launcher_.started(), 0U);
  launcher_.set_failing(false);
  run_for(60s, [&] { return launcher_.started() == 1; });
  EXPECT_EQ(launcher_.started(), 1U);
}

// covers: S02_EEA_CP_004
TEST_F(CpSupervisorTest, S02_EEA_CP_004_a_failing_ingress_is_tried_again_and_disturbs_nothing) {
  get_ready();
  newest_ends(1);
  EXPECT_TRUE(check("ingress"));
  EXPECT_TRUE(tokens_.empty());
  std::vector<Milliseconds> waits;
  for (int i = 0; i < 8; ++i) {
    const std::size_t before = started("--json").size();
    const SteadyTime seen = clock_.steady_now();
    run_for(10min, [&] { return started("--json").size() > before; });
    waits.push_back(std::chrono::duration_cast<Milliseconds>(clock_.steady_now() - seen));
    newest_ends(1);
  }
  EXPECT_LE(waits.front(), 2s);
  EXPECT_GE(waits.back(), 48s);
  EXPECT_LE(waits.back(), 73s);
  // What it prints is not trusted blindly.
  for (const char* bad : {"", "token", R"({"token":""})", R"({"token":7})", R"([])"}) {
    const std::size_t before = started("--json").size();
    run_for(10min, [&] { return started("--json").size() > before; });
    newest_ends(0, bad);
    EXPECT_TRUE(tokens_.empty()) << bad;
    EXPECT_TRUE(check("ingress"));
  }
  // One that hangs is killed.
  const std::size_t hanging = launcher_.started();
  run_for(10min, [&] { return launcher_.started() > hanging; });
  run_for(181s);
  EXPECT_TRUE(launcher_.child(hanging).destroyed);

  const std::size_t before = started("--json").size();
  run_for(10min, [&] { return started("--json").size() > before; });
  newest_ends(0, R"({"token":"good"})");
  EXPECT_EQ(tokens_, std::vector<std::string>{"good"});
  EXPECT_FALSE(check("ingress"));
  EXPECT_EQ(started("serve").size(), 1U) << "the control plane was never restarted";
  EXPECT_TRUE(launcher_.child(0).signals.empty());
}

// covers: S02_EEA_CP_004
TEST_F(CpSupervisorTest, S02_EEA_CP_004_without_cloudflare_there_is_no_tunnel_and_no_trouble) {
  get_ready();
  newest_ends(3);
  run_for(1h);
  EXPECT_EQ(started("--json").size(), 1U);
  EXPECT_EQ(board_.health().status, agent_api::HealthStatus::healthy);
  supervisor_.ensure_ingress();
  run_for(10s);
  EXPECT_EQ(started("--json").size(), 2U) << "a fresh token was asked for";
}

}  // namespace
}  // namespace ee::agent
