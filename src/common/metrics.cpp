#include "common/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <sstream>
#include <variant>

#include "common/require.h"

namespace ee::metrics {

namespace prom = prometheus;

struct FamilyState {
  std::variant<prom::Family<prom::Counter>*, prom::Family<prom::Gauge>*, prom::Family<prom::Histogram>*> family;
  std::string help;
  std::vector<Label> labels;
  std::vector<double> buckets;
  std::mutex mutex;
  std::map<std::vector<std::string>, void*> series;

  /// The series of these label values; every value outside of its closed set becomes `other`.
  void* find(std::initializer_list<std::string_view> values) {
    require(values.size() == labels.size());
    std::vector<std::string> key;
    auto label = labels.begin();
    for (const std::string_view value : values) {
      const bool known = std::ranges::find(label->values, value) != label->values.end();
      key.emplace_back(known ? value : kOtherLabel);
      ++label;
    }
    const std::lock_guard lock(mutex);
    const auto found = series.find(key);
    if (found != series.end()) return found->second;
    prom::Labels named;
    for (std::size_t i = 0; i < labels.size(); ++i) named.emplace(labels[i].name, key[i]);
    void* made = std::visit([&](auto* kind) { return add(*kind, named); }, family);
    series.emplace(std::move(key), made);
    return made;
  }

 private:
  void* add(prom::Family<prom::Counter>& kind, const prom::Labels& named) { return &kind.Add(named); }
  void* add(prom::Family<prom::Gauge>& kind, const prom::Labels& named) { return &kind.Add(named); }
  void* add(prom::Family<prom::Histogram>& kind, const prom::Labels& named) { return &kind.Add(named, buckets); }
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
