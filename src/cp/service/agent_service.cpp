#include "cp/service/agent_service.h"

#include <algorithm>

#include "cp/domain/placement.h"
#include "cp/service/active_account.h"
#include "cp/store/audit_log_store.h"

namespace ee::cp {
namespace {

std::optional<std::string> text_or_nothing(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

constexpr int kTries = 4;
constexpr std::size_t kMaxReason = 200;

Result<void> check_destructive(const AgentScope& scope, const AgentRow& agent) {
  if (!scope.destroys_no_github_owned || !agent.github_owner_id) return {};
  return fail(ErrorCode::identity_not_proven, "only a GitHub workflow of the owner, or an administrator, may do this");
}

std::string detail_of_reason(const std::string& reason) {
  return reason.empty() ? "{}" : R"({"reason":)" + json::quote(reason.substr(0, kMaxReason)) + "}";
}

}  // namespace

// ---- reading --------------------------------------------------------------------------------------------------------

/// One query per owner, each by its own index, merged by id.
Result<std::vector<AgentRow>> AgentService::read_page(db::Transaction& tx, const AgentScope& scope,
                                                      const AgentFilter& filter, const std::optional<AgentId>& after,
                                                      std::int64_t limit) {
  if (scope.all) return agents_.list(tx, filter, after, limit);
  std::vector<AgentFilter> filters;
  for (const AccountId& account : scope.account_ids) {
    if (filter.account_id && filter.account_id != account) continue;
    filters.push_back(filter);
    filters.back().account_id = account;
  }
  for (const std::int64_t owner : scope.github_owner_ids) {
    filters.push_back(filter);
    filters.back().github_owner_id = owner;
  }
  std::vector<AgentRow> rows;
  for (const AgentFilter& part : filters) {
    auto found = agents_.list(tx, part, after, limit);
    if (!found) return found;
    std::ranges::move(*found, std::back_inserter(rows));
  }
  std::ranges::sort(rows, {}, &AgentRow::id);
  const auto doubles = std::ranges::unique(rows, {}, &AgentRow::id);
  rows.erase(doubles.begin(), doubles.end());
  if (static_cast<std::int64_t>(rows.size()) > limit) rows.resize(static_cast<std::size_t>(limit));
  return rows;
}

Result<Page<AdminAgentObject>> AgentService::list(const AgentScope& scope, const AgentFilter& filter,
                                                  const PageRequest& page) {
  const std::optional<AgentId> after = page.after ? std::optional(AgentId(page.after->id)) : std::nullopt;
  return parts_.database.read<Page<AdminAgentObject>>([&](db::Transaction& tx) -> Result<Page<AdminAgentObject>> {
    auto rows = read_page(tx, scope, filter, after, page.limit + 1);
    if (!rows) return std::unexpected(rows.error());
    auto found = page_of(std::move(*rows), page.limit,
                         [](const AgentRow& row) { return PagePosition{.at = {}, .id = row.id.str()}; });
    Page<AdminAgentObject> out{.items = {}, .next = std::move(found.next)};
    for (const AgentRow& row : found.items) {
      const auto last = parts_.live.last_heartbeat_at(tx, row.id);
      if (!last) return std::unexpected(last.error());
      out.items.push_back(agent_object(row, *last));
    }
    return out;
  });
}

Result<AdminAgentObject> AgentService::get(const AgentScope& scope, const AgentId& id) {
  return parts_.database.read<AdminAgentObject>([&](db::Transaction& tx) -> Result<AdminAgentObject> {
    const auto row = agents_.get(tx, id);
    if (!row) return std::unexpected(row.error());
    if (!*row || (*row)->status == AgentStatus::deleted || !scope.contains(**row))
      return fail(ErrorCode::agent_not_found);
    const auto last = parts_.live.last_heartbeat_at(tx, id);
    if (!last) return std::unexpected(last.error());
    return agent_object(**row, *last);
  });
}

Result<AdminAgentObject> AgentService::view(const AgentRow& row) {
  const auto last = parts_.database.read<std::optional<UtcTime>>(
      [&](db::Transaction& tx) { return parts_.live.last_heartbeat_at(tx, row.id); });
  if (!last) return std::unexpected(last.error());
  return agent_object(row, *last);
}

// ---- changing -------------------------------------------------------------------------------------------------------

Result<AgentRow> AgentService::change(const AgentScope& scope, const AgentId& id, const Change& change) {
  for (int attempt = 1;; ++attempt) {
    auto row = parts_.database.write<AgentRow>([&](db::Transaction& tx) -> Result<AgentRow> {
      const auto before = agents_.get(tx, id);
      if (!before) return std::unexpected(before.error());
      if (!*before || (*before)->status == AgentStatus::deleted || !scope.contains(**before))
        return fail(ErrorCode::agent_not_found);
      if (const auto& account = (*before)->account_id; account && scope.acts_for(*account))
        if (auto active = require_active(tx, scope.all, *account); !active)
          return std::unexpected(std::move(active.error()));
      AgentRow after = **before;
      const auto changed = change(tx, **before, after);
      if (!changed) return std::unexpected(changed.error());
      if (!*changed) return **before;
      const auto written = agents_.update(tx, **before, after, parts_.clock.now());
      if (!written) return std::unexpected(written.error());
      if (!*written) return fail(ErrorCode::concurrent_update);
      return after;
    });
    if (row) published(*row);
    if (row || row.error().code != ErrorCode::concurrent_update || attempt == kTries) return row;
  }
}

void AgentService::published(const AgentRow& row) {
  parts_.directory.put(row);
  const AgentKey key = key_of(row.id);
  if (row.status == AgentStatus::deleting || row.status == AgentStatus::deleted) {
    parts_.credentials.remove_subject(key);
    parts_.live.remove(key);
  }
  const UtcTime now = parts_.clock.now();
  if ((row.cleanup_next_attempt_at && *row.cleanup_next_attempt_at <= now) ||
      (row.tunnel_next_attempt_at && *row.tunnel_next_attempt_at <= now))
    parts_.tunnels.wake();
}

Result<void> AgentService::audit(db::Transaction& tx, const Actor& actor, const std::string& action, const AgentId& id,
                                 std::optional<std::string> reason_code, std::string detail) {
  const auto written = AuditLogStore().append(tx,
                                              {.actor = actor.name,
                                               .action = action,
                                               .object_type = "agent",
                                               .object_id = id.str(),
                                               .reason_code = std::move(reason_code),
                                               .request_id = text_or_nothing(actor.request_id),
                                               .client_address = text_or_nothing(actor.client_address),
                                               .detail = std::move(detail)},
                                              parts_.clock.now(), parts_.random);
  if (!written) return std::unexpected(written.error());
  return {};
}

Result<void> AgentService::remove(const AgentScope& scope, const AgentId& id, bool force, DeleteReason reason,
                                  const Actor& actor) {
  const auto row = change(scope, id, [&](db::Transaction& tx, const AgentRow& before, AgentRow& after) -> Result<bool> {
    if (auto allowed = check_destructive(scope, before); !allowed) return std::unexpected(allowed.error());
    const UtcTime now = parts_.clock.now();
    const auto effects = change_state(after, force ? AgentEvent::delete_forced : AgentEvent::delete_requested,
                                      facts_of(before), now, {.delete_reason = reason});
    if (!effects) return std::unexpected(effects.error());
    if (before.status == AgentStatus::deleting) return false;
    if (has(*effects, AgentEffect::notify_agent_removed)) {
      if (auto told = parts_.deployments.agent_removed(tx, before, now); !told) return std::unexpected(told.error());
    }
    if (has(*effects, AgentEffect::revoke_credentials)) {
      const auto revoked = credential_rows_.revoke_all(tx, id, now);
      if (!revoked) return std::unexpected(revoked.error());
    }
    if (auto audited =
            audit(tx, actor, "agent_deleted", id, std::string(name_of(reason)), force ? R"({"force":true})" : "{}");
        !audited)
      return std::unexpected(audited.error());
    return true;
  });
  if (!row) return std::unexpected(row.error());
  return {};
}

Result<AdminAgentObject> AgentService::reset(const AgentScope& scope, const AgentId& id, bool stop_workload,
                                             const Actor& actor) {
  const auto row = change(scope, id, [&](db::Transaction& tx, const AgentRow& before, AgentRow& after) -> Result<bool> {
    if (auto allowed = check_destructive(scope, before); !allowed) return std::unexpected(allowed.error());
    const UtcTime now = parts_.clock.now();
    const AgentFacts facts = facts_of(before, parts_.live.workload_reported(key_of(id)));
    const auto effects = change_state(after, AgentEvent::reset, facts, now);
    if (!effects) return std::unexpected(effects.error());
    const bool keeps_workload = !stop_workload && (facts.has_deployment || facts.workload_reported);
    if (keeps_workload) {
      after.status = before.status;
      after.quarantine_reason = before.quarantine_reason;
    } else if (has(*effects, AgentEffect::notify_agent_removed)) {
      if (auto told = parts_.deployments.agent_removed(tx, before, now); !told) return std::unexpected(told.error());
    }
    if (auto audited = audit(tx, actor, "agent_reset", id, {}, stop_workload ? "{}" : R"({"stop_workload":false})");
        !audited)
      return std::unexpected(audited.error());
    return true;
  });
  if (!row) return std::unexpected(row.error());
  parts_.live.clear_streaks(key_of(id));
  return view(*row);
}

Result<bool> AgentService::undeploy(const AgentScope& scope, const AgentId& id, const std::string& reason,
                                    const Actor& actor) {
  bool stopped = false;
  const auto row = change(scope, id, [&](db::Transaction& tx, const AgentRow& before, AgentRow&) -> Result<bool> {
    if (auto allowed = check_destructive(scope, before); !allowed) return std::unexpected(allowed.error());
    const auto asked = parts_.deployments.request_stop(tx, before, actor.is_admin, parts_.clock.now());
    if (!asked) return std::unexpected(asked.error());
    stopped = *asked;
    if (!stopped) return false;
    if (auto audited = audit(tx, actor, "agent_undeployed", id, {}, detail_of_reason(reason)); !audited)
      return std::unexpected(audited.error());
    return false;  // the hook wrote the row
  });
  if (!row) return std::unexpected(row.error());
  if (stopped) {
    const auto fresh =
        parts_.database.read<std::optional<AgentRow>>([&](db::Transaction& tx) { return agents_.get(tx, id); });
    if (fresh && *fresh) published(**fresh);
  }
  return stopped;
}

Result<AgentRow> AgentService::fail_attestation(db::Transaction& tx, const AgentRow& agent,
                                                const std::string& reason_code, const Actor& actor) {
  const UtcTime now = parts_.clock.now();
  AgentRow after = agent;
  const auto effects =
      change_state(after, AgentEvent::attestation_failed, facts_of(agent), now, {.reason_code = reason_code});
  if (!effects) return std::unexpected(effects.error());
  if (auto told = parts_.deployments.agent_attestation_lost(tx, agent, now); !told)
    return std::unexpected(told.error());
  if (auto audited = audit(tx, actor, "agent_quarantined", agent.id, reason_code, "{}"); !audited)
    return std::unexpected(audited.error());
  const auto written = agents_.update(tx, agent, after, now);
  if (!written) return std::unexpected(written.error());
  if (!*written) return fail(ErrorCode::concurrent_update);
  return after;
}

}  // namespace ee::cp
