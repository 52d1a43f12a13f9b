#include "agent/workload/reconciler_fixture.h"

namespace ee::agent::testing {
namespace {

using agent_api::WorkloadPhase;
using Taken = Reconciler::Taken;

constexpr const char* kWeb = "ee-0000000000d1-r1-web";
constexpr const char* kOtherBoot = "2b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed";

class LeftoversTest : public ReconcilerFixture {
 protected:
  static Wanted with_volume() {
    return {.compose = R"({"services":{"web":{"image":")" + reference("web") +
                       R"(","ports":["8080:80"],"volumes":["data:/data"]}},"volumes":{"data":{}}})"};
  }
  void reboot() {
    runtime_.exit_container(kWeb, 137);
    boot_id_ = kOtherBoot;
    restart();
    step();
  }
  void pass(int seconds) {
    clock_.advance(std::chrono::seconds(seconds));
    step();
  }
};

TEST_F(LeftoversTest, volumes_wait_for_the_document_of_what_is_to_run_again) {
  deploy(with_volume());
  const std::vector<std::string> volumes = runtime_.volumes();
  ASSERT_EQ(volumes.size(), 1U);
  reboot();
  ASSERT_TRUE(holds_nothing());
  want(with_volume());  // it is named, and its document cannot be fetched for a while
  pass(31);
  pass(700);
  EXPECT_TRUE(containers().empty()) << "of a deployment that was named, and is not held";
  EXPECT_EQ(runtime_.volumes(), volumes);
  EXPECT_EQ(count_calls("remove_volume"), 0U);
  ASSERT_EQ(take(with_volume()), Taken::accepted);
  step();
  EXPECT_EQ(phase(), WorkloadPhase::running) << failure();
  EXPECT_EQ(runtime_.volumes(), volumes);
  EXPECT_EQ(count_calls("remove_volume"), 0U);
}

TEST_F(LeftoversTest, volumes_of_what_is_no_longer_wanted_go) {
  deploy(with_volume());
  reboot();
  want(with_volume());
  want_none();
  pass(31);
  EXPECT_TRUE(runtime_.volumes().empty());

  new_registration();
  deploy(with_volume());
  ASSERT_TRUE(state_->wipe());
  reboot();
  want(with_volume());
  deploy({.deployment_id = kDeploymentE});
  EXPECT_TRUE(runtime_.volumes().empty()) << "something else is to run";
}

TEST_F(LeftoversTest, a_stop_that_is_taken_back_while_it_cuts_a_deployment_off_begins_it_again) {
  runtime_.hang(FakeRuntime::Call::pull);
  ASSERT_EQ(take({}), Taken::accepted);
  start_worker();
  runtime_.wait_until_hanging(FakeRuntime::Call::pull);
  runtime_.hang(FakeRuntime::Call::list);
  want_none();
  runtime_.wait_until_hanging(FakeRuntime::Call::list);  // it cleans up
  want({});
  ASSERT_EQ(take({}), Taken::accepted);
  runtime_.release(FakeRuntime::Call::pull);
  runtime_.release(FakeRuntime::Call::list);
  join_worker();
  EXPECT_EQ(phase(), WorkloadPhase::running) << failure();
  EXPECT_EQ(running(), std::set<std::string>{kWeb});
}

}  // namespace
}  // namespace ee::agent::testing
