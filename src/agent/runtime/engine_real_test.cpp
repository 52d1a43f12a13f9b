// What only a real engine shows: two agents on one, names and health inside it, its restart.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <thread>

#include "agent/runtime/engine_runtime.h"
#include "agent/runtime/log_collectors.h"
#include "common/clock.h"
#include "net/curl_http_client.h"
#include "tests/support/real_engine.h"

namespace ee::agent {
namespace {

using testing::eventually;
using testing::RealEngine;

#define ASSERT_GOOD(result) ASSERT_TRUE((result).has_value()) << (result).error().detail

class RealEngineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto engine = RealEngine::start();
    if (!engine) GTEST_SKIP() << engine.error();
    engine_ = std::move(*engine);
    one_ = std::make_unique<EngineRuntime>(EngineOptions{.socket = engine_->socket(), .instance = "one"}, clock_);
    two_ = std::make_unique<EngineRuntime>(EngineOptions{.socket = engine_->socket(), .instance = "two"}, clock_);
    image_ = engine_->push({.name = "real", .keep_local = true});
    ASSERT_GOOD(one_->probe({}));
    ASSERT_GOOD(two_->probe({}));
  }

  static Labels labels(const std::string& instance) { return {{std::string(kInstanceLabel), instance}}; }

  /// As the compose engine writes them: log driver, limits, no capabilities.
  ContainerSpec spec(const std::string& instance, const std::string& name, const std::string& network,
                     const std::string& script, boost::json::object more = {}) {
    boost::json::object host{
        {"NetworkMode", network},
        {"Memory", 64LL << 20},
        {"MemorySwap", 64LL << 20},
        {"NanoCpus", 500'000'000},
        {"PidsLimit", 64},
        {"ReadonlyRootfs", true},
        {"Init", true},
        {"CapDrop", boost::json::array{"ALL"}},
        {"SecurityOpt", boost::json::array{"no-new-privileges:true"}},
        {"RestartPolicy", boost::json::object{{"Name", "no"}}},
        {"LogConfig", boost::json::object{{"Type", "local"}, {"Config", {{"max-size", "10m"}, {"max-file", "3"}}}}}};
    if (auto* const ports = more.if_contains("PortBindings")) host["PortBindings"] = *ports;
    boost::json::object body{{"Image", image_},
                             {"Cmd", boost::json::array{"/bin/sh", "-c", script}},
                             {"Labels", boost::json::object{{std::string(kInstanceLabel), instance}}},
                             {"HostConfig", host}};
    const boost::json::object endpoint{{"Aliases", boost::json::array{name}}};
    if (network != "none")
      body["NetworkingConfig"] = boost::json::object{{"EndpointsConfig", boost::json::object{{network, endpoint}}}};
    if (more.contains("PortBindings")) body["ExposedPorts"] = boost::json::object{{"80/tcp", boost::json::object{}}};
    if (auto* const check = more.if_contains("Healthcheck")) body["Healthcheck"] = *check;
    return {.name = name, .body = boost::json::serialize(body)};
  }
  static boost::json::object published(const std::string& address) {
    return {{"PortBindings", boost::json::object{{"80/tcp", boost::json::array{boost::json::object{
                                                                {"HostIp", address}, {"HostPort", "8080"}}}}}}};
  }

  SystemClock clock_;
  std::unique_ptr<RealEngine> engine_;
  std::unique_ptr<EngineRuntime> one_;
  std::unique_ptr<EngineRuntime> two_;
  std::string image_;
};

// covers: S02_EEA_WL_007
TEST_F(RealEngineTest, S02_EEA_WL_007_two_agents_on_one_engine) {
  net::CurlHttpClient http;
  const auto run = [&](EngineRuntime& runtime, const std::string& instance, const std::string& address) {
    const auto network = runtime.create_network({.name = "ee-" + instance, .labels = labels(instance)}, {});
    EXPECT_TRUE(network.has_value()) << network.error().detail;
    const auto id = runtime.create(
        spec(instance, "ee-" + instance + "-web", "ee-" + instance, "httpd -f -p 80 -h /www", published(address)), {});
    EXPECT_TRUE(id.has_value()) << id.error().detail;
    const auto started = runtime.start(*id, {});
    EXPECT_TRUE(started.has_value()) << started.error().detail;
    return *id;
  };
  const std::string first = run(*one_, "one", "127.0.1.1");
  const std::string second = run(*two_, "two", "127.0.1.2");
  for (const char* address : {"127.0.1.1", "127.0.1.2"})
    EXPECT_TRUE(eventually([&] {
      const auto answer = http.send({.url = std::string("http://") + address + ":8080/"});
      return answer && answer->body == "hello from the workload\n";
    })) << address;
  // Each sees its own only, and does not take the other's name.
  const auto ids = [](EngineRuntime& runtime) {
    std::vector<std::string> all;
    for (const auto& each : runtime.list({}).value()) all.push_back(each.id);
    return all;
  };
  EXPECT_EQ(ids(*one_), std::vector<std::string>{first});
  EXPECT_EQ(ids(*two_), std::vector<std::string>{second});
  EXPECT_EQ(one_->list_networks({}).value().size(), 1U);
  const auto taken = one_->create(spec("one", "ee-two-web", "ee-one", "true"), {});
  ASSERT_FALSE(taken.has_value());
  EXPECT_EQ(taken.error().failure, RuntimeFailure::refused);
  EXPECT_FALSE(one_->create_network({.name = "ee-two", .labels = labels("one")}, {}).has_value());
  EXPECT_TRUE(two_->inspect(second, {}).value().running);
  // A port that is taken is the compose file's fault.
  const auto third = one_->create(spec("one", "ee-one-b", "ee-one", "sleep 60", published("127.0.1.2")), {});
  ASSERT_GOOD(third);
  const auto started = one_->start(*third, {});
  ASSERT_FALSE(started.has_value());
  EXPECT_EQ(failure_code(started.error().failure), ErrorCode::compose_failed);
  for (const auto& each : one_->list({}).value()) ASSERT_GOOD(one_->remove(each.id, {}));
  EXPECT_TRUE(two_->inspect(second, {}).value().running);
}

TEST_F(RealEngineTest, services_find_each_other_and_health_is_seen) {
  ASSERT_GOOD(one_->create_network({.name = "ee-net", .labels = labels("one")}, {}));
  const boost::json::object check{
      {"Healthcheck", boost::json::object{{"Test", boost::json::array{"CMD-SHELL", "test -e /dev/shm/ready"}},
                                          {"Interval", 100'000'000},
                                          {"Timeout", 5'000'000'000},
                                          {"Retries", 100}}}};
  const auto web = one_->create(
      spec("one", "web", "ee-net", "sleep 1; touch /dev/shm/ready; echo up; httpd -f -p 80 -h /www", check), {});
  ASSERT_GOOD(web);
  ASSERT_GOOD(one_->start(*web, {}));
  EXPECT_EQ(one_->inspect(*web, {}).value().health, ContainerHealth::starting);
  EXPECT_TRUE(eventually([&] { return one_->inspect(*web, {}).value().health == ContainerHealth::healthy; }));
  const auto client = one_->create(spec("one", "client", "ee-net", "wget -q -O - http://web/"), {});
  ASSERT_GOOD(client);
  LogRing ring(clock_);
  LogCollectors collectors(*one_, ring, clock_);
  ASSERT_GOOD(one_->start(*client, {}));
  collectors.attach({.deployment_id = "d", .service = "client"}, *client);
  EXPECT_EQ(one_->wait(*client, {}).value().exit_code, 0);
  collectors.drain(*client, {});
  EXPECT_EQ(ring.tail_text("d", 1000), "client: hello from the workload\n");
}

TEST_F(RealEngineTest, long_lines_and_memory_that_runs_out) {
  const auto talker = one_->create(
      spec("one", "talker", "none", "head -c 40000 /dev/zero | tr '\\0' a; echo; echo after; printf 'no end'"), {});
  ASSERT_GOOD(talker);
  ASSERT_GOOD(one_->start(*talker, {}));
  ASSERT_GOOD(one_->wait(*talker, {}));
  std::vector<std::pair<std::size_t, bool>> lines;
  ASSERT_GOOD(one_->logs(
      *talker, 0, [&](const ContainerLogLine& line) { lines.emplace_back(line.text.size(), line.truncated); }, {}));
  EXPECT_EQ(lines, (std::vector<std::pair<std::size_t, bool>>{{16384, true}, {5, false}, {6, false}}));
  const auto eater = one_->create(spec("one", "eater", "none", "x=a; while true; do x=$x$x; done"), {});
  ASSERT_GOOD(eater);
  ASSERT_GOOD(one_->start(*eater, {}));
  ASSERT_GOOD(one_->wait(*eater, {}));
  EXPECT_TRUE(eventually([&] { return one_->inspect(*eater, {}).value().oom_killed; }));
}

TEST_F(RealEngineTest, S02_EEA_WL_005_a_restart_of_the_engine) {
  const auto id = one_->create(spec("one", "survivor", "none", "sleep 600"), {});
  ASSERT_GOOD(id);
  ASSERT_GOOD(one_->start(*id, {}));
  std::atomic<int> opened = 0;
  std::stop_source stop;
  std::jthread listener([&] {
    (void)one_->events(
        0, [&](const ContainerEvent& event) { opened += event.kind == ContainerEventKind::listen_again ? 1 : 0; },
        stop.get_token());
  });
  ASSERT_TRUE(eventually([&] { return opened == 1; }));
  engine_->restart();
  EXPECT_TRUE(eventually([&] { return opened == 2; }));
  const auto list = one_->list({});
  ASSERT_GOOD(list);
  ASSERT_EQ(list->size(), 1U) << "still known, though stopped";
  EXPECT_EQ(list->front().status, ContainerStatus::exited);
  ASSERT_GOOD(one_->start(*id, {}));
  EXPECT_TRUE(one_->inspect(*id, {}).value().running);
  stop.request_stop();
}

}  // namespace
}  // namespace ee::agent
