#include "cp/outbound_http.h"

#include <algorithm>

#include "common/require.h"

namespace ee::cp {

class OutboundHttp::Measured final : public HttpClient {
 public:
  Measured(HttpClient& http, const Clock& clock, metrics::Histogram seconds)
      : http_(http), clock_(clock), seconds_(seconds) {}
  std::expected<HttpClientResponse, HttpFailure> send(const HttpClientRequest& request) override {
    const SteadyTime begun = clock_.steady_now();
    auto answer = http_.send(request);
    seconds_.observe(std::chrono::duration<double>(clock_.steady_now() - begun).count());
    return answer;
  }

 private:
  HttpClient& http_;
  const Clock& clock_;
  metrics::Histogram seconds_;
};

OutboundHttp::OutboundHttp(HttpClient& http, const Clock& clock, metrics::Registry& registry) {
  const auto seconds = registry.histogram("ee_outbound_seconds", "Duration of calls to outside services.",
                                          {{"service", {kOutboundServices.begin(), kOutboundServices.end()}}},
                                          metrics::latency_buckets());
  for (std::size_t i = 0; i < clients_.size(); ++i)
    clients_[i] = std::make_unique<Measured>(http, clock, seconds.with({kOutboundServices[i]}));
}

OutboundHttp::~OutboundHttp() = default;

HttpClient& OutboundHttp::of(std::string_view service) {
  const auto* const found = std::ranges::find(kOutboundServices, service);
  require(found != kOutboundServices.end());
  return *clients_[static_cast<std::size_t>(found - kOutboundServices.begin())];
}

}  // namespace ee::cp
