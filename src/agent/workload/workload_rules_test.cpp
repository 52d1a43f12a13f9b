#include "agent/workload/reconciler_fixture.h"

namespace ee::agent::testing {
namespace {

using agent_api::WorkloadPhase;
using Taken = Reconciler::Taken;

constexpr const char* kWeb = "ee-0000000000d1-r1-web";

class WorkloadRules : public ReconcilerFixture {
 protected:
  /// Everything below the directory, as one text.
  std::string files_below(const std::string& path) {
    std::string out;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path, ignored)) {
      if (!entry.is_regular_file()) continue;
      std::ifstream file(entry.path());
      out += entry.path().string() + "\n" + std::string(std::istreambuf_iterator<char>(file), {}) + "\n";
    }
    return out;
  }
};

TEST_F(WorkloadRules, S02_EEA_WL_001_an_image_with_another_digest_starts_nothing) {
  runtime_.fail_next(FakeRuntime::Call::image, {.failure = RuntimeFailure::not_found});
  runtime_.fail_next(FakeRuntime::Call::image, {.failure = RuntimeFailure::digest_mismatch});
  ASSERT_EQ(take({}), Taken::accepted);
  step();
  EXPECT_EQ(phase(), WorkloadPhase::failed);
  EXPECT_EQ(failure_code(), "digest_mismatch");
  EXPECT_TRUE(containers().empty());
  EXPECT_EQ(count_calls("create ee-"), 0U);
  EXPECT_TRUE(measured_.empty());
}

TEST_F(WorkloadRules, S02_EEA_WL_003_health_that_never_comes_fails) {
  probe_.healthy = false;
  ASSERT_EQ(take({.deploy_timeout_seconds = 60}), Taken::accepted);
  const SteadyTime began = clock_.steady_now();
  step();
  EXPECT_EQ(failure_code(), "health_check_failed");
  EXPECT_GE(clock_.steady_now() - began, std::chrono::seconds(60));
  EXPECT_LT(clock_.steady_now() - began, std::chrono::seconds(90));
  EXPECT_TRUE(containers().empty());
}

// covers: S02_EEA_WL_003
TEST_F(WorkloadRules, a_crash_loop_fails_with_container_exited) {
  add_image("loop", {.exits_with = 7});
  ASSERT_EQ(take({.image = "loop"}), Taken::accepted);
  step();
  EXPECT_EQ(phase(), WorkloadPhase::failed);
  EXPECT_EQ(failure(), "container_exited: service web ended with exit code 7");
  EXPECT_TRUE(containers().empty());
}

// covers: S02_EEA_WL_003
TEST_F(WorkloadRules, a_container_that_ends_is_started_again_and_fails_at_the_sixth_exit) {
  deploy();
  for (int i = 0; i < 5; ++i) {
    runtime_.exit_container(kWeb, 1);
    step();
    EXPECT_TRUE(running().empty());
    clock_.advance(std::chrono::seconds(1 << i));
    step();
    EXPECT_EQ(running().size(), 1U) << i;
  }
  EXPECT_EQ(reconciler_->report()->restarts, 5);
  runtime_.exit_container(kWeb, 1);
  step();
  EXPECT_EQ(failure_code(), "container_exited");
  EXPECT_TRUE(containers().empty());
  EXPECT_FALSE(reconciler_->served()->running);
}

TEST_F(WorkloadRules, what_cannot_be_started_again_fails_but_not_for_an_engine_that_is_away) {
  deploy();
  runtime_.exit_container(kWeb, 1);
  step();
  runtime_.fail_next(FakeRuntime::Call::start, {.failure = RuntimeFailure::unavailable}, 20);
  for (int i = 0; i < 20; ++i) {
    clock_.advance(std::chrono::seconds(10));
    step();
    ASSERT_EQ(phase(), WorkloadPhase::running) << i;
  }
  EXPECT_EQ(reconciler_->report()->restarts, 0);
  runtime_.fail_next(FakeRuntime::Call::start, {.failure = RuntimeFailure::refused, .detail = "no such device"}, 5);
  for (int i = 0; i < 4; ++i) {
    clock_.advance(std::chrono::seconds(60));
    step();
    ASSERT_EQ(phase(), WorkloadPhase::running) << i;
  }
  clock_.advance(std::chrono::seconds(60));
  step();
  EXPECT_EQ(failure(), "compose_failed: no such device");
  EXPECT_TRUE(containers().empty());
}

TEST_F(WorkloadRules, exits_that_are_far_apart_do_not_add_up) {
  deploy();
  for (int i = 0; i < 8; ++i) {
    runtime_.exit_container(kWeb, 1);
    step();
    clock_.advance(std::chrono::seconds(1));
    step();
    ASSERT_EQ(phase(), WorkloadPhase::running);
    clock_.advance(std::chrono::seconds(601));
  }
}

TEST_F(WorkloadRules, out_of_memory_is_told_as_such) {
  deploy();
  for (int i = 0; i < 6; ++i) {
    runtime_.exit_container(kWeb, 137, true);
    step();
    clock_.advance(std::chrono::seconds(60));
    step();
  }
  EXPECT_EQ(failure_code(), "out_of_memory");
}

TEST_F(WorkloadRules, health_turns_after_three_bad_and_two_good_answers) {
  deploy();
  const auto turn = [&] {
    clock_.advance(std::chrono::seconds(10));
    step();
    return reconciler_->report()->health;
  };
  probe_.healthy = false;
  EXPECT_EQ(turn(), agent_api::WorkloadHealth::healthy);
  EXPECT_EQ(turn(), agent_api::WorkloadHealth::healthy);
  EXPECT_EQ(turn(), agent_api::WorkloadHealth::unhealthy);
  probe_.healthy = true;
  EXPECT_EQ(turn(), agent_api::WorkloadHealth::unhealthy);
  EXPECT_EQ(turn(), agent_api::WorkloadHealth::healthy);
}

TEST_F(WorkloadRules, pulls_are_tried_three_times_but_not_after_a_refusal) {
  runtime_.fail_next(FakeRuntime::Call::pull, {.failure = RuntimeFailure::pull_failed}, 2);
  deploy();
  EXPECT_EQ(count_calls("pull"), 3U);
  want_none();
  step();
  new_registration();
  runtime_.fail_next(FakeRuntime::Call::pull, {.failure = RuntimeFailure::pull_refused, .detail = "401"});
  ASSERT_EQ(take({.epoch = 2, .image = "web2"}), Taken::accepted);
  step();
  EXPECT_EQ(failure_code(), "image_pull_failed");
  EXPECT_EQ(count_calls("pull"), 4U);
}

TEST_F(WorkloadRules, a_job_that_others_wait_for_is_done_when_it_ends_well) {
  add_image("migrate", {.exits_with = 0});
  const Wanted wanted{
      .compose = R"({"services":{"web":{"image":")" + reference("web") +
                 R"(","ports":["8080:80"],"depends_on":{"migrate":{"condition":"service_completed_successfully"}}},)" +
                 R"("migrate":{"image":")" + reference("migrate") + R"("}}})"};
  deploy(wanted);
  const auto calls = runtime_.calls();
  EXPECT_LT(std::ranges::find(calls, "start ee-0000000000d1-r1-migrate"),
            std::ranges::find(calls, std::string("start ") + kWeb));
  clock_.advance(std::chrono::seconds(40));
  step();
  EXPECT_EQ(phase(), WorkloadPhase::running);
  EXPECT_EQ(reconciler_->report()->restarts, 0);
}

TEST_F(WorkloadRules, a_job_that_ends_badly_fails_what_waits_for_it) {
  add_image("migrate", {.exits_with = 2});
  ASSERT_EQ(
      take({.compose =
                R"({"services":{"web":{"image":")" + reference("web") +
                R"(","ports":["8080:80"],"depends_on":{"migrate":{"condition":"service_completed_successfully"}}},)" +
                R"("migrate":{"image":")" + reference("migrate") + R"("}}})"}),
      Taken::accepted);
  step();
  EXPECT_EQ(failure(), "container_exited: service migrate ended with exit code 2");
  EXPECT_EQ(count_calls(std::string("start ") + kWeb), 0U);
}

TEST_F(WorkloadRules, a_healthy_condition_without_a_health_check_is_refused) {
  ASSERT_EQ(take({.compose = R"({"services":{"web":{"image":")" + reference("web") +
                             R"(","ports":["8080:80"],"depends_on":{"db":{"condition":"service_healthy"}}},)" +
                             R"("db":{"image":")" + reference("db") + R"("}}})"}),
            Taken::accepted);
  step();
  EXPECT_EQ(failure_code(), "compose_failed");
}

TEST_F(WorkloadRules, an_engine_that_goes_away_leaves_the_workload_alone) {
  deploy();
  runtime_.set_reachable(false);
  clock_.advance(std::chrono::seconds(31));
  step();
  EXPECT_EQ(phase(), WorkloadPhase::running);
  EXPECT_EQ(board_.health().checks.front().name, "container_runtime");
  runtime_.set_reachable(true);
  clock_.advance(std::chrono::seconds(31));
  step();
  EXPECT_TRUE(board_.health().checks.empty());
  EXPECT_EQ(running().size(), 1U);
}

std::string web_after_db(const std::string& web, const std::string& db) {
  return R"({"services":{"web":{"image":")" + web +
         R"(","ports":["8080:80"],"depends_on":{"db":{"condition":"service_healthy"}}},"db":{"image":")" + db +
         R"(","healthcheck":{"test":["CMD","check"]}}}})";
}

TEST_F(WorkloadRules, an_engine_that_is_killed_meanwhile_fails_no_deployment) {
  using Call = FakeRuntime::Call;
  const RuntimeError away{.failure = RuntimeFailure::unavailable};
  int kills = 0;
  // What ran ends with it: here `db`, for whose health `web` waits.
  runtime_.set_watch({.started = [&](const FakeRuntime::Container& container) {
    if (container.name.ends_with("-db") && ++kills == 1) runtime_.restart();
  }});
  for (const Call call : {Call::pull, Call::create_network, Call::create, Call::start, Call::inspect})
    runtime_.fail_next(call, away);
  ASSERT_EQ(take({.compose = web_after_db(reference("web"), reference("db"))}), Taken::accepted);
  step();
  EXPECT_EQ(phase(), WorkloadPhase::running) << failure_code();
  EXPECT_EQ(running().size(), 2U);
  EXPECT_EQ(containers().size(), 2U);
  EXPECT_EQ(measured_, std::vector<std::string>{"deploy r1"}) << "once";

  kills = 0;
  for (const Call call : {Call::pull, Call::stop, Call::create, Call::start}) runtime_.fail_next(call, away);
  ASSERT_EQ(take({.revision = 2, .compose = web_after_db(reference("web2"), reference("db"))}), Taken::accepted);
  step();
  EXPECT_EQ(phase(), WorkloadPhase::running) << failure_code();
  EXPECT_EQ(reconciler_->report()->revision, 2);
  EXPECT_EQ(running().size(), 2U);

  // The old revision comes back from a failed upgrade all the same.
  add_image("bad", {.exits_with = 1});
  runtime_.set_watch({});
  ASSERT_EQ(take({.revision = 3,
                  .compose = R"({"services":{"web":{"image":")" + reference("web") +
                             R"(","ports":["8080:80"],"depends_on":{"db":{"condition":"service_healthy"}}},)" +
                             R"("db":{"image":")" + reference("bad") + R"(","healthcheck":{"test":["CMD","x"]}}}})"}),
            Taken::accepted);
  runtime_.set_watch({.ended = [&](const std::string&) { runtime_.fail_next(Call::start, away); }});
  step();
  runtime_.set_watch({});
  EXPECT_EQ(phase(), WorkloadPhase::failed);
  EXPECT_EQ(failure_code(), "container_exited");
  EXPECT_EQ(running().size(), 2U) << "of the old revision";
}

TEST_F(WorkloadRules, an_engine_that_stays_away_ends_the_wait_in_time) {
  ASSERT_EQ(take({.deploy_timeout_seconds = 60}), Taken::accepted);
  const auto before = clock_.steady_now();
  runtime_.fail_next(FakeRuntime::Call::pull, {.failure = RuntimeFailure::unavailable}, 1000);
  step();
  EXPECT_EQ(phase(), WorkloadPhase::failed);
  EXPECT_EQ(failure_code(), "internal");
  EXPECT_LT(clock_.steady_now() - before, std::chrono::seconds(120));
}

// ---- secrets -------------------------------------------------------------------------------------------------------

constexpr const char* kValue = "correct-horse-battery-staple";

Wanted with_secrets() {
  return {
      .compose =
          R"({"services":{"web":{"image":")" + std::string("registry.example.com/web@sha256:") +
          to_hex(sha256(bytes_of("web"))) +
          R"(","ports":["8080:80"],"secrets":["db_password"],"environment":["API_KEY"]}},"secrets":{"db_password":{}}})",
      .secrets = {{.name = "db_password", .value_b64 = to_base64(bytes_of(kValue)), .as = agent_api::SecretKind::file},
                  {.name = "API_KEY", .value_b64 = to_base64(bytes_of(std::string(kValue) + "-2"))}}};
}

TEST_F(WorkloadRules, S02_EEA_SEC_001_secrets_are_where_they_belong_and_nowhere_else) {
  deploy(with_secrets());
  const std::string path = run_dir() + "/secrets/" + kDeploymentD + "/1/db_password";
  EXPECT_EQ(files_below(run_dir()), path + "\n" + kValue + "\n");
  namespace fs = std::filesystem;
  EXPECT_EQ(fs::status(path).permissions(), fs::perms::owner_read);
  EXPECT_EQ(fs::status(fs::path(path).parent_path()).permissions(), fs::perms::owner_all);
  const auto container = runtime_.container(kWeb);
  EXPECT_NE(container->body.find(std::string("API_KEY=") + kValue + "-2"), std::string::npos);
  for (const auto& [name, value] : container->state.labels) EXPECT_EQ(value.find(kValue), std::string::npos) << name;
  EXPECT_EQ(files_below(dir_.path()).find(kValue), files_below(dir_.path()).rfind(kValue)) << "one file, no state";
  std::ifstream state(dir_.path() / "state.json");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(state), {}).find("correct-horse"), std::string::npos);
  EXPECT_EQ(json::write(*reconciler_->report()).find(kValue), std::string::npos);
  for (const std::string& call : runtime_.calls()) EXPECT_EQ(call.find(kValue), std::string::npos);
  EXPECT_EQ(mask_.mask(std::string("the engine says ") + kValue), "the engine says ***");
  want_none();
  step();
  EXPECT_EQ(mask_.mask(kValue), kValue) << "forgotten with what used it";
  EXPECT_FALSE(fs::exists(run_dir() + "/secrets/" + kDeploymentD));
}

// covers: S02_EEA_SEC_001
TEST_F(WorkloadRules, secrets_of_an_old_revision_go_when_the_new_one_runs) {
  deploy(with_secrets());
  Wanted next = with_secrets();
  next.revision = 2;
  ASSERT_EQ(take(next), Taken::accepted);
  step();
  EXPECT_EQ(phase(), WorkloadPhase::running) << failure();
  EXPECT_FALSE(std::filesystem::exists(run_dir() + "/secrets/" + kDeploymentD + "/1"));
  EXPECT_TRUE(std::filesystem::exists(run_dir() + "/secrets/" + kDeploymentD + "/2/db_password"));
}

TEST_F(WorkloadRules, S02_AGT_DS_007_secrets_open_with_the_keys_of_this_boot_only) {
  const std::string body = document(with_secrets());
  keys_ = InstanceKeys::generate(random_).value();
  ASSERT_EQ(take_body(body, DocumentPath::pull).value().taken, Taken::accepted);
  step();
  EXPECT_EQ(phase(), WorkloadPhase::failed);
  EXPECT_EQ(failure_code(), "internal");
  EXPECT_EQ(board_.health().checks.front().name, "seal_refused");
  EXPECT_TRUE(containers().empty());
}

TEST_F(WorkloadRules, S02_AGT_DS_008_each_registry_gets_its_own_credentials_or_none) {
  auto read = json::read<agent_api::DeploymentDocument>(document({})).value();
  const auto context = agent_api::registry_seal_context(kAgentId, read.deployment_id, 1, 1);
  const std::string list = R"([{"registry":"registry.example.com","user":"puller","secret":"s3cret"}])";
  read.registry_auth = agent_api::Sealed{.ciphertext = to_base64(*seal(context, list, keys_.sealing.public_key()))};
  ASSERT_EQ(take_body(json::write(read), DocumentPath::pull).value().taken, Taken::accepted);
  step();
  EXPECT_EQ(phase(), WorkloadPhase::running) << failure();
  EXPECT_EQ(runtime_.last_pull_account(), "registry.example.com puller");
  want_none();
  step();
  new_registration();

  const std::string elsewhere = "other.example.com/web@sha256:" + std::string(64, 'b');
  runtime_.add_image(elsewhere, FakeImage{});
  auto other =
      json::read<agent_api::DeploymentDocument>(
          document({.compose = R"({"services":{"web":{"image":")" + elsewhere + R"(","ports":["8080:80"]}}})"}))
          .value();
  other.registry_auth = read.registry_auth;
  ASSERT_EQ(take_body(json::write(other), DocumentPath::pull).value().taken, Taken::accepted);
  step();
  EXPECT_EQ(phase(), WorkloadPhase::running) << failure();
  EXPECT_EQ(runtime_.last_pull_account(), std::nullopt);
}

TEST_F(WorkloadRules, changed_secrets_are_changed_content) {
  deploy(with_secrets());
  Wanted same = with_secrets();
  same.epoch = 2;
  ASSERT_EQ(take(same), Taken::accepted);
  step();
  EXPECT_EQ(count_calls("start ee-"), 1U);
  Wanted other = with_secrets();
  other.epoch = 3;
  other.secrets[1].value_b64 = to_base64(bytes_of("another value"));
  ASSERT_EQ(take(other), Taken::accepted);
  step();
  EXPECT_EQ(count_calls("start ee-"), 2U);
}

TEST_F(WorkloadRules, swap_in_use_keeps_secrets_from_being_unsealed_to_disk) {
  swaps_ += "/dev/sda2 partition 1 0 -2\n";
  ASSERT_EQ(take({}), Taken::accepted);
  step();
  EXPECT_EQ(failure_code(), "internal");
  EXPECT_TRUE(containers().empty());
}

}  // namespace
}  // namespace ee::agent::testing
