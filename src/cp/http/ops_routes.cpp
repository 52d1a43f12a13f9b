#include "cp/http/ops_routes.h"

#include "common/bytes.h"
#include "common/crypto.h"
#include "cp/http/answers.h"
#include "net/client_address.h"

namespace ee::cp {
namespace {

net::Response get_health(const OpsRoutes& context) {
  const bool alive = context.health.alive();
  net::Response response = json_answer(alive ? 200 : 503, context.health.health());
  if (!alive) response.code = slug(ErrorCode::internal_error);  // in the access log it is a fault
  return response;
}

net::Response get_ready(const OpsRoutes& context) {
  const ReadyView view = context.health.ready();
  return json_answer(view.ready ? 200 : 503, view);
}

net::Response get_metrics(OpsRoutes& context, const net::Request& request) {
  if (!may_read_metrics(context, request))
    return error_answer(Error{.code = ErrorCode::metrics_forbidden}, request.request_id);
  net::Response response{.status = 200};
  response.headers.push_back({"Content-Type", "text/plain; version=0.0.4; charset=utf-8"});
  response.body = context.metrics.text();
  return response;
}

bool is_loopback(std::string_view address) {
  const auto ip = net::parse_ip(address);
  static const auto v4 = net::parse_network("127.0.0.0/8");
  static const auto v6 = net::parse_network("::1/128");
  return address == "unix" || (ip && (v4->contains(*ip) || v6->contains(*ip)));
}

}  // namespace

bool may_read_metrics(const OpsRoutes& context, const net::Request& request) {
  if (context.metrics_token.empty()) return context.dev || is_loopback(request.client_address);
  const std::string_view sent = request.header("Authorization").value_or("");
  constexpr std::string_view scheme = "Bearer ";
  if (sent.size() <= scheme.size() || !net::equal_ignoring_case(sent.substr(0, scheme.size()), scheme)) return false;
  // Digests, so that the comparison takes the same time whatever was sent.
  return constant_time_equal(sha256(bytes_of(sent.substr(scheme.size()))),
                             sha256(bytes_of(context.metrics_token.reveal())));
}

void add_metrics_route(std::vector<Route>& table, OpsRoutes& context) {
  table.push_back(
      {.method = "GET",
       .pattern = "/metrics",
       .access = Access::open,
       .rate = RateClass::none,
       .handle = [&context](const Call& call) { return get_metrics(context, call.request); },
       .doc = {.summary = "Metrics in the Prometheus text format 0.0.4.",
               .tag = "operations",
               .answers = {{200, "The metrics.", [](json::SchemaSet&) { return std::string(R"({"type":"string"})"); },
                            "text/plain"}}},
       .reserved = true,
       .shed = net::Shed::never});
}

void add_ops_routes(std::vector<Route>& table, OpsRoutes& context) {
  // Both answer from memory: on the io thread, whatever the workers wait for.
  table.push_back({.method = "GET",
                   .pattern = "/health",
                   .access = Access::open,
                   .rate = RateClass::none,
                   .handle = [&context](const Call&) { return get_health(context); },
                   .doc = {.summary = "Liveness and a summary.",
                           .tag = "operations",
                           .answers = {{200, "The process works.", answer_schema<HealthView>()},
                                       {503, "It does not.", answer_schema<HealthView>()}}},
                   .fast = [&context](const net::Request&) { return std::optional(get_health(context)); },
                   .reserved = true,
                   .shed = net::Shed::never});
  table.push_back({.method = "GET",
                   .pattern = "/ready",
                   .access = Access::open,
                   .rate = RateClass::none,
                   .handle = [&context](const Call&) { return get_ready(context); },
                   .doc = {.summary = "Whether requests should be sent here.",
                           .tag = "operations",
                           .answers = {{200, "Ready.", answer_schema<ReadyView>()},
                                       {503, "Not ready: why.", answer_schema<ReadyView>()}}},
                   .fast = [&context](const net::Request&) { return std::optional(get_ready(context)); },
                   .reserved = true,
                   .shed = net::Shed::never});
  if (context.metrics_here) add_metrics_route(table, context);
  table.push_back({.method = "GET",
                   .pattern = "/openapi.json",
                   .access = Access::open,
                   .rate = RateClass::read,
                   .handle = [&context](const Call&) { return json_text(200, *context.openapi); },
                   .doc = {.summary = "This document.",
                           .tag = "operations",
                           .answers = {{200, "OpenAPI 3.1.",
                                        [](json::SchemaSet&) { return std::string(R"({"type":"object"})"); }}}},
                   .shed = net::Shed::first});
}

}  // namespace ee::cp
