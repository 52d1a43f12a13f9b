// A request to deploy from outside: for whom; counted, and audited when it is refused.
#include "common/log.h"
#include "cp/service/deployments.h"
#include "cp/store/account_store.h"
#include "cp/store/audit_log_store.h"

namespace ee::cp {
namespace {

std::optional<std::string> some(const std::string& text) { return text.empty() ? std::nullopt : std::optional(text); }

}  // namespace

Result<AccountId> Deployments::account_of(const Principal& principal, const std::optional<std::string>& named) const {
  if (principal.kind != PrincipalKind::session) {
    if (named && (!principal.account_id || *named != principal.account_id->str()))
      return fail(Error{.code = ErrorCode::invalid_request,
                        .fields = {{.field = "account_id", .code = "unknown_field", .detail = "of sessions only"}}});
    if (principal.account_type != AccountType::deployer) return fail(ErrorCode::account_type_not_allowed);
    return *principal.account_id;
  }
  if (!named)
    return fail(Error{.code = ErrorCode::invalid_request,
                      .fields = {{.field = "account_id", .code = "required", .detail = "a session acts for it"}}});
  if (!principal.is_admin) {
    const LinkedAccount* linked = principal.linked(*named);
    if (linked == nullptr) return fail(ErrorCode::account_not_found);
    if (linked->type != AccountType::deployer) return fail(ErrorCode::account_type_not_allowed);
    if (linked->status == AccountStatus::suspended) return fail(ErrorCode::account_suspended);
  }
  return AccountId(*named);
}

Result<void> Deployments::check_account(db::Transaction& tx, const AccountId& account) {
  const auto row = AccountStore().named(tx, account);
  if (!row) return std::unexpected(row.error());
  if (row->account_type != AccountType::deployer) return fail(ErrorCode::account_type_not_allowed);
  if (row->status == AccountStatus::suspended) return fail(ErrorCode::account_suspended);
  if (row->status == AccountStatus::closed) return fail(ErrorCode::account_not_found);
  return {};
}

Result<IdempotentAnswer> Deployments::deploy(const DeploymentCall& call, const DeployRequest& request) {
  auto answer = try_deploy(call, request);
  parts_.counters.requests.with({answer ? "accepted" : "refused", answer ? "ok" : slug(answer.error().code)})
      .increment();
  if (!answer) audit_refusal(call, request, answer.error());
  return answer;
}

/// A refusal that says something about the sender or what it may do; not a request that cannot be read.
void Deployments::audit_refusal(const DeploymentCall& call, const DeployRequest& request, const Error& error) {
  const int status = error_info(error.code).http_status;
  const bool decides = status == 402 || status == 403 || status == 404 || status == 409 || status == 422;
  if (!decides && error.code != ErrorCode::compose_forbidden) return;
  const auto account = account_of(call.principal, request.account_id);
  const AuditEntry entry{.actor = call.actor.name,
                         .action = "deploy_refused",
                         .object_type = "account",
                         .object_id = account ? std::optional(account->str()) : std::nullopt,
                         .reason_code = std::string(slug(error.code)),
                         .request_id = some(call.actor.request_id),
                         .client_address = some(call.actor.client_address)};
  const auto kept = parts_.database.run_write([&](db::Transaction& tx) -> Result<void> {
    const auto done = AuditLogStore().append(tx, entry, parts_.clock.now(), parts_.random);
    if (!done) return std::unexpected(done.error());
    return {};
  });
  if (!kept) log::error("deployments", "a refusal was not audited", {{"code", slug(kept.error().code)}});
}

}  // namespace ee::cp
