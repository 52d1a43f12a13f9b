// The routes of /api/v1/accounts/{account_id}/api-keys.
#include "cp/http/account_routes.h"
#include "cp/http/answers.h"
#include "cp/http/query.h"

namespace ee::cp {
namespace {

std::string key_id_of(const Call& call) { return std::string(call.request.param("key_id")); }

net::Response get_keys(AccountRoutes& context, const Call& call) {
  const std::string& request_id = call.request.request_id;
  const auto query = Query::parse(call.request.query, {"limit", "cursor"});
  if (!query) return error_answer(query.error(), request_id);
  const auto page =
      context.cursors.page_request("api-keys", query->text("limit").value_or(""), query->text("cursor").value_or(""));
  if (!page) return error_answer(page.error(), request_id);
  auto found = context.keys.list(AccountId(std::string(call.request.param("account_id"))), *page);
  if (!found) return error_answer(found.error(), request_id);
  return json_answer(200, ApiKeyPage{.items = std::move(found->items),
                                     .next_cursor = context.cursors.encode("api-keys", found->next)});
}

net::Response post_key(AccountRoutes& context, const Call& call) {
  const auto wanted = json::read<ApiKeyRequest>(call.request.body);
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  const auto made_by = account_call(call);
  if (!made_by) return error_answer(made_by.error(), call.request.request_id);
  const KeyWanted key{.name = wanted->name,
                      .scopes = wanted->scopes,
                      .expires_in_seconds = wanted->expires_in_seconds,
                      .reason = wanted->reason};
  return idempotent_answer(context.keys.create(*made_by, key), call.request.request_id, true);
}

net::Response rotate_key(AccountRoutes& context, const Call& call) {
  const auto wanted = json::read<RotateRequest>(call.request.body.empty() ? "{}" : call.request.body);
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  const auto made_by = account_call(call);
  if (!made_by) return error_answer(made_by.error(), call.request.request_id);
  return idempotent_answer(context.keys.rotate(*made_by, key_id_of(call), wanted->overlap_seconds.value_or(0)),
                           call.request.request_id, true);
}

net::Response delete_key(AccountRoutes& context, const Call& call) {
  const auto query = Query::parse(call.request.query, {"reason"});
  if (!query) return error_answer(query.error(), call.request.request_id);
  const auto made_by = account_call(call);
  if (!made_by) return error_answer(made_by.error(), call.request.request_id);
  if (auto revoked = context.keys.revoke(*made_by, key_id_of(call), query->text("reason").value_or("")); !revoked)
    return error_answer(revoked.error(), call.request.request_id);
  return no_content();
}

}  // namespace

void add_api_key_routes(std::vector<Route>& table, AccountRoutes& context) {
  const auto bound = [&context](net::Response (*handler)(AccountRoutes&, const Call&)) {
    return [handler, &context](const Call& call) { return handler(context, call); };
  };
  const std::string tag = "API keys";
  table.push_back(
      {.method = "GET",
       .pattern = "/api/v1/accounts/{account_id}/api-keys",
       .access = Access::own_account,
       .rate = RateClass::read,
       .handle = bound(get_keys),
       .doc = {.summary = "Keys of the account, ended ones too; never the keys themselves.",
               .tag = tag,
               .query = {{"limit", R"({"type":"integer","minimum":1,"maximum":200,"default":50})", "Items of a page."},
                         {"cursor", R"({"type":"string"})", "`next_cursor` of the page before."}},
               .answers = {{200, "A page.", answer_schema<ApiKeyPage>()}}},
       .scope = Scope::account});
  table.push_back({.method = "POST",
                   .pattern = "/api/v1/accounts/{account_id}/api-keys",
                   .access = Access::own_account,
                   .rate = RateClass::write,
                   .handle = bound(post_key),
                   .doc = {.summary = "Makes a key, which is shown once.",
                           .tag = tag,
                           .request = request_schema<ApiKeyRequest>(),
                           .answers = {{201, "The key.", answer_schema<NewKeyAnswer>()}}},
                   .scope = Scope::account});
  table.push_back({.method = "POST",
                   .pattern = "/api/v1/accounts/{account_id}/api-keys/{key_id}/rotate",
                   .access = Access::own_account_only,
                   .rate = RateClass::write,
                   .handle = bound(rotate_key),
                   .doc = {.summary = "A new key in place of this one, which ends after the overlap.",
                           .tag = tag,
                           .request = request_schema<RotateRequest>(),
                           .answers = {{201, "The new key.", answer_schema<NewKeyAnswer>()}}},
                   .scope = Scope::account});
  table.push_back({.method = "DELETE",
                   .pattern = "/api/v1/accounts/{account_id}/api-keys/{key_id}",
                   .access = Access::own_account,
                   .rate = RateClass::write,
                   .handle = bound(delete_key),
                   .doc = {.summary = "Revokes a key at once.",
                           .tag = tag,
                           .query = {{"reason", R"({"type":"string","maxLength":200})", "For the audit."}},
                           .answers = {{204, "It is revoked."}}},
                   .scope = Scope::account});
}

}  // namespace ee::cp
