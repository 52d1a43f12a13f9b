#include "agent/workload/reconciler_fixture.h"

namespace ee::agent::testing {
namespace {

using agent_api::WorkloadPhase;
using Taken = Reconciler::Taken;

constexpr const char* kNetwork = "ee-0000000000d1-back";

class NetworksTest : public ReconcilerFixture {
 protected:
  static Wanted on_a_network(std::int64_t revision, const std::string& network) {
    return {.revision = revision,
            .compose = R"({"services":{"web":{"image":")" + reference("web") +
                       R"(","ports":["8080:80"],"networks":["back"]}},"networks":{"back":)" + network + "}}"};
  }
  bool is_internal() {
    for (const NetworkInfo& network : *runtime_.list_networks({}))
      if (network.name == kNetwork) return network.internal;
    ADD_FAILURE() << "there is no network";
    return false;
  }
};

TEST_F(NetworksTest, an_upgrade_never_runs_on_a_network_that_leads_where_its_document_forbids) {
  deploy(on_a_network(1, "{}"));
  EXPECT_FALSE(is_internal());
  ASSERT_EQ(take(on_a_network(2, R"({"internal":true})")), Taken::accepted);
  step();
  EXPECT_EQ(phase(), WorkloadPhase::failed) << "the old containers may have to go back into it";
  EXPECT_EQ(failure_code(), "compose_failed");
  EXPECT_TRUE(failure().ends_with(kNetwork)) << failure();
  EXPECT_EQ(running(), std::set<std::string>{"ee-0000000000d1-r1-web"});
  EXPECT_FALSE(is_internal());
}

TEST_F(NetworksTest, a_network_that_nothing_is_in_is_made_anew) {
  runtime_.hang(FakeRuntime::Call::create);
  ASSERT_EQ(take(on_a_network(1, "{}")), Taken::accepted);
  start_worker();
  runtime_.wait_until_hanging(FakeRuntime::Call::create);
  EXPECT_FALSE(is_internal());
  restart();
  runtime_.release(FakeRuntime::Call::create);
  step();
  deploy(on_a_network(2, R"({"internal":true})"));
  EXPECT_TRUE(is_internal());
}

}  // namespace
}  // namespace ee::agent::testing
