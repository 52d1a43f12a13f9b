#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/id.h"
#include "cp/domain/account.h"
#include "cp/domain/scope.h"

namespace ee::cp {

/// Who makes a request, as its credential proved. What it may do is decided by the route's access rule.
enum class PrincipalKind : std::uint8_t { anonymous, account, session, agent, oidc };

/// A GitHub user or organisation that the sender was proven to stand for.
struct GithubOwner {
  std::int64_t id = 0;
  std::string login = {};
  IdentityKind kind = IdentityKind::user;
  std::string role = {};  ///< organisations: `admin` or `member`
};

/// An account behind a user session: one that is linked to the session's own user id, or to an organisation where it is
/// `admin`.
struct LinkedAccount {
  AccountId id = {};
  AccountType type = AccountType::deployer;
  AccountStatus status = AccountStatus::active;
};
BOOST_DESCRIBE_STRUCT(LinkedAccount, (), (id, type, status))

/// What a GitHub Actions token says of its job (04 section 3.4); kept with deployments.
struct OidcClaims {
  std::string subject = {};
  std::string token_id = {};  ///< `jti`
  std::string repository = {};
  std::string repository_id = {};
  std::string repository_owner = {};
  std::int64_t repository_owner_id = 0;
  std::string ref = {};
  std::string event_name = {};
  std::string run_id = {};
  std::optional<std::string> sha = {};
  std::optional<std::string> job_workflow_ref = {};
  std::optional<std::string> actor = {};
  std::optional<std::string> environment = {};
};

struct Principal {
  PrincipalKind kind = PrincipalKind::anonymous;
  std::optional<AccountId> account_id = {};  ///< kinds account and oidc
  std::optional<AccountType> account_type = {};
  AccountStatus account_status = AccountStatus::active;
  Scopes scopes = {};                               ///< kind account: of the key
  std::vector<GithubOwner> github_owners = {};      ///< sessions through GitHub; oidc: the repository's owner
  std::vector<LinkedAccount> linked_accounts = {};  ///< sessions through GitHub
  bool is_admin = false;                            ///< sessions only, computed on each request
  std::optional<SessionId> session_id = {};
  std::optional<std::string> key_id = {};
  std::optional<AgentId> agent_id = {};
  std::shared_ptr<const OidcClaims> oidc_claims = {};
  UtcTime credential_created_at = {};  ///< agents: tells when it is time to rotate; sessions: the sign-in

  /// Actor of audit rows and of the access record: `account:<key>`, `admin:<session>`, `user:<session>`, `agent:<id>`,
  /// `oidc:<repository id>`, `anonymous`.
  std::string actor() const {
    switch (kind) {
      case PrincipalKind::account: return "account:" + key_id.value_or("");
      case PrincipalKind::session: return (is_admin ? "admin:" : "user:") + session_id.value_or(SessionId()).str();
      case PrincipalKind::agent: return "agent:" + agent_id.value_or(AgentId()).str();
      case PrincipalKind::oidc: return "oidc:" + (oidc_claims ? oidc_claims->repository_id : "");
      case PrincipalKind::anonymous: break;
    }
    return "anonymous";
  }

  /// The linked account of this id; null when there is none.
  const LinkedAccount* linked(std::string_view account) const {
    for (const LinkedAccount& candidate : linked_accounts)
      if (candidate.id.str() == account) return &candidate;
    return nullptr;
  }
};

}  // namespace ee::cp
