#pragma once
#include <array>
#include <atomic>
#include <memory>
#include <string_view>

#include "common/clock.h"
#include "common/http_client.h"
#include "common/metrics.h"

namespace ee::cp {

/// Who is called, in `ee_outbound_seconds{service}`.
inline constexpr std::array<std::string_view, 9> kOutboundServices = {
    "agent", "cloudflare", "github", "intel_ta", "measurer", "pcs", "probe", "registry", "stripe"};

/// The HTTP client as each outside service's calls see it, which measures how long they take, answered or not.
/// Thread-safe.
class OutboundHttp {
 public:
  /// All outlive it.
  OutboundHttp(HttpClient& http, const Clock& clock, metrics::Registry& registry);
  ~OutboundHttp();

  /// One of kOutboundServices; any other name stops the process.
  HttpClient& of(std::string_view service);

  /// False while the last answer of Intel Trust Authority or of the collateral service was dated more than
  /// `kClockTolerance` from this machine's time: one of them is wrong, and tokens and collateral will be refused.
  bool clock_agrees() const;
  static constexpr Milliseconds kClockTolerance{60'000};

 private:
  class Measured;
  class Dated;
  std::array<std::unique_ptr<Measured>, kOutboundServices.size()> clients_;
  /// Those whose time is looked at, in front of their measured client.
  std::unique_ptr<Dated> intel_ta_;
  std::unique_ptr<Dated> pcs_;
};

}  // namespace ee::cp
