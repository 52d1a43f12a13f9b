#include "cp/store/github_owner_store.h"

#include "cp/store/account_store.h"

namespace ee::cp {

Result<std::optional<GithubOwnerAccount>> GithubOwnerStore::find(db::Transaction& tx, std::int64_t github_id) const {
  return tx.query_one<GithubOwnerAccount>(
      "SELECT a.id, a.account_type, a.status, a.oidc_policy, i.kind, i.login FROM account_identities i"
      " JOIN accounts a ON a.id=i.account_id WHERE i.github_id=:github_id",
      {{"github_id", github_id}});
}

Result<bool> GithubOwnerStore::is_name_of_another(db::Transaction& tx, std::string_view login,
                                                  std::int64_t github_id) const {
  const auto found = tx.query_one<std::int64_t>(
      "SELECT github_id FROM account_identities WHERE login_norm=:login AND github_id<>:github_id LIMIT 1",
      {{"login", normal_login(login)}, {"github_id", github_id}});
  if (!found) return std::unexpected(found.error());
  return found->has_value();
}

Result<bool> GithubOwnerStore::rename(db::Transaction& tx, std::int64_t github_id, std::string_view before,
                                      std::string_view login) const {
  const auto changed = tx.execute(
      "UPDATE account_identities SET login=:login, login_norm=:norm WHERE github_id=:github_id AND login=:before",
      {{"login", login}, {"norm", normal_login(login)}, {"github_id", github_id}, {"before", before}});
  if (!changed) return std::unexpected(changed.error());
  return *changed == 1;
}

Result<bool> GithubOwnerStore::count_use(db::Transaction& tx, std::string_view token_id, std::int64_t max_uses,
                                         UtcTime expires_at) const {
  const auto counted = tx.query_one<std::int64_t>(
      "INSERT INTO oidc_token_uses (jti, uses, expires_at) VALUES (:jti, 1, :expires_at)"
      " ON CONFLICT (jti) DO UPDATE SET uses=oidc_token_uses.uses+1 WHERE oidc_token_uses.uses<:max_uses"
      " RETURNING uses",
      {{"jti", token_id}, {"expires_at", expires_at}, {"max_uses", max_uses}});
  if (!counted) return std::unexpected(counted.error());
  return counted->has_value();
}

}  // namespace ee::cp
