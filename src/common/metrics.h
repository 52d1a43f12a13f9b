#pragma once
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

/// Metrics in the Prometheus text format (05 section 13.3). One Registry belongs to the App; whoever counts takes its
/// handles once, in its constructor, and uses them for ever: they are cheap to copy, thread-safe, and live as long as
/// the registry.
///
///   jobs_(registry.counter("ee_job_runs_total", "Runs of jobs.", {{"job", names}, {"outcome", {"ok", "failed"}}}))
///   ...
///   jobs_.with({name, "ok"}).increment();
namespace ee::metrics {

/// A label with the closed set of its values. Any other value is counted as `other`, so that nothing from outside can
/// make new series.
struct Label {
  std::string name;
  std::vector<std::string> values;
};
inline constexpr std::string_view kOtherLabel = "other";
/// Combinations of values that one metric may have. Series are made at their first use, so most of these never exist.
inline constexpr std::size_t kMaxSeries = 100'000;

class Counter {
 public:
  void increment(double by = 1) const;
  double value() const;

 private:
  template <class>
  friend class Family;
  friend class Registry;
  explicit Counter(void* series) : series_(series) {}
  void* series_;
};
class Gauge {
 public:
  void set(double value) const;
  void add(double by) const;
  double value() const;

 private:
  template <class>
  friend class Family;
  friend class Registry;
  explicit Gauge(void* series) : series_(series) {}
  void* series_;
};
class Histogram {
 public:
  void observe(double value) const;

 private:
  template <class>
  friend class Family;
  friend class Registry;
  explicit Histogram(void* series) : series_(series) {}
  void* series_;
};

struct FamilyState;

/// A metric with labels. `with` takes one value for each label, in the order of their declaration; the series appears
/// in the text from its first use on.
template <class Metric>
class Family {
 public:
  Metric with(std::initializer_list<std::string_view> values) const { return Metric(series(values)); }

 private:
  friend class Registry;
  explicit Family(FamilyState* state) : state_(state) {}
  void* series(std::initializer_list<std::string_view> values) const;
  FamilyState* state_;
};

/// Upper bounds in seconds for requests and calls: 1 ms to 30 s.
const std::vector<double>& latency_buckets();

/// Thread-safe. Asking for a name again gives the same metric; asking for it as something else is a broken invariant.
class Registry {
 public:
  Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;
  ~Registry();

  Counter counter(const std::string& name, const std::string& help);
  Gauge gauge(const std::string& name, const std::string& help);
  Histogram histogram(const std::string& name, const std::string& help, const std::vector<double>& buckets);
  Family<Counter> counter(const std::string& name, const std::string& help, const std::vector<Label>& labels);
  Family<Gauge> gauge(const std::string& name, const std::string& help, const std::vector<Label>& labels);
  Family<Histogram> histogram(const std::string& name, const std::string& help, const std::vector<Label>& labels,
                              const std::vector<double>& buckets);

  /// Called before each `text()`, to set gauges whose value is looked up. Must not wait for anything.
  void on_collect(std::function<void()> collect);
  /// Adds CPU, resident memory, file descriptors and threads of this process, read from /proc when collected.
  void add_process_metrics();

  /// Exposition format 0.0.4 (`text/plain; version=0.0.4; charset=utf-8`).
  std::string text();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ee::metrics
