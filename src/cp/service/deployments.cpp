// What users read of deployments, and the changes that keep their content.
#include "cp/service/deployments.h"

#include <algorithm>

#include "common/json.h"
#include "cp/service/active_account.h"
#include "cp/service/deploy_order.h"
#include "cp/store/audit_log_store.h"

namespace ee::cp {
namespace {

constexpr int kTries = 3;

/// The accounts behind a principal, all of which it may read.
std::vector<AccountId> accounts_of(const Principal& principal) {
  std::vector<AccountId> out;
  if (principal.account_id) out.push_back(*principal.account_id);
  for (const LinkedAccount& linked : principal.linked_accounts) out.push_back(linked.id);
  return out;
}

/// GitHub owners whose agents are the principal's own: itself, and organisations that it is an administrator of.
std::vector<std::int64_t> owners_of(const Principal& principal) {
  std::vector<std::int64_t> out;
  for (const GithubOwner& owner : principal.github_owners)
    if (owner.kind == IdentityKind::user || owner.role == "admin" || principal.kind == PrincipalKind::oidc)
      out.push_back(owner.id);
  return out;
}

std::optional<std::string> some(const std::string& text) { return text.empty() ? std::nullopt : std::optional(text); }

}  // namespace

bool Deployments::owns(const Principal& principal, const AccountId& account) const {
  if (principal.kind == PrincipalKind::session && principal.is_admin) return true;
  const auto accounts = accounts_of(principal);
  return std::ranges::find(accounts, account) != accounts.end();
}

Result<DeploymentRow> Deployments::owned(db::Transaction& tx, const Principal& principal,
                                         const DeploymentId& id) const {
  auto row = rows_.get(tx, id);
  if (!row) return std::unexpected(row.error());
  if (!*row || !owns(principal, (*row)->account_id)) return fail(ErrorCode::deployment_not_found);
  return std::move(**row);
}

Result<DeploymentRow> Deployments::changeable(db::Transaction& tx, const Principal& principal,
                                              const DeploymentId& id) const {
  auto row = owned(tx, principal, id);
  if (!row) return row;
  if (auto active = require_active(tx, principal.is_admin, row->account_id); !active)
    return std::unexpected(std::move(active.error()));
  return row;
}

Result<Page<DeploymentObject>> Deployments::list(const Principal& principal, DeploymentFilter filter,
                                                 const PageRequest& page) {
  const bool all = principal.kind == PrincipalKind::session && principal.is_admin;
  if (!all) filter.accounts = accounts_of(principal);
  return parts_.database.read<Page<DeploymentObject>>([&](db::Transaction& tx) -> Result<Page<DeploymentObject>> {
    const auto rows = rows_.list(tx, filter, page);
    if (!rows) return std::unexpected(rows.error());
    Page<DeploymentObject> out{.items = {}, .next = rows->next};
    for (const DeploymentRow& row : rows->items) {
      auto object = views_.object(tx, row);
      if (!object) return std::unexpected(object.error());
      out.items.push_back(std::move(*object));
    }
    return out;
  });
}

Result<Deployments::Seen> Deployments::get(const Principal& principal, const DeploymentId& id) {
  return parts_.database.read<Seen>([&](db::Transaction& tx) -> Result<Seen> {
    const auto row = rows_.get(tx, id);
    if (!row) return std::unexpected(row.error());
    if (!*row) return fail(ErrorCode::deployment_not_found);
    Seen out;
    if (owns(principal, (*row)->account_id)) {
      auto object = views_.object(tx, **row);
      if (!object) return std::unexpected(object.error());
      out.full = std::move(*object);
      return out;
    }
    if (!(*row)->agent_id || !(*row)->slot_held) return fail(ErrorCode::deployment_not_found);
    const auto agent = AgentStore().get(tx, *(*row)->agent_id);
    if (!agent) return std::unexpected(agent.error());
    const auto owners = owners_of(principal);
    const auto is_owner = [&](std::int64_t owner) { return std::ranges::find(owners, owner) != owners.end(); };
    const bool operates = *agent && (((*agent)->account_id && owns(principal, *(*agent)->account_id)) ||
                                     ((*agent)->github_owner_id && is_owner(*(*agent)->github_owner_id)));
    if (!operates) return fail(ErrorCode::deployment_not_found);
    auto reduced = views_.reduced(tx, **row);
    if (!reduced) return std::unexpected(reduced.error());
    out.reduced = std::move(*reduced);
    return out;
  });
}

Result<Page<Deployments::Mine>> Deployments::mine(const Principal& principal,
                                                  const std::optional<std::string>& relation, const PageRequest& page) {
  const auto accounts = accounts_of(principal);
  DeploymentFilter filter;
  filter.accounts = relation == "agent_owner" ? std::vector<AccountId>() : accounts;
  if (relation != "deployer") {
    filter.agent_accounts = accounts;
    filter.agent_github_owners = owners_of(principal);
  }
  return parts_.database.read<Page<Mine>>([&](db::Transaction& tx) -> Result<Page<Mine>> {
    const auto rows = rows_.list(tx, filter, page);
    if (!rows) return std::unexpected(rows.error());
    Page<Mine> out{.items = {}, .next = rows->next};
    for (const DeploymentRow& row : rows->items) {
      const bool deployer = std::ranges::find(accounts, row.account_id) != accounts.end();
      Mine item{.relation = deployer ? "deployer" : "agent_owner", .seen = {}};
      if (deployer) {
        auto object = views_.object(tx, row);
        if (!object) return std::unexpected(object.error());
        item.seen.full = std::move(*object);
      } else {
        auto reduced = views_.reduced(tx, row);
        if (!reduced) return std::unexpected(reduced.error());
        item.seen.reduced = std::move(*reduced);
      }
      out.items.push_back(std::move(item));
    }
    return out;
  });
}

Result<std::vector<RevisionObject>> Deployments::revisions(const Principal& principal, const DeploymentId& id) {
  return parts_.database.read<std::vector<RevisionObject>>(
      [&](db::Transaction& tx) -> Result<std::vector<RevisionObject>> {
        if (auto row = owned(tx, principal, id); !row) return std::unexpected(row.error());
        const auto rows = revision_rows_.list(tx, id);
        if (!rows) return std::unexpected(rows.error());
        std::vector<RevisionObject> out;
        for (const RevisionRow& row : *rows) {
          auto object = views_.revision(tx, row);
          if (!object) return std::unexpected(object.error());
          out.push_back(std::move(*object));
        }
        return out;
      });
}

Result<DeploymentRow> Deployments::row(const Principal& principal, const DeploymentId& id) {
  return parts_.database.read<DeploymentRow>([&](db::Transaction& tx) { return owned(tx, principal, id); });
}

Result<std::vector<DeploymentRow>> Deployments::rows(const Principal& principal, DeploymentFilter filter) {
  if (!(principal.kind == PrincipalKind::session && principal.is_admin)) filter.accounts = accounts_of(principal);
  auto page = parts_.database.read<Page<DeploymentRow>>(
      [&](db::Transaction& tx) { return rows_.list(tx, filter, PageRequest{.limit = PageRequest::kMaxLimit}); });
  if (!page) return std::unexpected(page.error());
  return std::move(page->items);
}

Result<std::vector<DeploymentEventRow>> Deployments::events(const Principal& principal, const DeploymentId& id,
                                                            std::int64_t after_seq, std::int64_t limit) {
  return parts_.database.read<std::vector<DeploymentEventRow>>(
      [&](db::Transaction& tx) -> Result<std::vector<DeploymentEventRow>> {
        if (auto row = owned(tx, principal, id); !row) return std::unexpected(row.error());
        return events_.list(tx, id, after_seq, limit);
      });
}

Result<DeploymentObject> Deployments::patch(const DeploymentCall& call, const DeploymentId& id,
                                            const DeploymentPatch& patch) {
  if (call.principal.kind == PrincipalKind::oidc) return fail(ErrorCode::oidc_not_allowed);
  for (int attempt = 1;; ++attempt) {
    auto done = parts_.database.write<DeploymentObject>([&](db::Transaction& tx) -> Result<DeploymentObject> {
      const UtcTime now = parts_.clock.now();
      const auto before = changeable(tx, call.principal, id);
      if (!before) return std::unexpected(before.error());
      if (is_final(before->state)) return fail(ErrorCode::deployment_final);
      if (call.if_match && *call.if_match != before->row_version) return fail(ErrorCode::version_mismatch);
      DeploymentRow after = *before;
      if (patch.ttl_seconds)
        after.expires_at = *patch.ttl_seconds ? std::optional(now + Seconds(**patch.ttl_seconds)) : std::nullopt;
      if (patch.on_agent_lost) after.on_agent_lost = *patch.on_agent_lost;
      const auto written = rows_.update(tx, *before, after, now);
      if (!written) return std::unexpected(written.error());
      if (!*written) return fail(ErrorCode::concurrent_update);
      return views_.object(tx, after);
    });
    if (done || done.error().code != ErrorCode::concurrent_update || attempt == kTries) return done;
  }
}

Result<std::optional<IdempotentRequest>> Deployments::request_key(const DeploymentCall& call, const DeploymentId& id) {
  const auto account = parts_.database.read<AccountId>([&](db::Transaction& tx) -> Result<AccountId> {
    auto row = owned(tx, call.principal, id);
    if (!row) return std::unexpected(row.error());
    return row->account_id;
  });
  if (!account) return std::unexpected(account.error());
  if (!call.idempotent) return std::optional<IdempotentRequest>();
  return call.idempotent(*account);
}

Result<IdempotentAnswer> Deployments::stop(const DeploymentCall& call, const DeploymentId& id,
                                           const StopRequest& request) {
  const bool admin = call.principal.kind == PrincipalKind::session && call.principal.is_admin;
  if (request.force.value_or(false) && !admin) return fail(ErrorCode::admin_required);
  const auto key = request_key(call, id);
  if (!key) return std::unexpected(key.error());
  std::optional<AgentId> agent;
  auto answer = idempotency_.run(*key, [&](db::Transaction& tx) -> Result<EffectAnswer> {
    const auto before = changeable(tx, call.principal, id);
    if (!before) return std::unexpected(before.error());
    agent = before->agent_id;
    EventInputs inputs{.actor = call.actor.name, .request_id = some(call.actor.request_id)};
    // An administrator who acts in the account's place stops it in the platform's name.
    const std::string reason = admin ? "admin" : "user";
    const auto done = parts_.machine.request_stop(tx, *before, reason, inputs, request.force.value_or(false));
    if (!done) return std::unexpected(done.error());
    if (done->changed && request.reason && !request.reason->empty()) {
      const std::string detail = "{\"reason\":" + json::quote(*request.reason) + "}";
      if (auto noted = parts_.machine.note(tx, done->row, "stop_reason", detail, inputs); !noted)
        return std::unexpected(noted.error());
    }
    const auto object = views_.object(tx, done->row);
    if (!object) return std::unexpected(object.error());
    return EffectAnswer{.status = done->changed ? 202 : 200, .body = json::write(*object)};
  });
  if (answer && agent) published({*agent});
  if (answer && parts_.wake) parts_.wake();
  return answer;
}

Result<void> Deployments::request_stop(const DeploymentId& id, std::string_view reason, std::string_view actor) {
  for (int attempt = 1;; ++attempt) {
    std::optional<AgentId> agent;
    const auto done = parts_.database.write<bool>([&](db::Transaction& tx) -> Result<bool> {
      const auto row = rows_.get(tx, id);
      if (!row) return std::unexpected(row.error());
      if (!*row) return false;
      agent = (*row)->agent_id;
      const auto stopped = parts_.machine.request_stop(tx, **row, std::string(reason), {.actor = std::string(actor)});
      if (!stopped) return std::unexpected(stopped.error());
      return stopped->changed;
    });
    if (done) {
      if (agent) published({*agent});
      if (*done && parts_.wake) parts_.wake();
      return {};
    }
    if (done.error().code != ErrorCode::concurrent_update || attempt == kTries) return std::unexpected(done.error());
  }
}

/// Agents whose rows changed are told at their next heartbeat on this replica; other replicas read them soon.
void Deployments::published(const std::vector<AgentId>& agents) {
  for (const AgentId& id : agents) {
    const auto row =
        parts_.database.read<std::optional<AgentRow>>([&](db::Transaction& tx) { return AgentStore().get(tx, id); });
    if (row && *row) parts_.directory.put(**row);
  }
}

}  // namespace ee::cp
