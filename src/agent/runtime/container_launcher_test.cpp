#include "agent/runtime/container_launcher.h"

#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>
#include <mutex>

#include "agent/runtime/fake_runtime.h"
#include "common/fake_clock.h"
#include "common/json.h"
#include "tests/support/child_process.h"

namespace ee::agent {
namespace {

using ee::testing::eventually;

class ContainerLauncherTest : public ::testing::Test {
 protected:
  const std::string image_ = "ghcr.io/acme/ee-cp@sha256:" + std::string(64, 'a');
  FakeClock clock_;
  FakeRuntime runtime_{clock_, "me"};
  ContainerLauncher launcher_{
      {.image = image_, .instance = "me", .writable = {"/data/ee-cp"}, .read_only = {"/run/secret"}}, runtime_};

  SubprocessSpec spec() const {
    return {.argv = {"ee-cp", "serve"}, .environment = {{"EE_ENV", Secret("staging")}, {"EE_X", Secret("s3cret")}}};
  }
  boost::json::object body() const { return json::parse(runtime_.container("ee-cp").value().body).value().as_object(); }
};

// covers: S02_EEA_CP_002
TEST_F(ContainerLauncherTest, S02_EEA_CP_002_the_container_has_the_hosts_network_and_nothing_more) {
  runtime_.add_image(image_, {});
  const auto child = launcher_.start(spec());
  ASSERT_TRUE(child) << child.error().detail;
  EXPECT_FALSE((*child)->poll());
  const auto made = body();
  EXPECT_EQ(made.at("Image").as_string(), image_);
  EXPECT_EQ(boost::json::serialize(made.at("Cmd")), R"(["serve"])");
  EXPECT_EQ(boost::json::serialize(made.at("Env")), R"(["EE_ENV=staging","EE_X=s3cret"])");
  EXPECT_EQ(boost::json::serialize(made.at("Labels")), R"({"com.easyenclave.instance":"me"})");
  const auto& host = made.at("HostConfig").as_object();
  EXPECT_EQ(host.at("NetworkMode").as_string(), "host");
  EXPECT_EQ(boost::json::serialize(host.at("Mounts")),
            R"([{"Type":"bind","Source":"/data/ee-cp","Target":"/data/ee-cp","ReadOnly":false},)"
            R"({"Type":"bind","Source":"/run/secret","Target":"/run/secret","ReadOnly":true}])");
  EXPECT_EQ(boost::json::serialize(host.at("CapDrop")), R"(["ALL"])");
  EXPECT_FALSE(host.at("Privileged").as_bool());
  EXPECT_TRUE(host.at("ReadonlyRootfs").as_bool());
}

TEST_F(ContainerLauncherTest, AnImageThatIsNotThereIsPulledOnce) {
  EXPECT_FALSE(launcher_.start(spec())) << "no registry has it";
  EXPECT_TRUE(runtime_.containers().empty());
  runtime_.add_image(image_, {});
  ASSERT_TRUE(launcher_.start(spec()));
  ASSERT_TRUE(launcher_.start(spec()));
  const auto calls = runtime_.calls();
  EXPECT_EQ(std::ranges::count(calls, "pull " + image_), 2) << "one failed, one fetched it";
}

TEST_F(ContainerLauncherTest, AnotherImageThanTheDigestIsNotStarted) {
  runtime_.add_image(image_, {}, true);
  runtime_.fail_next(FakeRuntime::Call::image, {.failure = RuntimeFailure::digest_mismatch});
  const auto refused = launcher_.start(spec());
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().detail.find("digest"), std::string::npos) << refused.error().detail;
  EXPECT_TRUE(runtime_.containers().empty());
}

TEST_F(ContainerLauncherTest, ItsEndIsToldAfterItsOutput) {
  runtime_.add_image(image_,
                     {.program = {.lines = {{.text = R"({"token":"t"})"}, {.stream = LogStream::err, .text = "note"}},
                                  .exits_with = 3}});
  std::mutex mutex;
  std::string out;
  std::string err;
  SubprocessSpec wanted = spec();
  wanted.on_output = [&](std::string_view bytes) {
    const std::lock_guard lock(mutex);
    out += bytes;
  };
  wanted.on_line = [&](std::string_view line) {
    const std::lock_guard lock(mutex);
    err += line;
  };
  auto child = launcher_.start(wanted);
  ASSERT_TRUE(child);
  ASSERT_TRUE(eventually([&] { return (*child)->poll().has_value(); }));
  EXPECT_EQ((*child)->poll()->code, 3);
  EXPECT_EQ(out, "{\"token\":\"t\"}\n");
  EXPECT_EQ(err, "note");
  child->reset();
  EXPECT_TRUE(runtime_.containers().empty());
}

// covers: S02_EEA_CP_005
TEST_F(ContainerLauncherTest, S02_EEA_CP_005_it_is_stopped_with_grace_and_removed) {
  runtime_.add_image(image_, {});
  auto child = launcher_.start(spec());
  ASSERT_TRUE(child);
  (*child)->send(SubprocessSignal::terminate);
  ASSERT_TRUE((*child)->poll());
  child->reset();
  EXPECT_TRUE(runtime_.containers().empty());
  const auto calls = runtime_.calls();
  EXPECT_NE(std::ranges::find(calls, "stop ee-cp 30"), calls.end());

  // Destroyed while it runs, it is killed.
  child = launcher_.start(spec());
  ASSERT_TRUE(child);
  child->reset();
  EXPECT_TRUE(runtime_.containers().empty());
}

// covers: S02_EEA_CP_003
TEST_F(ContainerLauncherTest, S02_EEA_CP_003_a_crash_and_an_engine_that_is_away_are_told_apart) {
  runtime_.add_image(image_, {});
  auto child = launcher_.start(spec());
  ASSERT_TRUE(child);
  runtime_.set_reachable(false);
  EXPECT_FALSE((*child)->poll()) << "nothing is known";
  runtime_.set_reachable(true);
  runtime_.exit_container("ee-cp", 139);
  ASSERT_TRUE((*child)->poll());
  EXPECT_EQ((*child)->poll()->code, 139);

  // One that a killed agent left is replaced.
  auto next = launcher_.start(spec());
  ASSERT_TRUE(next);
  EXPECT_EQ(runtime_.containers().size(), 1U);
}

}  // namespace
}  // namespace ee::agent
