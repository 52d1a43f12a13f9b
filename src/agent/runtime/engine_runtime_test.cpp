// The engine as it misbehaves: a stand-in on a unix socket. What a healthy one does is in runtime_contract_test.cpp.
#include "agent/runtime/engine_runtime.h"

#include <thread>

#include "agent/runtime/engine_test_fixture.h"
#include "common/url.h"
#include "tests/support/child_process.h"

namespace ee::agent {
namespace {

using testing::eventually;

// covers: S02_EEA_WL_005
TEST_F(EngineRuntimeTest, S02_EEA_WL_005_a_hanging_engine_is_given_up_after_its_tries) {
  engine_.on("GET /containers/json", Engine::hangs());
  const SteadyTime before = clock_.steady_now();
  EXPECT_EQ(failure_of(runtime_.list({})), RuntimeFailure::unavailable);
  EXPECT_EQ(engine_.count("GET /containers/json"), 4U);
  EXPECT_EQ(clock_.steady_now() - before, 7s);  // 1, 2 and 4
  EXPECT_FALSE(runtime_.reachable());
  engine_.on("GET /containers/json", Engine::json(200, "[]"));
  EXPECT_TRUE(runtime_.list({})->empty());
  EXPECT_TRUE(runtime_.reachable());
  // One that recovers in time was never away.
  engine_.on_each("POST /containers/c1/start", {Engine::closes(), Engine::closes(), Engine::json(204, "")});
  EXPECT_TRUE(runtime_.start("c1", {}).has_value());
  EXPECT_TRUE(runtime_.reachable());
}

TEST_F(EngineRuntimeTest, S02_EEA_WL_005_no_engine_at_the_socket) {
  engine_.stop();
  EXPECT_EQ(failure_of(runtime_.list({})), RuntimeFailure::unavailable);
  EXPECT_FALSE(runtime_.reachable());
  engine_.start();
  EXPECT_TRUE(runtime_.probe({}).has_value());
  EXPECT_TRUE(runtime_.reachable());
}

TEST_F(EngineRuntimeTest, S02_EEA_WL_005_a_call_in_flight_is_cut_off) {
  for (const char* call :
       {"GET /containers", "GET /containers/json", "POST /images/create", "POST /containers", "GET /events"})
    engine_.on(call, Engine::hangs());
  EngineOptions patient = options();
  patient.timeouts = {};
  EngineRuntime runtime(patient, clock_);
  using Call = std::function<RuntimeFailure(const std::stop_token&)>;
  const Call calls[] = {[&](const auto& stop) { return failure_of(runtime.list(stop)); },
                        [&](const auto& stop) { return failure_of(runtime.pull(kReference, nullptr, {}, stop)); },
                        [&](const auto& stop) { return failure_of(runtime.wait("c1", stop)); },
                        [&](const auto& stop) { return failure_of(runtime.logs("c1", 0, [](const auto&) {}, stop)); },
                        [&](const auto& stop) { return failure_of(runtime.events(0, [](const auto&) {}, stop)); }};
  std::size_t seen = 0;
  for (const Call& call : calls) {
    std::stop_source stop;
    RuntimeFailure failure = RuntimeFailure::refused;
    std::jthread caller([&] { failure = call(stop.get_token()); });
    ++seen;
    ASSERT_TRUE(eventually([&] { return engine_.requests().size() >= seen; }));
    stop.request_stop();
    caller.join();
    EXPECT_EQ(failure, RuntimeFailure::cancelled) << seen;
  }
}

TEST_F(EngineRuntimeTest, S02_EEA_WL_005_answers_beyond_their_bound_are_cut) {
  EngineOptions patient = options();  // megabytes take longer than the other answers of these tests
  patient.timeouts.query = 20s;
  EngineRuntime runtime(patient, clock_);
  engine_.on("GET /containers/c1/json", Engine::json(200, "{" + std::string(1024UL * 1024, ' ') + "}"));
  EXPECT_EQ(failure_of(runtime.inspect("c1", {})), RuntimeFailure::bad_answer);
  engine_.on("GET /containers/json", Engine::json(200, "[" + std::string(2UL * 1024 * 1024, ' ') + "]"));
  EXPECT_TRUE(runtime.list({}).has_value());
  engine_.on("GET /containers/json", Engine::json(200, "[" + std::string(8UL * 1024 * 1024, ' ') + "]"));
  EXPECT_EQ(failure_of(runtime.list({})), RuntimeFailure::bad_answer);
  for (const char* nonsense : {"", "[]", "{", "{\"State\":1}", "{\"Id\":\"c1\"}", "{\"State\":{}}", "null"}) {
    engine_.on("GET /containers/c1/json", Engine::json(200, nonsense));
    EXPECT_EQ(failure_of(runtime.inspect("c1", {})), RuntimeFailure::bad_answer) << nonsense;
  }
}

TEST_F(EngineRuntimeTest, S02_EEA_WL_005_pulls_that_go_wrong_under_a_200) {
  const std::string good = R"({"status":"Pulling fs layer","id":"l1","progressDetail":{}})"
                           "\r\n";
  EXPECT_TRUE(pull({good, "\r\n", R"({"status":"Digest: sha256:x"})"}).has_value());
  const auto failed = pull({good, R"({"error":"toomanyrequests","errorDetail":{"message":"x"}})"
                                  "\n"});
  EXPECT_EQ(failure_of(failed), RuntimeFailure::pull_failed);
  EXPECT_EQ(failed.error().detail, "toomanyrequests");
  EXPECT_EQ(failure_of(pull({R"({"error":"denied","errorDetail":{"code":401}})"})), RuntimeFailure::pull_refused);
  EXPECT_EQ(failure_of(pull({good, "nonsense\n", good})), RuntimeFailure::pull_failed);
  EXPECT_EQ(failure_of(pull({good, R"({"status":"cut)"})), RuntimeFailure::pull_failed);
  EXPECT_EQ(failure_of(pull({std::string(256 * 1024 + 1, ' ')})), RuntimeFailure::pull_failed);
  engine_.on("POST /images/create", [&](const Request&, const Peer& peer) {
    peer.open_stream();
    peer.chunk(good);  // and closes in the middle
  });
  EXPECT_EQ(failure_of(runtime_.pull(kReference, nullptr, {}, {})), RuntimeFailure::pull_failed);
  engine_.on("POST /images/create", [&](const Request&, const Peer& peer) {
    peer.open_stream();
    peer.chunk(good);
    peer.hang();
  });
  EXPECT_EQ(failure_of(runtime_.pull(kReference, nullptr, {}, {})), RuntimeFailure::pull_failed) << "silence";
  for (const int status : {401, 403, 404}) {
    engine_.on("POST /images/create", Engine::json(status, R"({"message":"manifest unknown"})"));
    EXPECT_EQ(failure_of(runtime_.pull(kReference, nullptr, {}, {})), RuntimeFailure::pull_refused);
  }
  engine_.on("POST /images/create", Engine::json(500, R"({"message":"try later"})"));
  EXPECT_EQ(failure_of(runtime_.pull(kReference, nullptr, {}, {})), RuntimeFailure::pull_failed);
  free_bytes_ = 64LL * 1024 * 1024 - 1;
  EXPECT_EQ(failure_of(runtime_.pull(kReference, nullptr, {}, {})), RuntimeFailure::disk_full);
  EXPECT_EQ(failure_of(runtime_.pull("registry.test/app:latest", nullptr, {}, {})), RuntimeFailure::refused);
}

TEST_F(EngineRuntimeTest, S02_EEA_WL_005_log_streams_are_opened_again_where_they_broke) {
  const std::string one = frame(1, kTime + " one\n");
  const std::string later = "2026-11-23T00:36:15.000000001Z";
  engine_.on("GET /containers/c1/json", Engine::json(200, state_json("running")));
  engine_.on_each("GET /containers/c1/logs",
                  {[&](const Request&, const Peer& peer) {  // frames in pieces, then nonsense
                     peer.open_stream();
                     for (const char c : one) peer.chunk(std::string(1, c));
                     peer.chunk("garbage that is no frame at all");
                     peer.hang();
                   },
                   [&](const Request&, const Peer& peer) {  // `since` brings the last one again; then it closes
                     peer.open_stream();
                     peer.chunk(one + frame(2, later + " two\n") + frame(1, later + " cut"));
                   },
                   [&](const Request&, const Peer& peer) {  // the container has ended
                     engine_.on("GET /containers/c1/json", Engine::json(200, state_json("exited")));
                     peer.open_stream();
                     peer.chunk(frame(2, later + " two\n") + frame(1, "2026-11-23T00:36:16.5Z three"));
                     peer.end_stream();
                   }});
  std::vector<std::string> lines;
  const auto end = runtime_.logs("c1", 0, [&](const ContainerLogLine& line) { lines.emplace_back(line.text); }, {});
  ASSERT_TRUE(end.has_value()) << end.error().detail;
  EXPECT_EQ(lines, (std::vector<std::string>{"one", "two", "three"}));
  EXPECT_EQ(end->dropped_streams, 1);
  std::vector<std::string> since;
  for (const Request& request : engine_.requests())
    if (const std::size_t at = request.target.find("&since="); at != std::string::npos)
      since.push_back(request.target.substr(at + 7));
  EXPECT_EQ(since, (std::vector<std::string>{"0.000000000", "1795394174.439234631", "1795394175.000000001"}));
}

TEST_F(EngineRuntimeTest, S02_EEA_WL_005_a_log_stream_that_never_works_is_given_up) {
  engine_.on("GET /containers/c1/logs", [](const Request&, const Peer& peer) {
    peer.open_stream();
    peer.chunk(std::string("\1\0\0\0\xff\0\0\0", 8));
    peer.hang();
  });
  EXPECT_EQ(failure_of(runtime_.logs("c1", 0, [](const auto&) {}, {})), RuntimeFailure::bad_answer);
  EXPECT_EQ(engine_.count("GET /containers/c1/logs"), 3U);
  engine_.on("GET /containers/c1/logs", Engine::json(404, R"({"message":"No such container"})"));
  EXPECT_EQ(failure_of(runtime_.logs("c1", 0, [](const auto&) {}, {})), RuntimeFailure::not_found);
}

TEST_F(EngineRuntimeTest, S02_EEA_WL_005_events_go_on_after_a_restart_of_the_engine) {
  const std::string event = R"({"Type":"container","Action":"die","Actor":{"ID":"c1"},"timeNano":1795394474527322972})";
  const auto handler = [&](const Request&, const Peer& peer) {
    peer.open_stream();
    peer.chunk(event.substr(0, 30));
    peer.chunk(event.substr(30) + "\nnonsense\n{\"Type\":\"image\"}\n");
    peer.hang();
  };
  engine_.on("GET /events", handler);
  std::atomic<int> opened = 0;
  std::atomic<int> died = 0;
  std::atomic<int> others = 0;
  std::stop_source stop;
  std::jthread listener([&] {
    const auto end = runtime_.events(
        0,
        [&](const ContainerEvent& each) {
          if (each.kind == ContainerEventKind::listen_again)
            ++opened;
          else if (each.kind == ContainerEventKind::die && each.container_id == "c1")
            ++died;
          else
            ++others;
        },
        stop.get_token());
    EXPECT_EQ(failure_of(end), RuntimeFailure::cancelled);
  });
  ASSERT_TRUE(eventually([&] { return died == 1; }));
  EXPECT_EQ(opened, 1);
  engine_.stop();
  engine_.start();
  ASSERT_TRUE(eventually([&] { return opened == 2 && died == 2; })) << "the workloads are listed again";
  stop.request_stop();
  listener.join();
  EXPECT_EQ(others, 0);
  const std::string target = engine_.requests().back().target;
  EXPECT_TRUE(target.starts_with("/events?since=1795394474.527322972&filters=")) << target;
  EXPECT_TRUE(target.ends_with(
      percent_encode(R"({"type":["container"],"event":["start","die","oom","health_status","destroy","died","remove"],)"
                     R"("label":["com.easyenclave.instance=11111111-2222-4333-8444-555555555555"]})")))
      << target;
}

}  // namespace
}  // namespace ee::agent
