#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/id.h"
#include "common/money.h"
#include "common/time.h"
#include "cp/domain/scope.h"

namespace ee::cp {

/// What an account is for; fixed when it is made. `system`: a fixed side of the ledger that nobody can sign in to, own,
/// close or name in a request.
enum class AccountType : std::uint8_t { deployer, agent, contributor, launcher, system };
BOOST_DESCRIBE_ENUM(AccountType, deployer, agent, contributor, launcher, system)

enum class AccountStatus : std::uint8_t { active, suspended, closed };
BOOST_DESCRIBE_ENUM(AccountStatus, active, suspended, closed)

/// What happens when the monthly spend limit is reached: no new work, or all work stops.
enum class SpendLimitAction : std::uint8_t { block, stop };
BOOST_DESCRIBE_ENUM(SpendLimitAction, block, stop)

/// Whose GitHub workflows may act for the account: all of its linked owners, those that a rule matches, none.
enum class OidcPolicy : std::uint8_t { owner, rules, off };
BOOST_DESCRIBE_ENUM(OidcPolicy, owner, rules, off)

enum class BillingState : std::uint8_t { ok, low, grace, exhausted };
BOOST_DESCRIBE_ENUM(BillingState, ok, low, grace, exhausted)

enum class IdentityKind : std::uint8_t { user, org };
BOOST_DESCRIBE_ENUM(IdentityKind, user, org)

/// Who may make accounts: administrators only, people signed in through GitHub too, everybody.
enum class SignupMode : std::uint8_t { closed, github, open };
BOOST_DESCRIBE_ENUM(SignupMode, closed, github, open)

/// A row of `accounts`.
struct AccountRow {
  AccountId id = {};
  std::string name = {};  ///< a DNS label, unique among accounts that are not closed
  std::string description = {};
  AccountType account_type = AccountType::deployer;
  AccountStatus status = AccountStatus::active;
  std::optional<std::string> status_reason = {};
  std::optional<std::string> contact_email = {};
  std::optional<AccountId> operator_account_id = {};  ///< launchers: owner of the machines they start
  UsdMicros credit_limit_micros = {};
  std::optional<UsdMicros> spend_limit_micros = {};
  SpendLimitAction spend_limit_action = SpendLimitAction::block;
  OidcPolicy oidc_policy = OidcPolicy::owner;
  UtcTime created_at = {};
  std::string created_by = {};  ///< an audit actor
  UtcTime updated_at = {};
  std::optional<UtcTime> closed_at = {};
  std::int64_t version = 1;
};
BOOST_DESCRIBE_STRUCT(AccountRow, (),
                      (id, name, description, account_type, status, status_reason, contact_email, operator_account_id,
                       credit_limit_micros, spend_limit_micros, spend_limit_action, oidc_policy, created_at, created_by,
                       updated_at, closed_at, version))

/// A row of `account_identities`: a GitHub owner that was proven to stand behind the account.
struct IdentityRow {
  std::int64_t github_id = 0;
  AccountId account_id = {};
  IdentityKind kind = IdentityKind::user;
  std::string login = {};       ///< for people to read; may change
  std::string login_norm = {};  ///< lower-case
  std::string linked_by = {};   ///< an audit actor
  UtcTime linked_at = {};
};
BOOST_DESCRIBE_STRUCT(IdentityRow, (), (github_id, account_id, kind, login, login_norm, linked_by, linked_at))

/// A row of `oidc_rules`. Absent: anything goes.
struct OidcRuleRow {
  std::string id = {};
  AccountId account_id = {};
  std::optional<std::string> repository = {};  ///< `owner/name`, compared without case
  std::optional<std::string> repository_id = {};
  std::optional<std::string> ref_glob = {};  ///< `*` stands for anything but `/`, `**` for anything
  std::optional<std::string> environment = {};
  std::optional<std::string> workflow = {};  ///< `job_workflow_ref` up to `@`
  std::optional<std::string> events = {};    ///< JSON list
  UtcTime created_at = {};
  std::string created_by = {};
};
BOOST_DESCRIBE_STRUCT(OidcRuleRow, (),
                      (id, account_id, repository, repository_id, ref_glob, environment, workflow, events, created_at,
                       created_by))

/// A row of `api_keys`.
struct ApiKeyRow {
  std::string id = {};
  AccountId account_id = {};
  std::string name = {};
  std::string lookup = {};       ///< public part of the key
  std::string secret_hash = {};  ///< Argon2id PHC string of the whole key
  std::string scopes = {};       ///< JSON list, sorted
  UtcTime created_at = {};
  std::string created_by = {};
  std::optional<UtcTime> expires_at = {};
  std::optional<std::string> rotated_from_key_id = {};
  std::optional<UtcTime> last_used_at = {};
  std::optional<std::string> last_used_ip = {};
  std::optional<UtcTime> revoked_at = {};
  std::optional<std::string> revoked_reason = {};
};
BOOST_DESCRIBE_STRUCT(ApiKeyRow, (),
                      (id, account_id, name, lookup, secret_hash, scopes, created_at, created_by, expires_at,
                       rotated_from_key_id, last_used_at, last_used_ip, revoked_at, revoked_reason))

/// The most that a key of this type of account may have (04 section 3.2). None for `system`.
constexpr Scopes scopes_of(AccountType type) {
  using enum Scope;
  switch (type) {
    case AccountType::deployer: return {read, deploy, apps, agents, capacity, billing, account};
    case AccountType::agent: return {read, agents, billing, account};
    case AccountType::contributor: return {read, apps, billing, account};
    case AccountType::launcher: return {launcher, read, account};
    case AccountType::system: return {};
  }
  return {};
}

}  // namespace ee::cp
