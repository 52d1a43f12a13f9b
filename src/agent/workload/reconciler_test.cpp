#include "agent/workload/reconciler_fixture.h"

namespace ee::agent::testing {
namespace {

using agent_api::WorkloadPhase;
using Taken = Reconciler::Taken;

constexpr const char* kWeb = "ee-0000000000d1-r1-web";
constexpr const char* kWeb2 = "ee-0000000000d1-r2-web";

TEST_F(ReconcilerFixture, S02_EEA_REC_001_deploys_what_is_wanted) {
  want({});
  EXPECT_EQ(fetches_, 1);
  EXPECT_EQ(take({}), Taken::accepted);
  step();
  EXPECT_EQ(phase(), WorkloadPhase::running) << failure();
  EXPECT_EQ(running(), std::set<std::string>{kWeb});
  EXPECT_EQ(phases(), (std::vector{WorkloadPhase::accepted, WorkloadPhase::pulling, WorkloadPhase::starting,
                                   WorkloadPhase::checking, WorkloadPhase::running}));
  EXPECT_EQ(probe_.last, "http 127.0.0.1:8080/health");
  EXPECT_EQ(measured_, std::vector<std::string>{"deploy r1"});
  const auto deployed = reconciler_->deployed_report();
  ASSERT_TRUE(deployed);
  EXPECT_EQ(deployed->services.front().digest, reference("web").substr(reference("web").find('@') + 1));
  const auto served = reconciler_->served();
  ASSERT_TRUE(served);
  EXPECT_TRUE(served->running);
  EXPECT_EQ(state_->state().held->phase, WorkloadPhase::running);
}

TEST_F(ReconcilerFixture, S02_EEA_REC_002_the_same_document_by_pull_and_push_starts_once) {
  EXPECT_EQ(take({}, DocumentPath::push), Taken::accepted);
  EXPECT_EQ(take({}, DocumentPath::pull), Taken::already);
  step();
  EXPECT_EQ(take({}, DocumentPath::push), Taken::already);
  EXPECT_EQ(take({}, DocumentPath::pull), Taken::already);
  step();
  EXPECT_EQ(count_calls("create ee-"), 1U);
  EXPECT_EQ(count_calls("start ee-"), 1U);
}

TEST_F(ReconcilerFixture, S02_EEA_REC_003_push_and_pull_at_once_start_once) {
  const std::string body = document({});
  std::vector<std::jthread> callers;
  for (int i = 0; i < 8; ++i)
    callers.emplace_back([&, i] { (void)take_body(body, i % 2 == 0 ? DocumentPath::push : DocumentPath::pull); });
  callers.clear();
  step();
  step();
  EXPECT_EQ(phase(), WorkloadPhase::running);
  EXPECT_EQ(count_calls("create ee-"), 1U);
  EXPECT_EQ(count_calls("start ee-"), 1U);
}

TEST_F(ReconcilerFixture, S02_EEA_REC_004_a_higher_epoch_with_the_same_content_is_adopted) {
  deploy();
  EXPECT_EQ(take({.epoch = 2}), Taken::accepted);
  step();
  EXPECT_EQ(reconciler_->report()->assignment_epoch, 2);
  EXPECT_EQ(phase(), WorkloadPhase::running);
  EXPECT_EQ(count_calls("start ee-"), 1U);
  EXPECT_EQ(take({.epoch = 1}, DocumentPath::push), Taken::older);
}

TEST_F(ReconcilerFixture, S02_EEA_REC_005_an_upgrade_pulls_first_then_swaps) {
  deploy();
  EXPECT_EQ(take({.revision = 2, .image = "web2"}), Taken::accepted);
  step();
  EXPECT_EQ(phase(), WorkloadPhase::running) << failure();
  EXPECT_EQ(reconciler_->report()->revision, 2);
  EXPECT_EQ(containers(), std::set<std::string>{kWeb2});
  const auto calls = runtime_.calls();
  const auto at = [&](const std::string& call) {
    return std::ranges::find_if(calls, [&](const std::string& c) { return c.starts_with(call); }) - calls.begin();
  };
  EXPECT_LT(at("pull " + reference("web2")), at(std::string("stop ") + kWeb));
  EXPECT_LT(at(std::string("stop ") + kWeb), at(std::string("create ") + kWeb2));
  EXPECT_LT(at(std::string("start ") + kWeb2), at(std::string("remove ") + kWeb));
  EXPECT_EQ(measured_, (std::vector<std::string>{"deploy r1", "deploy r2", "undeploy r1"}));
}

TEST_F(ReconcilerFixture, S02_EEA_REC_006_a_failed_upgrade_goes_back_and_the_rollback_is_adopted) {
  add_image("bad", {.exits_with = 3});
  deploy();
  EXPECT_EQ(take({.revision = 2, .image = "bad"}), Taken::accepted);
  step();
  EXPECT_EQ(phase(), WorkloadPhase::failed);
  EXPECT_EQ(reconciler_->report()->revision, 2);
  EXPECT_EQ(failure_code(), "container_exited");
  EXPECT_EQ(containers(), std::set<std::string>{kWeb});
  EXPECT_EQ(running(), std::set<std::string>{kWeb});
  EXPECT_TRUE(reconciler_->served()->running);
  EXPECT_EQ(take({.revision = 2, .image = "bad"}), Taken::already) << "is not tried again";
  const auto starts = count_calls("start ee-");
  EXPECT_EQ(take({.revision = 3}), Taken::accepted);
  step();
  EXPECT_EQ(phase(), WorkloadPhase::running);
  EXPECT_EQ(reconciler_->report()->revision, 3);
  EXPECT_EQ(count_calls("start ee-"), starts) << "adopted without a restart";
}

TEST_F(ReconcilerFixture, a_redeploy_of_equal_content_restarts) {
  deploy();
  EXPECT_EQ(take({.revision = 2}), Taken::accepted);
  step();
  EXPECT_EQ(running(), std::set<std::string>{kWeb2});
}

TEST_F(ReconcilerFixture, an_upgrade_whose_image_cannot_be_pulled_leaves_the_old_one_alone) {
  deploy();
  runtime_.fail_next(FakeRuntime::Call::pull, {.failure = RuntimeFailure::pull_refused});
  EXPECT_EQ(take({.revision = 2, .image = "web2"}), Taken::accepted);
  step();
  EXPECT_EQ(phase(), WorkloadPhase::failed);
  EXPECT_EQ(failure_code(), "image_pull_failed");
  EXPECT_EQ(count_calls(std::string("stop ") + kWeb), 0U);
  EXPECT_EQ(running(), std::set<std::string>{kWeb});
}

TEST_F(ReconcilerFixture, S02_EEA_REC_007_another_deployment_waits_by_push_and_replaces_by_pull) {
  deploy();
  const auto pushed = take_body(document({.deployment_id = kDeploymentE}), DocumentPath::push);
  ASSERT_TRUE(pushed);
  EXPECT_EQ(pushed->taken, Taken::held_by_other);
  EXPECT_EQ(pushed->held_deployment_id, kDeploymentD);
  EXPECT_EQ(take({.deployment_id = kDeploymentE}), Taken::accepted);
  step();
  EXPECT_EQ(running(), std::set<std::string>{"ee-0000000000e1-r1-web"});
  EXPECT_EQ(containers().size(), 1U);
  EXPECT_EQ(runtime_.networks(), std::vector<std::string>{"ee-0000000000e1"});
}

TEST_F(ReconcilerFixture, S02_EEA_REC_008_none_stops_after_its_grace) {
  deploy();
  want_none(600);
  step();
  EXPECT_EQ(phase(), WorkloadPhase::running);
  clock_.advance(std::chrono::seconds(300));
  want_none(600);  // told again: the grace began with the first
  step();
  EXPECT_EQ(phase(), WorkloadPhase::running);
  clock_.advance(std::chrono::seconds(301));
  step();
  EXPECT_TRUE(holds_nothing());
  EXPECT_TRUE(containers().empty());
  EXPECT_TRUE(runtime_.networks().empty());
  EXPECT_EQ(reconciler_->take_closing_report()->phase, WorkloadPhase::stopped);
  EXPECT_FALSE(state_->state().held);
  EXPECT_EQ(measured_, (std::vector<std::string>{"deploy r1", "undeploy r1"}));
}

TEST_F(ReconcilerFixture, keep_and_run_take_a_none_back) {
  deploy();
  want_none(60);
  reconciler_->apply({.action = agent_api::DesiredAction::keep});
  clock_.advance(std::chrono::seconds(120));
  step();
  EXPECT_EQ(phase(), WorkloadPhase::running);
  want_none(60);
  want({});
  clock_.advance(std::chrono::seconds(120));
  step();
  EXPECT_EQ(phase(), WorkloadPhase::running);
}

TEST_F(ReconcilerFixture, S02_EEA_REC_009_a_newer_input_cancels_a_pull) {
  runtime_.hang(FakeRuntime::Call::pull);
  ASSERT_EQ(take({}), Taken::accepted);
  start_worker();
  runtime_.wait_until_hanging(FakeRuntime::Call::pull);
  EXPECT_EQ(take({}), Taken::already);
  EXPECT_EQ(take({.revision = 2, .image = "web2"}), Taken::accepted);
  runtime_.release(FakeRuntime::Call::pull);
  join_worker();
  EXPECT_EQ(phase(), WorkloadPhase::running) << failure();
  EXPECT_EQ(containers(), std::set<std::string>{kWeb2});
}

TEST_F(ReconcilerFixture, an_undeploy_cancels_a_pull_and_leaves_nothing) {
  runtime_.hang(FakeRuntime::Call::pull);
  ASSERT_EQ(take({}, DocumentPath::push), Taken::accepted);
  start_worker();
  runtime_.wait_until_hanging(FakeRuntime::Call::pull);
  EXPECT_EQ(reconciler_->undeploy(kDeploymentE, 1), Reconciler::Undeploy::held_by_other);
  EXPECT_EQ(reconciler_->undeploy(kDeploymentD, 0), Reconciler::Undeploy::nothing) << "an older assignment";
  EXPECT_EQ(reconciler_->undeploy(kDeploymentD, 1), Reconciler::Undeploy::stopping);
  join_worker();
  EXPECT_TRUE(holds_nothing());
  EXPECT_TRUE(runtime_.networks().empty());
  EXPECT_TRUE(reconciler_->idle());
  EXPECT_EQ(reconciler_->undeploy(kDeploymentD, 1), Reconciler::Undeploy::nothing);
  EXPECT_EQ(take({}, DocumentPath::push), Taken::older) << "a late push of what was stopped";
}

TEST_F(ReconcilerFixture, S02_EEA_REC_010_converges_after_a_kill_at_each_step) {
  using Call = FakeRuntime::Call;
  for (const Call call :
       {Call::pull, Call::image, Call::create_network, Call::create_volume, Call::create, Call::start, Call::inspect}) {
    SCOPED_TRACE(static_cast<int>(call));
    const std::string compose = R"({"services":{"web":{"image":")" + reference("web") +
                                R"(","ports":["8080:80"],"volumes":["data:/data"]},"db":{"image":")" + reference("db") +
                                R"("}},"volumes":{"data":{}}})";
    const Wanted wanted{.compose = compose};
    runtime_.hang(call);
    want(wanted);
    ASSERT_EQ(take(wanted), Taken::accepted);
    start_worker();
    runtime_.wait_until_hanging(call);
    restart();
    runtime_.release(call);
    step();
    want(wanted);
    ASSERT_EQ(take(wanted), Taken::accepted);
    step();
    EXPECT_EQ(phase(), WorkloadPhase::running) << failure();
    EXPECT_EQ(containers(), (std::set<std::string>{kWeb, "ee-0000000000d1-r1-db"}));
    EXPECT_EQ(running().size(), 2U);
    EXPECT_EQ(runtime_.networks().size(), 1U);
    want_none();
    step();
    EXPECT_TRUE(containers().empty());
    EXPECT_TRUE(runtime_.networks().empty());
    EXPECT_TRUE(runtime_.volumes().empty());
    new_registration();
  }
}

// covers: S02_EEA_REC_010
TEST_F(ReconcilerFixture, converges_after_a_kill_at_each_step_of_an_upgrade) {
  using Call = FakeRuntime::Call;
  for (const Call call : {Call::pull, Call::stop, Call::create, Call::start, Call::remove}) {
    SCOPED_TRACE(static_cast<int>(call));
    deploy();
    add_image("other" + std::to_string(static_cast<int>(call)));
    const Wanted next{.revision = 2, .image = "other" + std::to_string(static_cast<int>(call))};
    runtime_.hang(call);
    ASSERT_EQ(take(next), Taken::accepted);
    start_worker();
    runtime_.wait_until_hanging(call);
    restart();
    runtime_.release(call);
    step();
    EXPECT_EQ(phase(), WorkloadPhase::running);
    if (reconciler_->report()->revision != 2) {
      clock_.advance(std::chrono::seconds(2));  // a container that had been stopped is started after a second
      step();
      EXPECT_EQ(running(), std::set<std::string>{kWeb}) << "what ran before goes on";
      EXPECT_EQ(take(next), Taken::accepted);
      step();
    } else {
      want(next);
      clock_.advance(std::chrono::seconds(31));
      step();
    }
    EXPECT_EQ(reconciler_->report()->revision, 2);
    EXPECT_EQ(containers(), std::set<std::string>{kWeb2});
    EXPECT_EQ(running().size(), 1U);
    want_none();
    step();
    EXPECT_TRUE(containers().empty());
    new_registration();
  }
}

// covers: S02_EEA_REC_010
TEST_F(ReconcilerFixture, a_kill_while_stopping_ends_the_stop_after_the_restart) {
  deploy();
  runtime_.hang(FakeRuntime::Call::stop);
  want_none();
  start_worker();
  runtime_.wait_until_hanging(FakeRuntime::Call::stop);
  restart();
  EXPECT_EQ(phase(), WorkloadPhase::stopping);
  runtime_.release(FakeRuntime::Call::stop);
  step();
  EXPECT_TRUE(holds_nothing());
  EXPECT_TRUE(containers().empty());
}

TEST_F(ReconcilerFixture, S02_EEA_REC_011_a_restarted_agent_adopts_what_runs) {
  deploy();
  const auto id = runtime_.container(kWeb)->id;
  const auto starts = count_calls("start ");
  restart();
  ASSERT_TRUE(reconciler_->report()) << "told with the registration";
  EXPECT_EQ(phase(), WorkloadPhase::running);
  want({});
  EXPECT_EQ(take({}), Taken::already);
  step();
  EXPECT_EQ(phase(), WorkloadPhase::running);
  EXPECT_EQ(runtime_.container(kWeb)->id, id);
  EXPECT_EQ(count_calls("start "), starts);
  EXPECT_TRUE(reconciler_->served()->running);
  EXPECT_EQ(reconciler_->held_order(), std::pair(std::int64_t{1}, std::int64_t{1}));
}

TEST_F(ReconcilerFixture, what_does_not_match_the_held_document_is_removed) {
  deploy();
  auto state = state_->state();
  state.held->images["web"] = "sha256:other";
  ASSERT_TRUE(state_->save(state));
  restart();
  step();
  EXPECT_TRUE(holds_nothing());
  EXPECT_TRUE(containers().empty());
}

TEST_F(ReconcilerFixture, after_a_reboot_the_document_is_fetched_again) {
  deploy();
  runtime_.exit_container(kWeb, 137);
  boot_id_ = "2b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed";
  restart();
  EXPECT_TRUE(holds_nothing());
  want({});
  EXPECT_GE(fetches_, 1);
  ASSERT_EQ(take({}), Taken::accepted);
  step();
  EXPECT_EQ(running(), std::set<std::string>{kWeb});
}

TEST_F(ReconcilerFixture, leftovers_of_an_unnamed_deployment_get_time) {
  deploy();
  ASSERT_TRUE(state_->wipe());
  restart();
  want_none();
  step();
  EXPECT_EQ(running(), std::set<std::string>{kWeb}) << "the control plane may still name it";
  clock_.advance(std::chrono::seconds(601));
  step();
  EXPECT_TRUE(containers().empty());
  EXPECT_TRUE(runtime_.networks().empty());
}

// covers: S02_AGT_DS_001..002
TEST_F(ReconcilerFixture, a_document_for_another_registration_or_by_another_key_is_refused) {
  const std::string body = document({});
  const std::string by_us = signature(body);
  new_registration();
  EXPECT_EQ(reconciler_->take(body, key_id(cp_key_.public_key()), by_us, DocumentPath::pull).error().code,
            ErrorCode::signature_invalid);
  EXPECT_EQ(reconciler_->take(body, "0000000000000000", signature(body), DocumentPath::push).error().code,
            ErrorCode::signature_invalid);
  EXPECT_EQ(take_body("{}", DocumentPath::push).error().code, ErrorCode::invalid_request);
  EXPECT_EQ(take_body(std::string(600UL * 1024, 'x'), DocumentPath::push).error().code, ErrorCode::body_too_large);
  board_.end_session();
  EXPECT_EQ(take_body(body, DocumentPath::push).error().code, ErrorCode::agent_not_active);
}

// covers: S02_AGT_DS_003
TEST_F(ReconcilerFixture, S02_AGT_DS_003_an_older_epoch_or_revision_changes_nothing) {
  deploy({.epoch = 7, .revision = 3});
  const auto before = *reconciler_->report();
  const std::size_t calls = runtime_.calls().size();
  struct Older {
    std::int64_t epoch, revision;
  };
  for (const Older older : {Older{6, 3}, Older{6, 9}, Older{7, 2}, Older{1, 1}})
    for (const DocumentPath path : {DocumentPath::push, DocumentPath::pull}) {
      const std::string body = document({.epoch = older.epoch, .revision = older.revision});
      EXPECT_EQ(take_body(body, path).value().taken, Taken::older) << older.epoch << "/" << older.revision;
      step();
    }
  EXPECT_EQ(reconciler_->report()->assignment_epoch, before.assignment_epoch);
  EXPECT_EQ(reconciler_->report()->revision, before.revision);
  EXPECT_EQ(reconciler_->report()->phase, before.phase);
  const auto after = runtime_.calls();
  EXPECT_TRUE(
      std::none_of(after.begin() + static_cast<std::ptrdiff_t>(calls), after.end(), [](const std::string& call) {
        return call.starts_with("create") || call.starts_with("start ") || call.starts_with("stop ") ||
               call.starts_with("remove ") || call.starts_with("pull ");
      }));
}

// covers: S02_AGT_REG_014
TEST_F(ReconcilerFixture, S02_AGT_REG_014_lower_epochs_after_a_restored_backup_converge) {
  deploy({.epoch = 7});
  new_registration();
  want({.epoch = 3});
  EXPECT_EQ(take({.epoch = 3}), Taken::accepted);
  step();
  EXPECT_EQ(reconciler_->report()->assignment_epoch, 3);
  EXPECT_EQ(count_calls("start ee-"), 1U);
}

}  // namespace
}  // namespace ee::agent::testing
