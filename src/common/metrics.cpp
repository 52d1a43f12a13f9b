#include "common/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <sstream>
#include <unordered_map>
#include <variant>

#include "common/require.h"

namespace ee::metrics {

namespace prom = prometheus;

/// A family's series lie in one table, by the places of their label values: finding one, which every request does
/// several times, takes no lock and no memory.
struct FamilyState {
  std::variant<prom::Family<prom::Counter>*, prom::Family<prom::Gauge>*, prom::Family<prom::Histogram>*> family;
  std::string help;
  std::vector<Label> labels;
  std::vector<double> buckets;

  void prepare_table() {
    std::size_t cells = 1;
    for (const Label& label : labels) {
      auto& places = places_.emplace_back();
      for (std::size_t i = 0; i < label.values.size(); ++i) places.emplace(label.values[i], i);
      cells *= label.values.size() + 1;
    }
    series_ = std::vector<std::atomic<void*>>(cells);
  }

  /// The series of these label values; every value outside of its closed set becomes `other`.
  void* find(std::initializer_list<std::string_view> values) {
    require(values.size() == labels.size());
    std::size_t cell = 0;
    for (std::size_t i = 0; i < labels.size(); ++i) {
      const std::string_view value = values.begin()[i];
      const auto place = places_[i].find(value);
      const std::size_t others = labels[i].values.size();
      cell = cell * (others + 1) + (place == places_[i].end() ? others : place->second);
    }
    if (void* made = series_[cell].load(std::memory_order_acquire)) return made;
    return make(cell, values);
  }

 private:
  void* make(std::size_t cell, std::initializer_list<std::string_view> values) {
    prom::Labels named;
    for (std::size_t i = 0; i < labels.size(); ++i) {
      const std::string_view value = values.begin()[i];
      named.emplace(labels[i].name, places_[i].contains(value) ? value : kOtherLabel);
    }
    // Two callers at once get the same series from the library.
    void* made = std::visit([&](auto* kind) { return add(*kind, named); }, family);
    series_[cell].store(made, std::memory_order_release);
    return made;
  }
  void* add(prom::Family<prom::Counter>& kind, const prom::Labels& named) { return &kind.Add(named); }
  void* add(prom::Family<prom::Gauge>& kind, const prom::Labels& named) { return &kind.Add(named); }
  void* add(prom::Family<prom::Histogram>& kind, const prom::Labels& named) { return &kind.Add(named, buckets); }

  std::vector<std::unordered_map<std::string_view, std::size_t>> places_;  ///< of each label; views into `labels`
  std::vector<std::atomic<void*>> series_;
};

void Counter::increment(double by) const { static_cast<prom::Counter*>(series_)->Increment(by); }
double Counter::value() const { return static_cast<prom::Counter*>(series_)->Value(); }
void Gauge::set(double value) const { static_cast<prom::Gauge*>(series_)->Set(value); }
void Gauge::add(double by) const { static_cast<prom::Gauge*>(series_)->Increment(by); }
double Gauge::value() const { return static_cast<prom::Gauge*>(series_)->Value(); }
void Histogram::observe(double value) const { static_cast<prom::Histogram*>(series_)->Observe(value); }

template <class Metric>
void* Family<Metric>::series(std::initializer_list<std::string_view> values) const {
  return state_->find(values);
}
template class Family<Counter>;
template class Family<Gauge>;
template class Family<Histogram>;

const std::vector<double>& latency_buckets() {
  static const std::vector<double> buckets = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                              0.25,  0.5,    1,     2.5,  5,     10,   30};
  return buckets;
}

class Registry::Impl {
 public:
  template <class Builder>
  FamilyState* family(const std::string& name, const std::string& help, std::vector<Label> labels,
                      std::vector<double> buckets, Builder build) {
    const std::lock_guard lock(mutex_);
    auto& state = families_[name];
    if (state == nullptr) {
      std::size_t most = 1;
      for (const Label& label : labels) most *= label.values.size() + 1;
      require(!help.empty() && most <= kMaxSeries);
      state = std::make_unique<FamilyState>();
      state->family = &build().Name(name).Help(help).Register(registry_);
      state->help = help;
      state->labels = std::move(labels);
      state->buckets = std::move(buckets);
      state->prepare_table();
    } else {
      using Kind = std::remove_reference_t<decltype(build().Register(registry_))>*;
      const bool same_labels = std::ranges::equal(state->labels, labels, [](const Label& a, const Label& b) {
        return a.name == b.name && a.values == b.values;
      });
      require(std::holds_alternative<Kind>(state->family) && same_labels && state->buckets == buckets);
    }
    return state.get();
  }
  void on_collect(std::function<void()> collect) {
    const std::lock_guard lock(mutex_);
    collectors_.push_back(std::move(collect));
  }
  std::string text() {
    std::vector<std::function<void()>> collectors;
    {
      const std::lock_guard lock(mutex_);
      collectors = collectors_;
    }
    for (const auto& collect : collectors) collect();
    std::ostringstream out;
    prom::TextSerializer().Serialize(out, registry_.Collect());
    return out.str();
  }

 private:
  std::mutex mutex_;
  prom::Registry registry_;
  std::map<std::string, std::unique_ptr<FamilyState>> families_;
  std::vector<std::function<void()>> collectors_;
};

Registry::Registry() : impl_(std::make_unique<Impl>()) {}
Registry::~Registry() = default;

Family<Counter> Registry::counter(const std::string& name, const std::string& help, const std::vector<Label>& labels) {
  return Family<Counter>(impl_->family(name, help, labels, {}, [] { return prom::BuildCounter(); }));
}
Family<Gauge> Registry::gauge(const std::string& name, const std::string& help, const std::vector<Label>& labels) {
  return Family<Gauge>(impl_->family(name, help, labels, {}, [] { return prom::BuildGauge(); }));
}
Family<Histogram> Registry::histogram(const std::string& name, const std::string& help,
                                      const std::vector<Label>& labels, const std::vector<double>& buckets) {
  return Family<Histogram>(impl_->family(name, help, labels, buckets, [] { return prom::BuildHistogram(); }));
}
Counter Registry::counter(const std::string& name, const std::string& help) { return counter(name, help, {}).with({}); }
Gauge Registry::gauge(const std::string& name, const std::string& help) { return gauge(name, help, {}).with({}); }
Histogram Registry::histogram(const std::string& name, const std::string& help, const std::vector<double>& buckets) {
  return histogram(name, help, {}, buckets).with({});
}
void Registry::on_collect(std::function<void()> collect) { impl_->on_collect(std::move(collect)); }
std::string Registry::text() { return impl_->text(); }

}  // namespace ee::metrics
