#include "tests/standins/cloudflare/cloudflare_fake.h"

#include <fmt/format.h>
#include <boost/json.hpp>

#include <algorithm>

#include "tests/standins/cloudflare/cloudflare_api.h"

namespace ee::standins {
namespace {

namespace bj = boost::json;

constexpr std::size_t kMaxLog = 100'000;

std::string without_secret(const std::string& body) {
  const auto at = body.find("\"tunnel_secret\":\"");
  if (at == body.npos) return body;
  const auto from = at + std::string_view("\"tunnel_secret\":\"").size();
  const auto to = body.find('"', from);
  return to == body.npos ? body : body.substr(0, from) + "***" + body.substr(to);
}

bj::value ingress_json(const FakeTunnel& tunnel) {
  bj::array rules;
  for (const auto& rule : tunnel.ingress) {
    bj::object item;
    if (!rule.hostname.empty()) item["hostname"] = rule.hostname;
    item["service"] = rule.service;
    rules.push_back(item);
  }
  return rules;
}

}  // namespace

CloudflareFake::CloudflareFake(Config config, const Clock& clock, Random& random)
    : config_(std::move(config)), clock_(clock), state_(random) {}

CloudflareFake::~CloudflareFake() {
  const std::lock_guard lock(mutex_);
  closing_ = true;
  wake_.notify_all();
}

std::optional<net::Response> CloudflareFake::before(const net::Request& request, std::string_view path,
                                                    bool& drop_after) {
  std::unique_lock lock(mutex_);
  ++calls_;
  const auto bearer = request.header("authorization");
  const bool authorized = bearer && *bearer == "Bearer " + config_.api_token;
  if (log_.size() < kMaxLog)
    log_.push_back({.method = request.method,
                    .path = request.path,
                    .query = request.query,
                    .body = without_secret(request.body),
                    .at = clock_.now(),
                    .authorized = authorized});
  if (const auto fault = faults_.take(calls_, request.method, path)) {
    using K = Fault::Kind;
    switch (fault->kind) {
      case K::status: return cloudflare_refusal(fault->status, fault->code, "injected", fault->retry_after_seconds);
      case K::drop_before: {
        net::Response response;
        response.drop = true;
        return response;
      }
      case K::drop_after: drop_after = true; break;
      case K::malformed: return cloudflare_raw(R"({"success":true,"errors":[],"result":{"id":)");
      case K::success_false: return cloudflare_raw(R"({"success":false,"errors":[],"messages":[],"result":null})");
      case K::oversized:
        return cloudflare_raw(R"({"success":true,"errors":[],"messages":[],"result":")" +
                              std::string(fault->body_bytes, 'x') + "\"}");
      case K::delay: wake_.wait_for(lock, fault->delay, [this] { return closing_; }); break;
    }
  }
  if (calls_until_limit_) {
    if (*calls_until_limit_ == 0) return cloudflare_refusal(429, 10429, "rate limited", retry_after_seconds_);
    --*calls_until_limit_;
  }
  if (!authorized) return cloudflare_refusal(403, 10000, "Authentication error", {});
  return std::nullopt;
}

net::Response CloudflareFake::api(const net::Request& request, std::string_view path) {
  bool drop_after = false;
  if (auto early = before(request, path, drop_after)) return std::move(*early);
  const std::lock_guard lock(mutex_);
  auto response = cloudflare_api(state_, {.account_id = config_.account_id, .zone_id = config_.zone_id}, request, path,
                                 clock_.now());
  response.drop = drop_after;
  return response;
}

net::Response CloudflareFake::handle(const net::Request& request) {
  if (request.path.starts_with("/__fake/")) return hook(request);
  if (!request.path.starts_with(config_.base_path + "/"))
    return cloudflare_refusal(404, 7000, "No route for that URI", {});
  return api(request, std::string_view(request.path).substr(config_.base_path.size()));
}

// ---- hooks ----------------------------------------------------------------------------------------------------------

namespace {

std::optional<Fault> fault_of(const bj::object& body) {
  Fault fault;
  const auto number = [&](const char* name) -> std::optional<std::int64_t> {
    const auto* value = body.if_contains(name);
    if (value == nullptr || !value->is_int64()) return std::nullopt;
    return value->get_int64();
  };
  const auto text = [&](const char* name) {
    const auto* value = body.if_contains(name);
    return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
  };
  const auto kind = fault_kind_of(text("kind"));
  if (!kind) return std::nullopt;
  fault.kind = *kind;
  if (const auto n = number("call_number")) fault.call_number = static_cast<int>(*n);
  fault.method = text("method");
  fault.path_contains = text("path_contains");
  fault.times = static_cast<int>(number("times").value_or(1));
  fault.status = static_cast<int>(number("status").value_or(500));
  fault.code = static_cast<int>(number("code").value_or(0));
  if (const auto n = number("retry_after_seconds")) fault.retry_after_seconds = static_cast<int>(*n);
  fault.body_bytes = static_cast<std::size_t>(number("body_bytes").value_or(5L * 1024 * 1024));
  fault.delay = Milliseconds(number("delay_ms").value_or(0));
  return fault;
}

}  // namespace

net::Response CloudflareFake::hook(const net::Request& request) {
  const auto secret = request.header("x-fake-secret");
  if (!secret || *secret != config_.hook_secret) return cloudflare_refusal(403, 0, "wrong hook secret", {});
  const auto ok = [](const std::string& body = "{}") { return cloudflare_raw(body); };
  const std::string route = request.method + " " + request.path.substr(std::string_view("/__fake/").size());
  if (route == "GET state") return ok(dump_json());
  if (route == "GET requests") {
    bj::array items;
    for (const auto& logged : requests())
      items.push_back({{"method", logged.method},
                       {"path", logged.path},
                       {"query", logged.query},
                       {"body", logged.body},
                       {"at", to_rfc3339(logged.at)},
                       {"authorized", logged.authorized}});
    return ok(bj::serialize(items));
  }
  if (route == "POST reset") return reset(), ok();
  if (route == "DELETE faults") return clear_faults(), ok();
  if (route == "DELETE rate_limit") return clear_rate_limit(), ok();

  boost::system::error_code error;
  const auto parsed = bj::parse(request.body, error);
  if (error || !parsed.is_object()) return cloudflare_refusal(400, 6003, "invalid hook body", {});
  const bj::object& body = parsed.get_object();
  const auto integer = [&](const char* name, std::int64_t otherwise) {
    const auto* value = body.if_contains(name);
    return value != nullptr && value->is_int64() ? value->get_int64() : otherwise;
  };
  const auto text = [&](const char* name) {
    const auto* value = body.if_contains(name);
    return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
  };
  if (route == "POST faults") {
    const auto fault = fault_of(body);
    if (!fault) return cloudflare_refusal(400, 6003, "unknown kind of fault", {});
    inject(*fault);
    return ok();
  }
  if (route == "POST rate_limit") {
    set_rate_limit(static_cast<int>(integer("calls", 0)), static_cast<int>(integer("retry_after_seconds", 300)));
    return ok();
  }
  if (route == "POST connections")
    return set_connections(text("tunnel_id"), static_cast<int>(integer("count", 0)))
               ? ok()
               : cloudflare_refusal(404, 1003, "no such tunnel", {});
  if (route == "POST connect")
    return connect(text("token"), static_cast<int>(integer("connections", 4)), text("origin"))
               ? ok()
               : cloudflare_refusal(401, 0, "unknown tunnel token", {});
  return cloudflare_refusal(404, 0, "no such hook", {});
}

void CloudflareFake::inject(Fault fault) {
  const std::lock_guard lock(mutex_);
  faults_.add(std::move(fault));
}
void CloudflareFake::clear_faults() {
  const std::lock_guard lock(mutex_);
  faults_.clear();
}
void CloudflareFake::set_rate_limit(int calls, int retry_after_seconds) {
  const std::lock_guard lock(mutex_);
  calls_until_limit_ = calls;
  retry_after_seconds_ = retry_after_seconds;
}
void CloudflareFake::clear_rate_limit() {
  const std::lock_guard lock(mutex_);
  calls_until_limit_.reset();
}
bool CloudflareFake::set_connections(const std::string& tunnel_id, int count) {
  const std::lock_guard lock(mutex_);
  FakeTunnel* tunnel = state_.find_tunnel(tunnel_id);
  if (tunnel == nullptr) return false;
  tunnel->connections = count;
  return true;
}
std::string CloudflareFake::add_record(FakeRecord record) {
  const std::lock_guard lock(mutex_);
  const UtcTime created = record.created_at == UtcTime{} ? clock_.now() : record.created_at;
  const auto made = state_.create_record(std::move(record), created);
  return made.value ? made.value->id : std::string();
}
std::string CloudflareFake::add_tunnel(const std::string& name, UtcTime created_at) {
  const std::lock_guard lock(mutex_);
  const auto made = state_.create_tunnel(name, "c2VjcmV0", created_at);
  return made.value ? made.value->id : std::string();
}

std::vector<LoggedRequest> CloudflareFake::requests() const {
  const std::lock_guard lock(mutex_);
  return log_;
}
int CloudflareFake::calls() const {
  const std::lock_guard lock(mutex_);
  return calls_;
}
std::vector<FakeTunnel> CloudflareFake::all_tunnels() const {
  const std::lock_guard lock(mutex_);
  return state_.tunnels();
}
std::vector<FakeTunnel> CloudflareFake::live_tunnels() const {
  auto tunnels = all_tunnels();
  std::erase_if(tunnels, [](const FakeTunnel& tunnel) { return tunnel.deleted_at.has_value(); });
  return tunnels;
}
std::vector<FakeRecord> CloudflareFake::records() const {
  const std::lock_guard lock(mutex_);
  return state_.records();
}

std::string CloudflareFake::dump_json() const {
  bj::array tunnels;
  for (const auto& tunnel : all_tunnels())
    tunnels.push_back({{"id", tunnel.id},
                       {"name", tunnel.name},
                       {"created_at", to_rfc3339(tunnel.created_at)},
                       {"deleted", tunnel.deleted_at.has_value()},
                       {"connections", tunnel.connections},
                       {"ingress", ingress_json(tunnel)}});
  bj::array items;
  for (const auto& record : records())
    items.push_back({{"id", record.id},
                     {"type", record.type},
                     {"name", record.name},
                     {"content", record.content},
                     {"proxied", record.proxied},
                     {"comment", record.comment},
                     {"created_at", to_rfc3339(record.created_at)}});
  return bj::serialize(bj::object{{"tunnels", tunnels}, {"dns_records", items}, {"calls", calls()}});
}

void CloudflareFake::reset() {
  const std::lock_guard lock(mutex_);
  state_.clear();
  faults_.clear();
  log_.clear();
  calls_ = 0;
  calls_until_limit_.reset();
}

bool CloudflareFake::connect(const std::string& token, int connections, const std::string& origin) {
  const auto parts = parse_tunnel_token(token);
  if (!parts || parts->account != config_.account_id) return false;
  const std::lock_guard lock(mutex_);
  FakeTunnel* tunnel = state_.find_tunnel(parts->tunnel_id);
  if (tunnel == nullptr || tunnel->secret != parts->secret) return false;
  tunnel->connections = connections;
  tunnel->origin = connections > 0 ? origin : std::string();
  return true;
}

std::optional<std::string> CloudflareFake::route(std::string_view host) const {
  const std::lock_guard lock(mutex_);
  const auto record =
      std::ranges::find_if(state_.records(), [&](const FakeRecord& item) { return item.name == host && item.proxied; });
  if (record == state_.records().end()) return std::nullopt;
  for (const auto& tunnel : state_.tunnels()) {
    if (tunnel.deleted_at || tunnel.connections == 0 || record->content != tunnel.id + ".cfargotunnel.com") continue;
    for (const auto& rule : tunnel.ingress) {
      if (!rule.hostname.empty() && rule.hostname != host) continue;
      if (!rule.service.starts_with("http://")) return std::nullopt;  // http_status:404
      return tunnel.origin.empty() ? rule.service : tunnel.origin;
    }
  }
  return std::nullopt;
}

// ---- the direct client ----------------------------------------------------------------------------------------------

std::expected<HttpClientResponse, HttpFailure> CloudflareDirectClient::send(const HttpClientRequest& request) {
  if (const auto hook = before_each) hook(request);  // a copy: the hook may replace itself
  if (request.stop.stop_requested()) return std::unexpected(HttpFailure::cancelled);
  if (!request.url.starts_with(kUrl)) return std::unexpected(HttpFailure::resolve);
  const std::string_view origin = "http://cloudflare.test";
  const std::string target = request.url.substr(origin.size());
  const auto question = target.find('?');
  net::Request inner{.method = request.method,
                     .path = target.substr(0, question),
                     .query = question == target.npos ? std::string() : target.substr(question + 1),
                     .headers = request.headers,
                     .body = request.body,
                     .peer_address = "127.0.0.1",
                     .client_address = "127.0.0.1",
                     .request_id = "direct"};
  net::Response response = fake_.handle(inner);
  if (response.drop) return std::unexpected(HttpFailure::protocol);
  if (response.body.size() > request.max_response_bytes) return std::unexpected(HttpFailure::answer_too_large);
  return HttpClientResponse{
      .status = response.status, .headers = std::move(response.headers), .body = std::move(response.body)};
}

}  // namespace ee::standins
