#include "cp/http/account_routes.h"

#include <algorithm>

#include "cp/domain/agent.h"
#include "cp/http/admin.h"
#include "cp/http/answers.h"
#include "cp/http/query.h"

namespace ee::cp {
namespace {

net::Response account_answer(const Result<AccountObject>& account, const Call& call) {
  net::Response response = answer_of(account, 200, call.request.request_id);
  if (account) response.headers.push_back({"ETag", "\"" + std::to_string(account->version) + "\""});
  return response;
}

net::Response post_account(AccountRoutes& context, const Call& call) {
  const auto wanted = json::read<AccountRequest>(call.request.body);
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  const auto made_by = account_call(call);
  if (!made_by) return error_answer(made_by.error(), call.request.request_id);
  const AccountWanted account{.name = wanted->name,
                              .description = wanted->description.value_or(""),
                              .account_type = wanted->account_type,
                              .contact_email = wanted->contact_email,
                              .key_name = wanted->key_name.value_or("default")};
  return idempotent_answer(context.accounts.create(*made_by, account), call.request.request_id, true);
}

template <class E>
Result<void> read_enum(const Query& query, std::string_view name, std::optional<E>& to) {
  const auto text = query.text(name);
  if (!text) return {};
  to = enum_of<E>(*text);
  if (!to) return fail(bad_query(name, "not_in_enum", "not a value of this field"));
  return {};
}

Result<AccountFilter> filter_of(const Query& query) {
  AccountFilter filter{.name_prefix = query.text("name")};
  const auto is_label_character = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
  if (filter.name_prefix &&
      (filter.name_prefix->size() > 63 || !std::ranges::all_of(*filter.name_prefix, is_label_character)))
    return fail(bad_query("name", "bad_format", "how a DNS label begins"));
  if (auto done = read_enum(query, "account_type", filter.account_type); !done) return std::unexpected(done.error());
  if (auto done = read_enum(query, "status", filter.status); !done) return std::unexpected(done.error());
  if (const auto login = query.text("github_login")) {
    if (login->size() > 39) return fail(bad_query("github_login", "too_long", "at most 39 characters"));
    filter.github_login = normal_login(*login);
  }
  return filter;
}

net::Response get_accounts(AccountRoutes& context, const Call& call) {
  const std::string& request_id = call.request.request_id;
  const auto query =
      Query::parse(call.request.query, {"name", "account_type", "status", "github_login", "limit", "cursor"});
  if (!query) return error_answer(query.error(), request_id);
  const auto filter = filter_of(*query);
  if (!filter) return error_answer(filter.error(), request_id);
  const auto page =
      context.cursors.page_request("accounts", query->text("limit").value_or(""), query->text("cursor").value_or(""));
  if (!page) return error_answer(page.error(), request_id);
  auto found = context.accounts.list(call.principal, *filter, *page);
  if (!found) return error_answer(found.error(), request_id);
  return json_answer(200, AccountPage{.items = std::move(found->items),
                                      .next_cursor = context.cursors.encode("accounts", found->next)});
}

net::Response get_account(AccountRoutes& context, const Call& call) {
  return account_answer(context.accounts.get(AccountId(std::string(call.request.param("account_id")))), call);
}

net::Response patch_account(AccountRoutes& context, const Call& call) {
  const auto wanted = json::read<AccountChanges>(call.request.body);
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  const auto if_match = if_match_of(call.request);
  if (!if_match) return error_answer(if_match.error(), call.request.request_id);
  const auto made_by = account_call(call);
  if (!made_by) return error_answer(made_by.error(), call.request.request_id);
  const AccountPatch patch{.name = wanted->name,
                           .description = wanted->description,
                           .contact_email = wanted->contact_email,
                           .spend_limit = wanted->spend_limit,
                           .spend_limit_action = wanted->spend_limit_action,
                           .oidc_policy = wanted->oidc_policy,
                           .status_reason = wanted->status_reason,
                           .operator_account_id = wanted->operator_account_id};
  return account_answer(context.accounts.update(*made_by, patch, *if_match), call);
}

net::Response post_suspend(AccountRoutes& context, const Call& call) {
  const auto wanted = json::read<SuspendRequest>(call.request.body);
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  const auto made_by = account_call(call);
  if (!made_by) return error_answer(made_by.error(), call.request.request_id);
  return account_answer(context.accounts.suspend(*made_by, wanted->reason, wanted->stop_deployments.value_or(false)),
                        call);
}

net::Response post_resume(AccountRoutes& context, const Call& call) {
  const auto wanted = json::read<ResumeRequest>(call.request.body);
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  const auto made_by = account_call(call);
  if (!made_by) return error_answer(made_by.error(), call.request.request_id);
  return account_answer(context.accounts.resume(*made_by, wanted->reason), call);
}

net::Response delete_account(AccountRoutes& context, const Call& call) {
  const auto made_by = account_call(call);
  if (!made_by) return error_answer(made_by.error(), call.request.request_id);
  if (auto closed = context.accounts.close(*made_by); !closed)
    return error_answer(closed.error(), call.request.request_id);
  return no_content();
}

std::vector<QueryParameter> list_parameters() {
  const std::string text = R"({"type":"string"})";
  return {
      {"name", text, "Names that begin so."},
      {"account_type", R"({"type":"string","enum":["deployer","agent","contributor","launcher"]})", "Of this type."},
      {"status", R"({"type":"string","enum":["active","suspended","closed"]})", "In this state."},
      {"github_login", text, "Linked to this GitHub owner."},
      {"limit", R"({"type":"integer","minimum":1,"maximum":200,"default":50})", "Items of a page."},
      {"cursor", text, "`next_cursor` of the page before."}};
}

}  // namespace

Result<AccountCall> account_call(const Call& call) {
  AccountCall out{.principal = call.principal,
                  .actor = actor_of(call),
                  .account = AccountId(std::string(call.request.param("account_id")))};
  const auto key = call.request.header("Idempotency-Key");
  if (!key || call.request.method != "POST") return out;
  if (call.request.header_count("Idempotency-Key") > 1)
    return fail(ErrorCode::invalid_idempotency_key, "sent more than once");
  const auto acted_for = out.account.empty() ? std::nullopt : std::optional(out.account);
  auto request = idempotent_request(acted_for, call.request.method, call.request.path, *key, call.request.body);
  if (!request) return std::unexpected(std::move(request.error()));
  // Before there is an account, a key is its sender's: strangers do not share one.
  if (!acted_for && !call.principal.is_admin)
    request->principal = call.principal.kind == PrincipalKind::anonymous ? "address:" + call.request.client_address
                                                                         : call.principal.actor();
  out.idempotent = std::move(*request);
  return out;
}

net::Response idempotent_answer(const Result<IdempotentAnswer>& answer, std::string_view request_id, bool sensitive) {
  if (!answer) return error_answer(answer.error(), request_id);
  net::Response response = json_text(answer->status, answer->body);
  if (answer->replayed) response.headers.push_back({"Idempotent-Replayed", "true"});
  response.sensitive = sensitive;
  return response;
}

void add_account_routes(std::vector<Route>& table, AccountRoutes& context) {
  const auto bound = [&context](net::Response (*handler)(AccountRoutes&, const Call&)) {
    return [handler, &context](const Call& call) { return handler(context, call); };
  };
  const std::string tag = "accounts";
  table.push_back({.method = "POST",
                   .pattern = "/api/v1/accounts",
                   .access = Access::signup,
                   .rate = RateClass::write,
                   .handle = bound(post_account),
                   .doc = {.summary = "Makes an account with its first key, which is shown once.",
                           .tag = tag,
                           .request = request_schema<AccountRequest>(),
                           .answers = {{201, "The account and its key.", answer_schema<NewAccountAnswer>()}}},
                   .scope = Scope::account});
  table.push_back({.method = "GET",
                   .pattern = "/api/v1/accounts",
                   .access = Access::session,
                   .rate = RateClass::read,
                   .handle = bound(get_accounts),
                   .doc = {.summary = "All accounts for administrators, else the linked ones; oldest first.",
                           .tag = tag,
                           .query = list_parameters(),
                           .answers = {{200, "A page.", answer_schema<AccountPage>()}}},
                   .shed = net::Shed::first});
  table.push_back({.method = "GET",
                   .pattern = "/api/v1/accounts/{account_id}",
                   .access = Access::own_account,
                   .rate = RateClass::read,
                   .handle = bound(get_account),
                   .doc = {.summary = "One account.",
                           .tag = tag,
                           .answers = {{200, "The account.", answer_schema<AccountObject>()}}},
                   .when_suspended = true});
  table.push_back({.method = "PATCH",
                   .pattern = "/api/v1/accounts/{account_id}",
                   .access = Access::own_account,
                   .rate = RateClass::write,
                   .handle = bound(patch_account),
                   .doc = {.summary = "Changes an account; with If-Match only that version.",
                           .tag = tag,
                           .request = request_schema<AccountChanges>(),
                           .answers = {{200, "The account as it is now.", answer_schema<AccountObject>()}}},
                   .scope = Scope::account});
  table.push_back({.method = "POST",
                   .pattern = "/api/v1/accounts/{account_id}/suspend",
                   .access = Access::admin,
                   .rate = RateClass::admin,
                   .handle = bound(post_suspend),
                   .doc = {.summary = "Suspends an account; running work goes on unless it is told to stop.",
                           .tag = tag,
                           .request = request_schema<SuspendRequest>(),
                           .answers = {{200, "The account as it is now.", answer_schema<AccountObject>()}}}});
  table.push_back({.method = "POST",
                   .pattern = "/api/v1/accounts/{account_id}/resume",
                   .access = Access::admin,
                   .rate = RateClass::admin,
                   .handle = bound(post_resume),
                   .doc = {.summary = "Ends a suspension and the hold of a dispute.",
                           .tag = tag,
                           .request = request_schema<ResumeRequest>(),
                           .answers = {{200, "The account as it is now.", answer_schema<AccountObject>()}}}});
  table.push_back({.method = "DELETE",
                   .pattern = "/api/v1/accounts/{account_id}",
                   .access = Access::own_account,
                   .rate = RateClass::write,
                   .handle = bound(delete_account),
                   .doc = {.summary = "Closes an account that holds nothing any more.",
                           .tag = tag,
                           .answers = {{204, "It is closed."}}},
                   .scope = Scope::account});
}

}  // namespace ee::cp
