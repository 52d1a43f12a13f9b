#include "cp/outbound_http.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "common/log.h"
#include "common/require.h"

namespace ee::cp {
namespace {

std::optional<int> number_of(std::string_view text) {
  int value = 0;
  const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && at == text.data() + text.size() && value >= 0 ? std::optional(value) : std::nullopt;
}

/// RFC 9110 IMF-fixdate, `Sun, 06 Nov 1994 08:49:37 GMT`; nothing else is sent today.
std::optional<UtcTime> http_time_of(std::string_view text) {
  constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
  if (text.size() != 29 || text.substr(3, 2) != ", " || !text.ends_with(" GMT")) return std::nullopt;
  const auto month = kMonths.find(text.substr(8, 3));
  const auto day = number_of(text.substr(5, 2)), year = number_of(text.substr(12, 4)),
             hour = number_of(text.substr(17, 2)), minute = number_of(text.substr(20, 2)),
             second = number_of(text.substr(23, 2));
  if (month == std::string_view::npos || month % 3 != 0 || !day || !year || !hour || !minute || !second)
    return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(month / 3 + 1)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok() || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  return UtcTime(std::chrono::sys_days(date).time_since_epoch() + std::chrono::hours(*hour) +
                 std::chrono::minutes(*minute) + Seconds(*second));
}

}  // namespace

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

/// Compares the time of each answer with this machine's. A time that cannot be read says nothing.
class OutboundHttp::Dated final : public HttpClient {
 public:
  Dated(HttpClient& http, const Clock& clock, std::string_view service)
      : http_(http), clock_(clock), service_(service) {}
  std::expected<HttpClientResponse, HttpFailure> send(const HttpClientRequest& request) override {
    const UtcTime asked_at = clock_.now();
    auto answer = http_.send(request);
    if (answer) look(*answer, asked_at);
    return answer;
  }
  bool agrees() const { return agrees_; }

 private:
  void look(const HttpClientResponse& answer, UtcTime asked_at) {
    const auto header = answer.header("Date");
    auto dated = header ? http_time_of(*header) : std::nullopt;
    if (!dated) return;
    if (const auto age = answer.header("Age"))  // out of a cache on the way, which counts since the date
      *dated += Seconds(number_of(*age).value_or(0));
    const Milliseconds early = asked_at - *dated, late = *dated - clock_.now();
    const bool agrees = early <= kClockTolerance && late <= kClockTolerance;
    if (agrees_.exchange(agrees) && !agrees)
      log::warn("clock", "an outside service has another time than this machine",
                {{"service", service_}, {"milliseconds", std::max(early, late)}});
  }

  HttpClient& http_;
  const Clock& clock_;
  const std::string_view service_;
  std::atomic<bool> agrees_ = true;
};

OutboundHttp::OutboundHttp(HttpClient& http, const Clock& clock, metrics::Registry& registry) {
  const auto seconds = registry.histogram("ee_outbound_seconds", "Duration of calls to outside services.",
                                          {{"service", {kOutboundServices.begin(), kOutboundServices.end()}}},
                                          metrics::latency_buckets());
  for (std::size_t i = 0; i < clients_.size(); ++i)
    clients_[i] = std::make_unique<Measured>(http, clock, seconds.with({kOutboundServices[i]}));
  const auto dated = [&](std::string_view service) {
    const auto at = std::ranges::find(kOutboundServices, service) - kOutboundServices.begin();
    return std::make_unique<Dated>(*clients_[static_cast<std::size_t>(at)], clock, service);
  };
  intel_ta_ = dated("intel_ta");
  pcs_ = dated("pcs");
}

OutboundHttp::~OutboundHttp() = default;

HttpClient& OutboundHttp::of(std::string_view service) {
  const auto* const found = std::ranges::find(kOutboundServices, service);
  require(found != kOutboundServices.end());
  if (service == "intel_ta") return *intel_ta_;
  if (service == "pcs") return *pcs_;
  return *clients_[static_cast<std::size_t>(found - kOutboundServices.begin())];
}

bool OutboundHttp::clock_agrees() const { return intel_ta_->agrees() && pcs_->agrees(); }

}  // namespace ee::cp
