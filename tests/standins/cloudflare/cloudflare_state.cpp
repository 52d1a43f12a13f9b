#include "tests/standins/cloudflare/cloudflare_state.h"

#include <boost/json.hpp>

#include <algorithm>

#include "common/bytes.h"
#include "common/id.h"
#include "common/require.h"

namespace ee::standins {

std::string CloudflareState::new_hex_id() {
  ByteArray<16> bytes{};
  require(random_.fill(bytes));
  return to_hex(bytes);
}

std::string CloudflareState::new_uuid() {
  ByteArray<16> bytes{};
  require(random_.fill(bytes));
  bytes[6] = static_cast<std::uint8_t>((bytes[6] & 0x0F) | 0x40);
  bytes[8] = static_cast<std::uint8_t>((bytes[8] & 0x3F) | 0x80);
  return uuid_text(bytes);
}

CloudflareState::Outcome<FakeTunnel> CloudflareState::create_tunnel(const std::string& name, const std::string& secret,
                                                                    UtcTime now) {
  for (const FakeTunnel& tunnel : tunnels_)
    if (!tunnel.deleted_at && tunnel.name == name)
      return {.refusal = Refusal{409, 1013, "you already have a tunnel with this name"}};
  tunnels_.push_back({.id = new_uuid(), .name = name, .secret = secret, .created_at = now});
  return {.value = tunnels_.back()};
}

FakeTunnel* CloudflareState::find_tunnel(std::string_view id) {
  const auto it =
      std::ranges::find_if(tunnels_, [&](const FakeTunnel& tunnel) { return tunnel.id == id && !tunnel.deleted_at; });
  return it == tunnels_.end() ? nullptr : &*it;
}

std::optional<CloudflareState::Refusal> CloudflareState::configure(std::string_view id,
                                                                   std::vector<FakeIngressRule> ingress) {
  FakeTunnel* tunnel = find_tunnel(id);
  if (tunnel == nullptr) return kNoTunnel;
  if (ingress.empty() || !ingress.back().hostname.empty())
    return Refusal{400, 1056, "the last ingress rule must match all URLs"};
  tunnel->ingress = std::move(ingress);
  return std::nullopt;
}

std::optional<CloudflareState::Refusal> CloudflareState::drop_connections(std::string_view id) {
  FakeTunnel* tunnel = find_tunnel(id);
  if (tunnel == nullptr) return kNoTunnel;
  tunnel->connections = 0;
  return std::nullopt;
}

std::optional<CloudflareState::Refusal> CloudflareState::delete_tunnel(std::string_view id, UtcTime now) {
  FakeTunnel* tunnel = find_tunnel(id);
  if (tunnel == nullptr) return kNoTunnel;
  if (tunnel->connections > 0) return Refusal{400, 1022, "tunnel has active connections"};
  tunnel->deleted_at = now;
  return std::nullopt;
}

std::optional<CloudflareState::Refusal> CloudflareState::name_conflict(const FakeRecord& wanted,
                                                                       std::string_view except_id) const {
  for (const FakeRecord& record : records_) {
    if (record.id == except_id || record.name != wanted.name) continue;
    if (record.type == wanted.type && record.content == wanted.content)
      return Refusal{400, 81057, "an identical record already exists"};
    return Refusal{400, 81053, "an A, AAAA or CNAME record with that host already exists"};
  }
  return std::nullopt;
}

CloudflareState::Outcome<FakeRecord> CloudflareState::create_record(FakeRecord wanted, UtcTime now) {
  if (const auto conflict = name_conflict(wanted, {})) return {.refusal = conflict};
  wanted.id = new_hex_id();
  wanted.created_at = now;
  records_.push_back(std::move(wanted));
  return {.value = records_.back()};
}

CloudflareState::Outcome<FakeRecord> CloudflareState::update_record(std::string_view id, FakeRecord wanted) {
  const auto it = std::ranges::find(records_, id, &FakeRecord::id);
  if (it == records_.end()) return {.refusal = kNoRecord};
  if (const auto conflict = name_conflict(wanted, id)) return {.refusal = conflict};
  wanted.id = it->id;
  wanted.created_at = it->created_at;
  *it = std::move(wanted);
  return {.value = *it};
}

std::optional<CloudflareState::Refusal> CloudflareState::delete_record(std::string_view id) {
  const auto it = std::ranges::find(records_, id, &FakeRecord::id);
  if (it == records_.end()) return kNoRecord;
  records_.erase(it);
  return std::nullopt;
}

std::size_t CloudflareState::live_tunnels() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(tunnels_, [](const FakeTunnel& tunnel) { return !tunnel.deleted_at; }));
}

void CloudflareState::clear() {
  tunnels_.clear();
  records_.clear();
}

std::string tunnel_token_text(std::string_view account, const FakeTunnel& tunnel) {
  const boost::json::object token = {{"a", std::string(account)}, {"t", tunnel.id}, {"s", tunnel.secret}};
  return to_base64(bytes_of(boost::json::serialize(token)));
}

std::optional<TunnelTokenParts> parse_tunnel_token(std::string_view token) {
  const auto bytes = from_base64(token);
  if (!bytes) return std::nullopt;
  boost::system::error_code error;
  const auto value = boost::json::parse(text_of(*bytes), error);
  if (error || !value.is_object()) return std::nullopt;
  const auto text = [&](const char* name) {
    const auto* found = value.get_object().if_contains(name);
    return found != nullptr && found->is_string() ? std::string(found->get_string()) : std::string();
  };
  return TunnelTokenParts{.account = text("a"), .tunnel_id = text("t"), .secret = text("s")};
}

}  // namespace ee::standins
