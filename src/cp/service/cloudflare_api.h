#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/json.h"
#include "cp/service/tunnel_orphans.h"

/// JSON bodies of the administrators' routes about Cloudflare (05 section 10).
namespace ee::cp {

struct CloudflareValidation {
  bool attempted = false;
  bool ok = false;
  std::optional<std::string> code = {};  ///< why it did not work: a word of ours and the numeric code of the API
};
BOOST_DESCRIBE_STRUCT(CloudflareValidation, (), (attempted, ok, code))
constexpr std::string_view json_name(json::For<CloudflareValidation>) { return "CloudflareValidation"; }

struct CloudflareStatusView {
  bool configured = false;
  std::string domain = {};
  TunnelMode tunnel_mode = TunnelMode::per_agent;
  std::vector<std::string> missing = {};  ///< keys of settings
  std::vector<std::string> protected_tunnels = {};
  std::int64_t budget_remaining = 0;              ///< calls of the API that may be made now
  std::optional<UtcTime> circuit_closes_at = {};  ///< set while the API token is taken for refused
  CloudflareValidation validation = {};
};
BOOST_DESCRIBE_STRUCT(CloudflareStatusView, (),
                      (configured, domain, tunnel_mode, missing, protected_tunnels, budget_remaining, circuit_closes_at,
                       validation))
constexpr std::string_view json_name(json::For<CloudflareStatusView>) { return "CloudflareStatus"; }

struct TunnelView {
  std::string id = {};
  std::string name = {};
  std::string status = {};
  std::optional<UtcTime> created_at = {};
  std::int64_t connections = 0;
  std::optional<std::string> agent_id = {};
  std::optional<std::string> vm_name = {};
  std::optional<std::string> agent_status = {};
  ResourceOwner owner = ResourceOwner::foreign;
  bool orphaned = false;
  bool protected_ = false;
};
BOOST_DESCRIBE_STRUCT(TunnelView, (),
                      (id, name, status, created_at, connections, agent_id, vm_name, agent_status, owner, orphaned,
                       protected_))
constexpr std::string_view json_name(json::For<TunnelView>) { return "CloudflareTunnel"; }

struct TunnelTotals {
  std::int64_t all = 0;
  std::int64_t orphaned = 0;
  std::int64_t connected = 0;
};
BOOST_DESCRIBE_STRUCT(TunnelTotals, (), (all, orphaned, connected))
constexpr std::string_view json_name(json::For<TunnelTotals>) { return "CloudflareTunnelTotals"; }

struct TunnelPage {
  std::vector<TunnelView> items = {};
  std::optional<std::string> next_cursor = {};
  TunnelTotals totals = {};
};
BOOST_DESCRIBE_STRUCT(TunnelPage, (), (items, next_cursor, totals))
constexpr std::string_view json_name(json::For<TunnelPage>) { return "CloudflareTunnelPage"; }

/// A record of this installation; those of others are not listed.
struct RecordView {
  std::string id = {};
  std::string name = {};
  std::string type = {};
  std::string content = {};
  bool proxied = false;
  std::optional<UtcTime> created_at = {};
  std::optional<std::string> tunnel_id = {};  ///< where it points
  std::optional<std::string> agent_id = {};
  ResourceOwner owner = ResourceOwner::agent;
  bool orphaned = false;
};
BOOST_DESCRIBE_STRUCT(RecordView, (),
                      (id, name, type, content, proxied, created_at, tunnel_id, agent_id, owner, orphaned))
constexpr std::string_view json_name(json::For<RecordView>) { return "CloudflareRecord"; }

struct RecordTotals {
  std::int64_t all = 0;
  std::int64_t orphaned = 0;
};
BOOST_DESCRIBE_STRUCT(RecordTotals, (), (all, orphaned))
constexpr std::string_view json_name(json::For<RecordTotals>) { return "CloudflareRecordTotals"; }

struct RecordPage {
  std::vector<RecordView> items = {};
  std::optional<std::string> next_cursor = {};
  RecordTotals totals = {};
};
BOOST_DESCRIBE_STRUCT(RecordPage, (), (items, next_cursor, totals))
constexpr std::string_view json_name(json::For<RecordPage>) { return "CloudflareRecordPage"; }

struct TunnelDeleted {
  bool deleted = false;  ///< false: it was gone already
  std::string tunnel_id = {};
};
BOOST_DESCRIBE_STRUCT(TunnelDeleted, (), (deleted, tunnel_id))
constexpr std::string_view json_name(json::For<TunnelDeleted>) { return "CloudflareTunnelDeleted"; }

struct RecordDeleted {
  bool deleted = false;  ///< false: it was gone already
  std::string record_id = {};
};
BOOST_DESCRIBE_STRUCT(RecordDeleted, (), (deleted, record_id))
constexpr std::string_view json_name(json::For<RecordDeleted>) { return "CloudflareRecordDeleted"; }

}  // namespace ee::cp
