// The routes of /api/v1/accounts/{account_id}/identities and /oidc-rules.
#include <charconv>

#include "cp/http/account_routes.h"
#include "cp/http/answers.h"

namespace ee::cp {
namespace {

AccountId account_of(const Call& call) { return AccountId(std::string(call.request.param("account_id"))); }

net::Response get_identities(AccountRoutes& context, const Call& call) {
  auto found = context.identities.list(account_of(call));
  if (!found) return error_answer(found.error(), call.request.request_id);
  return json_answer(200, IdentityPage{.items = std::move(*found), .next_cursor = std::nullopt});
}

net::Response post_identity(AccountRoutes& context, const Call& call) {
  const auto wanted = json::read<IdentityRequest>(call.request.body);
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  const auto made_by = account_call(call);
  if (!made_by) return error_answer(made_by.error(), call.request.request_id);
  const IdentityWanted identity{
      .github_id = wanted->github_id, .kind = wanted->kind, .login = wanted->login, .reason = wanted->reason};
  return answer_of(context.identities.link(*made_by, identity), 201, call.request.request_id);
}

net::Response delete_identity(AccountRoutes& context, const Call& call) {
  const std::string_view text = call.request.param("github_id");
  std::int64_t github_id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), github_id);
  if (error != std::errc() || end != text.data() + text.size())
    return error_answer({.code = ErrorCode::not_found}, call.request.request_id);
  const auto made_by = account_call(call);
  if (!made_by) return error_answer(made_by.error(), call.request.request_id);
  if (auto unlinked = context.identities.unlink(*made_by, github_id); !unlinked)
    return error_answer(unlinked.error(), call.request.request_id);
  return no_content();
}

net::Response get_rules(AccountRoutes& context, const Call& call) {
  return answer_of(context.identities.rules(account_of(call)), 200, call.request.request_id);
}

net::Response put_rules(AccountRoutes& context, const Call& call) {
  const auto wanted = json::read<OidcRules>(call.request.body);
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  const auto made_by = account_call(call);
  if (!made_by) return error_answer(made_by.error(), call.request.request_id);
  return answer_of(context.identities.set_rules(*made_by, *wanted), 200, call.request.request_id);
}

}  // namespace

void add_identity_routes(std::vector<Route>& table, AccountRoutes& context) {
  const auto bound = [&context](net::Response (*handler)(AccountRoutes&, const Call&)) {
    return [handler, &context](const Call& call) { return handler(context, call); };
  };
  const std::string tag = "GitHub identities";
  table.push_back({.method = "GET",
                   .pattern = "/api/v1/accounts/{account_id}/identities",
                   .access = Access::own_account,
                   .rate = RateClass::read,
                   .handle = bound(get_identities),
                   .doc = {.summary = "GitHub owners that stand behind the account.",
                           .tag = tag,
                           .answers = {{200, "All of them.", answer_schema<IdentityPage>()}}},
                   .scope = Scope::account});
  table.push_back(
      {.method = "POST",
       .pattern = "/api/v1/accounts/{account_id}/identities",
       .access = Access::own_account,
       .rate = RateClass::write,
       .handle = bound(post_identity),
       .doc = {.summary = "Links a GitHub owner that a fresh sign-in proves, or an administrator vouches for.",
               .tag = tag,
               .request = request_schema<IdentityRequest>(),
               .answers = {{201, "The link.", answer_schema<IdentityView>()}}},
       .scope = Scope::account});
  table.push_back({.method = "DELETE",
                   .pattern = "/api/v1/accounts/{account_id}/identities/{github_id}",
                   .access = Access::own_account,
                   .rate = RateClass::write,
                   .handle = bound(delete_identity),
                   .doc = {.summary = "Removes a link.", .tag = tag, .answers = {{204, "It is gone."}}},
                   .scope = Scope::account});
  table.push_back({.method = "GET",
                   .pattern = "/api/v1/accounts/{account_id}/oidc-rules",
                   .access = Access::own_account,
                   .rate = RateClass::read,
                   .handle = bound(get_rules),
                   .doc = {.summary = "Which GitHub workflows may act for the account.",
                           .tag = tag,
                           .answers = {{200, "Policy and rules.", answer_schema<OidcRules>()}}},
                   .scope = Scope::account});
  table.push_back({.method = "PUT",
                   .pattern = "/api/v1/accounts/{account_id}/oidc-rules",
                   .access = Access::own_account,
                   .rate = RateClass::write,
                   .handle = bound(put_rules),
                   .doc = {.summary = "These in place of all rules; policy `rules` with none refuses every workflow.",
                           .tag = tag,
                           .request = request_schema<OidcRules>(),
                           .answers = {{200, "Policy and rules.", answer_schema<OidcRules>()}}},
                   .scope = Scope::account});
}

}  // namespace ee::cp
