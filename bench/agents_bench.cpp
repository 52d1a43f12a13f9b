// Agents in numbers: heartbeats through the service (JSON in, JSON out), list pages and flushes, with 100,000 agents.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <memory>
#include <random>

#include "common/json.h"
#include "cp/service/heartbeat.h"
#include "cp/service/live_flusher.h"
#include "tests/support/agents.h"
#include "tests/support/test_database.h"

namespace ee::cp {
namespace {

constexpr int kAgents = 100'000;
const UtcTime kNow = from_unix_ms(1'767'225'600'000);

/// A control plane's memory and database with `count` healthy agents.
struct World {
  explicit World(int count) {
    constexpr int kChunk = 2000;
    for (int from = 1; from <= count; from += kChunk)
      if (!database->run_write([&](db::Transaction& tx) -> Result<void> {
            for (int i = from; i < std::min(from + kChunk, count + 1); ++i)
              if (auto done = AgentStore().insert(tx, testing::make_agent(i, kNow)); !done) return done;
            return {};
          }))
        std::abort();
    if (!directory.reload()) std::abort();
  }
  testing::TestDatabase database;
  SystemClock clock;
  Directory directory{database, clock};
  LiveMap live{database};
  LiveFlusher flusher{database, live, clock};
  NoDeployments deployments;
  HeartbeatService service{
      database,
      directory,
      live,
      deployments,
      {.settings = [] { return HeartbeatSettings{}; }, .interval_raise = {}, .signing_keys_version = [] { return 1; }}};
};

World& world(int count) {
  static std::unique_ptr<World> instance;
  static int size = 0;
  if (size != count) {
    instance.reset();
    instance = std::make_unique<World>(count);
    size = count;
  }
  return *instance;
}

std::atomic<std::int64_t> sequence = 0;

void heartbeat(benchmark::State& state) {
  World& w = world(kAgents);
  std::mt19937 random(static_cast<unsigned>(state.thread_index() + 1));
  const AgentRow sample = testing::make_agent(1);
  const std::string body_head = R"({"seq":)";
  for (auto _ : state) {
    const int number = static_cast<int>(random() % kAgents) + 1;
    const AgentRow agent = [&] {
      AgentRow row;
      const std::string digits = std::to_string(1'000'000'000'000 + number).substr(1);
      row.id = AgentId("0190a000-0000-7000-8000-" + digits);
      row.boot_id = "0190a000-0002-7000-8000-" + digits;
      return row;
    }();
    const std::string body =
        body_head + std::to_string(++sequence) + R"(,"boot_id":")" + agent.boot_id +
        R"(","sent_at":"2026-01-01T00:00:00.000Z","agent_version":"2.0.0",)"
        R"("health":{"status":"healthy","checks":[{"name":"container_runtime","ok":true,"code":null}]},)"
        R"("workload":null,"tunnel":{"state":"connected","ready_connections":4,"restarts":0},)"
        R"("stats":{"cpu_millis_used":380,"memory_used_mib":2100,"memory_total_mib":15800},)"
        R"("draining":false})";
    const auto request = json::read<agent_api::HeartbeatRequest>(body);
    if (!request) std::abort();
    const auto answer =
        w.service.heartbeat({.agent = agent.id, .credential_created_at = kNow}, *request, w.clock.now());
    if (!answer) std::abort();
    benchmark::DoNotOptimize(json::write(*answer));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(heartbeat)->Threads(1)->Threads(2)->UseRealTime();

void list_page(benchmark::State& state) {
  const int count = static_cast<int>(state.range(0));
  World& w = world(count);
  std::mt19937 random(1);
  for (auto _ : state) {
    const std::string digits = std::to_string(1'000'000'000'000 + random() % static_cast<unsigned>(count)).substr(1);
    const auto page = w.database->read<std::vector<AgentRow>>([&](db::Transaction& tx) {
      return AgentStore().list(tx, {}, AgentId("0190a000-0000-7000-8000-" + digits), 51);
    });
    if (!page) std::abort();
    benchmark::DoNotOptimize(page->size());
  }
}
BENCHMARK(list_page)->Arg(1'000)->Arg(kAgents)->Unit(benchmark::kMicrosecond);

void flush_20000(benchmark::State& state) {
  World& w = world(kAgents);
  static const std::optional<agent_api::WorkloadReport> kNothing;
  for (auto _ : state) {
    state.PauseTiming();
    for (int i = 1; i <= 20'000; ++i) {
      const AgentRow row = testing::make_agent(i, kNow);
      w.live.merge(key_of(row.id),
                   {.registration_id = key_of(std::string_view(row.registration_id.str())),
                    .registered_at = kNow,
                    .status = HealthStatus::healthy,
                    .seq = ++sequence,
                    .good = true,
                    .workload = &kNothing},
                   {}, w.clock.now());
    }
    state.ResumeTiming();
    if (!w.flusher.flush({})) std::abort();
  }
}
BENCHMARK(flush_20000)->Unit(benchmark::kMillisecond)->Iterations(5);

}  // namespace
}  // namespace ee::cp

BENCHMARK_MAIN();
