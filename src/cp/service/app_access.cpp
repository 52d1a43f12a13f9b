#include "cp/service/app_access.h"

#include <algorithm>

#include "cp/service/active_account.h"
#include "cp/store/account_store.h"

namespace ee::cp {

std::vector<AccountId> app_accounts(const Principal& principal) {
  std::vector<AccountId> out;
  if (principal.account_id) out.push_back(*principal.account_id);
  for (const LinkedAccount& account : principal.linked_accounts)
    if (account.status == AccountStatus::active && scopes_of(account.type).has(Scope::apps)) out.push_back(account.id);
  return out;
}

bool manages_app(const Principal& principal, const AppRow& app) {
  if (principal.is_admin) return true;
  const std::vector<AccountId> accounts = app_accounts(principal);
  return std::ranges::find(accounts, app.owner_account_id) != accounts.end();
}

Result<AppRow> visible_app(db::Transaction& tx, const Principal& principal, const std::string& name) {
  auto app = AppStore().find(tx, name);
  if (!app) return std::unexpected(std::move(app.error()));
  if (!*app) return fail(ErrorCode::app_not_found);
  const bool for_all = !(*app)->is_private() && !(*app)->archived_at;
  if (!for_all && !manages_app(principal, **app)) return fail(ErrorCode::app_not_found);
  return std::move(**app);
}

Result<AppRow> managed_app(db::Transaction& tx, const Principal& principal, const std::string& name) {
  auto app = AppStore().find(tx, name);
  if (!app) return std::unexpected(std::move(app.error()));
  if (!*app || (*app)->archived_at || !manages_app(principal, **app)) return fail(ErrorCode::app_not_found);
  if (auto active = require_active(tx, principal.is_admin, (*app)->owner_account_id); !active)
    return std::unexpected(std::move(active.error()));
  return std::move(**app);
}

Result<AppRow> published_app(db::Transaction& tx, const Principal& principal, const std::string& name) {
  auto app = managed_app(tx, principal, name);
  if (!app || principal.kind != PrincipalKind::oidc || !app->source_repo) return app;
  if (!principal.oidc_claims || normal_login(principal.oidc_claims->repository) != *app->source_repo)
    return fail(ErrorCode::repository_not_allowed, "the app is published from another repository");
  return app;
}

AuditEntry catalogue_audit(const CatalogueCall& call, std::string action, std::string object_type,
                           std::string object_id) {
  const auto some = [](const std::string& text) { return text.empty() ? std::nullopt : std::optional(text); };
  return {.actor = call.actor.name,
          .action = std::move(action),
          .object_type = std::move(object_type),
          .object_id = std::move(object_id),
          .request_id = some(call.actor.request_id),
          .client_address = some(call.actor.client_address)};
}

}  // namespace ee::cp
