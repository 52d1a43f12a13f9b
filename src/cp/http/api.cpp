#include "cp/http/api.h"

#include <exception>
#include <utility>

#include "common/require.h"
#include "cp/http/answers.h"
#include "net/client_address.h"
#include "net/stream.h"

namespace ee::cp {
namespace {

/// Statuses and fields of a refusal that is given before a body was read.
net::Response refusal(ErrorCode code, std::string_view request_id, std::string detail = {}) {
  return error_answer(Error{.code = code, .detail = std::move(detail)}, request_id);
}

bool is_unsafe(std::string_view method) { return method != "GET" && method != "HEAD" && method != "OPTIONS"; }

/// Whether one element of a comma list is JSON, a range that holds it, or `also` (empty: nothing else).
bool accepts(std::string_view accept, std::string_view also) {
  while (!accept.empty()) {
    const std::size_t comma = accept.find(',');
    std::string_view item = accept.substr(0, comma);
    accept = comma == std::string_view::npos ? std::string_view{} : accept.substr(comma + 1);
    item = item.substr(0, item.find(';'));
    while (item.starts_with(' ') || item.starts_with('\t')) item.remove_prefix(1);
    while (item.ends_with(' ') || item.ends_with('\t')) item.remove_suffix(1);
    for (const std::string_view range : {"*/*", "application/*", "application/json", "application/problem+json"})
      if (net::equal_ignoring_case(item, range)) return true;
    if (!also.empty() && net::equal_ignoring_case(item, also)) return true;
  }
  return false;
}

/// Reads and writes are counted by who makes them: all keys of an account together.
std::string rate_key(const Call& call) {
  if (call.principal.kind == PrincipalKind::anonymous) return net::rate_limit_key(call.request.client_address);
  if (call.principal.kind == PrincipalKind::account) return "account:" + call.principal.account_id->str();
  return call.principal.actor();
}

PathIds ids_of(const net::Request& request) {
  return {.agent_id = request.param("agent_id"), .account_id = request.param("account_id")};
}

}  // namespace

Result<void> check_media_types(const net::Request& request, bool has_json_body, std::string_view also_answers) {
  if (const auto coding = request.header("Content-Encoding"); coding && !net::equal_ignoring_case(*coding, "identity"))
    return fail(ErrorCode::unsupported_media_type, "request bodies are not compressed");
  if (has_json_body) {
    const auto type = request.header("Content-Type");
    const std::string_view media = type ? type->substr(0, type->find(';')) : std::string_view{};
    if (!net::equal_ignoring_case(media, "application/json"))
      return fail(ErrorCode::unsupported_media_type, "send Content-Type: application/json");
  }
  if (const auto accept = request.header("Accept"); accept && !accept->empty() && !accepts(*accept, also_answers))
    return fail(ErrorCode::not_acceptable, "answers are application/json");
  return {};
}

Api::Api(std::vector<Route> routes, Authenticator& authenticator, RateLimits& limits, ApiHooks hooks)
    : routes_(std::move(routes)), authenticator_(authenticator), limits_(limits), hooks_(std::move(hooks)) {
  infos_.reserve(routes_.size());
  for (const Route& route : routes_) {
    const std::size_t index = router_.add(std::string(route.method) + " " + std::string(route.pattern));
    require(index == infos_.size() && static_cast<bool>(route.handle));
    require(access_problem(route.rule(), route.pattern).empty());
    infos_.push_back({.route_template = std::string(route.pattern),
                      .max_body_bytes = route.max_body_bytes,
                      .handler_timeout = route.timeout,
                      .fast = static_cast<bool>(route.fast),
                      .outside = route.outside,
                      .reserved = route.reserved,
                      .shed = route.shed,
                      .bound = route.bound});
  }
}

std::shared_ptr<net::StreamHandler> Api::open_stream(const net::RequestHead& head) {
  return hooks_.open_stream ? hooks_.open_stream(head) : nullptr;
}

net::Admission Api::admit(const net::RequestHead& head) {
  net::RouteMatch match = router_.match(head.method, head.path);
  switch (match.outcome) {
    case net::RouteOutcome::found: break;
    case net::RouteOutcome::not_found: return {.answer = refusal(ErrorCode::not_found, head.request_id)};
    case net::RouteOutcome::bad_path: return {.answer = refusal(ErrorCode::bad_path, head.request_id)};
    case net::RouteOutcome::method_not_allowed: {
      net::Response response = refusal(ErrorCode::method_not_allowed, head.request_id);
      response.headers.push_back({"Allow", match.allow});
      return {.answer = std::move(response)};
    }
  }
  const Route& route = routes_[match.index];
  // Before a byte of the body is read: what is known of the caller so far is the address.
  if (is_keyed_by_address(route)) {
    if (const auto refused = limits_.take(route.rate, net::rate_limit_key(head.client_address)))
      return {.route = &infos_[match.index], .answer = rate_limited_answer(*refused, head.request_id)};
  }
  if (!route.in_maintenance && hooks_.maintenance)
    if (const auto refused = hooks_.maintenance())
      return {.route = &infos_[match.index], .answer = error_answer(*refused, head.request_id)};
  if (route.gate)
    if (const auto refused = route.gate(head.client_address))
      return {.route = &infos_[match.index], .answer = error_answer(*refused, head.request_id)};
  return {.route = &infos_[match.index], .route_index = match.index, .params = std::move(match.params)};
}

bool Api::is_keyed_by_address(const Route& route) {
  return route.access == Access::open && route.rate != RateClass::none;
}

std::optional<net::Response> Api::try_fast(net::Request& request) { return routes_[request.route].fast(request); }

net::Response Api::handle(net::Request&& request) {
  const Route& route = routes_[request.route];
  Call call{.request = request};
  auto answered = run(route, call);
  net::Response response = answered ? std::move(*answered) : error_answer(answered.error(), request.request_id);
  if (call.principal.kind != PrincipalKind::anonymous) response.principal = call.principal.actor();
  return response;
}

Result<net::Response> Api::run(const Route& route, Call& call) {
  const net::Request& request = call.request;
  if (!route.any_accept)
    if (auto media = check_media_types(request, static_cast<bool>(route.doc.request), route.also_answers); !media)
      return std::unexpected(media.error());
  if (route.access != Access::open) {
    auto principal = authenticator_.authenticate(credentials_of(request));
    if (!principal) return std::unexpected(principal.error());
    call.principal = *principal;
    if (auto allowed = check_access(route.rule(), call.principal, ids_of(request)); !allowed) {
      if (hooks_.refused && call.principal.kind != PrincipalKind::anonymous)
        hooks_.refused(route, call, allowed.error());
      return std::unexpected(allowed.error());
    }
    if (route.rate != RateClass::none) {
      if (const auto refused = limits_.take(route.rate, rate_key(call)))
        return rate_limited_answer(*refused, request.request_id);
    }
  }
  return route.handle(call);
}

Credentials credentials_of(const net::Request& request) {
  return {.authorization = request.header("Authorization").value_or(""),
          .authorization_count = request.header_count("Authorization"),
          .cookie = request.header("Cookie").value_or(""),
          .unsafe_method = is_unsafe(request.method),
          .csrf_token = request.header("X-CSRF-Token"),
          .origin = request.header("Origin"),
          .referer = request.header("Referer"),
          .sec_fetch_site = request.header("Sec-Fetch-Site"),
          .client_address = request.client_address,
          .request_id = request.request_id,
          .stop = request.stop};
}

void Api::observe(const net::AccessRecord& record) {
  if (hooks_.observe) hooks_.observe(record);
}

bool Api::allows_origin(std::string_view origin) { return hooks_.allows_origin && hooks_.allows_origin(origin); }

}  // namespace ee::cp
