#include "cp/http/access.h"

#include <fmt/format.h>

#include "cp/domain/agent.h"

namespace ee::cp {
namespace {

// The table is found by index.
constexpr bool is_in_order() {
  for (std::size_t i = 0; i < kAccessTable.size(); ++i)
    if (static_cast<std::size_t>(kAccessTable[i].access) != i) return false;
  return kAccessTable.size() == static_cast<std::size_t>(Access::agent_admin_or_owner) + 1;
}
static_assert(is_in_order());

Grant grant_of(const AccessRow& row, const Principal& principal) {
  switch (principal.kind) {
    case PrincipalKind::anonymous: return row.anonymous;
    case PrincipalKind::account: return row.key;
    case PrincipalKind::session: return principal.is_admin ? row.admin : row.user;
    case PrincipalKind::agent: return row.agent;
    case PrincipalKind::oidc: return row.oidc;
  }
  std::abort();
}

/// The code for a kind of caller that a rule has no place for.
ErrorCode refusal_of(const AccessRow& row, const Principal& principal) {
  if (principal.kind == PrincipalKind::anonymous) return ErrorCode::unauthenticated;
  if (row.agent == Grant::own) return ErrorCode::agent_mismatch;
  if (row.access == Access::launcher) return ErrorCode::account_type_not_allowed;
  if (row.access == Access::owner_not_oidc && principal.kind == PrincipalKind::oidc) return ErrorCode::oidc_not_allowed;
  return ErrorCode::admin_required;
}

Result<void> check_scope(const AccessRule& rule, AccountType type, Scopes scopes) {
  if (scopes.has(rule.scope)) return {};
  if (!scopes_of(type).has(rule.scope))
    return fail(ErrorCode::account_type_not_allowed, fmt::format("no account of type {} may do this; it needs scope {}",
                                                                 name_of(type), name_of(rule.scope)));
  return fail(ErrorCode::scope_missing, fmt::format("needs scope {}", name_of(rule.scope)));
}

Result<void> check_status(const AccessRule& rule, AccountStatus status) {
  if (status == AccountStatus::active || (status == AccountStatus::suspended && rule.when_suspended)) return {};
  return fail(ErrorCode::account_suspended);
}

Result<void> check_key(const AccessRule& rule, Grant grant, const Principal& key, std::string_view account_id) {
  if (grant == Grant::own && key.account_id->str() != account_id) return fail(ErrorCode::account_not_found);
  if (auto scoped = grant == Grant::yes ? Result<void>() : check_scope(rule, *key.account_type, key.scopes); !scoped)
    return scoped;
  // Who one is can be asked at any time.
  if (grant == Grant::yes) return {};
  return check_status(rule, key.account_status);
}

/// A session acts on a linked account as a key with all scopes of its type would.
Result<void> check_linked(const AccessRule& rule, const Principal& session, std::string_view account_id) {
  const LinkedAccount* account = session.linked(account_id);
  if (account == nullptr) {
    if (session.is_admin) return fail(ErrorCode::account_type_not_allowed, "only the account itself may do this");
    return fail(ErrorCode::account_not_found);
  }
  if (auto scoped = check_scope(rule, account->type, scopes_of(account->type)); !scoped) return scoped;
  return check_status(rule, account->status);
}

/// A workflow may do no more for its account than a key of the account's type.
Result<void> check_workflow(const AccessRule& rule, const Principal& workflow) {
  if (!workflow.account_type) return fail(ErrorCode::account_type_not_allowed);
  if (auto scoped = check_scope(rule, *workflow.account_type, scopes_of(*workflow.account_type)); !scoped)
    return scoped;
  return check_status(rule, workflow.account_status);
}

bool has_parameter(std::string_view pattern, std::string_view name) {
  return pattern.find(fmt::format("{{{}}}", name)) != std::string_view::npos;
}

}  // namespace

const AccessRow& access_row(Access access) { return kAccessTable[static_cast<std::size_t>(access)]; }

Result<void> check_access(const AccessRule& rule, const Principal& principal, const PathIds& ids) {
  const AccessRow& row = access_row(rule.access);
  const Grant grant = grant_of(row, principal);
  if (grant == Grant::no) return fail(refusal_of(row, principal));
  switch (principal.kind) {
    case PrincipalKind::anonymous: return {};
    case PrincipalKind::account: return check_key(rule, grant, principal, ids.account_id);
    case PrincipalKind::session:
      return grant == Grant::own ? check_linked(rule, principal, ids.account_id) : Result<void>();
    case PrincipalKind::agent:
      if (grant == Grant::own && (!principal.agent_id || principal.agent_id->str() != ids.agent_id))
        return fail(ErrorCode::agent_mismatch);
      return {};
    case PrincipalKind::oidc: return check_workflow(rule, principal);
  }
  std::abort();
}

std::string access_problem(const AccessRule& rule, std::string_view pattern) {
  const AccessRow& row = access_row(rule.access);
  if (row.key == Grant::own && !has_parameter(pattern, "account_id"))
    return "an account's own route needs {account_id} in its pattern";
  if (row.agent == Grant::own && !has_parameter(pattern, "agent_id"))
    return "an agent's own route needs {agent_id} in its pattern";
  if (rule.access == Access::launcher && rule.scope != Scope::launcher) return "a launcher's route has scope launcher";
  if (has_parameter(pattern, "account_id") && row.key == Grant::scoped)
    return "{account_id} stands in the pattern and nobody compares it";
  return {};
}

}  // namespace ee::cp
