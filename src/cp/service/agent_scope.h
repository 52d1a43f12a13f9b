#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/error.h"
#include "cp/domain/agent.h"
#include "cp/domain/principal.h"

namespace ee::cp {

/// Which agents a caller may see and change: all (admins), or those of accounts and of GitHub owners by number. An
/// agent outside of it does not exist for that caller.
struct AgentScope {
  bool all = false;
  std::vector<AccountId> account_ids = {};
  std::vector<std::int64_t> github_owner_ids = {};
  /// `agents.destructive_requires_oidc`, for a caller who is neither an administrator nor a workflow: agents with a
  /// GitHub owner are seen, but not deleted, reset or undeployed.
  bool destroys_no_github_owned = false;

  static AgentScope everything() { return {.all = true}; }
  bool contains(const AgentRow& agent) const;
  bool acts_for(const AccountId& account) const;
};

/// The accounts that a caller acts for on a route of this scope (the router has checked a key's): active ones only.
std::vector<AccountId> acting_accounts(const Principal& caller, Scope scope);
/// What is the caller's own, administrator or not (02 section 8): of its accounts, and of the GitHub owners that it was
/// proven to stand for.
AgentScope own_agents(const Principal& caller, Scope scope);
/// The same; for administrators everything.
AgentScope visible_agents(const Principal& caller, Scope scope);

/// The one account that a request is about: `named`, or the only one. Errors: `account_not_found` (not the caller's),
/// `invalid_request` (several, and none is named), `account_type_not_allowed` (none at all).
Result<AccountId> acting_account(const Principal& caller, Scope scope, const std::optional<std::string>& named);

/// Workflows that anybody can start by a pull request change nothing. Errors: `repository_not_allowed`.
Result<void> check_workflow_may_write(const Principal& caller);

}  // namespace ee::cp
