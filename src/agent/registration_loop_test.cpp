#include "agent/control_loop.h"

#include <gtest/gtest.h>

#include <thread>

#include "agent/agent_test_fixture.h"

namespace ee::agent {
namespace {

using namespace std::chrono_literals;
using testing::AgentFixture;

class RegistrationLoop : public AgentFixture {};

// covers: S02_EEA_REG_001
TEST_F(RegistrationLoop, S02_EEA_REG_001_retries_for_ever_with_growing_jittered_delays) {
  start();
  for (int i = 0; i < 40; ++i) cp_.script("challenge", std::unexpected(HttpFailure::connect));
  stop_after("heartbeat", 1);

  EXPECT_EQ(run(), LoopEnd::stopped);

  const auto delays = gaps("challenge");
  ASSERT_EQ(delays.size(), 40U);
  Milliseconds most{0};
  for (std::size_t i = 0; i < delays.size(); ++i) {
    const Milliseconds bound = std::min<Milliseconds>(Milliseconds(2000) * (1LL << std::min<std::size_t>(i, 20)), 300s);
    EXPECT_LE(delays[i], bound) << i;
    most = std::max(most, delays[i]);
  }
  EXPECT_GT(most, 200s);
  EXPECT_EQ(cp_.calls("register").size(), 1U);
  EXPECT_EQ(board_.counters().registrations_failed, 40);
}

// covers: S02_EEA_REG_002
TEST_F(RegistrationLoop, S02_EEA_REG_002_waits_a_minute_after_an_attestation_refusal) {
  start();
  for (const char* code :
       {"mrtd_untrusted", "rtmr_mismatch", "tcb_not_acceptable", "quote_emulated_refused", "fmspc_unknown"})
    cp_.script("register", 403, code);
  stop_after("heartbeat", 1);
  run();
  for (const Milliseconds gap : gaps("register")) EXPECT_GE(gap, 60s);
  EXPECT_EQ(cp_.calls("register").size(), 6U);
}

TEST_F(RegistrationLoop, ASpentNonceOrABusyVerifierIsNoRefusal) {
  start();
  cp_.script("register", 403, "nonce_expired");
  cp_.script("register", 503, "verifier_busy", {{"Retry-After", "7"}});
  stop_after("heartbeat", 1);
  run();
  const auto delays = gaps("register");
  ASSERT_EQ(delays.size(), 2U);
  EXPECT_LE(delays[0], 2s);
  EXPECT_GE(delays[1], 7s);
  EXPECT_LE(delays[1], 8s);
  EXPECT_EQ(cp_.calls("challenge").size(), 3U);  // each try begins with a challenge of its own
  const auto requests = cp_.registrations();
  EXPECT_NE(requests[0].nonce, requests[1].nonce);
}

// covers: S02_EEA_REG_003
TEST_F(RegistrationLoop, S02_EEA_REG_003_honours_retry_after_up_to_an_hour) {
  start();
  cp_.script("challenge", 429, "rate_limited", {{"Retry-After", "1200"}});
  cp_.script("challenge", 429, "rate_limited", {{"Retry-After", "86400"}});
  stop_after("heartbeat", 1);
  run();
  const auto delays = gaps("challenge");
  EXPECT_EQ(delays.at(0), 1200s);
  EXPECT_EQ(delays.at(1), 3600s);
}

TEST_F(RegistrationLoop, NamesWhatIsWrongAsAHealthCheck) {
  struct Row {
    const char* check;
    std::function<void()> break_it;
  };
  const std::vector<Row> rows = {
      {"cp_untrusted", [this] { cp_.knobs.challenge_by_other_key = true; }},
      {"audience_mismatch", [this] { cp_.knobs.audience = "https://rogue.example.com"; }},
      {"evidence_kind_refused", [this] { cp_.knobs.accept = {agent_api::EvidenceKind::ita}; }},
      {"seal_refused", [this] { cp_.knobs.seal_to_other_context = true; }},
      {"tdx", [this] { quotes_.set_failure(ErrorCode::tdx_unavailable); }},
      {"registration", [this] { cp_.script("register", 409, "vm_name_in_use"); }},
  };
  start();
  for (const Row& row : rows) {
    cp_.knobs = {};
    quotes_.set_failure({});
    row.break_it();
    bool seen = false;
    stop_ = {};
    const std::size_t before = cp_.calls("challenge").size();
    cp_.on_call([&](const auto& call) {
      if (call.what != "challenge" || cp_.calls("challenge").size() == before + 1) return;
      seen = has_check(row.check) && board_.health().checks.size() == 1;
      cp_.knobs = {};
      quotes_.set_failure({});
      stop_after("heartbeat", 1);
    });
    run();
    EXPECT_TRUE(seen) << row.check;
  }
  stop_ = {};
  stop_after("heartbeat", cp_.calls("heartbeat").size() + 1);
  run();
  EXPECT_TRUE(board_.health().checks.empty());
}

TEST_F(RegistrationLoop, StatesWhatRuns) {
  start();
  workloads_.running = agent_api::WorkloadReport{.deployment_id = "0190a000-0000-7000-8000-0000000000d1",
                                                 .assignment_epoch = 4,
                                                 .revision = 2,
                                                 .phase = agent_api::WorkloadPhase::running};
  stop_after("heartbeat", 1);
  run();
  EXPECT_EQ(cp_.registrations().at(0).workload, workloads_.running);
}

TEST_F(RegistrationLoop, StopsWhileItWaits) {
  start();
  cp_.script("challenge", 429, "rate_limited", {{"Retry-After", "3600"}});
  clock_.set_auto_advance(false);
  std::thread thread([&] { EXPECT_EQ(run(), LoopEnd::stopped); });
  clock_.wait_for_sleepers(1);
  stop_.request_stop();
  thread.join();
  EXPECT_EQ(cp_.calls().size(), 1U);
}

}  // namespace
}  // namespace ee::agent
