#include <algorithm>

#include "agent/workload/reconciler_fixture.h"

namespace ee::agent::testing {
namespace {

using agent_api::WorkloadPhase;
using Taken = Reconciler::Taken;

class ImagesTest : public ReconcilerFixture {
 protected:
  static std::vector<std::string> references(const std::vector<std::string>& names) {
    std::vector<std::string> out;
    for (const std::string& name : names) out.push_back(reference(name));
    std::ranges::sort(out);
    return out;
  }
};

TEST_F(ImagesTest, images_of_what_never_ran_go_with_it_when_the_disk_is_tight) {
  disk_is_tight_ = true;
  // `db` is there when the pull of `web` is refused.
  runtime_.add_image(reference("db"), FakeImage{}, true);
  runtime_.fail_next(FakeRuntime::Call::pull, {.failure = RuntimeFailure::disk_full});
  ASSERT_EQ(take({.compose = R"({"services":{"web":{"image":")" + reference("web") +
                             R"(","ports":["8080:80"]},"db":{"image":")" + reference("db") + R"("}}})"}),
            Taken::accepted);
  step();
  EXPECT_EQ(failure_code(), "disk_full");
  EXPECT_EQ(runtime_.local_images(), references({"db"}));
  want_none();
  step();
  EXPECT_TRUE(holds_nothing());
  EXPECT_TRUE(runtime_.local_images().empty());

  new_registration();
  add_image("bad", {.exits_with = 3});
  ASSERT_EQ(take({.image = "bad"}), Taken::accepted);
  step();
  EXPECT_EQ(failure_code(), "container_exited");
  want_none();
  step();
  EXPECT_TRUE(runtime_.local_images().empty());
}

TEST_F(ImagesTest, images_of_a_failed_upgrade_go_and_those_in_use_stay) {
  disk_is_tight_ = true;
  add_image("bad", {.exits_with = 3});
  deploy();
  ASSERT_EQ(take({.revision = 2, .image = "bad"}), Taken::accepted);
  step();
  EXPECT_EQ(phase(), WorkloadPhase::failed);
  EXPECT_EQ(running().size(), 1U);
  EXPECT_EQ(runtime_.local_images(), references({"web"}));
  ASSERT_EQ(take({.revision = 3}), Taken::accepted);
  step();
  ASSERT_EQ(take({.revision = 4, .image = "web2"}), Taken::accepted);
  step();
  EXPECT_EQ(phase(), WorkloadPhase::running) << failure();
  EXPECT_EQ(runtime_.local_images(), references({"web2"}));
}

TEST_F(ImagesTest, images_stay_while_there_is_room) {
  deploy();
  want_none();
  step();
  EXPECT_EQ(runtime_.local_images(), references({"web"}));
}

}  // namespace
}  // namespace ee::agent::testing
