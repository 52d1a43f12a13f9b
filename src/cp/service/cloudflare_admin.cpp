#include "cp/service/cloudflare_admin.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/bytes.h"
#include "common/id.h"
#include "cp/domain/tunnel_names.h"
#include "cp/store/audit_log_store.h"

namespace ee::cp {
namespace {

using cloudflare::CallContext;
using cloudflare::CfResult;
using cloudflare::Failure;

constexpr std::string_view kTargetSuffix = ".cfargotunnel.com";

CfResult<void> gone_is_done(CfResult<void> result) {
  if (!result && result.error().failure == Failure::gone) return {};
  return result;
}

/// The items of a page, in the order of their creation.
template <class View>
Page<View> page_of_views(std::vector<View> views, const PageRequest& request) {
  const auto place = [](const View& view) {
    return std::pair(view.created_at.value_or(UtcTime{}), std::string_view(view.id));
  };
  std::ranges::sort(views, {}, place);
  if (request.after) {
    const std::pair after(request.after->at, std::string_view(request.after->id));
    std::erase_if(views, [&](const View& view) { return place(view) <= after; });
  }
  return page_of(std::move(views), request.limit, [](const View& view) {
    return PagePosition{.at = view.created_at.value_or(UtcTime{}), .id = view.id};
  });
}

TunnelView view_of(const TunnelResource& resource) {
  TunnelView view{.id = resource.tunnel.id,
                  .name = resource.tunnel.name,
                  .status = resource.tunnel.status,
                  .created_at = resource.tunnel.created_at,
                  .connections = resource.tunnel.connections,
                  .vm_name = resource.vm_name,
                  .owner = resource.owner,
                  .orphaned = resource.orphaned,
                  .protected_ = resource.is_protected || resource.owner == ResourceOwner::control_plane};
  if (resource.agent_id) view.agent_id = resource.agent_id->str();
  if (resource.agent_status) view.agent_status = std::string(name_of(*resource.agent_status));
  return view;
}

RecordView view_of(const RecordResource& resource) {
  const cloudflare::DnsRecord& record = resource.record;
  RecordView view{.id = record.id,
                  .name = record.name,
                  .type = record.type,
                  .content = record.content,
                  .proxied = record.proxied,
                  .created_at = record.created_at,
                  .orphaned = resource.orphaned};
  if (record.content.ends_with(kTargetSuffix))
    view.tunnel_id = record.content.substr(0, record.content.size() - kTargetSuffix.size());
  if (resource.agent_id) view.agent_id = resource.agent_id->str();
  return view;
}

}  // namespace

Error cloudflare_problem(const cloudflare::CloudflareError& error) {
  if (error.failure == Failure::transient && error.http_status == 0 && error.detail == to_string(HttpFailure::timeout))
    return {.code = ErrorCode::upstream_timeout, .detail = "Cloudflare"};
  Error out{.code = ErrorCode::cloudflare_error, .detail = error.short_text(), .retry_after = error.retry_after};
  if (error.code != 0) out.members.push_back({.name = "provider_code", .value = std::to_string(error.code)});
  return out;
}

CloudflareStatusView CloudflareAdmin::status(bool validate, const CallContext& context) {
  const TunnelSettings settings = parts_.tunnels.settings();
  const auto now = parts_.tunnels.cloudflare().status();
  CloudflareStatusView view{.configured = settings.configured,
                            .domain = settings.domain,
                            .tunnel_mode = settings.mode,
                            .missing = parts_.missing(),
                            .protected_tunnels = settings.protected_tunnels,
                            .budget_remaining = now.budget_remaining,
                            .circuit_closes_at = now.circuit_closes_at};
  if (!validate || !settings.configured) return view;
  const auto verified = parts_.tunnels.cloudflare().verify_token(context);
  view.validation = {.attempted = true, .ok = verified.has_value()};
  if (!verified) view.validation.code = verified.error().short_text();
  return view;
}

// ---- lists ----------------------------------------------------------------------------------------------------------

Result<CloudflareAdmin::ListPtr> CloudflareAdmin::list(bool refresh, const CallContext& context) {
  if (!parts_.tunnels.settings().configured) return fail(ErrorCode::cloudflare_not_configured);
  const SteadyTime asked_at = parts_.clock.steady_now();
  const auto made = [&](SteadyTime not_before) -> ListPtr {
    const std::lock_guard lock(mutex_);
    return listed_ && listed_->at >= not_before ? listed_->list : nullptr;
  };
  if (!refresh)
    if (ListPtr known = made(asked_at - kListLife)) return known;
  const std::lock_guard flight(list_mutex_);
  // Whoever waited for somebody else's list takes that one.
  if (ListPtr known = made(refresh ? asked_at : asked_at - kListLife)) return known;
  const SteadyTime begun_at = parts_.clock.steady_now();
  const std::uint64_t removals = [&] {
    const std::lock_guard lock(mutex_);
    return removals_;
  }();
  auto resources = parts_.tunnels.orphans().list(context);
  if (!resources) return fail(cloudflare_problem(resources.error()));
  auto list = std::make_shared<const ResourceList>(std::move(*resources));
  const std::lock_guard lock(mutex_);
  if (removals == removals_) listed_ = Listed{.list = list, .at = begun_at};
  return list;
}

void CloudflareAdmin::forget() {
  const std::lock_guard lock(mutex_);
  ++removals_;
  listed_.reset();
}

Result<TunnelPage> CloudflareAdmin::tunnels(const Wanted& wanted, const CallContext& context) {
  const auto all = list(wanted.refresh, context);
  if (!all) return std::unexpected(all.error());
  TunnelPage out;
  std::vector<TunnelView> views;
  for (const TunnelResource& resource : (*all)->tunnels) {
    ++out.totals.all;
    if (resource.orphaned) ++out.totals.orphaned;
    if (resource.tunnel.connections > 0) ++out.totals.connected;
    if (!wanted.orphaned || *wanted.orphaned == resource.orphaned) views.push_back(view_of(resource));
  }
  auto page = page_of_views(std::move(views), wanted.page);
  out.items = std::move(page.items);
  out.next_cursor = parts_.cursors.encode("cloudflare_tunnels", page.next);
  return out;
}

Result<RecordPage> CloudflareAdmin::records(const Wanted& wanted, const CallContext& context) {
  const auto all = list(wanted.refresh, context);
  if (!all) return std::unexpected(all.error());
  RecordPage out;
  std::vector<RecordView> views;
  for (const RecordResource& resource : (*all)->records) {
    ++out.totals.all;
    if (resource.orphaned) ++out.totals.orphaned;
    if (!wanted.orphaned || *wanted.orphaned == resource.orphaned) views.push_back(view_of(resource));
  }
  auto page = page_of_views(std::move(views), wanted.page);
  out.items = std::move(page.items);
  out.next_cursor = parts_.cursors.encode("cloudflare_records", page.next);
  return out;
}

// ---- removing -------------------------------------------------------------------------------------------------------

Result<std::optional<AgentRow>> CloudflareAdmin::agent(const AgentId& id) {
  return parts_.database.read<std::optional<AgentRow>>([&](db::Transaction& tx) { return agents_.get(tx, id); });
}

Result<bool> CloudflareAdmin::belongs_to_live(const AgentId& id) {
  const auto row = agent(id);
  if (!row) return std::unexpected(row.error());
  // A restored database does not know the agents that are newer than its backup.
  if (!*row && parts_.tunnels.settings().restore_hold) return fail(ErrorCode::reap_hold);
  return *row && (*row)->status != AgentStatus::deleting && (*row)->status != AgentStatus::deleted;
}

Result<void> CloudflareAdmin::replace(const AgentId& agent, const Actor& actor, std::string_view action,
                                      const std::string& id, const CallContext& context) {
  auto done = parts_.tunnels.replace(agent, actor, action, id, context);
  forget();  // also when it failed: part of it may have been done
  return done;
}

Result<void> CloudflareAdmin::audit(std::string_view action, std::string_view type, const std::string& id,
                                    const Actor& actor, const std::string& detail) {
  return parts_.database.run_write([&](db::Transaction& tx) -> Result<void> {
    const auto written = AuditLogStore().append(tx,
                                                {.actor = actor.name,
                                                 .action = std::string(action),
                                                 .object_type = std::string(type),
                                                 .object_id = id,
                                                 .request_id = actor.request_id,
                                                 .client_address = actor.client_address,
                                                 .detail = detail},
                                                parts_.clock.now(), parts_.random);
    if (!written) return std::unexpected(written.error());
    return {};
  });
}

Result<TunnelDeleted> CloudflareAdmin::delete_tunnel(const std::string& id, bool force, const Actor& actor,
                                                     const CallContext& context) {
  if (!is_uuid(id)) return fail(ErrorCode::not_found);
  const TunnelSettings settings = parts_.tunnels.settings();
  if (!settings.configured) return fail(ErrorCode::cloudflare_not_configured);
  cloudflare::CloudflareClient& api = parts_.tunnels.cloudflare();
  const auto tunnel = api.get_tunnel(id, context);
  if (!tunnel && tunnel.error().failure == Failure::gone) return TunnelDeleted{.deleted = false, .tunnel_id = id};
  if (!tunnel) return fail(cloudflare_problem(tunnel.error()));
  if (settings.is_protected(tunnel->name) || tunnel->name == control_plane_tunnel_name(settings.cluster_id))
    return fail(ErrorCode::tunnel_protected);
  const auto owner = agent_of_tunnel(settings.cluster_id, tunnel->name);
  if (!owner) return fail(ErrorCode::tunnel_foreign);
  const auto live = belongs_to_live(*owner);
  if (!live) return std::unexpected(live.error());
  if (*live) {
    if (!force) return fail(ErrorCode::tunnel_in_use);
    if (auto done = replace(*owner, actor, "tunnel_deleted", id, context); !done) return std::unexpected(done.error());
    return TunnelDeleted{.deleted = true, .tunnel_id = id};
  }
  // Written down first: what is gone cannot be put back when this fails.
  const std::string detail =
      fmt::format(R"({{"name":{},"agent_id":{}}})", json::quote(tunnel->name), json::quote(owner->str()));
  if (auto noted = audit("tunnel_deleted", "tunnel", id, actor, detail); !noted) return std::unexpected(noted.error());
  auto removed = gone_is_done(api.drop_connections(id, context));
  if (removed) removed = gone_is_done(api.delete_tunnel(id, context));
  forget();
  if (!removed) return fail(cloudflare_problem(removed.error()));
  return TunnelDeleted{.deleted = true, .tunnel_id = id};
}

Result<RecordDeleted> CloudflareAdmin::delete_record(const std::string& id, bool force, const Actor& actor,
                                                     const CallContext& context) {
  if (!is_lower_hex(id, 32)) return fail(ErrorCode::not_found);
  const TunnelSettings settings = parts_.tunnels.settings();
  if (!settings.configured) return fail(ErrorCode::cloudflare_not_configured);
  cloudflare::CloudflareClient& api = parts_.tunnels.cloudflare();
  const auto record = api.get_record(id, context);
  if (!record && record.error().failure == Failure::gone) return RecordDeleted{.deleted = false, .record_id = id};
  if (!record) return fail(cloudflare_problem(record.error()));
  const auto owner = agent_of_dns_comment(settings.cluster_id, record->comment);
  if (!owner) return fail(ErrorCode::dns_foreign);
  const auto live = belongs_to_live(*owner);
  if (!live) return std::unexpected(live.error());
  if (*live) {
    if (!force) return fail(ErrorCode::dns_in_use);
    if (auto done = replace(*owner, actor, "dns_deleted", id, context); !done) return std::unexpected(done.error());
    return RecordDeleted{.deleted = true, .record_id = id};
  }
  const std::string detail =
      fmt::format(R"({{"name":{},"agent_id":{}}})", json::quote(record->name), json::quote(owner->str()));
  if (auto noted = audit("dns_deleted", "dns_record", id, actor, detail); !noted) return std::unexpected(noted.error());
  const auto removed = gone_is_done(api.delete_record(id, context));
  forget();
  if (!removed) return fail(cloudflare_problem(removed.error()));
  return RecordDeleted{.deleted = true, .record_id = id};
}

}  // namespace ee::cp
