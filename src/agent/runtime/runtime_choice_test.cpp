#include "agent/runtime/runtime_choice.h"

#include <gtest/gtest.h>

#include "common/fake_clock.h"
#include "common/fake_random.h"
#include "net/curl_http_client.h"
#include "tests/standins/engine/engine.h"

namespace ee::agent {
namespace {

using standins::Engine;
using Kind = ContainerRuntimeKind;

class RuntimeChoiceTest : public ::testing::Test {
 protected:
  RuntimeChoiceTest() { clock_.set_auto_advance(true); }
  std::expected<ChosenRuntime, std::string> choose(Kind kind, const EngineSockets& sockets,
                                                   std::optional<std::string> own = {}) {
    AgentConfig config;
    config.container_runtime = kind;
    config.container_socket = std::move(own);
    return choose_runtime(config, "instance", clock_, random_, {}, sockets);
  }
  static void make_podman(Engine& engine, const std::string& cgroup = "v2") {
    engine.on("GET /version", Engine::json(200, R"({"Version":"4.3.1","ApiVersion":"1.41","MinAPIVersion":"1.24",)"
                                                R"("Components":[{"Name":"Podman Engine"}]})"));
    engine.on("GET /info", Engine::json(200, R"({"CgroupVersion":")" + cgroup + R"(","DockerRootDir":"/"})"));
  }
  FakeClock clock_;
  FakeRandom random_;
};

TEST_F(RuntimeChoiceTest, auto_takes_docker_then_podman) {
  Engine docker;
  Engine podman;
  make_podman(podman);
  const EngineSockets both{.docker = docker.socket(), .podman = podman.socket()};
  auto chosen = choose(Kind::automatic, both);
  ASSERT_TRUE(chosen.has_value()) << chosen.error();
  EXPECT_EQ(chosen->info.name, "docker");
  EXPECT_EQ(chosen->socket, docker.socket());
  EXPECT_EQ(choose(Kind::podman, both)->info.name, "podman");
  EXPECT_EQ(choose(Kind::automatic, {.docker = "/nowhere/d.sock", .podman = podman.socket()})->info.name, "podman");
  EXPECT_EQ(choose(Kind::automatic, both, podman.socket())->socket, podman.socket());
  EXPECT_EQ(choose(Kind::none, {})->runtime, nullptr);
}

TEST_F(RuntimeChoiceTest, missing_too_old_and_other_engines_are_refused) {
  Engine engine;
  const EngineSockets only{.docker = engine.socket(), .podman = engine.socket()};
  EXPECT_FALSE(choose(Kind::automatic, {.docker = "/nowhere/d.sock", .podman = "/nowhere/p.sock"}).has_value());
  EXPECT_FALSE(choose(Kind::podman, only).has_value()) << "it is docker";
  engine.on("GET /version", Engine::json(200, R"({"Version":"19.03","ApiVersion":"1.40","MinAPIVersion":"1.12"})"));
  const auto old = choose(Kind::docker, only);
  ASSERT_FALSE(old.has_value());
  EXPECT_TRUE(old.error().contains("too old")) << old.error();
  make_podman(engine, "v1");
  EXPECT_FALSE(choose(Kind::podman, only).has_value()) << "podman without cgroup v2";
  make_podman(engine);
  EXPECT_FALSE(choose(Kind::docker, only).has_value()) << "it is podman";
}

TEST_F(RuntimeChoiceTest, the_fake_answers_on_published_ports) {
  auto chosen = choose(Kind::fake, {});
  ASSERT_TRUE(chosen.has_value());
  ContainerRuntime& runtime = *chosen->runtime;
  const std::string reference = "registry.test/app@sha256:" + std::string(64, 'a');
  ASSERT_TRUE(runtime.pull(reference, nullptr, {}, {}).has_value());
  const auto id = runtime.create(
      {.name = "ee-x-r1-web",
       .body =
           R"({"Image":")" + reference +
           R"(","Labels":{"com.easyenclave.instance":"instance","com.easyenclave.service":"web"},)"
           R"("HostConfig":{"PortBindings":{"80/tcp":[{"HostIp":"127.0.0.1","HostPort":"0"}],"53/udp":[{"HostIp":"127.0.0.1","HostPort":"0"}]}}})"},
      {});
  ASSERT_TRUE(id.has_value());
  EXPECT_TRUE(chosen->answers->urls().empty());
  ASSERT_TRUE(runtime.start(*id, {}).has_value());
  const auto urls = chosen->answers->urls();
  ASSERT_EQ(urls.size(), 1U);
  net::CurlHttpClient client;
  const auto answer = client.send({.url = urls[0] + "/any/path"});
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->body, R"({"service":"web","image":")" + reference + "\"}\n");
  ASSERT_TRUE(runtime.stop(*id, Seconds(1), {}).has_value());
  EXPECT_TRUE(chosen->answers->urls().empty());
  EXPECT_FALSE(client.send({.url = urls[0] + "/"}).has_value());
}

}  // namespace
}  // namespace ee::agent
