#pragma once
// Inside of cp/http/proxy: one request on its way to a workload.
#include <optional>
#include <string>
#include <vector>

#include "cp/domain/proxy_path.h"
#include "cp/http/proxy.h"
#include "cp/http/proxy_headers.h"

namespace ee::cp {

struct Proxy::Counters {
  explicit Counters(metrics::Registry& registry);
  metrics::Family<metrics::Counter> requests;
  metrics::Histogram duration;
  metrics::Gauge in_flight;
  metrics::Counter retries;
  metrics::Gauge ejected;
  metrics::Gauge tunnels;
};

class ProxiedRequest final : public net::ForwardPolicy {
 public:
  ProxiedRequest(Proxy& proxy, ProxyPath path, bool path_mode, ProxySettings settings);

  void begin(const net::RequestHead& head, net::ForwardLimits& limits) override;
  void choose(int attempt, net::Exchange& exchange, Chosen chosen) override;
  void write_request(std::string& out) override;
  void write_response(const net::ResponseHead& head, std::string& fields) override;
  net::Response refusal(ErrorCode code) override;
  void on_attempt(net::ForwardOutcome outcome, const net::ResponseHead* head) override;
  bool must_end(bool tunnel) override;
  bool must_give_up() override { return must_end(false); }
  void on_end(const net::ForwardSummary& summary) override;

 private:
  std::optional<net::Response> check_request(const net::RequestHead& head);
  std::optional<net::Response> find_service();
  void keep_credentials(const net::RequestHead& head);
  void apply_overrides(net::ForwardLimits& limits) const;
  void check_access(net::Exchange& exchange, Chosen chosen);
  void on_access(const Result<ProxyCaller>& caller, Chosen chosen);
  std::optional<net::Response> take_rates();
  std::optional<net::Response> renew_route();
  void choose_backend(Chosen chosen);
  void resolve_backend(Chosen chosen);
  void on_address(Result<BackendAddress> address, Chosen chosen);
  void release_backend();
  void note_refused_target();
  std::int64_t ingress_port(const BackendRoute& backend) const;
  net::Response refusal(const Error& error);
  net::Response limited(const net::RateDecision& decision);

  Proxy& proxy_;
  Proxy::Parts& parts_;
  const ProxyPathKind path_kind_;
  const std::string path_;          ///< the workload's
  const std::string routing_path_;  ///< how it is read to choose the ingress
  ProxyMount mount_;
  ProxySettings settings_;
  std::shared_ptr<const ServiceRoute> service_;  ///< by which the sender was judged
  std::shared_ptr<const ServiceRoute> routed_;   ///< the same in newer routes: whose backends are chosen from
  std::uint64_t routed_version_ = 0;             ///< of the routes that `routed_` is of
  std::uint64_t table_version_ = 0;              ///< of those that the backend was last looked for in
  std::optional<net::Response> refused_;
  std::string request_id_;
  std::string client_address_;
  std::string logged_path_;
  ProxyCredentials credentials_;
  ProxyRequestHead head_;
  std::string_view origin_;  ///< that may read the answer: of the service's settings
  bool wants_tunnel_ = false;
  bool entered_ = false;
  ProxyCaller caller_;
  net::Exchange* exchange_ = nullptr;      ///< while the exchange lasts
  const BackendRoute* backend_ = nullptr;  ///< of `routed_`
  bool counted_ = false;                   ///< `backend_` is, as in flight
  BackendAddress address_;
  std::vector<std::string> tried_;
  std::optional<SteadyTime> left_routing_at_;
  std::string error_;
};

}  // namespace ee::cp
