#include "tests/standins/cloudflare/cloudflare_api.h"

#include <fmt/format.h>
#include <boost/json.hpp>

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <map>

#include "common/bytes.h"

namespace ee::standins {
namespace {

namespace bj = boost::json;
using Refusal = CloudflareState::Refusal;

constexpr Refusal kBadBody{400, 6003, "Invalid request body"};
constexpr std::size_t kTunnelSecretBytes = 32;

net::Response refuse(const Refusal& refusal) {
  return cloudflare_refusal(refusal.status, refusal.code, refusal.message, {});
}

net::Response answer(const bj::value& result, std::optional<bj::object> info = {}) {
  bj::object body = {{"success", true}, {"errors", bj::array()}, {"messages", bj::array()}, {"result", result}};
  if (info) body["result_info"] = *info;
  return cloudflare_raw(bj::serialize(body));
}

std::string decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      if (const auto byte = from_hex(text.substr(i + 1, 2))) {
        out += static_cast<char>(byte->front());
        i += 2;
        continue;
      }
    }
    out += text[i] == '+' ? ' ' : text[i];
  }
  return out;
}

std::map<std::string, std::string> query_of(std::string_view query) {
  std::map<std::string, std::string> out;
  while (!query.empty()) {
    const auto pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    const auto equals = pair.find('=');
    if (equals != pair.npos) out[decode(pair.substr(0, equals))] = decode(pair.substr(equals + 1));
  }
  return out;
}

std::int64_t number_of(const std::map<std::string, std::string>& query, const std::string& name, std::int64_t otherwise,
                       std::int64_t most) {
  const auto it = query.find(name);
  std::int64_t value = otherwise;
  if (it != query.end()) std::from_chars(it->second.data(), it->second.data() + it->second.size(), value);
  return std::clamp<std::int64_t>(value, 1, most);
}

/// One page of `items`, with `result_info`.
net::Response page_of(const std::vector<bj::value>& items, const std::map<std::string, std::string>& query) {
  const auto per_page = static_cast<std::size_t>(number_of(query, "per_page", 20, 1000));
  const auto page = static_cast<std::size_t>(number_of(query, "page", 1, 1'000'000));
  bj::array result;
  for (std::size_t i = (page - 1) * per_page; i < std::min(items.size(), page * per_page); ++i)
    result.push_back(items[i]);
  const std::size_t pages = (items.size() + per_page - 1) / per_page;
  const std::size_t count = result.size();
  return answer(result, bj::object{{"page", page},
                                   {"per_page", per_page},
                                   {"count", count},
                                   {"total_count", items.size()},
                                   {"total_pages", pages}});
}

/// The body as an object with no other members than these. Nothing: 6003.
std::optional<bj::object> body_of(const net::Request& request, std::initializer_list<std::string_view> known) {
  boost::system::error_code error;
  const auto parsed = bj::parse(request.body, error);
  if (error || !parsed.is_object()) return std::nullopt;
  for (const auto& member : parsed.get_object())
    if (std::ranges::find(known, std::string_view(member.key())) == known.end()) return std::nullopt;
  return parsed.get_object();
}

std::optional<std::string> text_of_member(const bj::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  if (value == nullptr || !value->is_string()) return std::nullopt;
  return std::string(value->get_string());
}

// ---- tunnels --------------------------------------------------------------------------------------------------------

bj::object tunnel_json(const CloudflareIds& ids, const FakeTunnel& tunnel) {
  bj::array connections;
  for (int i = 0; i < tunnel.connections; ++i) connections.push_back(bj::object{{"id", i}, {"colo_name", "TST"}});
  bj::object out = {{"id", tunnel.id},
                    {"account_tag", ids.account_id},
                    {"name", tunnel.name},
                    {"created_at", to_rfc3339(tunnel.created_at)},
                    {"deleted_at", nullptr},
                    {"connections", connections},
                    {"status", tunnel.connections > 0 ? "healthy" : "inactive"},
                    {"remote_config", true},
                    {"config_src", "cloudflare"}};
  if (tunnel.deleted_at) out["deleted_at"] = to_rfc3339(*tunnel.deleted_at);
  return out;
}

net::Response list_tunnels(const CloudflareState& state, const CloudflareIds& ids, std::string_view raw_query) {
  const auto query = query_of(raw_query);
  const auto value = [&](const char* name) {
    const auto it = query.find(name);
    return it == query.end() ? std::optional<std::string>() : std::optional(it->second);
  };
  std::vector<bj::value> items;
  for (const FakeTunnel& tunnel : state.tunnels()) {
    if (const auto name = value("name"); name && tunnel.name != *name) continue;
    if (const auto prefix = value("include_prefix"); prefix && !tunnel.name.starts_with(*prefix)) continue;
    if (const auto deleted = value("is_deleted"); deleted && tunnel.deleted_at.has_value() != (*deleted == "true"))
      continue;
    items.emplace_back(tunnel_json(ids, tunnel));
  }
  return page_of(items, query);
}

net::Response create_tunnel(CloudflareState& state, const CloudflareIds& ids, const net::Request& request,
                            UtcTime now) {
  const auto body = body_of(request, {"name", "config_src", "tunnel_secret"});
  if (!body) return refuse(kBadBody);
  const auto name = text_of_member(*body, "name");
  const auto secret = text_of_member(*body, "tunnel_secret");
  if (!name || name->empty() || !secret) return refuse(kBadBody);
  const auto bytes = from_base64(*secret);
  if (!bytes || bytes->size() < kTunnelSecretBytes) return refuse(kBadBody);
  const auto made = state.create_tunnel(*name, *secret, now);
  if (!made.value) return refuse(*made.refusal);
  auto json = tunnel_json(ids, *made.value);
  json["token"] = tunnel_token_text(ids.account_id, *made.value);
  return answer(json);
}

net::Response configure(CloudflareState& state, std::string_view id, const net::Request& request) {
  const auto body = body_of(request, {"config"});
  const auto* config = body ? body->if_contains("config") : nullptr;
  const auto* ingress =
      config != nullptr && config->is_object() ? config->get_object().if_contains("ingress") : nullptr;
  if (ingress == nullptr || !ingress->is_array()) return refuse(kBadBody);
  std::vector<FakeIngressRule> rules;
  for (const auto& item : ingress->get_array()) {
    if (!item.is_object()) return refuse(kBadBody);
    const auto service = text_of_member(item.get_object(), "service");
    if (!service) return refuse(kBadBody);
    rules.push_back({.hostname = text_of_member(item.get_object(), "hostname").value_or(""), .service = *service});
  }
  if (const auto refused = state.configure(id, std::move(rules))) return refuse(*refused);
  return answer(bj::object{{"tunnel_id", std::string(id)}, {"version", 1}, {"config", *config}});
}

net::Response one_tunnel(CloudflareState& state, const CloudflareIds& ids, const net::Request& request,
                         std::string_view rest, UtcTime now) {
  const auto slash = rest.find('/');
  const auto id = rest.substr(0, slash);
  const auto part = slash == rest.npos ? std::string_view() : rest.substr(slash + 1);
  const std::string route = fmt::format("{} {}", request.method, part);
  if (route == "GET ") {
    const FakeTunnel* tunnel = state.find_tunnel(id);
    return tunnel == nullptr ? refuse(CloudflareState::kNoTunnel) : answer(tunnel_json(ids, *tunnel));
  }
  if (route == "GET token") {
    const FakeTunnel* tunnel = state.find_tunnel(id);
    return tunnel == nullptr ? refuse(CloudflareState::kNoTunnel)
                             : answer(bj::value(tunnel_token_text(ids.account_id, *tunnel)));
  }
  if (route == "PUT configurations") return configure(state, id, request);
  if (route == "DELETE connections") {
    const auto refused = state.drop_connections(id);
    return refused ? refuse(*refused) : answer(nullptr);
  }
  if (route == "DELETE ") {
    const auto refused = state.delete_tunnel(id, now);
    return refused ? refuse(*refused) : answer(bj::object{{"id", std::string(id)}});
  }
  return cloudflare_refusal(404, 7003, "Could not route to that path", {});
}

// ---- DNS ------------------------------------------------------------------------------------------------------------

bj::object record_json(const FakeRecord& record) {
  return {{"id", record.id},
          {"type", record.type},
          {"name", record.name},
          {"content", record.content},
          {"proxied", record.proxied},
          {"ttl", record.ttl},
          {"comment", record.comment.empty() ? bj::value(nullptr) : bj::value(record.comment)},
          {"created_on", to_rfc3339(record.created_at)}};
}

std::optional<FakeRecord> record_body(const net::Request& request) {
  const auto body = body_of(request, {"type", "name", "content", "proxied", "ttl", "comment"});
  if (!body) return std::nullopt;
  const auto type = text_of_member(*body, "type");
  const auto name = text_of_member(*body, "name");
  const auto content = text_of_member(*body, "content");
  const auto* ttl = body->if_contains("ttl");
  const auto* proxied = body->if_contains("proxied");
  if (!type || !name || name->empty() || !content || content->empty()) return std::nullopt;
  if (ttl == nullptr || !ttl->is_int64() || (proxied != nullptr && !proxied->is_bool())) return std::nullopt;
  const std::string comment = text_of_member(*body, "comment").value_or("");
  if (comment.size() > 100) return std::nullopt;  // the limit of the smallest plan
  return FakeRecord{.id = {},
                    .type = *type,
                    .name = *name,
                    .content = *content,
                    .proxied = proxied != nullptr && proxied->get_bool(),
                    .ttl = ttl->get_int64(),
                    .comment = comment,
                    .created_at = {}};
}

net::Response list_records(const CloudflareState& state, std::string_view raw_query) {
  const auto query = query_of(raw_query);
  std::vector<bj::value> items;
  for (const FakeRecord& record : state.records()) {
    if (const auto it = query.find("type"); it != query.end() && record.type != it->second) continue;
    if (const auto it = query.find("name"); it != query.end() && record.name != it->second) continue;
    if (const auto it = query.find("comment.startswith"); it != query.end() && !record.comment.starts_with(it->second))
      continue;
    items.emplace_back(record_json(record));
  }
  return page_of(items, query);
}

net::Response records(CloudflareState& state, const net::Request& request, std::string_view rest, UtcTime now) {
  if (rest.empty() && request.method == "GET") return list_records(state, request.query);
  if (rest.empty() && request.method == "POST") {
    auto wanted = record_body(request);
    if (!wanted) return refuse(kBadBody);
    const auto made = state.create_record(std::move(*wanted), now);
    return made.value ? answer(record_json(*made.value)) : refuse(*made.refusal);
  }
  if (!rest.empty() && rest.find('/') == rest.npos && request.method == "GET") {
    const auto found = std::ranges::find(state.records(), rest, &FakeRecord::id);
    return found == state.records().end() ? refuse(CloudflareState::kNoRecord) : answer(record_json(*found));
  }
  if (!rest.empty() && rest.find('/') == rest.npos && request.method == "PUT") {
    auto wanted = record_body(request);
    if (!wanted) return refuse(kBadBody);
    const auto made = state.update_record(rest, std::move(*wanted));
    return made.value ? answer(record_json(*made.value)) : refuse(*made.refusal);
  }
  if (!rest.empty() && rest.find('/') == rest.npos && request.method == "DELETE") {
    const auto refused = state.delete_record(rest);
    return refused ? refuse(*refused) : answer(bj::object{{"id", std::string(rest)}});
  }
  return cloudflare_refusal(404, 7003, "Could not route to that path", {});
}

/// What follows `prefix`, which ends at a `/` or at the end of the path.
std::optional<std::string_view> after(std::string_view path, std::string_view prefix) {
  if (path == prefix) return std::string_view();
  if (!path.starts_with(prefix) || path[prefix.size()] != '/') return std::nullopt;
  return path.substr(prefix.size() + 1);
}

}  // namespace

net::Response cloudflare_raw(std::string body) {
  net::Response response;
  response.headers.push_back({"Content-Type", "application/json"});
  response.body = std::move(body);
  return response;
}

net::Response cloudflare_refusal(int status, int code, std::string_view message, std::optional<int> retry_after) {
  bj::array errors;
  if (code != 0) errors.push_back(bj::object{{"code", code}, {"message", std::string(message)}});
  auto response = cloudflare_raw(bj::serialize(
      bj::object{{"success", false}, {"errors", errors}, {"messages", bj::array()}, {"result", nullptr}}));
  response.status = status;
  if (retry_after) response.headers.push_back({"Retry-After", std::to_string(*retry_after)});
  return response;
}

net::Response cloudflare_api(CloudflareState& state, const CloudflareIds& ids, const net::Request& request,
                             std::string_view path, UtcTime now) {
  if (path == "/user/tokens/verify" && request.method == "GET") return answer(bj::object{{"status", "active"}});
  if (path.starts_with("/accounts/")) {
    if (const auto rest = after(path, "/accounts/" + ids.account_id + "/cfd_tunnel")) {
      if (!rest->empty()) return one_tunnel(state, ids, request, *rest, now);
      if (request.method == "GET") return list_tunnels(state, ids, request.query);
      if (request.method == "POST") return create_tunnel(state, ids, request, now);
      return cloudflare_refusal(405, 7001, "Method not allowed", {});
    }
    if (!path.starts_with("/accounts/" + ids.account_id + "/"))
      return cloudflare_refusal(403, 10000, "Authentication error", {});
  }
  if (path.starts_with("/zones/")) {
    if (const auto rest = after(path, "/zones/" + ids.zone_id + "/dns_records"))
      return records(state, request, *rest, now);
    if (!path.starts_with("/zones/" + ids.zone_id + "/"))
      return cloudflare_refusal(403, 10000, "Authentication error", {});
  }
  return cloudflare_refusal(404, 7003, "Could not route to that path", {});
}

}  // namespace ee::standins
