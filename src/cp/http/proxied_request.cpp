#include "cp/http/proxied_request.h"

#include <algorithm>
#include <array>

#include "common/log.h"
#include "cp/http/answers.h"
#include "cp/http/proxy_cors.h"
#include "net/client_address.h"
#include "net/proxy/hop_fields.h"

namespace ee::cp {
namespace {

constexpr std::array<std::string_view, 7> kMethods = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};

std::string_view status_class(int status) {
  constexpr std::array<std::string_view, 6> kClasses = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
  return kClasses[static_cast<std::size_t>(std::clamp(status / 100, 0, 5))];
}

std::string_view class_of(const std::shared_ptr<const ServiceRoute>& service) {
  if (!service) return "none";
  switch (service->access) {
    case ServiceAccess::public_: return "public";
    case ServiceAccess::account: return "account";
    case ServiceAccess::token: return "token";
  }
  return "none";
}

/// `prefix` matches whole segments.
bool is_below(std::string_view path, std::string_view prefix) {
  if (!path.starts_with(prefix)) return false;
  return prefix.ends_with('/') || path.size() == prefix.size() || path[prefix.size()] == '/';
}

}  // namespace

Proxy::Counters::Counters(metrics::Registry& registry)
    : requests(registry.counter("ee_proxy_requests_total", "Requests for workloads.",
                                {{"service_class", {"public", "account", "token", "none"}},
                                 {"code", {"none", "1xx", "2xx", "3xx", "4xx", "5xx"}}})),
      duration(registry.histogram("ee_proxy_duration_seconds", "How long requests for workloads took.",
                                  metrics::latency_buckets())),
      in_flight(registry.gauge("ee_proxy_inflight", "Requests for workloads in work.")),
      retries(registry.counter("ee_proxy_retries_total", "Further attempts for requests for workloads.")),
      ejected(registry.gauge("ee_proxy_ejected", "Backends that are left alone for a while.")),
      tunnels(registry.gauge("ee_proxy_ws_open", "WebSockets to workloads.")) {}

ProxiedRequest::ProxiedRequest(Proxy& proxy, ProxyPath path, bool path_mode, ProxySettings settings)
    : proxy_(proxy),
      parts_(proxy.parts_),
      path_kind_(path.kind),
      path_(path.rest.empty() ? "/" : path.rest),
      routing_path_(routing_path(path_)),
      settings_(std::move(settings)) {
  mount_ = {.service = std::move(path.service), .path_mode = path_mode};
}

void ProxiedRequest::begin(const net::RequestHead& head, net::ForwardLimits& limits) {
  request_id_ = head.request_id;
  client_address_ = head.client_address;
  logged_path_ = head.path;
  wants_tunnel_ = net::is_websocket_request(head.method, head.fields);
  limits = settings_.limits;
  refused_ = check_request(head);
  if (refused_) return;
  apply_overrides(limits);
  keep_credentials(head);
  head_ = make_request_head(head, mount_, path_);
}

/// What is known without the sender.
std::optional<net::Response> ProxiedRequest::check_request(const net::RequestHead& head) {
  if (std::ranges::find(kMethods, head.method) == kMethods.end()) return refusal(ErrorCode::method_not_allowed);
  if (path_kind_ == ProxyPathKind::bad_path) return refusal(ErrorCode::bad_path);
  if (path_kind_ == ProxyPathKind::reserved) return refusal(ErrorCode::not_found);
  if (head.path == "*") return refusal(ErrorCode::bad_path);
  const auto decision = proxy_.by_address_.take(net::rate_limit_key(head.client_address));
  if (!decision.allowed) return limited(decision);
  if (auto unknown = find_service()) return unknown;
  if (const auto& cors = service_->overrides.cors) {
    origin_ = allowed_origin(*cors, head.field("origin").value_or(""));
    if (is_preflight(head)) return preflight_answer(*cors, origin_);
  }
  if (path_kind_ == ProxyPathKind::missing_slash && (head.method == "GET" || head.method == "HEAD")) {
    net::Response moved{.status = 308};
    moved.headers.push_back(
        {"Location", mount_.prefix() + "/" + (head.query.empty() ? "" : "?" + std::string(head.query))});
    return moved;
  }
  return std::nullopt;
}

std::optional<net::Response> ProxiedRequest::find_service() {
  const RouteTablePtr table = parts_.routes.table();
  if (!table->available) return refusal(ErrorCode::routing_unavailable);
  routed_version_ = table_version_ = table->version;
  service_ = table->find(mount_.service);
  if (!service_) return refusal(ErrorCode::service_not_found);
  routed_ = service_;
  return std::nullopt;
}

void ProxiedRequest::apply_overrides(net::ForwardLimits& limits) const {
  const ServiceOverrides& own = service_->overrides;
  if (own.max_body_bytes) limits.max_body_bytes = static_cast<std::uint64_t>(*own.max_body_bytes);
  if (own.header_timeout_ms) limits.header = Milliseconds(*own.header_timeout_ms);
  if (own.idle_timeout_ms) limits.idle = Milliseconds(*own.idle_timeout_ms);
  if (own.total_timeout_ms) limits.total = Milliseconds(*own.total_timeout_ms);
}

void ProxiedRequest::keep_credentials(const net::RequestHead& head) {
  if (service_->access == ServiceAccess::public_) return;
  credentials_.client_address = client_address_;
  credentials_.request_id = request_id_;
  for (const net::HeadField& field : head.fields) {
    if (net::equal_ignoring_case(field.name, "x-ee-authorization")) {
      credentials_.ee_authorization = field.value;
      ++credentials_.ee_authorization_count;
    } else if (net::equal_ignoring_case(field.name, "authorization")) {
      credentials_.authorization = field.value;
      ++credentials_.authorization_count;
    }
  }
  const auto site = head.field("sec-fetch-site");
  if (mount_.path_mode && site && (*site == "same-origin" || *site == "none"))
    credentials_.cookie = head.field("cookie").value_or("");
}

void ProxiedRequest::choose(int attempt, net::Exchange& exchange, Chosen chosen) {
  exchange_ = &exchange;
  if (attempt > 1) {
    proxy_.counters_->retries.increment();
    return choose_backend(std::move(chosen));
  }
  if (refused_) return chosen(std::unexpected(std::move(*refused_)));
  check_access(exchange, std::move(chosen));
}

void ProxiedRequest::check_access(net::Exchange& exchange, Chosen chosen) {
  if (const auto ready = parts_.access.check_fast(*service_, credentials_)) return on_access(*ready, std::move(chosen));
  // The job touches nothing of this: meanwhile the client may leave.
  auto keep = std::make_shared<Chosen>(std::move(chosen));
  const bool runs = exchange.run_on_worker([this, keep, &access = parts_.access, service = service_,
                                            credentials = credentials_]() -> net::Exchange::Continuation {
    auto caller = access.check(*service, credentials);
    return [this, keep, caller = std::move(caller)] { on_access(caller, std::move(*keep)); };
  });
  if (!runs) (*keep)(std::unexpected(refusal(ErrorCode::proxy_overloaded)));
}

void ProxiedRequest::on_access(const Result<ProxyCaller>& caller, Chosen chosen) {
  if (!caller) return chosen(std::unexpected(refusal(caller.error())));
  if (!exchange_) return chosen(std::unexpected(net::Response{}));  // nobody waits any more
  caller_ = *caller;
  exchange_->note(caller_.principal, {});
  if (auto refused = take_rates()) return chosen(std::unexpected(std::move(*refused)));
  if (auto entered = proxy_.enter(*service_, wants_tunnel_, settings_); !entered)
    return chosen(std::unexpected(refusal(entered.error().code)));
  entered_ = true;
  choose_backend(std::move(chosen));
}

std::optional<net::Response> ProxiedRequest::take_rates() {
  const auto service = proxy_.take_service(*service_, settings_);
  if (!service.allowed) return limited(service);
  const auto account = proxy_.by_account_.take(service_->account_id.str());
  if (!account.allowed) return limited(account);
  return std::nullopt;
}

/// Judging the sender or an earlier attempt may have taken seconds: nobody is sent by routes that hold no more.
std::optional<net::Response> ProxiedRequest::renew_route() {
  const RouteTablePtr table = parts_.routes.table();
  if (table->version == routed_version_) return std::nullopt;
  if (!table->available) return refusal(ErrorCode::routing_unavailable);
  auto service = table->find(mount_.service);
  if (!service || service->id != service_->id) return refusal(ErrorCode::service_not_found);
  // Whoever was let in by another rule was not judged by this one.
  if (service->access != service_->access && service->access != ServiceAccess::public_)
    return refusal(ErrorCode::proxy_auth_required);
  backend_ = nullptr;
  routed_ = std::move(service);
  routed_version_ = table_version_ = table->version;
  left_routing_at_.reset();
  return std::nullopt;
}

void ProxiedRequest::choose_backend(Chosen chosen) {
  release_backend();
  if (auto refused = renew_route()) return chosen(std::unexpected(std::move(*refused)));
  if (routed_->backends.empty()) {
    const bool lost =
        routed_->running > 0 && static_cast<std::int64_t>(routed_->attestation_lost.size()) == routed_->running;
    return chosen(
        std::unexpected(refusal(lost ? ErrorCode::service_attestation_failed : ErrorCode::service_unavailable)));
  }
  const auto choice =
      proxy_.health_.choose(*routed_, tried_, settings_.max_in_flight_backend, parts_.clock.steady_now());
  if (!choice) return chosen(std::unexpected(refusal(ErrorCode::proxy_overloaded)));
  backend_ = *choice;
  counted_ = true;
  tried_.push_back(backend_->deployment_id);
  if (ingress_port(*backend_) == 0) return chosen(std::unexpected(refusal(ErrorCode::not_found)));
  if (auto address = parts_.addresses.known(backend_->url, backend_->is_direct))
    return on_address(std::move(*address), std::move(chosen));
  resolve_backend(std::move(chosen));
}

void ProxiedRequest::resolve_backend(Chosen chosen) {
  auto keep = std::make_shared<Chosen>(std::move(chosen));
  const bool runs = exchange_->run_on_worker(
      [this, keep, &addresses = parts_.addresses, url = backend_->url,
       is_direct = backend_->is_direct]() -> net::Exchange::Continuation {
        auto address = addresses.resolve(url, is_direct);
        return
            [this, keep, address = std::move(address)]() mutable { on_address(std::move(address), std::move(*keep)); };
      },
      true);
  if (!runs) (*keep)(std::unexpected(refusal(ErrorCode::proxy_overloaded)));
}

void ProxiedRequest::on_address(Result<BackendAddress> address, Chosen chosen) {
  if (!exchange_) return chosen(std::unexpected(net::Response{}));
  if (!address) {
    if (address.error().code == ErrorCode::upstream_address_forbidden) note_refused_target();
    return chosen(std::unexpected(refusal(address.error().code)));
  }
  address_ = std::move(*address);
  if (address_.tls && !parts_.tls) return chosen(std::unexpected(refusal(ErrorCode::upstream_connect_failed)));
  const auto& bytes = address_.address.bytes;
  std::string pool_key;
  pool_key.reserve(backend_->agent_id.size() + 1 + backend_->url.size() + bytes.size());
  pool_key.append(backend_->agent_id).append(" ").append(backend_->url).append(bytes.begin(), bytes.end());
  chosen(net::ForwardTarget{.pool_key = std::move(pool_key),
                            .address = address_.address,
                            .port = address_.port,
                            .tls = address_.tls ? parts_.tls : nullptr,
                            .server_name = address_.host});
}

/// An alert, and a row for the audit log, which a worker writes.
void ProxiedRequest::note_refused_target() {
  log::error("proxy", "a backend's address is forbidden",
             {{"agent_id", backend_->agent_id}, {"request_id", request_id_}});
  if (!parts_.target_refused) return;
  const bool runs = exchange_->run_on_worker(
      [&parts = parts_, backend = *backend_, request_id = request_id_]() -> net::Exchange::Continuation {
        parts.target_refused(backend, request_id);
        return {};
      });
  if (!runs) log::error("proxy", "a refused target could not be audited", {{"request_id", request_id_}});
}

std::int64_t ProxiedRequest::ingress_port(const BackendRoute& backend) const {
  const agent_api::IngressRule* best = nullptr;
  for (const agent_api::IngressRule& rule : backend.ingress)
    if (is_below(routing_path_, rule.path_prefix) && (!best || rule.path_prefix.size() > best->path_prefix.size()))
      best = &rule;
  return best ? best->port : 0;
}

void ProxiedRequest::write_request(std::string& out) {
  const std::string assertion = parts_.assertions.get(backend_->agent_id, backend_->deployment_id, backend_->epoch);
  write_request_head(out, head_, mount_,
                     {.host = address_.host_header,
                      .deployment_id = backend_->deployment_id,
                      .ingress_port = ingress_port(*backend_),
                      .assertion = assertion},
                     caller_.used_authorization);
}

void ProxiedRequest::write_response(const net::ResponseHead& head, std::string& fields) {
  const auto& cors = service_->overrides.cors;
  write_response_fields(
      fields, head, mount_, {.host = address_.host_header, .deployment_id = backend_->deployment_id},
      {.shared = service_->access == ServiceAccess::public_, .cors = cors ? &*cors : nullptr, .origin = origin_});
}

net::Response ProxiedRequest::refusal(ErrorCode code) { return refusal(Error{.code = code}); }

net::Response ProxiedRequest::refusal(const Error& error) {
  Error shown{.code = error.code, .detail = {}};  // no word of what lies behind
  shown.retry_after = error.retry_after;
  if (error.code == ErrorCode::service_unavailable || error.code == ErrorCode::service_attestation_failed)
    shown.retry_after = Seconds(5);
  if (error.code == ErrorCode::proxy_overloaded || error.code == ErrorCode::routing_unavailable)
    shown.retry_after = Seconds(1);
  net::Response response = error_answer(shown, request_id_);
  error_ = slug(error.code);
  response.headers.push_back({"X-EE-Proxy-Error", error_});
  response.headers.push_back({"Cache-Control", "no-store"});
  response.headers.push_back({"X-Content-Type-Options", "nosniff"});
  if (error.code == ErrorCode::method_not_allowed)
    response.headers.push_back({"Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"});
  if (error.code == ErrorCode::bad_path) response.close = true;
  if (service_ && service_->overrides.cors) append_cors(response, *service_->overrides.cors, origin_);
  return response;
}

net::Response ProxiedRequest::limited(const net::RateDecision& decision) {
  net::Response response = refusal(ErrorCode::proxy_rate_limited);
  net::add_rate_headers(response.headers, decision);
  return response;
}

/// 03 section 9.7: what the agent or the tunnel's edge says counts, what the workload says does not.
void ProxiedRequest::on_attempt(net::ForwardOutcome outcome, const net::ResponseHead* head) {
  bool failed = false;
  switch (outcome) {
    case net::ForwardOutcome::answered: {
      const int status = head->status;
      if (head->field("x-ee-agent-error"))
        failed = status >= 502 && status <= 504;
      else if (!head->field("x-ee-agent"))
        failed = status == 502 || status == 504 || (status >= 520 && status <= 530);
      break;
    }
    case net::ForwardOutcome::connect_failed:
    case net::ForwardOutcome::closed:
    case net::ForwardOutcome::timed_out: failed = true; break;
    case net::ForwardOutcome::bad_answer: return;  // a workload may well answer nonsense
  }
  if (!failed) return proxy_.health_.succeeded(*backend_);
  const SteadyTime now = parts_.clock.steady_now();
  if (proxy_.health_.failed(*backend_, now))
    log::warn("proxy", "a backend is left alone for a while",
              {{"agent_id", backend_->agent_id}, {"deployment_id", backend_->deployment_id}});
}

/// The deployment has left routing: at once when its agent lost trust, else after the time to drain.
bool ProxiedRequest::must_end(bool) {
  const RouteTablePtr table = parts_.routes.table();
  if (table->version == table_version_ && !left_routing_at_) return false;
  table_version_ = table->version;
  const SteadyTime now = parts_.clock.steady_now();
  const auto service = table->find(mount_.service);
  if (service && service->backend(backend_->deployment_id, backend_->epoch)) {
    left_routing_at_.reset();
    return false;
  }
  if (service &&
      std::ranges::find(service->attestation_lost, backend_->deployment_id) != service->attestation_lost.end())
    return true;
  if (!left_routing_at_) left_routing_at_ = now;
  return now - *left_routing_at_ >= settings_.drain;
}

void ProxiedRequest::release_backend() {
  if (counted_) proxy_.health_.release(*backend_);
  counted_ = false;
}

void ProxiedRequest::on_end(const net::ForwardSummary& summary) {
  exchange_ = nullptr;
  release_backend();
  if (entered_) proxy_.leave(service_->id, wants_tunnel_);
  proxy_.counters_->requests.with({class_of(service_), status_class(summary.status)}).increment();
  proxy_.counters_->duration.observe(static_cast<double>(summary.total.count()) / 1000.0);
  log::info("proxy", "request",
            {{"request_id", request_id_},
             {"service", mount_.service},
             {"deployment_id", backend_ ? backend_->deployment_id : ""},
             {"agent_id", backend_ ? backend_->agent_id : ""},
             {"method", head_.method},
             {"path", logged_path_},
             {"status", summary.status},
             {"proxy_error", summary.cut ? "upstream_cut" : error_},
             {"bytes_in", summary.bytes_in},
             {"bytes_out", summary.bytes_out},
             {"ms", summary.total.count()},
             {"connect_ms", summary.connect.count()},
             {"first_byte_ms", summary.first_byte.count()},
             {"attempts", summary.attempts},
             {"client_ip", client_address_},
             {"principal", caller_.principal},
             {"upgrade", summary.tunnel}});
}

}  // namespace ee::cp
