// What changes where agents are placed: draining, owners. And the request for fresh evidence.
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "common/utf8.h"
#include "cp/domain/placement.h"
#include "cp/service/agent_service.h"

namespace ee::cp {
namespace {

constexpr std::size_t kMaxReason = 200;

boost::json::object owner_detail(const AgentRow& row) {
  boost::json::object out{{"placement_scope", name_of(row.placement_scope)}};
  out["account_id"] = row.account_id ? boost::json::value(row.account_id->str()) : boost::json::value(nullptr);
  out["github_owner_id"] = row.github_owner_id ? boost::json::value(*row.github_owner_id) : boost::json::value(nullptr);
  return out;
}

bool same_owner(const AgentRow& a, const AgentRow& b) {
  return a.account_id == b.account_id && a.github_owner_id == b.github_owner_id && a.github_owner == b.github_owner &&
         a.placement_scope == b.placement_scope;
}

}  // namespace

Result<void> AgentService::compute_placement(db::Transaction& tx, AgentRow& row) {
  const auto reserved = parts_.deployments.reserved_for(tx, row);
  if (!reserved) return std::unexpected(reserved.error());
  row.placement_key = placement_key(row, *reserved);
  return {};
}

Result<AdminAgentObject> AgentService::set_draining(const AgentScope& scope, const AgentId& id,
                                                    const DrainRequest& wanted, const Actor& actor) {
  const auto row = change(scope, id, [&](db::Transaction& tx, const AgentRow& before, AgentRow& after) -> Result<bool> {
    if (before.status == AgentStatus::deleting) return fail(ErrorCode::agent_deleting);
    const bool changes = before.draining != wanted.draining;
    bool moves = false;
    if (wanted.draining && wanted.migrate) {
      const auto asked = parts_.deployments.request_migration(tx, before, parts_.clock.now());
      if (!asked) return std::unexpected(asked.error());
      moves = *asked;
    }
    if (!changes && !moves) return false;
    if (changes) {
      after.draining = wanted.draining;
      after.drain_reason = wanted.draining && !wanted.reason.empty()
                               ? std::optional(std::string(utf8_prefix(wanted.reason, kMaxReason)))
                               : std::nullopt;
      if (auto placed = compute_placement(tx, after); !placed) return std::unexpected(placed.error());
    }
    const std::string detail =
        boost::json::serialize(boost::json::object{{"draining", wanted.draining}, {"migrate", moves}});
    if (auto audited = audit(tx, actor, "agent_drained", id, {}, detail); !audited)
      return std::unexpected(audited.error());
    return changes;
  });
  if (!row) return std::unexpected(row.error());
  return view(*row);
}

/// What the caller may say of the owner, put into the row.
Result<void> AgentService::apply_owner(db::Transaction& tx, const AgentScope& scope, const OwnerChange& wanted,
                                       AgentRow& after) {
  if (!scope.all && (wanted.account_id || wanted.github_owner))
    return fail(ErrorCode::admin_required, "an owner changes placement_scope and github_owner_id only");
  if (wanted.placement_scope) after.placement_scope = *wanted.placement_scope;
  if (wanted.account_id) after.account_id = *wanted.account_id;
  if (wanted.github_owner_id && *wanted.github_owner_id != after.github_owner_id) {
    after.github_owner_id = *wanted.github_owner_id;
    after.github_owner.reset();
    if (after.github_owner_id) {
      const auto identity = accounts_.identity(tx, *after.github_owner_id);
      if (!identity) return std::unexpected(identity.error());
      if (!scope.all && (!*identity || !scope.acts_for((*identity)->account_id)))
        return fail(ErrorCode::github_owner_not_linked);
      if (*identity) after.github_owner = (*identity)->login;
    }
  }
  if (wanted.github_owner && after.github_owner_id) after.github_owner = wanted.github_owner;
  return {};
}

Result<void> AgentService::check_new_account(db::Transaction& tx, const AgentRow& before, const AgentRow& after) {
  if (before.account_id == after.account_id) return {};
  if (after.account_id) {
    const auto account = accounts_.find(tx, *after.account_id);
    if (!account) return std::unexpected(account.error());
    if (!*account || (*account)->account_type == AccountType::system || (*account)->status == AccountStatus::closed)
      return fail(ErrorCode::unknown_account);
  }
  if (!before.current_deployment_id) return {};
  const auto holder = parts_.deployments.account_of_deployment(tx, before);
  if (!holder) return std::unexpected(holder.error());
  // A deployment of nobody known counts as another's.
  if (!*holder || *holder != after.account_id) return fail(ErrorCode::agent_has_deployment);
  return {};
}

Result<AdminAgentObject> AgentService::set_owner(const AgentScope& scope, const AgentId& id, const OwnerChange& wanted,
                                                 const Actor& actor) {
  const auto row = change(scope, id, [&](db::Transaction& tx, const AgentRow& before, AgentRow& after) -> Result<bool> {
    if (before.status == AgentStatus::deleting) return fail(ErrorCode::agent_deleting);
    if (wanted.if_version && *wanted.if_version != before.row_version) return fail(ErrorCode::version_mismatch);
    if (auto applied = apply_owner(tx, scope, wanted, after); !applied) return std::unexpected(applied.error());
    if (same_owner(before, after)) return false;
    if (auto fits = check_new_account(tx, before, after); !fits) return std::unexpected(fits.error());
    if (auto placed = compute_placement(tx, after); !placed) return std::unexpected(placed.error());
    const boost::json::object detail{{"before", owner_detail(before)}, {"after", owner_detail(after)}};
    if (auto audited = audit(tx, actor, "agent_owner_changed", id, {}, boost::json::serialize(detail)); !audited)
      return std::unexpected(audited.error());
    return true;
  });
  if (!row) return std::unexpected(row.error());
  return view(*row);
}

Result<AdminAgentObject> AgentService::request_attestation(const AgentScope& scope, const AgentId& id,
                                                           const Actor& actor) {
  const auto row = change(scope, id, [&](db::Transaction& tx, const AgentRow& before, AgentRow& after) -> Result<bool> {
    if (before.status == AgentStatus::deleting) return fail(ErrorCode::agent_deleting);
    if (before.attest_requested_at && *before.attest_requested_at > before.attested_at) return false;
    after.attest_requested_at = parts_.clock.now();
    if (auto audited = audit(tx, actor, "agent_attestation_requested", id, {}, "{}"); !audited)
      return std::unexpected(audited.error());
    return true;
  });
  if (!row) return std::unexpected(row.error());
  return view(*row);
}

}  // namespace ee::cp
