#include "cp/service/tunnel_service.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <thread>

#include "common/json.h"
#include "common/url.h"
#include "cp/domain/agent_changes.h"
#include "cp/domain/tunnel_names.h"
#include "cp/store/audit_log_store.h"

namespace ee::cp {
namespace {

/// Agents beyond the limit of tunnels cost a transaction only: many in one pass, so that they do not hold up the
/// others.
constexpr std::int64_t kReadBatch = 200;
constexpr Seconds kStuckAfter{86400};

bool is_under(const std::optional<std::string>& hostname, const std::string& domain) {
  return hostname && hostname->ends_with("." + domain);
}

/// The authority of a direct URL, as the agent sent it.
std::optional<std::string> authority_of(const std::optional<std::string>& url) {
  if (!url) return std::nullopt;
  const auto parsed = parse_url(*url);
  if (!parsed) return std::nullopt;
  return parsed->host + ":" + std::to_string(parsed->port);
}

}  // namespace

struct TunnelService::Item {
  AgentId agent;
  bool clean_up = false;
};

TunnelService::TunnelService(TunnelParts parts, std::function<void()> on_work)
    : parts_(std::move(parts)),
      on_work_(std::move(on_work)),
      provisioner_(parts_),
      cleaner_(parts_),
      orphans_(parts_) {}

Result<std::string> TunnelService::free_hostname(db::Transaction& tx, const AgentRow& row,
                                                 const std::string& domain) const {
  for (const std::string& label : host_labels(row.vm_name, row.id, parts_.settings().reserved_labels)) {
    std::string hostname = label;
    hostname.append(".").append(domain);
    const auto holder = agents_.find_by_hostname(tx, hostname);
    if (!holder) return std::unexpected(holder.error());
    if (!*holder || (*holder)->id == row.id) return hostname;
  }
  return fail(ErrorCode::in_use, "no host name is free for this agent");
}

Result<void> TunnelService::reserve(db::Transaction& tx, AgentRow& row, UtcTime now) const {
  const TunnelSettings settings = parts_.settings();
  const bool holds_tunnel = row.tunnel_state != TunnelState::none && row.tunnel_state != TunnelState::placeholder;
  if (settings.mode == TunnelMode::none) {
    if (holds_tunnel) return {};  // of a time with another mode; it goes with the agent
    row.tunnel_state = TunnelState::none;
    row.hostname = authority_of(row.direct_url);
    if (!row.hostname) return {};
    const auto holder = agents_.find_by_hostname(tx, *row.hostname);
    if (!holder) return std::unexpected(holder.error());
    if (*holder && (*holder)->id != row.id)
      return fail(ErrorCode::in_use, "another agent has registered with this direct_url");
    return {};
  }
  if (!settings.configured && holds_tunnel) return {};
  const std::string domain = settings.configured ? settings.domain : std::string(kPlaceholderDomain);
  if (!holds_tunnel && !is_under(row.hostname, domain)) {
    auto hostname = free_hostname(tx, row, domain);
    if (!hostname) return std::unexpected(hostname.error());
    row.hostname = std::move(*hostname);
  }
  if (!settings.configured) {
    row.tunnel_state = TunnelState::placeholder;
  } else if (!holds_tunnel) {
    row.tunnel_state = TunnelState::pending;
    row.tunnel_attempts = 0;
    row.tunnel_error.reset();
    row.tunnel_next_attempt_at = now;
  }
  return {};
}

AgentRow TunnelService::provision_now(const AgentRow& row, Milliseconds patience) {
  if (row.tunnel_state != TunnelState::pending) return row;
  const cloudflare::CallContext context{.deadline = parts_.clock.steady_now() + patience};
  const auto outcome = provisioner_.provision(row.id, context);
  if (outcome == TunnelProvisioner::Outcome::failed) wake();
  auto now_stored =
      parts_.database.read<std::optional<AgentRow>>([&](db::Transaction& tx) { return agents_.get(tx, row.id); });
  // Another registration may have come meanwhile: this answer speaks of its own.
  if (!now_stored || !*now_stored || (*now_stored)->registration_id != row.registration_id) return row;
  return std::move(**now_stored);
}

Result<std::vector<TunnelService::Item>> TunnelService::due_items() {
  const UtcTime now = parts_.clock.now();
  return parts_.database.read<std::vector<Item>>([&](db::Transaction& tx) -> Result<std::vector<Item>> {
    std::vector<Item> items;
    const auto cleanups = agents_.cleanup_work(tx, now, kReadBatch);
    if (!cleanups) return std::unexpected(cleanups.error());
    for (const AgentRow& row : *cleanups) items.push_back({.agent = row.id, .clean_up = true});
    const auto tunnels = agents_.tunnel_work(tx, now, kReadBatch);
    if (!tunnels) return std::unexpected(tunnels.error());
    for (const AgentRow& row : *tunnels)
      items.push_back({.agent = row.id, .clean_up = row.tunnel_state == TunnelState::deleting});
    return items;
  });
}

std::string TunnelService::work_on(const Item& item, const std::stop_token& stop) {
  const cloudflare::CallContext context{
      .stop = stop, .deadline = parts_.clock.steady_now() + kTunnelWork, .wait_for_budget = true};
  if (item.clean_up) {
    switch (cleaner_.clean(item.agent, context)) {
      case TunnelCleaner::Outcome::done: return "removed";
      case TunnelCleaner::Outcome::not_claimed: return "skipped";
      case TunnelCleaner::Outcome::failed:
      case TunnelCleaner::Outcome::no_database: return "failed";
    }
  }
  switch (provisioner_.provision(item.agent, context)) {
    case TunnelProvisioner::Outcome::ready: return "ready";
    case TunnelProvisioner::Outcome::not_claimed:
    case TunnelProvisioner::Outcome::abandoned: return "skipped";
    case TunnelProvisioner::Outcome::quota: return "quota";
    case TunnelProvisioner::Outcome::failed:
    case TunnelProvisioner::Outcome::no_database: break;
  }
  return "failed";
}

Result<JobSummary> TunnelService::run_worker(const std::stop_token& stop) {
  JobSummary summary;
  const auto items = due_items();
  if (!items) return std::unexpected(items.error());
  std::mutex mutex;
  std::map<std::string, std::int64_t> results;
  std::atomic<std::size_t> next = 0;
  std::atomic<std::int64_t> worked = 0;
  const auto work = [&] {
    for (;;) {
      if (stop.stop_requested() || worked.load() >= kBatch) return;
      const std::size_t index = next.fetch_add(1);
      if (index >= items->size()) return;
      const std::string result = work_on((*items)[index], stop);
      if (result != "quota" && result != "skipped") ++worked;
      const std::lock_guard lock(mutex);
      ++results[result];
    }
  };
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 1; i < std::min(kParallel, items->size()); ++i) threads.emplace_back(work);
    work();
  }
  const auto stuck = parts_.database.read<std::int64_t>(
      [&](db::Transaction& tx) { return agents_.count_stuck_cleanups(tx, parts_.clock.now() - kStuckAfter); });
  for (const std::string_view name : {"ready", "removed", "failed", "quota"})
    summary.count(name, results[std::string(name)]);
  if (stuck) stuck_ = *stuck;
  summary.count("stuck", stuck.value_or(0));
  summary.stopped = stop.stop_requested();
  return summary;
}

Result<void> TunnelService::replace(const AgentId& agent, const Actor& actor, std::string_view action,
                                    const std::string& object, const cloudflare::CallContext& context) {
  const UtcTime now = parts_.clock.now();
  const auto marked = parts_.database.write<AgentRow>([&](db::Transaction& tx) -> Result<AgentRow> {
    const auto before = agents_.get(tx, agent);
    if (!before) return std::unexpected(before.error());
    const bool is_live =
        *before && (*before)->status != AgentStatus::deleting && (*before)->status != AgentStatus::deleted;
    if (!is_live || !may_have_tunnel(**before)) return fail(ErrorCode::agent_not_found);
    AgentRow after = **before;
    after.tunnel_state = TunnelState::deleting;
    after.tunnel_attempts = 0;
    after.tunnel_next_attempt_at = now;
    const auto written = agents_.update(tx, **before, after, now);
    if (!written) return std::unexpected(written.error());
    if (!*written) return fail(ErrorCode::concurrent_update);
    const auto audited = AuditLogStore().append(tx,
                                                {.actor = actor.name,
                                                 .action = std::string(action),
                                                 .object_type = "agent",
                                                 .object_id = agent.str(),
                                                 .request_id = actor.request_id,
                                                 .client_address = actor.client_address,
                                                 .detail = R"({"forced":true,"id":)" + json::quote(object) + "}"},
                                                now, parts_.random);
    if (!audited) return std::unexpected(audited.error());
    return after;
  });
  if (!marked) return std::unexpected(marked.error());
  parts_.directory.put(*marked);
  const auto outcome = cleaner_.clean(agent, context);
  wake();
  if (outcome == TunnelCleaner::Outcome::failed)
    return fail(ErrorCode::cloudflare_error, "the removal is tried again by itself");
  if (outcome == TunnelCleaner::Outcome::no_database) return fail(ErrorCode::database_unavailable);
  return {};
}

std::optional<std::string> tunnel_token_told(const AgentRow& row) {
  if (row.tunnel_state == TunnelState::placeholder) return placeholder_token(row.id);
  if (row.tunnel_state == TunnelState::ready && row.tunnel_token) return row.tunnel_token->reveal();
  return std::nullopt;
}

}  // namespace ee::cp
