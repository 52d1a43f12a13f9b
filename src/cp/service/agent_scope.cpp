#include "cp/service/agent_scope.h"

#include <algorithm>

namespace ee::cp {

bool AgentScope::acts_for(const AccountId& account) const {
  return std::ranges::find(account_ids, account) != account_ids.end();
}

bool AgentScope::contains(const AgentRow& agent) const {
  if (all || (agent.account_id && acts_for(*agent.account_id))) return true;
  return agent.github_owner_id && std::ranges::find(github_owner_ids, *agent.github_owner_id) != github_owner_ids.end();
}

std::vector<AccountId> acting_accounts(const Principal& caller, Scope scope) {
  if (caller.kind == PrincipalKind::account || caller.kind == PrincipalKind::oidc) {
    if (caller.account_id) return {*caller.account_id};
    return {};
  }
  std::vector<AccountId> out;
  for (const LinkedAccount& account : caller.linked_accounts)
    if (account.status == AccountStatus::active && scopes_of(account.type).has(scope)) out.push_back(account.id);
  return out;
}

AgentScope own_agents(const Principal& caller, Scope scope) {
  AgentScope out{.account_ids = acting_accounts(caller, scope)};
  // A key speaks for its account only, whoever is linked to that.
  if (caller.kind != PrincipalKind::session && caller.kind != PrincipalKind::oidc) return out;
  for (const GithubOwner& owner : caller.github_owners)
    if (caller.kind == PrincipalKind::oidc || owner.kind == IdentityKind::user || owner.role == "admin")
      out.github_owner_ids.push_back(owner.id);
  return out;
}

AgentScope visible_agents(const Principal& caller, Scope scope) {
  if (caller.kind == PrincipalKind::session && caller.is_admin) return AgentScope::everything();
  return own_agents(caller, scope);
}

Result<AccountId> acting_account(const Principal& caller, Scope scope, const std::optional<std::string>& named) {
  const std::vector<AccountId> accounts = acting_accounts(caller, scope);
  if (named) {
    const auto found = std::ranges::find_if(accounts, [&](const AccountId& id) { return id.str() == *named; });
    if (found == accounts.end()) return fail(ErrorCode::account_not_found);
    return *found;
  }
  if (accounts.empty()) return fail(ErrorCode::account_type_not_allowed, "the caller acts for no account that may");
  if (accounts.size() > 1)
    return fail(
        Error{.code = ErrorCode::invalid_request,
              .fields = {{.field = "account_id", .code = "required", .detail = "the caller acts for several"}}});
  return accounts.front();
}

Result<void> check_workflow_may_write(const Principal& caller) {
  if (caller.kind != PrincipalKind::oidc || !caller.oidc_claims) return {};
  if (!caller.oidc_claims->event_name.starts_with("pull_request")) return {};
  return fail(ErrorCode::repository_not_allowed, "a workflow of a pull request changes nothing");
}

}  // namespace ee::cp
