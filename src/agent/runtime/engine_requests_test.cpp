// What the engine is asked and how its answers are read.
#include "agent/runtime/engine_test_fixture.h"
#include "common/bytes.h"

namespace ee::agent {
namespace {

using EngineRequestsTest = EngineRuntimeTest;

TEST_F(EngineRequestsTest, a_pull_names_the_digest_and_the_account_and_sums_layers) {
  engine_.on("POST /images/create", [](const Request&, const Peer& peer) {
    peer.open_stream();
    for (const char* line : {R"({"status":"Pulling fs layer","id":"a"})", R"({"status":"Pulling fs layer","id":"b"})",
                             R"({"status":"Downloading","id":"a","progressDetail":{"current":30,"total":100}})",
                             R"({"status":"Already exists","id":"b"})", R"({"status":"Download complete","id":"a"})",
                             R"({"status":"Pull complete","id":"a"})"})
      peer.chunk(std::string(line) + "\n");
    peer.end_stream();
  });
  std::vector<PullProgress> seen;
  const RegistryCredentials account{.server = "registry.test:5000", .username = "u\"x", .password = Secret("p/w?")};
  ASSERT_TRUE(runtime_.pull(kReference, &account, [&](const auto& each) { seen.push_back(each); }, {}).has_value());
  using P = PullProgress;
  EXPECT_EQ(seen, (std::vector<P>{P{0, 0, 0, 1}, P{0, 0, 0, 2}, P{30, 100, 0, 2}, P{30, 100, 1, 2}, P{100, 100, 1, 2},
                                  P{100, 100, 2, 2}}));
  const Request request = engine_.requests().back();
  EXPECT_EQ(request.target, "/images/create?fromImage=registry.test%3A5000%2Fteam%2Fapp&tag=sha256%3A" + kHex);
  const std::size_t at = request.head.find("X-Registry-Auth: ") + 17;
  const auto auth = from_base64url(request.head.substr(at, request.head.find('\r', at) - at));
  ASSERT_TRUE(auth.has_value());
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(auth->data()), auth->size()),
            R"({"username":"u\"x","password":"p/w?","serveraddress":"registry.test:5000"})");
}

TEST_F(EngineRequestsTest, only_the_very_image_for_this_machine_will_do) {
  const auto image = [&](const std::string& digests, const std::string& os, const std::string& architecture) {
    engine_.on("GET /images/", Engine::json(200, R"({"Id":"sha256:i","RepoDigests":[)" + digests + R"(],"Os":")" + os +
                                                     R"(","Architecture":")" + architecture +
                                                     R"(","Config":{"Healthcheck":{"Test":["CMD","x"]}}})"));
    return runtime_.image(kReference, {});
  };
  const std::string good = "\"" + kReference + "\"";
  const std::string other = "\"registry.test:5000/team/app@sha256:" + std::string(64, 'b') + "\"";
  const auto found = image(other + "," + good, "linux", "amd64");
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->id, "sha256:i");
  EXPECT_TRUE(found->has_health_check);
  EXPECT_EQ(engine_.requests().back().target, "/images/" + kReference + "/json");
  for (const auto& bad : {image(other, "linux", "amd64"), image("", "linux", "amd64"), image(good, "windows", "amd64"),
                          image(good, "linux", "arm64"), image("1", "linux", "amd64"),
                          image("\"evil.test/team/app@sha256:" + kHex + "\"", "linux", "amd64")})
    EXPECT_EQ(failure_of(bad), RuntimeFailure::digest_mismatch);
  engine_.on("GET /images/", Engine::json(404, R"({"message":"No such image"})"));
  EXPECT_EQ(failure_of(runtime_.image(kReference, {})), RuntimeFailure::not_found);
}

TEST_F(EngineRequestsTest, refusals_are_told_apart) {
  const ContainerSpec spec{.name = "ee-x", .body = R"({"Image":"i"})"};
  engine_.on("POST /containers/create", Engine::json(404, R"({"message":"No such image: i"})"));
  EXPECT_EQ(failure_of(runtime_.create(spec, {})), RuntimeFailure::not_found);
  EXPECT_EQ(engine_.requests().back().target, "/containers/create?name=ee-x&platform=linux%2Famd64");
  EXPECT_EQ(engine_.requests().back().body, spec.body);
  engine_.on("POST /containers/create",
             Engine::json(400, R"({"message":"bad mount; auth Bearer abcdefghijklmnop.qrstuvw"})"));
  const auto refused = runtime_.create(spec, {});
  EXPECT_EQ(failure_of(refused), RuntimeFailure::refused);
  EXPECT_TRUE(refused.error().detail.starts_with("bad mount")) << refused.error().detail;
  EXPECT_FALSE(refused.error().detail.contains("abcdefghijklmnop"));
  engine_.on("POST /containers/c1/start", Engine::json(500, "not JSON"));
  EXPECT_EQ(runtime_.start("c1", {}).error().detail, "HTTP 500");
  free_bytes_ = 1024;
  EXPECT_EQ(failure_of(runtime_.start("c1", {})), RuntimeFailure::disk_full);
  EXPECT_EQ(failure_of(runtime_.create(spec, {})), RuntimeFailure::disk_full);
  engine_.on("POST /containers/c1/start", Engine::json(304, ""));
  EXPECT_TRUE(runtime_.start("c1", {}).has_value());
}

TEST_F(EngineRequestsTest, a_name_that_is_taken_is_freed_only_if_it_is_ours) {
  const ContainerSpec spec{.name = "ee-x", .body = R"({"Image":"i"})"};
  const auto taken = Engine::json(409, R"({"message":"name in use"})");
  engine_.on_each("POST /containers/create", {taken, Engine::json(201, R"({"Id":"c2"})")});
  engine_.on("GET /containers/ee-x/json", Engine::json(200, state_json("exited")));
  engine_.on_each("DELETE /containers/c1",
                  {Engine::json(409, R"({"message":"removal in progress"})"), Engine::json(204, "")});
  EXPECT_EQ(runtime_.create(spec, {}).value(), "c2");
  EXPECT_EQ(engine_.count("DELETE /containers/c1"), 2U);
  engine_.on("POST /containers/create", taken);
  engine_.on("GET /containers/ee-x/json", Engine::json(200, state_json("exited", "another agent")));
  EXPECT_EQ(failure_of(runtime_.create(spec, {})), RuntimeFailure::refused);
  EXPECT_EQ(engine_.count("DELETE /containers/c1"), 2U);
  engine_.on("GET /containers/ee-x/json", Engine::json(200, state_json("exited")));
  EXPECT_EQ(failure_of(runtime_.create(spec, {})), RuntimeFailure::refused) << "only one more try";
}

TEST_F(EngineRequestsTest, states_and_lists_are_read) {
  engine_.on("GET /containers/c1/json", Engine::json(200, state_json("running")));
  const auto state = runtime_.inspect("c1", {}).value();
  EXPECT_EQ(state.name, "ee-x");
  EXPECT_EQ(state.status, ContainerStatus::running);
  EXPECT_EQ(state.exit_code, 3);
  EXPECT_TRUE(state.oom_killed);
  EXPECT_EQ(state.pid, 42);
  EXPECT_EQ(state.health, ContainerHealth::starting);
  EXPECT_EQ(to_rfc3339(*state.started_at), "2026-11-23T00:36:14.439Z");
  EXPECT_EQ(state.finished_at, std::nullopt);
  const auto entry = [](const std::string& id, const std::string& instance) {
    return R"({"Id":")" + id +
           R"(","Names":["/n"],"ImageID":"sha256:i","State":"exited","Labels":{"com.easyenclave.instance":")" +
           instance + R"("}})";
  };
  engine_.on("GET /containers/json", Engine::json(200, "[" + entry("a", kInstance) + "," + entry("b", "other") + "]"));
  const auto list = runtime_.list({}).value();
  ASSERT_EQ(list.size(), 1U) << "an engine that ignores the filter";
  EXPECT_EQ(list[0].id, "a");
  engine_.on("GET /containers/json", Engine::json(200, "[{}]"));
  EXPECT_EQ(failure_of(runtime_.list({})), RuntimeFailure::bad_answer);
}

TEST_F(EngineRequestsTest, engines_that_are_too_old_or_too_new) {
  const auto probe = [&](const std::string& api, const std::string& oldest) {
    engine_.on("GET /version", Engine::json(200, R"({"Version":"1","ApiVersion":")" + api + R"(","MinAPIVersion":")" +
                                                     oldest + R"("})"));
    return runtime_.probe({});
  };
  EXPECT_EQ(failure_of(probe("1.40", "1.12")), RuntimeFailure::refused);
  EXPECT_EQ(failure_of(probe("1.52", "1.44")), RuntimeFailure::refused);
  EXPECT_EQ(failure_of(probe("2.0", "1.12")), RuntimeFailure::bad_answer);
  EXPECT_EQ(failure_of(probe("", "")), RuntimeFailure::bad_answer);
  const auto good = probe("1.41", "1.41");
  ASSERT_TRUE(good.has_value());
  EXPECT_EQ(good->name, "docker");
  EXPECT_EQ(good->cgroup_version, 2);
  EXPECT_EQ(good->root_directory, "/");
}

TEST_F(EngineRequestsTest, what_podman_does_otherwise) {
  engine_.on(
      "GET /version",
      Engine::json(
          200,
          R"({"Version":"4.3.1","ApiVersion":"1.41","MinAPIVersion":"1.24","Components":[{"Name":"Podman Engine"}]})"));
  engine_.on("GET /info", Engine::json(200, R"({"CgroupVersion":"2","DockerRootDir":"/"})"));
  ASSERT_EQ(runtime_.probe({})->name, "podman");
  engine_.on("POST /containers/create", Engine::json(201, R"({"Id":"c1"})"));
  const std::string body =
      R"({"Image":"i","HostConfig":{"LogConfig":{"Type":"local","Config":{"max-size":"10m","max-file":"3"}}}})";
  ASSERT_TRUE(runtime_.create({.name = "x", .body = body}, {}).has_value());
  EXPECT_EQ(engine_.requests().back().body,
            R"({"Image":"i","HostConfig":{"LogConfig":{"Type":"k8s-file","Config":{"max-size":"10m"}}}})");
  EXPECT_EQ(failure_of(runtime_.create(
                {.name = "x", .body = R"({"HostConfig":{"DeviceRequests":[{"Driver":"nvidia"}]}})"}, {})),
            RuntimeFailure::refused);
}

TEST_F(EngineRequestsTest, counters_of_both_cgroup_versions) {
  engine_.on("GET /containers/c1/stats",
             Engine::json(200, R"({"cpu_stats":{"cpu_usage":{"total_usage":2500000}},"pids_stats":{"current":3},
  "memory_stats":{"usage":1000,"limit":5000,"stats":{"total_inactive_file":400}},
  "blkio_stats":{"io_service_bytes_recursive":[{"op":"Read","value":7},{"op":"write","value":8},{"op":"Read","value":1}]}})"));
  const auto counters = runtime_.stats("c1", {}).value();
  EXPECT_EQ(counters.cpu_usage_usec, 2500);
  EXPECT_EQ(counters.memory_bytes, 600);
  EXPECT_EQ(counters.memory_limit_bytes, 5000);
  EXPECT_EQ(counters.pids, 3);
  EXPECT_EQ(counters.io_read_bytes, 8);
  EXPECT_EQ(counters.io_write_bytes, 8);
  engine_.on("GET /containers/c1/stats", Engine::json(200, R"({"cpu_stats":{},"memory_stats":{}})"));
  EXPECT_EQ(runtime_.stats("c1", {}).value().memory_bytes, std::nullopt);
}

}  // namespace
}  // namespace ee::agent
