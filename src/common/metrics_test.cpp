#include "common/metrics.h"

#include <gtest/gtest.h>

#include <thread>

namespace ee::metrics {
namespace {

TEST(Metrics, PrintsTheTextFormat) {
  Registry registry;
  const Counter requests = registry.counter("ee_requests_total", "Requests.");
  requests.increment();
  requests.increment(2);
  registry.gauge("ee_in_flight", "Under way.").set(7);
  const auto jobs = registry.counter("ee_jobs_total", "Runs.", {{"job", {"sweep"}}, {"outcome", {"ok", "failed"}}});
  jobs.with({"sweep", "ok"}).increment();
  registry.histogram("ee_seconds", "Time.", {0.1, 1}).observe(0.5);
  const std::string text = registry.text();
  for (const std::string line :
       {"# HELP ee_requests_total Requests.\n", "# TYPE ee_requests_total counter\n", "ee_requests_total 3\n",
        "# TYPE ee_in_flight gauge\n", "ee_in_flight 7\n", "ee_jobs_total{job=\"sweep\",outcome=\"ok\"} 1\n",
        "ee_seconds_bucket{le=\"0.1\"} 0\n", "ee_seconds_bucket{le=\"1\"} 1\n", "ee_seconds_bucket{le=\"+Inf\"} 1\n",
        "ee_seconds_count 1\n", "ee_seconds_sum 0.5\n"})
    EXPECT_NE(text.find(line), std::string::npos) << line << "in\n" << text;
}

// covers: S05_OPS_02 (label values from closed sets)
TEST(Metrics, CountsForeignLabelValuesAsOther) {
  Registry registry;
  const auto calls = registry.counter("ee_calls_total", "Calls.", {{"service", {"cloudflare"}}});
  for (int i = 0; i < 1000; ++i) calls.with({"made up " + std::to_string(i)}).increment();
  calls.with({"cloudflare"}).increment();
  const std::string text = registry.text();
  EXPECT_NE(text.find("ee_calls_total{service=\"other\"} 1000\n"), std::string::npos) << text;
  EXPECT_EQ(text.find("made up"), std::string::npos);
}

TEST(Metrics, GivesTheSameMetricForTheSameName) {
  Registry registry;
  registry.counter("ee_a_total", "A.").increment();
  registry.counter("ee_a_total", "A.").increment();
  EXPECT_EQ(registry.counter("ee_a_total", "A.").value(), 2);
}

TEST(MetricsDeathTest, StopsWhenANameMeansTwoThings) {
  Registry registry;
  registry.counter("ee_a_total", "A.");
  EXPECT_DEATH(registry.gauge("ee_a_total", "A."), "invariant broken");
  EXPECT_DEATH(registry.counter("ee_a_total", "A.", {{"x", {"y"}}}), "invariant broken");
  const auto family = registry.counter("ee_b_total", "B.", {{"x", {"y"}}});
  EXPECT_DEATH(family.with({"y", "z"}), "invariant broken");
}

TEST(Metrics, CountsFromManyThreads) {
  Registry registry;
  const auto family = registry.counter("ee_t_total", "T.", {{"k", {"a", "b"}}});
  std::vector<std::jthread> threads;
  for (int thread = 0; thread < 4; ++thread)
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) family.with({i % 2 == 0 ? "a" : "b"}).increment();
    });
  threads.clear();
  EXPECT_EQ(family.with({"a"}).value(), 2000);
  EXPECT_EQ(family.with({"b"}).value(), 2000);
}

TEST(Metrics, CollectsTheProcess) {
  Registry registry;
  registry.add_process_metrics();
  registry.text();
  EXPECT_GT(registry.gauge("process_resident_memory_bytes", "Resident memory of the process.").value(), 1e5);
  EXPECT_GE(registry.gauge("process_open_fds", "Open file descriptors of the process.").value(), 3);
  EXPECT_GE(registry.gauge("process_threads", "Threads of the process.").value(), 1);
}

}  // namespace
}  // namespace ee::metrics
