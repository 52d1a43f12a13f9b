#include "cp/integration/cloudflare/cloudflare_client.h"

#include <fmt/format.h>
#include <boost/describe.hpp>
#include <boost/json/array.hpp>
#include <boost/json/string.hpp>

#include <algorithm>
#include <array>

#include "common/bytes.h"
#include "common/id.h"
#include "common/json.h"
#include "common/outside_calls.h"
#include "common/require.h"
#include "cp/integration/cloudflare/cloudflare_call.h"

namespace ee::cp::cloudflare {
namespace {

constexpr Milliseconds kConnectTimeout{5000};
constexpr std::array<std::int64_t, 2> kRetryDelaysMs = {500, 2000};
constexpr std::size_t kTunnelSecretBytes = 32;

struct CreateTunnelBody {
  std::string name;
  std::string config_src = "cloudflare";
  std::string tunnel_secret;
};
BOOST_DESCRIBE_STRUCT(CreateTunnelBody, (), (name, config_src, tunnel_secret))

std::string ingress_body(std::string_view hostname, std::string_view service) {
  return fmt::format(R"({{"config":{{"ingress":[{{"hostname":{},"service":{}}},{{"service":"http_status:404"}}]}}}})",
                     json::quote(hostname), json::quote(service));
}

}  // namespace

std::string_view to_string(Failure failure) {
  switch (failure) {
    case Failure::name_exists: return "name_exists";
    case Failure::has_connections: return "has_connections";
    case Failure::gone: return "gone";
    case Failure::record_exists: return "record_exists";
    case Failure::bad_token: return "bad_token";
    case Failure::rate_limited: return "rate_limited";
    case Failure::over_budget: return "over_budget";
    case Failure::transient: return "transient";
    case Failure::refused: return "refused";
    case Failure::cancelled: return "cancelled";
  }
  return "unknown";
}

std::string CloudflareError::short_text() const {
  if (code != 0) return fmt::format("{}_{}", to_string(failure), code);
  if (http_status != 0) return fmt::format("{}_http_{}", to_string(failure), http_status);
  return std::string(to_string(failure));
}

CloudflareClient::CloudflareClient(HttpClient& http, Clock& clock, Random& random, CloudflareConfigSource config,
                                   Observer observe)
    : http_(http), clock_(clock), random_(random), config_(std::move(config)), observe_(std::move(observe)) {}

std::optional<CloudflareError> CloudflareClient::blocked() {
  const std::lock_guard lock(mutex_);
  const SteadyTime now = clock_.steady_now();
  const auto left = [&](SteadyTime until) { return std::chrono::ceil<Seconds>(until - now); };
  if (circuit_closes_at_ && now < *circuit_closes_at_)
    return CloudflareError{.failure = Failure::bad_token,
                           .detail = "the API token was refused a moment ago",
                           .retry_after = left(*circuit_closes_at_)};
  if (paused_until_ && now < *paused_until_)
    return CloudflareError{.failure = Failure::rate_limited,
                           .detail = "all calls pause after a rate limit",
                           .retry_after = left(*paused_until_)};
  return std::nullopt;
}

void CloudflareClient::learn(const CloudflareError& error) {
  const std::lock_guard lock(mutex_);
  const SteadyTime now = clock_.steady_now();
  if (error.failure == Failure::bad_token) circuit_closes_at_ = now + kCircuitOpen;
  if (error.failure == Failure::rate_limited && error.retry_after) {
    const SteadyTime until = now + *error.retry_after;
    paused_until_ = std::max(paused_until_.value_or(until), until);
  }
}

std::optional<CloudflareError> CloudflareClient::take_budget(const Call& call, const CloudflareConfig& config,
                                                             const CallContext& context) {
  for (;;) {
    const SteadyTime now = clock_.steady_now();
    const auto wait = budget_.take(call.deletion, config.calls_per_5min, now);
    if (!wait) return std::nullopt;
    if (!context.wait_for_budget || *wait >= context.deadline - now)
      return CloudflareError{.failure = Failure::over_budget,
                             .detail = "no call left in the budget",
                             .retry_after = std::chrono::ceil<Seconds>(*wait)};
    if (!clock_.sleep_for(*wait, context.stop)) return error_of(HttpFailure::cancelled);
  }
}

CfResult<Envelope> CloudflareClient::attempt(const Call& call, const CloudflareConfig& config,
                                             const CallContext& context) {
  if (context.stop.stop_requested()) return std::unexpected(error_of(HttpFailure::cancelled));
  if (auto error = blocked()) return std::unexpected(std::move(*error));
  if (auto error = take_budget(call, config, context)) return std::unexpected(std::move(*error));
  const auto left = context.deadline == SteadyTime::max()
                        ? config.timeout
                        : std::chrono::duration_cast<Milliseconds>(context.deadline - clock_.steady_now());
  if (left <= Milliseconds(0)) return std::unexpected(error_of(HttpFailure::timeout));

  HttpClientRequest request{.method = call.method, .url = config.api_url + call.path};
  request.headers.push_back({"Authorization", "Bearer " + config.api_token.reveal()});
  if (!call.body.empty()) request.headers.push_back({"Content-Type", "application/json"});
  request.body = call.body;
  request.connect_timeout = std::min(kConnectTimeout, left);
  request.total_timeout = std::min(config.timeout, left);
  request.max_response_bytes = kMaxAnswerBytes;
  request.stop = context.stop;
  const auto response = http_.send(request);
  if (observe_) observe_(call.op, response ? std::to_string(response->status) : to_string(response.error()));
  if (!response) return std::unexpected(error_of(response.error()));
  auto envelope = read_envelope(*response, call.subject);
  if (!envelope) learn(envelope.error());
  return envelope;
}

CfResult<Envelope> CloudflareClient::call(const Call& call, const CallContext& context) {
  require(outside_calls_allowed());
  const CloudflareConfig config = config_();
  const bool repeatable = call.method != "POST";
  for (std::size_t retry = 0;; ++retry) {
    auto result = attempt(call, config, context);
    if (result || result.error().failure != Failure::transient || !repeatable || retry == kRetryDelaysMs.size())
      return result;
    const std::int64_t middle = kRetryDelaysMs[retry];
    const Milliseconds delay(random_.between(middle / 2, middle + middle / 2));
    if (context.deadline != SteadyTime::max() && delay >= context.deadline - clock_.steady_now()) return result;
    if (!clock_.sleep_for(delay, context.stop)) return std::unexpected(error_of(HttpFailure::cancelled));
  }
}

// ---- tunnels --------------------------------------------------------------------------------------------------------

CfResult<CreatedTunnel> CloudflareClient::create_tunnel(const std::string& name, const CallContext& context) {
  ByteArray<kTunnelSecretBytes> secret{};
  if (!random_.fill(secret)) return std::unexpected(CloudflareError{.detail = "no random bytes"});
  CreateTunnelBody body{.name = name, .tunnel_secret = to_base64(secret)};
  Call request{.op = "create_tunnel",
               .method = "POST",
               .path = fmt::format("/accounts/{}/cfd_tunnel", config_().account_id),
               .subject = Subject::tunnel,
               .body = json::write(body)};
  wipe(body.tunnel_secret);
  const auto envelope = call(request, context);
  wipe(request.body);
  if (!envelope) return std::unexpected(envelope.error());
  return created_tunnel_of(envelope->result);
}

CfResult<std::vector<Tunnel>> CloudflareClient::read_tunnel_page(const Envelope& envelope) {
  if (!envelope.result.is_array()) return std::unexpected(malformed("a list of tunnels that is none"));
  std::vector<Tunnel> tunnels;
  for (const auto& item : envelope.result.get_array()) {
    auto tunnel = tunnel_of(item);
    if (!tunnel) return std::unexpected(tunnel.error());
    tunnels.push_back(std::move(*tunnel));
  }
  return tunnels;
}

CfResult<std::vector<Tunnel>> CloudflareClient::find_tunnels(const std::string& name, const CallContext& context) {
  const auto envelope = call({.op = "find_tunnel",
                              .method = "GET",
                              .path = fmt::format("/accounts/{}/cfd_tunnel?name={}&is_deleted=false",
                                                  config_().account_id, percent_encode(name)),
                              .subject = Subject::tunnel},
                             context);
  if (!envelope) return std::unexpected(envelope.error());
  auto tunnels = read_tunnel_page(*envelope);
  // The filter is the API's business, the exact match is ours.
  if (tunnels) std::erase_if(*tunnels, [&](const Tunnel& tunnel) { return tunnel.name != name; });
  return tunnels;
}

CfResult<std::vector<Tunnel>> CloudflareClient::list_tunnels(const std::string& name_prefix,
                                                             const CallContext& context) {
  std::vector<Tunnel> all;
  for (std::size_t page = 1; page <= kMaxPages; ++page) {
    const auto envelope =
        call({.op = "list_tunnels",
              .method = "GET",
              .path = fmt::format("/accounts/{}/cfd_tunnel?include_prefix={}&is_deleted=false&per_page={}&page={}",
                                  config_().account_id, percent_encode(name_prefix), kPerPage, page),
              .subject = Subject::tunnel},
             context);
    if (!envelope) return std::unexpected(envelope.error());
    auto tunnels = read_tunnel_page(*envelope);
    if (!tunnels) return tunnels;
    const std::size_t count = tunnels->size();
    for (Tunnel& tunnel : *tunnels)
      if (tunnel.name.starts_with(name_prefix)) all.push_back(std::move(tunnel));
    if (is_last_page(*envelope, page, count)) return all;
  }
  return std::unexpected(malformed("a list of tunnels that does not end"));
}

CfResult<Tunnel> CloudflareClient::get_tunnel(const std::string& tunnel_id, const CallContext& context) {
  const auto envelope = call({.op = "get_tunnel",
                              .method = "GET",
                              .path = fmt::format("/accounts/{}/cfd_tunnel/{}", config_().account_id, tunnel_id),
                              .subject = Subject::tunnel},
                             context);
  if (!envelope) return std::unexpected(envelope.error());
  // A deleted one is still told of.
  const auto* object = envelope->result.if_object();
  const auto* deleted_at = object == nullptr ? nullptr : object->if_contains("deleted_at");
  if (deleted_at != nullptr && deleted_at->is_string())
    return std::unexpected(CloudflareError{.failure = Failure::gone, .http_status = 200, .detail = "deleted"});
  auto tunnel = tunnel_of(envelope->result);
  if (tunnel && tunnel->id != tunnel_id) return std::unexpected(malformed("another tunnel than the one asked for"));
  return tunnel;
}

CfResult<Secret> CloudflareClient::tunnel_token(const std::string& tunnel_id, const CallContext& context) {
  const auto envelope = call({.op = "tunnel_token",
                              .method = "GET",
                              .path = fmt::format("/accounts/{}/cfd_tunnel/{}/token", config_().account_id, tunnel_id),
                              .subject = Subject::tunnel},
                             context);
  if (!envelope) return std::unexpected(envelope.error());
  if (!envelope->result.is_string() || envelope->result.get_string().empty())
    return std::unexpected(malformed("a tunnel token that is none"));
  return Secret(std::string(envelope->result.get_string()));
}

CfResult<void> CloudflareClient::configure_tunnel(const std::string& tunnel_id, const std::string& hostname,
                                                  const std::string& service, const CallContext& context) {
  const auto envelope =
      call({.op = "configure_tunnel",
            .method = "PUT",
            .path = fmt::format("/accounts/{}/cfd_tunnel/{}/configurations", config_().account_id, tunnel_id),
            .subject = Subject::tunnel,
            .body = ingress_body(hostname, service)},
           context);
  if (!envelope) return std::unexpected(envelope.error());
  return {};
}

CfResult<void> CloudflareClient::drop_connections(const std::string& tunnel_id, const CallContext& context) {
  const auto envelope =
      call({.op = "drop_connections",
            .method = "DELETE",
            .path = fmt::format("/accounts/{}/cfd_tunnel/{}/connections", config_().account_id, tunnel_id),
            .subject = Subject::tunnel,
            .deletion = true},
           context);
  if (!envelope) return std::unexpected(envelope.error());
  return {};
}

CfResult<void> CloudflareClient::delete_tunnel(const std::string& tunnel_id, const CallContext& context) {
  const auto envelope = call({.op = "delete_tunnel",
                              .method = "DELETE",
                              .path = fmt::format("/accounts/{}/cfd_tunnel/{}", config_().account_id, tunnel_id),
                              .subject = Subject::tunnel,
                              .deletion = true},
                             context);
  if (!envelope) return std::unexpected(envelope.error());
  return {};
}

CfResult<void> CloudflareClient::verify_token(const CallContext& context) {
  const auto envelope =
      call({.op = "verify_token", .method = "GET", .path = "/user/tokens/verify", .subject = Subject::token}, context);
  if (!envelope) return std::unexpected(envelope.error());
  return {};
}

CloudflareClient::Status CloudflareClient::status() {
  const CloudflareConfig config = config_();
  const SteadyTime now = clock_.steady_now();
  const UtcTime utc = clock_.now();
  Status status{.budget_remaining = budget_.remaining(config.calls_per_5min, now)};
  const std::lock_guard lock(mutex_);
  const auto in_utc = [&](SteadyTime at) { return utc + std::chrono::ceil<Milliseconds>(at - now); };
  if (circuit_closes_at_ && now < *circuit_closes_at_) status.circuit_closes_at = in_utc(*circuit_closes_at_);
  if (paused_until_ && now < *paused_until_) status.paused_until = in_utc(*paused_until_);
  return status;
}

}  // namespace ee::cp::cloudflare
