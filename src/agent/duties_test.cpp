#include "agent/duties.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "agent/agent_test_fixture.h"
#include "attestation/binding.h"

namespace ee::agent {
namespace {

using namespace std::chrono_literals;

class DutiesTest : public testing::AgentFixture {
 protected:
  /// Registers, as the control loop would.
  void become_registered() {
    auto registration = registrar_->attempt({}, {});
    ASSERT_TRUE(registration) << registration.error().code;
    board_.begin_session(registration->session);
    board_.note_signed_time(registration->answer.answered_at);
    duties_->registered(*registration);
  }
  void hear(const std::function<void(agent_api::HeartbeatAnswer&)>& change = [](auto&) {}) {
    agent_api::HeartbeatAnswer answer;
    answer.answered_at = clock_.now();
    answer.signing_keys_version = board_.session()->signing_keys_version;
    answer.tunnel.version = board_.session()->tunnel_version;
    change(answer);
    duties_->answered(*board_.session(), answer);
  }
  /// Does what is due in that time.
  void run_for(ErrandRunner& runner, Milliseconds time) {
    const SteadyTime end = clock_.steady_now() + time;
    while (true) {
      const SteadyTime next = runner.step({});
      if (next > end) break;
      clock_.sleep_until(next, {});
    }
    clock_.sleep_until(end, {});
  }
};

// ---- the control plane's time --------------------------------------------------------------------------------------

TEST_F(DutiesTest, AsksForASignedTimeWhenAnswersDisagreeWithTheLastOne) {
  start();
  become_registered();
  const auto say = [&](Milliseconds ahead) {
    board_.note_answered_at(clock_.now() + ahead);
    hear();
    run_for(duties_->fetcher(), 1ms);
  };
  clock_.advance(120s);
  say(5s);
  EXPECT_TRUE(cp_.calls("refresh_challenge").empty());
  // The edge lies: the signed time says so, and the next minute's lies are not even asked about.
  say(1h);
  say(1h);
  EXPECT_EQ(cp_.calls("refresh_challenge").size(), 1U);
  EXPECT_EQ(board_.clock_offset(), Milliseconds(0));
  // The guest's clocks stood still for an hour: the signed time is taken.
  clock_.advance(120s);
  clock_.set_utc(clock_.now() + 1h);
  say(0ms);
  EXPECT_EQ(cp_.calls("refresh_challenge").size(), 2U);
  EXPECT_EQ(board_.clock_offset(), Milliseconds(0));
}

TEST_F(DutiesTest, AnUnsignedChallengeTellsNoTime) {
  start();
  become_registered();
  clock_.advance(120s);
  clock_.set_utc(clock_.now() + 1h);
  board_.note_answered_at(clock_.now());
  cp_.knobs.challenge_over_other_nonce = true;
  hear();
  run_for(duties_->fetcher(), 1ms);
  EXPECT_EQ(cp_.calls("refresh_challenge").size(), 1U);
  EXPECT_EQ(board_.clock_offset(), Milliseconds(-1h));
}

// ---- tunnel --------------------------------------------------------------------------------------------------------

TEST_F(DutiesTest, RegistrationSetsTheTunnelToken) {
  cp_.knobs.tunnel = {.state = agent_api::TunnelState::ready, .version = 4, .hostname = "h"};
  start();
  become_registered();
  ASSERT_EQ(tokens_.size(), 1U);
  EXPECT_EQ(tokens_[0]->reveal(), "tunnel-token");
}

TEST_F(DutiesTest, FetchesANewerTunnelOnce) {
  start();
  become_registered();
  EXPECT_EQ(tokens_.back(), std::nullopt);
  cp_.knobs.tunnel = {.state = agent_api::TunnelState::ready, .version = 2, .hostname = "vm-1.example.com"};
  for (int i = 0; i < 3; ++i)
    hear([](auto& answer) { answer.tunnel = {.state = agent_api::TunnelState::ready, .version = 2}; });
  run_for(duties_->fetcher(), 10s);
  hear();

  EXPECT_EQ(cp_.calls("tunnel").size(), 1U);
  EXPECT_EQ(tokens_.back()->reveal(), "tunnel-token");
  EXPECT_EQ(board_.session()->tunnel_version, 2);
  EXPECT_EQ(board_.session()->hostname, "vm-1.example.com");

  cp_.knobs.tunnel = {.state = agent_api::TunnelState::deleting, .version = 3, .hostname = {}};
  hear([](auto& answer) { answer.tunnel = {.state = agent_api::TunnelState::deleting, .version = 3}; });
  run_for(duties_->fetcher(), 10s);
  EXPECT_EQ(tokens_.back(), std::nullopt);  // cloudflared ends
}

TEST_F(DutiesTest, TriesAFetchAgainUntilItSucceeds) {
  start();
  become_registered();
  cp_.knobs.tunnel = {.state = agent_api::TunnelState::ready, .version = 2, .hostname = "h"};
  cp_.script("tunnel", std::unexpected(HttpFailure::timeout));
  cp_.script("tunnel", 503, "overloaded", {{"Retry-After", "20"}});
  hear([](auto& answer) { answer.tunnel.version = 2; });
  run_for(duties_->fetcher(), 120s);
  EXPECT_EQ(cp_.calls("tunnel").size(), 3U);
  EXPECT_GE(gaps("tunnel").at(1), 20s);
  EXPECT_EQ(tokens_.back()->reveal(), "tunnel-token");
}

// covers: S02_AGT_REG_018
TEST_F(DutiesTest, S02_AGT_REG_018_refuses_a_token_that_was_sealed_for_another_version) {
  start();
  become_registered();
  cp_.knobs.tunnel = {.state = agent_api::TunnelState::ready, .version = 2, .hostname = "h"};
  cp_.knobs.seal_to_other_context = true;
  hear([](auto& answer) { answer.tunnel.version = 2; });
  run_for(duties_->fetcher(), 1ms);
  EXPECT_TRUE(has_check("seal_refused"));
  EXPECT_EQ(tokens_.back(), std::nullopt);
  cp_.knobs.seal_to_other_context = false;
  run_for(duties_->fetcher(), 120s);
  EXPECT_FALSE(has_check("seal_refused"));
  EXPECT_EQ(tokens_.back()->reveal(), "tunnel-token");
}

TEST_F(DutiesTest, RefusesATunnelThatIsNotSigned) {
  start();
  become_registered();
  cp_.script("tunnel", HttpClientResponse{.status = 200,
                                          .body = R"({"state":"none","version":9,"hostname":null,"sealed":null})"});
  hear([](auto& answer) { answer.tunnel.version = 9; });
  run_for(duties_->fetcher(), 1ms);
  EXPECT_EQ(board_.session()->tunnel_version, 1);
  EXPECT_EQ(tokens_.size(), 1U);
}

TEST_F(DutiesTest, GivesUpWithTheRegistration) {
  start();
  become_registered();
  cp_.script("tunnel", std::unexpected(HttpFailure::timeout));
  hear([](auto& answer) { answer.tunnel.version = 9; });
  run_for(duties_->fetcher(), 1ms);
  duties_->unregistered();
  run_for(duties_->fetcher(), 600s);
  EXPECT_EQ(cp_.calls("tunnel").size(), 1U);
}

// ---- keys ----------------------------------------------------------------------------------------------------------

TEST_F(DutiesTest, LearnsNewKeysFromATrustedOne) {
  start();
  become_registered();
  cp_.knobs.signing_keys_version = 4;
  cp_.knobs.more_keys = {cp_.other_key};
  hear([](auto& answer) { answer.signing_keys_version = 4; });
  run_for(duties_->fetcher(), 1ms);
  EXPECT_EQ(board_.session()->signing_keys_version, 4);
  EXPECT_NE(board_.session()->signers.find(key_id(cp_.other_key.public_key())), nullptr);
  EXPECT_EQ(untrusted_, 0);
}

TEST_F(DutiesTest, AnOlderSetOfKeysIsNotTakenBack) {
  start();
  become_registered();
  // An answer of some time ago, with a key that was retired since, and a heartbeat that lures the agent into asking.
  cp_.knobs.signing_keys_version = 2;
  cp_.knobs.more_keys = {cp_.other_key};
  hear([](auto& answer) { answer.signing_keys_version = 9; });
  run_for(duties_->fetcher(), 1ms);
  EXPECT_EQ(board_.session()->signing_keys_version, 3);
  EXPECT_EQ(board_.session()->signers.find(key_id(cp_.other_key.public_key())), nullptr);
  EXPECT_EQ(untrusted_, 0);
}

TEST_F(DutiesTest, KeysThatNoTrustedOneSignedMeanVerifyingAgain) {
  start();
  become_registered();
  cp_.knobs.signing_keys_version = 4;
  std::swap(cp_.key, cp_.other_key);
  hear([](auto& answer) { answer.signing_keys_version = 4; });
  run_for(duties_->fetcher(), 1ms);
  EXPECT_EQ(untrusted_, 1);
  EXPECT_TRUE(has_check("cp_untrusted"));
  EXPECT_EQ(board_.session()->signing_keys_version, 3);
  EXPECT_EQ(board_.session()->signers.find(key_id(cp_.key.public_key())), nullptr);
}

// ---- credential ----------------------------------------------------------------------------------------------------

TEST_F(DutiesTest, RotatesWithinTenMinutesAndSavesTheNewCredential) {
  start();
  become_registered();
  const std::string before = cp_.credential();
  for (int i = 0; i < 5; ++i) hear([](auto& answer) { answer.rotate_credential = true; });
  ASSERT_TRUE(duties_->fetcher().due(Duties::kRotate));
  EXPECT_LE(*duties_->fetcher().due(Duties::kRotate) - clock_.steady_now(), 600s);
  run_for(duties_->fetcher(), 601s);

  EXPECT_EQ(cp_.calls("rotate").size(), 1U);
  EXPECT_NE(cp_.credential(), before);
  EXPECT_EQ(board_.session()->identity.credential.reveal(), cp_.credential());
  EXPECT_EQ(state_->state().credential, cp_.credential());
}

TEST_F(DutiesTest, ALostRotationIsAskedForAgain) {
  start();
  become_registered();
  cp_.script("rotate", std::unexpected(HttpFailure::timeout));
  hear([](auto& answer) { answer.rotate_credential = true; });
  run_for(duties_->fetcher(), 700s);
  EXPECT_EQ(cp_.calls("rotate").size(), 2U);
  EXPECT_EQ(board_.session()->identity.credential.reveal(), cp_.credential());
}

// ---- attestation ---------------------------------------------------------------------------------------------------

TEST_F(DutiesTest, RefreshesFirstAtARandomPointAndThenWhenDue) {
  cp_.knobs.attestation_due = 3600s;
  start();
  become_registered();
  const SteadyTime registered = clock_.steady_now();
  run_for(duties_->refresher(), 3h);

  const auto calls = cp_.calls("refresh");
  ASSERT_GE(calls.size(), 3U);
  EXPECT_LE(calls[0].at - registered, 3600s);
  for (const Milliseconds gap : gaps("refresh")) EXPECT_EQ(gap, 3600s);
  EXPECT_TRUE(board_.attested_at().has_value());
}

TEST_F(DutiesTest, AFleetsFirstRefreshesSpreadOut) {
  cp_.knobs.attestation_due = 3600s;
  std::vector<int> quarters(4);
  for (int i = 0; i < 200; ++i) {
    start();
    become_registered();
    const auto due = *duties_->refresher().due(Duties::kRefresh) - clock_.steady_now();
    ++quarters.at(static_cast<std::size_t>(std::min<std::int64_t>(3, due / 900s)));
  }
  for (const int count : quarters) EXPECT_GT(count, 20);
}

TEST_F(DutiesTest, ARefreshBindsPurposeTwo) {
  start();
  become_registered();
  EXPECT_TRUE(duties_->refresh_now());
  EXPECT_FALSE(duties_->refresh_now());  // once in 60 s
  run_for(duties_->refresher(), 1ms);
  const auto request = json::read<agent_api::RefreshRequest>(cp_.calls("refresh").at(0).request.body);
  ASSERT_TRUE(request);
  const auto binding = attestation::agent_binding(keys_->signing.public_key(), keys_->sealing.public_key(), "vm-1");
  const auto expected = attestation::build_report_data(
      attestation::Purpose::refresh, *from_hex_exact<32>(request->nonce.value()), binding, cp_.kOrigin);
  const auto quote = from_base64(request->evidence.quote.value());
  EXPECT_EQ(to_hex(Bytes(*quote).last(64)), to_hex(expected.value));
  clock_.advance(60s);
  EXPECT_TRUE(duties_->refresh_now());
}

TEST_F(DutiesTest, ReattestNowIsDoneWithinAMinuteAndOnce) {
  cp_.knobs.attestation_due = 36000s;
  start();
  become_registered();
  for (int i = 0; i < 4; ++i) {
    hear([](auto& answer) { answer.reattest_now = true; });
    clock_.advance(1ms);
  }
  run_for(duties_->refresher(), 61s);
  EXPECT_EQ(cp_.calls("refresh").size(), 1U);
}

TEST_F(DutiesTest, AFailedRefreshIsShownAndTriedAgainWithANewChallenge) {
  cp_.knobs.attestation_due = 36000s;
  start();
  become_registered();
  cp_.script("refresh", 503, "collateral_unavailable");
  cp_.script("refresh", 403, "nonce_expired");
  duties_->refresh_now();
  run_for(duties_->refresher(), 1ms);
  EXPECT_TRUE(has_check("attestation_refresh"));
  run_for(duties_->refresher(), 60s);
  EXPECT_EQ(cp_.calls("refresh").size(), 3U);
  EXPECT_EQ(cp_.calls("refresh_challenge").size(), 3U);
  EXPECT_FALSE(has_check("attestation_refresh"));
}

TEST_F(DutiesTest, ARefreshGoesToATrustedControlPlaneOnly) {
  start();
  become_registered();
  const int quotes = quotes_.calls();
  cp_.knobs.challenge_by_other_key = true;
  duties_->refresh_now();
  run_for(duties_->refresher(), 1ms);
  EXPECT_TRUE(cp_.calls("refresh").empty());
  EXPECT_EQ(quotes_.calls(), quotes);
}

// ---- the runner ----------------------------------------------------------------------------------------------------

TEST(ErrandRunner, DoesTheEarliestFirstAndEachOnce) {
  FakeClock clock;
  FakeRandom random;
  ErrandRunner runner(clock, random);
  std::vector<std::string> done;
  for (const char* name : {"a", "b"})
    runner.add(name, Backoff(1s, 60s), [&done, name](const std::stop_token&) {
      done.emplace_back(name);
      return ErrandResult::done();
    });
  runner.request("a", clock.steady_now() + 20s);
  runner.request("b", clock.steady_now() + 10s);
  runner.request("b", clock.steady_now() + 15s);  // later than what is asked for already
  EXPECT_EQ(runner.step({}), clock.steady_now() + 10s);
  EXPECT_TRUE(done.empty());
  clock.advance(30s);
  runner.step({});
  runner.step({});
  runner.step({});
  EXPECT_EQ(done, (std::vector<std::string>{"b", "a"}));
  EXPECT_EQ(runner.due("a"), std::nullopt);
}

TEST(ErrandRunner, CancelsAlsoTheRetryOfTheErrandUnderWay) {
  FakeClock clock;
  FakeRandom random;
  ErrandRunner runner(clock, random);
  int runs = 0;
  runner.add("a", Backoff(1s, 60s), [&](const std::stop_token&) {
    ++runs;
    runner.cancel_all();
    return ErrandResult::retry();
  });
  runner.request("a", clock.steady_now());
  runner.step({});
  clock.advance(2min);
  runner.step({});
  EXPECT_EQ(runs, 1);
}

TEST(ErrandRunner, WakesForAnEarlierRequest) {
  FakeClock clock;
  FakeRandom random;
  ErrandRunner runner(clock, random);
  std::atomic<int> runs = 0;
  runner.add("a", Backoff(1s, 60s), [&](const std::stop_token&) {
    ++runs;
    return ErrandResult::done();
  });
  std::stop_source stop;
  std::thread thread([&] { runner.run(stop.get_token()); });
  clock.wait_for_sleepers(1);
  runner.request("a", clock.steady_now());
  while (runs == 0) std::this_thread::yield();
  stop.request_stop();
  thread.join();
  EXPECT_EQ(runs, 1);
}

}  // namespace
}  // namespace ee::agent
