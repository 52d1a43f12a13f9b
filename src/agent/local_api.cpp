#include "agent/local_api.h"

#include <algorithm>
#include <array>
#include <vector>

#include "agent/config_values.h"
#include "agent/version.h"
#include "common/json.h"
#include "common/problem.h"

namespace ee::agent {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMaxControlBody = 512UL * 1024;
constexpr const char* kHealthPath = "/.easyenclave/v1/health";

struct HealthAnswer {
  std::string status;
  std::string agent_state;
  std::int64_t uptime_seconds = 0;
};
BOOST_DESCRIBE_STRUCT(HealthAnswer, (), (status, agent_state, uptime_seconds))

struct StatusTunnel {
  std::string hostname;
  agent_api::TunnelLink state = agent_api::TunnelLink::none;
  std::int64_t ready_connections = 0;
  std::int64_t restarts = 0;
};
BOOST_DESCRIBE_STRUCT(StatusTunnel, (), (hostname, state, ready_connections, restarts))

struct StatusCounters {
  std::int64_t registrations = 0;
  std::int64_t registrations_failed = 0;
  std::int64_t heartbeats = 0;
  std::int64_t heartbeats_failed = 0;
};
BOOST_DESCRIBE_STRUCT(StatusCounters, (), (registrations, registrations_failed, heartbeats, heartbeats_failed))

struct StatusAnswer {
  std::optional<std::string> agent_id;
  std::optional<std::string> registration_id;
  std::string agent_state;
  std::string agent_version;
  std::string vm_name;
  std::optional<std::string> vm_id;
  std::optional<std::string> order_id;
  std::string node_size;
  std::string datacenter;
  std::int64_t uptime_seconds = 0;
  agent_api::Health health;
  std::optional<agent_api::WorkloadReport> workload;
  StatusTunnel tunnel;
  std::optional<std::string> runtime;
  std::optional<std::int64_t> evidence_age_seconds;
  std::optional<std::int64_t> clock_offset_ms;
  StatusCounters counters;
};
BOOST_DESCRIBE_STRUCT(StatusAnswer, (),
                      (agent_id, registration_id, agent_state, agent_version, vm_name, vm_id, order_id, node_size,
                       datacenter, uptime_seconds, health, workload, tunnel, runtime, evidence_age_seconds,
                       clock_offset_ms, counters))

}  // namespace

// ---- routes --------------------------------------------------------------------------------------------------------

namespace {

enum class Action : std::uint8_t { health, status, put, remove, get, sync, logs, stats, reattest, evidence };

struct Route {
  Action action;
  std::string_view method;
  std::string_view path;
  std::string_view scope;  ///< of a console token that may call it; empty: only the control plane
  net::RouteInfo info;
};

Route route(Action action, std::string_view method, const char* path, std::string_view scope = {}) {
  return {.action = action,
          .method = method,
          .path = path,
          .scope = scope,
          .info = {.route_template = path, .max_body_bytes = kMaxControlBody}};
}

const std::array<Route, 10>& routes() {
  static const std::array<Route, 10> table = {route(Action::health, "GET", kHealthPath),
                                              route(Action::status, "GET", "/.easyenclave/v1/status", "status"),
                                              route(Action::put, "PUT", "/.easyenclave/v1/deployment"),
                                              route(Action::remove, "DELETE", "/.easyenclave/v1/deployment"),
                                              route(Action::get, "GET", "/.easyenclave/v1/deployment"),
                                              route(Action::sync, "POST", "/.easyenclave/v1/sync"),
                                              route(Action::logs, "GET", "/.easyenclave/v1/logs", "logs"),
                                              route(Action::stats, "GET", "/.easyenclave/v1/stats", "stats"),
                                              route(Action::reattest, "POST", "/.easyenclave/v1/reattest", "reattest"),
                                              route(Action::evidence, "GET", "/.easyenclave/v1/evidence", "status")};
  return table;
}

Error rate_limited(Seconds retry_after) {
  Error out{.code = ErrorCode::rate_limited};
  out.retry_after = retry_after;
  return out;
}

}  // namespace

LocalApi::LocalApi(const AgentConfig& config, std::string vm_name, Board& board, Hooks hooks, const Clock& clock)
    : config_(config),
      vm_name_(std::move(vm_name)),
      board_(board),
      hooks_(std::move(hooks)),
      clock_(clock),
      tokens_(board, clock),
      health_limit_({.count = 20, .period = 1s, .burst = 20}, clock, 1),
      sync_limit_({.count = 1, .period = 1s, .burst = 1}, clock, 1) {}

LocalApi::~LocalApi() = default;

net::ServerConfig LocalApi::server_config(const Endpoint& listen) {
  net::ServerConfig config;
  config.bind = listen.str();
  config.worker_threads = 4;
  config.max_connections = 1024;
  config.max_connections_per_ip = 1024;  // all of the tunnel's come from cloudflared on loopback
  config.max_in_flight = 16;
  config.cors_methods = "GET";
  // cloudflared, or in development the control plane: what they say of the visitor goes on to the workload.
  config.trusted_proxies = {*net::parse_network("127.0.0.0/8"), *net::parse_network("::1")};
  config.max_buffered_body_bytes = 16 * kMaxControlBody;
  config.header_timeout = 10s;
  config.idle_timeout = 60s;
  config.overload_retry_after_min = 2s;
  config.overload_retry_after_max = 2s;
  return config;
}

std::shared_ptr<net::StreamHandler> LocalApi::open_stream(const net::RequestHead& head) {
  if (!hooks_.traffic) return nullptr;
  const ClassifiedPath path = classify_path(head.path);
  return path.kind == PathKind::workload ? hooks_.traffic(head, path) : nullptr;
}

net::Admission LocalApi::admit(const net::RequestHead& head) {
  const ClassifiedPath path = classify_path(head.path);
  if (path.kind == PathKind::evasive) return {.answer = error(ErrorCode::bad_path, "the path", head.request_id)};
  if (config_.mode == Mode::cp_bootstrap && path.normal != kHealthPath)
    return {.answer = error(ErrorCode::not_found, "no such route", head.request_id)};
  if (path.kind == PathKind::workload)
    return {.answer = error(ErrorCode::workload_not_running, "no workload runs here", head.request_id)};
  const std::string_view method = head.method == "HEAD" ? "GET" : head.method;
  std::string allowed;
  for (const Route& route : routes()) {
    if (route.path != path.normal) continue;
    if (route.method == method) {
      if (route.action == Action::health) return {.answer = health(head.request_id)};
      return {.route = &route.info, .route_index = static_cast<std::size_t>(&route - routes().data())};
    }
    if (!allowed.empty()) allowed += ", ";
    allowed += route.method;
  }
  if (allowed.empty()) return {.answer = error(ErrorCode::not_found, "no such route", head.request_id)};
  net::Response refused = error(ErrorCode::method_not_allowed, "", head.request_id);
  refused.headers.push_back({"Allow", allowed});
  return {.answer = std::move(refused)};
}

net::Response LocalApi::handle(net::Request&& request) {
  const Route& route = routes().at(request.route);
  Result<net::Response> answered = fail(ErrorCode::invalid_token, "");
  if (route.action == Action::evidence) {
    answered = evidence(request);
  } else {
    const auto caller = authenticate(request);
    answered = caller ? dispatch(request, *caller) : std::unexpected(caller.error());
  }
  if (!answered) return error(answered.error(), request.request_id);
  answered->headers.push_back({"Cache-Control", "no-store"});
  return finish(std::move(*answered));
}

/// Tokens are taken from the header `Authorization` alone.
Result<LocalApi::Caller> LocalApi::authenticate(const net::Request& request) {
  if (request.header_count("Authorization") > 1) return fail(ErrorCode::invalid_token, "two credentials");
  const std::string_view authorization = request.header("Authorization").value_or("");
  if (authorization.starts_with("Bearer ") && hooks_.console) {
    const std::string_view scope = routes().at(request.route).scope;
    if (scope.empty()) return fail(ErrorCode::insufficient_scope, "this route is the control plane's");
    auto access = hooks_.console(authorization, scope);
    if (!access) return fail(std::move(access.error()));
    return Caller{.control = false, .console = std::move(*access)};
  }
  std::string target = request.path;
  if (!request.query.empty()) (target += '?') += request.query;
  if (auto checked = tokens_.check(authorization, {.method = request.method, .target = target, .body = request.body});
      !checked)
    return fail(std::move(checked.error()));
  return Caller{.control = true};
}

bool LocalApi::sees_what_runs(const Caller& caller) const {
  if (caller.control || !caller.console.only_deployment) return true;
  const auto report = hooks_.workload();
  return report && report->deployment_id == *caller.console.only_deployment;
}

Result<net::Response> LocalApi::dispatch(const net::Request& request, const Caller& caller) {
  const Action action = routes().at(request.route).action;
  // Logs choose by deployment themselves, also those of one that has ended.
  if (action != Action::logs && !sees_what_runs(caller))
    return fail(ErrorCode::insufficient_scope, "the token's deployment does not run here");
  switch (action) {
    case Action::status: return status();
    case Action::sync: return sync();
    case Action::reattest: return reattest();
    case Action::health:
    case Action::evidence: return fail(ErrorCode::not_found, "no such route");
    default: break;
  }
  WorkloadApi* workload = hooks_.workload_api;
  if (workload == nullptr) {
    if (action == Action::put) return fail(ErrorCode::compose_failed, "this agent has no container engine");
    if (action == Action::get || action == Action::remove) return net::Response{.status = 204};
    return fail(ErrorCode::workload_not_running, "this agent has no container engine");
  }
  switch (action) {
    case Action::put: return workload->put_deployment(request);
    case Action::remove: return workload->delete_deployment(request);
    case Action::get: return workload->get_deployment();
    case Action::logs:
      return workload->get_logs(request,
                                {.control = caller.control, .only_deployment = caller.console.only_deployment});
    default: return workload->get_stats();
  }
}

/// No credential is needed; one that is given must be good, and changes what counts and what is shown.
Result<net::Response> LocalApi::evidence(const net::Request& request) {
  if (hooks_.evidence == nullptr) return fail(ErrorCode::agent_not_active, "not registered");
  PublicEvidence::Caller caller;
  bool control = false;
  if (request.header_count("Authorization") > 0) {
    const auto known = authenticate(request);
    if (!known) return fail(known.error());
    control = known->control;
    caller.may_see_names = !known->control && sees_what_runs(*known);  // the scope of this route is `status`
  }
  if (!control) {
    const bool by_tunnel = is_loopback_address(request.peer_address);
    const auto visitor = request.header("CF-Connecting-IP");
    caller.source = by_tunnel && visitor && request.header_count("CF-Connecting-IP") == 1
                        ? net::rate_limit_key(*visitor).substr(0, 64)
                        : net::rate_limit_key(request.peer_address);
  }
  const auto query = read_query(request.query, {"nonce"});
  if (!query) return fail(query.error());
  const auto nonce = query->find("nonce");
  auto made =
      hooks_.evidence->make(nonce == query->end() ? std::string_view() : std::string_view(nonce->second), caller);
  if (!made) return fail(std::move(made.error()));
  net::Response out{.status = 200, .body = std::move(*made)};
  out.headers = {{"Content-Type", "application/json"}};
  return out;
}

net::Response LocalApi::health(std::string_view request_id) {
  if (const auto allowed = health_limit_.take(""); !allowed.allowed)
    return error(rate_limited(allowed.retry_after), request_id);
  const bool healthy = board_.health().status == agent_api::HealthStatus::healthy;
  return answer(200, json::write(HealthAnswer{.status = healthy ? "ok" : "degraded",
                                              .agent_state = std::string(to_string(board_.phase())),
                                              .uptime_seconds = board_.uptime().count()}));
}

net::Response LocalApi::status() {
  const auto session = board_.session();
  const auto tunnel = hooks_.tunnel();
  const auto counters = board_.counters();
  StatusAnswer out;
  if (session) {
    out.agent_id = session->identity.agent_id;
    out.registration_id = session->identity.registration_id;
  }
  out.agent_state = std::string(to_string(board_.phase()));
  out.agent_version = std::string(kAgentVersion);
  out.vm_name = vm_name_;
  out.vm_id = config_.vm_id;
  out.order_id = config_.order_id;
  out.node_size = config_.node_size;
  out.datacenter = config_.datacenter;
  out.uptime_seconds = board_.uptime().count();
  out.health = board_.health();
  out.workload = hooks_.workload();
  out.tunnel = {.hostname = session ? session->hostname.value_or("") : "",
                .state = tunnel.state,
                .ready_connections = tunnel.ready_connections,
                .restarts = tunnel.restarts};
  if (const auto attested = board_.attested_at())
    out.evidence_age_seconds = std::chrono::duration_cast<Seconds>(board_.corrected_now() - *attested).count();
  if (const auto offset = board_.clock_offset()) out.clock_offset_ms = offset->count();
  out.counters = {.registrations = counters.registrations,
                  .registrations_failed = counters.registrations_failed,
                  .heartbeats = counters.heartbeats,
                  .heartbeats_failed = counters.heartbeats_failed};
  if (!hooks_.runtime.empty()) out.runtime = hooks_.runtime;
  return {.status = 200, .headers = {{"Content-Type", "application/json"}}, .body = json::write(out)};
}

Result<net::Response> LocalApi::sync() {
  if (const auto allowed = sync_limit_.take(""); !allowed.allowed) return fail(rate_limited(allowed.retry_after));
  hooks_.sync();
  return net::Response{.status = 202, .headers = {{"Content-Type", "application/json"}}, .body = "{}"};
}

Result<net::Response> LocalApi::reattest() {
  if (!hooks_.reattest()) return fail(rate_limited(60s));
  return net::Response{.status = 202, .headers = {{"Content-Type", "application/json"}}, .body = "{}"};
}

// ---- answers -------------------------------------------------------------------------------------------------------

net::Response LocalApi::error(ErrorCode code, std::string detail, std::string_view request_id) {
  return error(Error{.code = code, .detail = std::move(detail)}, request_id);
}

net::Response LocalApi::error(const Error& error, std::string_view request_id) {
  net::Response out{.status = problem_status(error), .body = problem_json(error, request_id)};
  out.code = slug(error.code);
  out.headers = {{"Content-Type", std::string(kProblemContentType)},
                 {"X-EE-Agent-Error", std::string(slug(error.code))},
                 {"Cache-Control", "no-store"}};
  if (error.retry_after) out.headers.push_back({"Retry-After", std::to_string(error.retry_after->count())});
  return finish(std::move(out));
}

net::Response LocalApi::answer(int status, std::string body) {
  net::Response out{.status = status, .body = std::move(body)};
  out.headers = {{"Content-Type", "application/json"}, {"Cache-Control", "no-store"}};
  return finish(std::move(out));
}

net::Response LocalApi::finish(net::Response response) const {
  if (const auto session = board_.session()) response.headers.push_back({"X-EE-Agent", session->identity.agent_id});
  return response;
}

}  // namespace ee::agent
