#include "cp/service/account_object.h"

namespace ee::cp {

Result<AccountObject> account_object(db::Transaction& tx, const AccountRow& row) {
  const AccountStore accounts;
  const auto money = accounts.money(tx, row.id);
  if (!money) return std::unexpected(money.error());
  const auto identities = accounts.identities(tx, row.id);
  if (!identities) return std::unexpected(identities.error());
  AccountObject out{.id = row.id.str(),
                    .name = row.name,
                    .description = row.description,
                    .account_type = row.account_type,
                    .status = row.status,
                    .status_reason = row.status_reason,
                    .contact_email = row.contact_email,
                    .balance = money->balance_micros,
                    .billing_state = money->billing_state,
                    .credit_limit = row.credit_limit_micros,
                    .spend_limit = row.spend_limit_micros,
                    .spend_limit_action = row.spend_limit_action,
                    .oidc_policy = row.oidc_policy,
                    .created_at = row.created_at,
                    .version = row.version};
  if (row.operator_account_id) out.operator_account_id = row.operator_account_id->str();
  out.identities.reserve(identities->size());
  for (const IdentityRow& identity : *identities) out.identities.push_back(identity_view(identity));
  return out;
}

IdentityView identity_view(const IdentityRow& row) {
  return {.kind = row.kind, .github_id = row.github_id, .login = row.login, .linked_at = row.linked_at};
}

ApiKeyView api_key_view(const ApiKeyRow& row) {
  return {.id = row.id,
          .name = row.name,
          .display = "ee_live_" + row.lookup + "_...",
          .scopes = Scopes::of_json(row.scopes).value_or(Scopes()).names(),
          .created_at = row.created_at,
          .created_by = row.created_by,
          .expires_at = row.expires_at,
          .last_used_at = row.last_used_at,
          .revoked_at = row.revoked_at,
          .rotated_from_key_id = row.rotated_from_key_id};
}

}  // namespace ee::cp
