#include "cp/http/admin.h"
#include "cp/http/agent_routes.h"
#include "cp/http/answers.h"
#include "cp/http/idempotent.h"
#include "cp/http/query.h"

namespace ee::cp {
namespace {

net::Response get_tokens(AgentRoutes& context, const Call& call) {
  const std::string& request_id = call.request.request_id;
  const auto query = Query::parse(call.request.query, {"limit", "cursor"});
  if (!query) return error_answer(query.error(), request_id);
  const auto page = context.cursors.page_request("enrollment_tokens", query->text("limit").value_or(""),
                                                 query->text("cursor").value_or(""));
  if (!page) return error_answer(page.error(), request_id);
  auto found = context.tokens.list(acting_accounts(call.principal, Scope::agents), *page);
  if (!found) return error_answer(found.error(), request_id);
  return json_answer(200, EnrollmentTokenPage{.items = std::move(found->items),
                                              .next_cursor = context.cursors.encode("enrollment_tokens", found->next)});
}

net::Response post_token(AgentRoutes& context, const Call& call) {
  const std::string& request_id = call.request.request_id;
  const auto wanted = json::read<EnrollmentTokenRequest>(call.request.body.empty() ? "{}" : call.request.body);
  if (!wanted) return error_answer(wanted.error(), request_id);
  const auto account = acting_account(call.principal, Scope::agents, wanted->account_id);
  if (!account) return error_answer(account.error(), request_id);
  const auto request = idempotency_of(call, *account);
  if (!request) return error_answer(request.error(), request_id);
  net::Response response =
      idempotent_answer(context.tokens.create(*account, *wanted, actor_of(call), *request), request_id);
  response.sensitive = true;
  return response;
}

net::Response delete_token(AgentRoutes& context, const Call& call) {
  const auto revoked = context.tokens.revoke(acting_accounts(call.principal, Scope::agents),
                                             std::string(call.request.param("token_id")), actor_of(call));
  return revoked ? no_content() : error_answer(revoked.error(), call.request.request_id);
}

constexpr std::string_view kTokens = "/api/v1/me/agents/enrollment-tokens";
constexpr std::string_view kToken = "/api/v1/me/agents/enrollment-tokens/{token_id}";

}  // namespace

void add_enrollment_token_routes(std::vector<Route>& table, AgentRoutes& context) {
  const auto bound = [&context](net::Response (*handler)(AgentRoutes&, const Call&)) {
    return [handler, &context](const Call& call) { return handler(context, call); };
  };
  const std::string tag = "agents";
  table.push_back(
      {.method = "GET",
       .pattern = kTokens,
       .access = Access::owner_not_oidc,
       .rate = RateClass::read,
       .handle = bound(get_tokens),
       .doc = {.summary = "Enrolment tokens of the caller's accounts, ended ones too.",
               .tag = tag,
               .query = {{"limit", R"({"type":"integer","minimum":1,"maximum":200,"default":50})", "Items of a page."},
                         {"cursor", R"({"type":"string"})", "`next_cursor` of the page before."}},
               .answers = {{200, "A page.", answer_schema<EnrollmentTokenPage>()}}}});
  table.push_back({.method = "POST",
                   .pattern = kTokens,
                   .access = Access::owner_not_oidc,
                   .rate = RateClass::write,
                   .handle = bound(post_token),
                   .doc = {.summary = "A token by which machines register as agents of the account; shown once.",
                           .tag = tag,
                           .request = request_schema<EnrollmentTokenRequest>(),
                           .answers = {{201, "The token.", answer_schema<NewEnrollmentToken>()}}},
                   .scope = Scope::agents});
  table.push_back({.method = "DELETE",
                   .pattern = kToken,
                   .access = Access::owner_not_oidc,
                   .rate = RateClass::write,
                   .handle = bound(delete_token),
                   .doc = {.summary = "Ends an enrolment token; agents that it made stay.",
                           .tag = tag,
                           .answers = {{204, "It is of no use any more."}}},
                   .scope = Scope::agents});
}

}  // namespace ee::cp
