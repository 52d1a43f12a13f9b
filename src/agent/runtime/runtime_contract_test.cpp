// What every ContainerRuntime promises, asked of the fake and of a real engine alike.
#include <gtest/gtest.h>

#include <atomic>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <thread>

#include "agent/runtime/engine_runtime.h"
#include "agent/runtime/fake_runtime.h"
#include "common/fake_clock.h"
#include "tests/support/real_engine.h"

namespace ee::agent {
namespace {

using testing::eventually;
using testing::RealEngine;

constexpr const char* kInstance = "11111111-2222-4333-8444-555555555555";
const std::string kMissing = std::string("127.0.0.1:1/none@sha256:") + std::string(64, 'a');

enum class Does : std::uint8_t { sleeps, exits7, talks, talks_and_ends };

/// A runtime, and an image for each thing that containers of the suite do.
struct Subject {
  ContainerRuntime& runtime;
  std::function<std::string(Does)> image;
  std::string missing_image;
  RuntimeFailure missing_failure = RuntimeFailure::pull_refused;
  std::function<void(const std::string& name)> add_foreign;
};

boost::json::array command_of(Does does) {
  const char* script = "sleep 600";
  if (does == Does::exits7) script = "exit 7";
  if (does == Does::talks) script = "echo out one; echo err one >&2; sleep 600";
  if (does == Does::talks_and_ends) script = "echo first; echo second";
  return {"/bin/sh", "-c", script};
}

Labels our_labels() { return {{std::string(kInstanceLabel), kInstance}, {"com.easyenclave.service", "web"}}; }

ContainerSpec spec(const Subject& subject, const std::string& name, Does does, const std::string& network = "none") {
  boost::json::object labels;
  for (const auto& [key, value] : our_labels()) labels[key] = value;
  const boost::json::object body{{"Image", subject.image(does)},
                                 {"Cmd", command_of(does)},
                                 {"Labels", labels},
                                 {"StopSignal", "SIGKILL"},
                                 {"HostConfig", {{"NetworkMode", network}}}};
  return {.name = name, .body = boost::json::serialize(body)};
}

template <class T>
RuntimeFailure failure_of(const RuntimeResult<T>& result) {
  EXPECT_FALSE(result.has_value());
  return result ? RuntimeFailure::cancelled : result.error().failure;
}

#define ASSERT_GOOD(result) ASSERT_TRUE((result).has_value()) << (result).error().detail

void images_are_pulled_by_digest(const Subject& s) {
  const std::string reference = s.image(Does::sleeps);
  int calls = 0;
  PullProgress last;
  const auto before = s.runtime.image(reference, {});
  EXPECT_EQ(failure_of(before), RuntimeFailure::not_found);
  ASSERT_GOOD(s.runtime.pull(reference, nullptr,
                             [&](const PullProgress& progress) {
                               ++calls;
                               last = progress;
                             },
                             {}));
  EXPECT_GT(calls, 0);
  EXPECT_EQ(last.layers_done, last.layers);
  const auto image = s.runtime.image(reference, {});
  ASSERT_GOOD(image);
  EXPECT_TRUE(image->id.starts_with("sha256:"));
  EXPECT_EQ(image->config.front(), '{');
  EXPECT_EQ(failure_of(s.runtime.pull(s.missing_image, nullptr, {}, {})), s.missing_failure);
  EXPECT_EQ(failure_of(s.runtime.create({.name = "ee-none", .body = R"({"Image":")" + s.missing_image + R"("})"}, {})),
            RuntimeFailure::not_found);
}

void networks_and_volumes(const Subject& s) {
  const auto made = s.runtime.create_network({.name = "ee-net", .labels = our_labels()}, {});
  ASSERT_GOOD(made);
  ASSERT_EQ(made->subnets.size(), 1U);
  EXPECT_TRUE(made->subnets[0].contains('/'));
  EXPECT_EQ(made->name, "ee-net");
  // What a crashed agent left is replaced; what somebody else has is not touched.
  const auto again = s.runtime.create_network({.name = "ee-net", .internal = true, .labels = our_labels()}, {});
  ASSERT_GOOD(again);
  EXPECT_FALSE(made->internal);
  EXPECT_TRUE(again->internal);
  ASSERT_GOOD(s.runtime.create_network({.name = "ee-foreign", .labels = {}}, {}));
  EXPECT_EQ(failure_of(s.runtime.create_network({.name = "ee-foreign", .labels = our_labels()}, {})),
            RuntimeFailure::refused);
  const auto networks = s.runtime.list_networks({});
  ASSERT_GOOD(networks);
  ASSERT_EQ(networks->size(), 1U);
  EXPECT_EQ(networks->front().id, again->id);
  EXPECT_TRUE(networks->front().internal);
  for (const char* name : {"ee-net", "ee-net", "ee-foreign"}) ASSERT_GOOD(s.runtime.remove_network(name, {}));
  EXPECT_TRUE(s.runtime.list_networks({})->empty());

  ASSERT_GOOD(s.runtime.create_volume({.name = "ee-vol", .labels = our_labels()}, {}));
  ASSERT_GOOD(s.runtime.create_volume({.name = "ee-vol", .labels = our_labels()}, {}));
  ASSERT_EQ(s.runtime.list_volumes({})->size(), 1U);
  EXPECT_EQ(s.runtime.list_volumes({})->front().name, "ee-vol");
  for (int i = 0; i < 2; ++i) ASSERT_GOOD(s.runtime.remove_volume("ee-vol", {}));
  EXPECT_TRUE(s.runtime.list_volumes({})->empty());
}

void a_container_lives(const Subject& s) {
  const auto id = s.runtime.create(spec(s, "ee-life", Does::sleeps), {});
  ASSERT_GOOD(id);
  auto state = s.runtime.inspect(*id, {});
  ASSERT_GOOD(state);
  EXPECT_EQ(state->status, ContainerStatus::created);
  EXPECT_FALSE(state->started_at.has_value());
  ASSERT_GOOD(s.runtime.wait(*id, {}));
  ASSERT_GOOD(s.runtime.start(*id, {}));
  ASSERT_GOOD(s.runtime.start(*id, {}));
  state = s.runtime.inspect("ee-life", {});
  ASSERT_GOOD(state);
  EXPECT_TRUE(state->running);
  EXPECT_GT(state->pid, 0);
  EXPECT_EQ(state->id, *id);
  EXPECT_EQ(state->name, "ee-life");
  EXPECT_EQ(state->labels, our_labels());
  EXPECT_EQ(state->image_id, s.runtime.image(s.image(Does::sleeps), {}).value().id);
  const auto list = s.runtime.list({});
  ASSERT_GOOD(list);
  ASSERT_EQ(list->size(), 1U);
  EXPECT_EQ(list->front().name, "ee-life");
  EXPECT_EQ(list->front().status, ContainerStatus::running);
  EXPECT_EQ(list->front().labels, our_labels());
  ASSERT_GOOD(s.runtime.stats(*id, {}));

  std::atomic<bool> ended = false;
  std::jthread waiter([&] { ended = s.runtime.wait(*id, {}).has_value(); });
  ASSERT_GOOD(s.runtime.stop(*id, Seconds(1), {}));
  waiter.join();
  EXPECT_TRUE(ended);
  ASSERT_GOOD(s.runtime.stop(*id, Seconds(1), {}));
  state = s.runtime.inspect(*id, {});
  ASSERT_GOOD(state);
  EXPECT_EQ(state->status, ContainerStatus::exited);
  EXPECT_NE(state->exit_code, 0);
  EXPECT_TRUE(state->finished_at.has_value());
  ASSERT_GOOD(s.runtime.start(*id, {}));
  EXPECT_TRUE(s.runtime.inspect(*id, {}).value().running);
  for (int i = 0; i < 2; ++i) ASSERT_GOOD(s.runtime.remove(*id, {}));
  ASSERT_GOOD(s.runtime.stop(*id, Seconds(1), {}));
  EXPECT_EQ(failure_of(s.runtime.inspect(*id, {})), RuntimeFailure::not_found);
  EXPECT_EQ(failure_of(s.runtime.start(*id, {})), RuntimeFailure::not_found);
  EXPECT_TRUE(s.runtime.list({})->empty());
}

void names_that_are_taken(const Subject& s) {
  const auto first = s.runtime.create(spec(s, "ee-name", Does::sleeps), {});
  ASSERT_GOOD(first);
  ASSERT_GOOD(s.runtime.start(*first, {}));
  const auto second = s.runtime.create(spec(s, "ee-name", Does::sleeps), {});
  ASSERT_GOOD(second);
  EXPECT_NE(*first, *second);
  EXPECT_EQ(s.runtime.list({})->size(), 1U);
  ASSERT_GOOD(s.runtime.remove(*second, {}));
  s.add_foreign("ee-theirs");
  EXPECT_EQ(failure_of(s.runtime.create(spec(s, "ee-theirs", Does::sleeps), {})), RuntimeFailure::refused);
  EXPECT_TRUE(s.runtime.list({})->empty());
}

void further_networks(const Subject& s) {
  ASSERT_GOOD(s.runtime.create_network({.name = "ee-a", .labels = our_labels()}, {}));
  ASSERT_GOOD(s.runtime.create_network({.name = "ee-b", .internal = true, .labels = our_labels()}, {}));
  ContainerSpec wanted = spec(s, "ee-two", Does::sleeps, "ee-a");
  wanted.further_networks = {{.network = "ee-b", .aliases = {"web"}}};
  const auto id = s.runtime.create(wanted, {});
  ASSERT_GOOD(id);
  ASSERT_GOOD(s.runtime.start(*id, {}));
  EXPECT_FALSE(s.runtime.remove_network("ee-b", {}).has_value()) << "a running container is on it";
  ASSERT_GOOD(s.runtime.remove(*id, {}));
  wanted.further_networks = {{.network = "ee-missing"}};
  EXPECT_EQ(failure_of(s.runtime.create(wanted, {})), RuntimeFailure::refused);
  EXPECT_TRUE(s.runtime.list({})->empty()) << "a failed create leaves nothing";
  for (const char* name : {"ee-a", "ee-b"}) ASSERT_GOOD(s.runtime.remove_network(name, {}));
}

void exits_and_events(const Subject& s) {
  std::mutex mutex;
  std::vector<ContainerEvent> seen;
  std::stop_source stop;
  std::jthread listener([&] {
    const auto ended = s.runtime.events(
        0,
        [&](const ContainerEvent& event) {
          const std::lock_guard lock(mutex);
          seen.push_back(event);
        },
        stop.get_token());
    EXPECT_EQ(failure_of(ended), RuntimeFailure::cancelled);
  });
  const auto has = [&](ContainerEventKind kind, const std::string& id) {
    const std::lock_guard lock(mutex);
    return std::ranges::any_of(seen, [&](const auto& event) { return event.kind == kind && event.container_id == id; });
  };
  ASSERT_TRUE(eventually([&] { return has(ContainerEventKind::listen_again, ""); }));
  const auto id = s.runtime.create(spec(s, "ee-exit", Does::exits7), {});
  ASSERT_GOOD(id);
  ASSERT_GOOD(s.runtime.start(*id, {}));
  const auto end = s.runtime.wait(*id, {});
  ASSERT_GOOD(end);
  EXPECT_EQ(end->exit_code, 7);
  const auto state = s.runtime.inspect(*id, {});
  ASSERT_GOOD(state);
  EXPECT_EQ(state->status, ContainerStatus::exited);
  EXPECT_EQ(state->exit_code, 7);
  EXPECT_EQ(state->pid, 0);
  ASSERT_GOOD(s.runtime.remove(*id, {}));
  for (const auto kind : {ContainerEventKind::start, ContainerEventKind::die, ContainerEventKind::destroy})
    EXPECT_TRUE(eventually([&] { return has(kind, *id); })) << static_cast<int>(kind);
  stop.request_stop();
}

void logs_are_followed(const Subject& s) {
  const auto id = s.runtime.create(spec(s, "ee-talk", Does::talks), {});
  ASSERT_GOOD(id);
  ASSERT_GOOD(s.runtime.start(*id, {}));
  std::mutex mutex;
  std::vector<std::string> lines;
  EngineTime first_at = 0;
  std::stop_source stop;
  std::jthread follower([&] {
    const auto ended = s.runtime.logs(
        *id, 0,
        [&](const ContainerLogLine& line) {
          const std::lock_guard lock(mutex);
          lines.push_back((line.stream == LogStream::err ? "2 " : "1 ") + std::string(line.text));
          first_at = first_at == 0 ? line.at : first_at;
        },
        stop.get_token());
    EXPECT_EQ(failure_of(ended), RuntimeFailure::cancelled);
  });
  EXPECT_TRUE(eventually([&] {
    const std::lock_guard lock(mutex);
    return lines.size() == 2;
  }));
  stop.request_stop();
  follower.join();
  std::ranges::sort(lines);
  EXPECT_EQ(lines, (std::vector<std::string>{"1 out one", "2 err one"}));
  EXPECT_GT(first_at, 1'500'000'000LL * 1'000'000'000);
  ASSERT_GOOD(s.runtime.remove(*id, {}));

  const auto ending = s.runtime.create(spec(s, "ee-talk2", Does::talks_and_ends), {});
  ASSERT_GOOD(ending);
  ASSERT_GOOD(s.runtime.start(*ending, {}));
  ASSERT_GOOD(s.runtime.wait(*ending, {}));
  std::vector<std::pair<EngineTime, std::string>> all;
  const auto keep = [&](const ContainerLogLine& line) { all.emplace_back(line.at, line.text); };
  const auto end = s.runtime.logs(*ending, 0, keep, {});
  ASSERT_GOOD(end);
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].second, "first");
  EXPECT_EQ(all[1].second, "second");
  EXPECT_EQ(end->last_at, all[1].first);
  const EngineTime since = all[0].first;
  all.clear();
  ASSERT_GOOD(s.runtime.logs(*ending, since, keep, {}));
  if (since == end->last_at) {  // times of whole seconds: podman
    EXPECT_TRUE(all.empty()) << "what was handed out already";
  } else {
    ASSERT_EQ(all.size(), 1U) << "only what came after";
    EXPECT_EQ(all[0].second, "second");
  }
  ASSERT_GOOD(s.runtime.remove(*ending, {}));
  EXPECT_EQ(failure_of(s.runtime.logs(*ending, 0, keep, {})), RuntimeFailure::not_found);
}

void calls_are_cancelled(const Subject& s) {
  const auto id = s.runtime.create(spec(s, "ee-cancel", Does::sleeps), {});
  ASSERT_GOOD(id);
  ASSERT_GOOD(s.runtime.start(*id, {}));
  std::stop_source stop;
  std::optional<RuntimeFailure> failure;
  std::jthread waiter([&] { failure = failure_of(s.runtime.wait(*id, stop.get_token())); });
  stop.request_stop();
  waiter.join();
  EXPECT_EQ(failure, RuntimeFailure::cancelled);
  EXPECT_EQ(failure_of(s.runtime.list(stop.get_token())), RuntimeFailure::cancelled);
  EXPECT_EQ(failure_of(s.runtime.pull(s.image(Does::sleeps), nullptr, {}, stop.get_token())),
            RuntimeFailure::cancelled);
  EXPECT_TRUE(s.runtime.inspect(*id, {}).value().running) << "the container is left alone";
  ASSERT_GOOD(s.runtime.remove(*id, {}));
}

void images_are_pruned(const Subject& s) {
  const std::string id = s.runtime.image(s.image(Does::sleeps), {}).value().id;
  EXPECT_EQ(s.runtime.prune_images({id}, {}).value(), 1);
  EXPECT_EQ(failure_of(s.runtime.image(s.image(Does::sleeps), {})), RuntimeFailure::not_found);
}

void run_contract(const Subject& subject, const std::string& name) {
  const auto info = subject.runtime.probe({});
  ASSERT_GOOD(info);
  EXPECT_EQ(info->name, name);
  EXPECT_TRUE(subject.runtime.reachable());
  using Check = void (*)(const Subject&);
  const std::pair<const char*, Check> checks[] = {{"images_are_pulled_by_digest", images_are_pulled_by_digest},
                                                  {"networks_and_volumes", networks_and_volumes},
                                                  {"a_container_lives", a_container_lives},
                                                  {"names_that_are_taken", names_that_are_taken},
                                                  {"further_networks", further_networks},
                                                  {"exits_and_events", exits_and_events},
                                                  {"logs_are_followed", logs_are_followed},
                                                  {"calls_are_cancelled", calls_are_cancelled},
                                                  {"images_are_pruned", images_are_pruned}};
  for (const auto& [what, check] : checks) {
    SCOPED_TRACE(what);
    check(subject);
    if (::testing::Test::HasFatalFailure()) return;
  }
}

TEST(RuntimeContract, S02_EEA_WL_004_fake) {
  FakeClock clock;
  FakeRuntime runtime(clock, kInstance);
  const auto reference = [](Does does) {
    return "registry.test/p" + std::to_string(static_cast<int>(does)) + "@sha256:" + std::string(64, 'b');
  };
  runtime.add_image(reference(Does::sleeps), {});
  runtime.add_image(reference(Does::exits7), {.info = {}, .program = {.exits_with = 7}}, true);
  runtime.add_image(
      reference(Does::talks),
      {.info = {}, .program = {.lines = {{LogStream::out, "out one"}, {LogStream::err, "err one"}}, .exits_with = {}}},
      true);
  runtime.add_image(
      reference(Does::talks_and_ends),
      {.info = {}, .program = {.lines = {{LogStream::out, "first"}, {LogStream::out, "second"}}, .exits_with = 0}},
      true);
  run_contract({.runtime = runtime,
                .image = reference,
                .missing_image = kMissing,
                .add_foreign = [&](const std::string& name) { runtime.add_foreign_container(name); }},
               "fake");
}

TEST(RuntimeContract, S02_EEA_WL_004_docker) {
  const auto engine = RealEngine::start();
  if (!engine) GTEST_SKIP() << engine.error();
  RealEngine& real = **engine;
  SystemClock clock;
  EngineRuntime runtime({.socket = real.socket(), .instance = kInstance}, clock);
  std::string reference = real.push({.name = "contract"});
  const std::string kept = real.push({.name = "foreign", .keep_local = true});
  run_contract({.runtime = runtime,
                .image = [&](Does) { return reference; },
                .missing_image = real.registry() + "/missing@sha256:" + std::string(64, 'a'),
                .add_foreign =
                    [&](const std::string& name) {
                      const auto made = real.call("POST", "/v1.41/containers/create?name=" + name,
                                                  R"({"Image":")" + kept + R"(","Cmd":["/bin/true"]})");
                      EXPECT_EQ(made.status, 201) << made.body;
                    }},
               "docker");
}

TEST(RuntimeContract, S02_EEA_WL_004_podman) {
  const auto engine = RealEngine::start();
  if (!engine) GTEST_SKIP() << engine.error();
  RealEngine& real = **engine;
  const auto podman = testing::RealPodman::start(real);
  if (!podman) GTEST_SKIP() << podman.error();
  SystemClock clock;
  EngineRuntime runtime({.socket = (*podman)->socket(), .instance = kInstance}, clock);
  std::string reference = real.push({.name = "contract"});
  const std::string kept = real.push({.name = "foreign"});
  run_contract({.runtime = runtime,
                .image = [&](Does) { return reference; },
                .missing_image = real.registry() + "/missing@sha256:" + std::string(64, 'a'),
                .missing_failure = RuntimeFailure::pull_failed,  // it does not pass the registry's status on
                .add_foreign =
                    [&](const std::string& name) {
                      EXPECT_EQ((*podman)->run({"create", "--name", name, "--network", "none", kept, "/bin/true"}), 0)
                          << (*podman)->log();
                    }},
               "podman");
}

}  // namespace
}  // namespace ee::agent
