#include "agent/local_api.h"

#include <algorithm>
#include <array>
#include <vector>

#include "agent/version.h"
#include "common/json.h"
#include "common/problem.h"

namespace ee::agent {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kPrefix = "/.easyenclave";
constexpr std::size_t kMaxControlBody = 512UL * 1024;

std::optional<int> hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return std::nullopt;
}

/// Percent-decodes once; nothing when an escape is broken or gives a control character.
std::optional<std::string> decoded(std::string_view path) {
  std::string out;
  for (std::size_t i = 0; i < path.size(); ++i) {
    char c = path[i];
    if (c == '%') {
      const auto high = i + 2 < path.size() ? hex_digit(path[i + 1]) : std::nullopt;
      const auto low = i + 2 < path.size() ? hex_digit(path[i + 2]) : std::nullopt;
      if (!high || !low) return std::nullopt;
      c = static_cast<char>(*high * 16 + *low);
      i += 2;
    }
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return std::nullopt;
    out.push_back(c);
  }
  return out;
}

/// Without empty and dot segments.
std::string normalised(std::string_view path) {
  std::vector<std::string_view> segments;
  bool directory = true;
  while (!path.empty()) {
    const std::size_t slash = path.find('/');
    const std::string_view segment = path.substr(0, slash);
    directory = slash != std::string_view::npos || segment == "." || segment == ".." || segment.empty();
    if (segment == "..") {
      if (!segments.empty()) segments.pop_back();
    } else if (!segment.empty() && segment != ".") {
      segments.push_back(segment);
    }
    if (slash == std::string_view::npos) break;
    path.remove_prefix(slash + 1);
  }
  std::string out;
  for (const std::string_view segment : segments) (out += '/') += segment;
  if (directory) out += '/';
  return out;
}

bool is_reserved(std::string_view path) {
  return path == kPrefix || (path.starts_with(kPrefix) && path[kPrefix.size()] == '/');
}

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

ClassifiedPath classify_path(std::string_view raw_path) {
  const auto once = decoded(raw_path);
  if (!once || !once->starts_with('/')) return {.kind = PathKind::evasive};
  ClassifiedPath out{.kind = PathKind::workload, .normal = normalised(*once)};
  if (is_reserved(out.normal)) {
    out.kind = PathKind::reserved;
  } else if (const auto twice = decoded(out.normal); twice && is_reserved(normalised(*twice))) {
    out.kind = PathKind::evasive;
  }
  return out;
}

// ---- routes --------------------------------------------------------------------------------------------------------

namespace {

struct Route {
  std::string_view method;
  std::string_view path;
  net::RouteInfo info;
};
enum RouteIndex : std::size_t { kHealth, kStatus, kSync, kReattest };

Route route(std::string_view method, const char* path) {
  return {.method = method, .path = path, .info = {.route_template = path, .max_body_bytes = kMaxControlBody}};
}

/// In the order of RouteIndex.
const std::array<Route, 4>& routes() {
  static const std::array<Route, 4> table = {
      route("GET", "/.easyenclave/v1/health"), route("GET", "/.easyenclave/v1/status"),
      route("POST", "/.easyenclave/v1/sync"), route("POST", "/.easyenclave/v1/reattest")};
  return table;
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
  config.max_buffered_body_bytes = 16 * kMaxControlBody;
  config.header_timeout = 10s;
  config.idle_timeout = 60s;
  config.overload_retry_after_min = 2s;
  config.overload_retry_after_max = 2s;
  return config;
}

net::Admission LocalApi::admit(const net::RequestHead& head) {
  const ClassifiedPath path = classify_path(head.path);
  if (path.kind == PathKind::evasive) return {.answer = error(ErrorCode::bad_path, "the path", head.request_id)};
  if (path.kind == PathKind::workload)
    return {.answer = error(ErrorCode::workload_not_running, "no workload runs here", head.request_id)};
  const auto* const route = std::ranges::find(routes(), path.normal, &Route::path);
  if (route == routes().end()) return {.answer = error(ErrorCode::not_found, "no such route", head.request_id)};
  const std::string_view method = head.method == "HEAD" ? "GET" : head.method;
  if (method != route->method) {
    net::Response refused = error(ErrorCode::method_not_allowed, "", head.request_id);
    refused.headers.push_back({"Allow", std::string(route->method)});
    return {.answer = std::move(refused)};
  }
  const auto index = static_cast<std::size_t>(route - routes().begin());
  if (index == kHealth) return {.answer = health(head.request_id)};
  return {.route = &route->info, .route_index = index};
}

net::Response LocalApi::handle(net::Request&& request) {
  std::string target = request.path;
  if (!request.query.empty()) (target += '?') += request.query;
  const auto authorized = request.header_count("Authorization") > 1
                              ? Result<void>(fail(ErrorCode::invalid_token, "two credentials"))
                              : tokens_.check(request.header("Authorization").value_or(""),
                                              {.method = request.method, .target = target, .body = request.body});
  if (!authorized) return error(authorized.error(), request.request_id);
  switch (request.route) {
    case kStatus: return status();
    case kSync: return sync(request);
    case kReattest: return reattest(request);
    default: return error(ErrorCode::not_found, "no such route", request.request_id);
  }
}

net::Response LocalApi::health(std::string_view request_id) {
  if (const auto allowed = health_limit_.take(""); !allowed.allowed) {
    Error limited{.code = ErrorCode::rate_limited};
    limited.retry_after = allowed.retry_after;
    return error(limited, request_id);
  }
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
  return answer(200, json::write(out));
}

net::Response LocalApi::sync(const net::Request& request) {
  if (const auto allowed = sync_limit_.take(""); !allowed.allowed) {
    Error limited{.code = ErrorCode::rate_limited};
    limited.retry_after = allowed.retry_after;
    return error(limited, request.request_id);
  }
  hooks_.sync();
  return answer(202, "{}");
}

net::Response LocalApi::reattest(const net::Request& request) {
  if (!hooks_.reattest()) {
    Error limited{.code = ErrorCode::rate_limited};
    limited.retry_after = 60s;
    return error(limited, request.request_id);
  }
  return answer(202, "{}");
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
