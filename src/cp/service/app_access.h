#pragma once
#include <string>
#include <vector>

#include "cp/domain/app.h"
#include "cp/domain/principal.h"
#include "cp/service/actor.h"
#include "cp/store/app_store.h"
#include "cp/store/audit_log_store.h"
#include "db/database.h"

namespace ee::cp {

/// A call about the catalogue: who makes it (let in by the route's access rule).
struct CatalogueCall {
  const Principal& principal;
  Actor actor;
};

/// The accounts that a caller acts for on apps: a key's or workflow's own; those linked to a session whose type may
/// have apps and that are active.
std::vector<AccountId> app_accounts(const Principal& principal);
/// Whether the caller acts for the app's owner, or is an administrator.
bool manages_app(const Principal& principal, const AppRow& app);

/// The app as this caller may see it. Errors: app_not_found (no such app, somebody else's private one, archived for
/// others than its owner).
Result<AppRow> visible_app(db::Transaction& tx, const Principal& principal, const std::string& name);
/// The app as this caller may change it: not archived, its owner active. Errors: app_not_found, account_suspended.
Result<AppRow> managed_app(db::Transaction& tx, const Principal& principal, const std::string& name);
/// The same for publishing and yanking, where a workflow must be one of the app's repository. Errors: app_not_found,
/// repository_not_allowed.
Result<AppRow> published_app(db::Transaction& tx, const Principal& principal, const std::string& name);

/// An audit row of this call about a part of the catalogue.
AuditEntry catalogue_audit(const CatalogueCall& call, std::string action, std::string object_type,
                           std::string object_id);

}  // namespace ee::cp
