#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cp/domain/account.h"
#include "db/database.h"

namespace ee::cp {

/// The account behind a GitHub owner, with what decides about its workflows.
struct GithubOwnerAccount {
  AccountId account_id = {};
  AccountType account_type = AccountType::deployer;
  AccountStatus status = AccountStatus::active;
  OidcPolicy oidc_policy = OidcPolicy::off;
  IdentityKind kind = IdentityKind::org;
  std::string login = {};  ///< as it was when last seen
};
BOOST_DESCRIBE_STRUCT(GithubOwnerAccount, (), (account_id, account_type, status, oidc_policy, kind, login))

/// What GitHub Actions tokens need of `account_identities` and `accounts`, and table `oidc_token_uses`. Owners are
/// found by their numeric id; logins are for people. Stateless.
class GithubOwnerStore {
 public:
  Result<std::optional<GithubOwnerAccount>> find(db::Transaction& tx, std::int64_t github_id) const;
  /// Whether an owner of this name, but of another id, is linked: the name was registered anew.
  Result<bool> is_name_of_another(db::Transaction& tx, std::string_view login, std::int64_t github_id) const;
  /// Writes the name that the owner has now; whether it had `before`, so that of many who notice one writes.
  Result<bool> rename(db::Transaction& tx, std::int64_t github_id, std::string_view before,
                      std::string_view login) const;

  /// Counts a use of a token, `max_uses` at most; false: there were as many already. `expires_at`: until when to
  /// remember.
  Result<bool> count_use(db::Transaction& tx, std::string_view token_id, std::int64_t max_uses,
                         UtcTime expires_at) const;
};

}  // namespace ee::cp
