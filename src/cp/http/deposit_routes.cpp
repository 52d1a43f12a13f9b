#include "cp/http/deposit_routes.h"

#include <algorithm>

#include "common/crypto.h"
#include "cp/domain/agent.h"
#include "cp/http/admin.h"
#include "cp/http/answers.h"
#include "cp/http/query.h"
#include "net/client_address.h"

namespace ee::cp {
namespace {

constexpr Seconds kAnswerTime{2};  // kept of the handler's time for what follows a call of Stripe

AccountId account_of(const Call& call) { return AccountId(std::string(call.request.param("account_id"))); }
std::string deposit_of(const Call& call) { return std::string(call.request.param("deposit_id")); }

stripe::CallContext context_of(const Call& call) {
  return {.stop = call.request.stop,
          .deadline = call.request.deadline == SteadyTime{} ? SteadyTime::max() : call.request.deadline - kAnswerTime};
}

/// What the Idempotency-Key of a request stands for; nothing without one. Errors: invalid_idempotency_key.
Result<std::optional<IdempotentRequest>> idempotent_of(const Call& call) {
  const auto key = call.request.header("Idempotency-Key");
  if (!key) return std::optional<IdempotentRequest>{};
  if (call.request.header_count("Idempotency-Key") > 1)
    return fail(ErrorCode::invalid_idempotency_key, "sent more than once");
  if (auto good = check_idempotency_key(*key); !good) return std::unexpected(good.error());
  return std::optional(IdempotentRequest{.principal = account_of(call).str(),
                                         .method = call.request.method,
                                         .path = call.request.path,
                                         .key = std::string(*key),
                                         .body_sha256 = to_hex(sha256(bytes_of(call.request.body)))});
}

/// An amount that is no string, such as a number, is a wrong amount rather than a wrong request.
Result<DepositRequest> deposit_request(const std::string& body) {
  auto wanted = json::read<DepositRequest>(body);
  if (wanted || wanted.error().code != ErrorCode::invalid_request) return wanted;
  const auto is_amount = [](const FieldError& error) { return error.field == "amount" && error.code != "required"; };
  if (std::ranges::all_of(wanted.error().fields, is_amount)) wanted.error().code = ErrorCode::invalid_amount;
  return wanted;
}

net::Response post_deposit(DepositRoutes& context, const Call& call) {
  const std::string& request_id = call.request.request_id;
  const auto wanted = deposit_request(call.request.body);
  if (!wanted) return error_answer(wanted.error(), request_id);
  const auto request = idempotent_of(call);
  if (!request) return error_answer(request.error(), request_id);
  const auto created =
      context.deposits.create(account_of(call), wanted->amount, *request, actor_of(call), context_of(call));
  if (!created) return error_answer(created.error(), request_id);
  net::Response response = json_answer(201, created->answer);
  response.sensitive = true;
  if (created->replayed) response.headers.push_back({"Idempotent-Replayed", "true"});
  return response;
}

net::Response get_deposits(DepositRoutes& context, const Call& call) {
  const std::string& request_id = call.request.request_id;
  const auto query = Query::parse(call.request.query, {"limit", "cursor"});
  if (!query) return error_answer(query.error(), request_id);
  const auto page =
      context.cursors.page_request("deposits", query->text("limit").value_or(""), query->text("cursor").value_or(""));
  if (!page) return error_answer(page.error(), request_id);
  return answer_of(context.deposits.list(account_of(call), *page, context.cursors), 200, request_id);
}

net::Response get_deposit(DepositRoutes& context, const Call& call) {
  const std::string& request_id = call.request.request_id;
  const auto query = Query::parse(call.request.query, {"client_secret"});
  if (!query) return error_answer(query.error(), request_id);
  const auto with_secret = query->flag("client_secret");
  if (!with_secret) return error_answer(with_secret.error(), request_id);
  // The secret is the payer's: administrators only read.
  if (!with_secret->value_or(false) || call.principal.is_admin)
    return answer_of(context.deposits.get(account_of(call), deposit_of(call)), 200, request_id);
  const auto body = context.deposits.get_with_secret(account_of(call), deposit_of(call), context_of(call));
  if (!body) return error_answer(body.error(), request_id);
  net::Response response = json_text(200, *body);
  response.sensitive = true;
  return response;
}

net::Response post_cancel(DepositRoutes& context, const Call& call) {
  return answer_of(context.deposits.cancel(account_of(call), deposit_of(call), actor_of(call), context_of(call)), 200,
                   call.request.request_id);
}

net::Response post_webhook(DepositRoutes& context, const Call& call) {
  const net::Request& request = call.request;
  const WebhookDelivery delivery{
      .body = request.body,
      .signature = request.header_count("Stripe-Signature") == 1 ? *request.header("Stripe-Signature") : "",
      .client_address = request.client_address,
      .request_id = request.request_id};
  return answer_of(context.webhook.receive(delivery, net::rate_limit_key(request.client_address)), 200,
                   request.request_id);
}

net::Response get_status(DepositRoutes& context, const Call& call) {
  const std::string& request_id = call.request.request_id;
  const auto query = Query::parse(call.request.query, {"validate"});
  if (!query) return error_answer(query.error(), request_id);
  const auto validate = query->flag("validate");
  if (!validate) return error_answer(validate.error(), request_id);
  return answer_of(context.admin.status(validate->value_or(false), context_of(call)), 200, request_id);
}

net::Response get_events(DepositRoutes& context, const Call& call) {
  const std::string& request_id = call.request.request_id;
  const auto query = Query::parse(call.request.query, {"type", "object_id", "outcome", "limit", "cursor"});
  if (!query) return error_answer(query.error(), request_id);
  StripeEventFilter filter{.type = query->text("type"), .object_id = query->text("object_id")};
  if (const auto outcome = query->text("outcome")) {
    filter.outcome = enum_of<StripeOutcome>(*outcome);
    if (!filter.outcome)
      return error_answer(bad_query("outcome", "not_in_enum", "processed, ignored or unmatched"), request_id);
  }
  const auto page = context.cursors.page_request("stripe_events", query->text("limit").value_or(""),
                                                 query->text("cursor").value_or(""));
  if (!page) return error_answer(page.error(), request_id);
  return answer_of(context.admin.events(filter, *page, context.cursors), 200, request_id);
}

const std::string kText = R"({"type":"string"})";
const std::string kFlag = R"({"type":"boolean","default":false})";
const QueryParameter kLimit = {"limit", R"({"type":"integer","minimum":1,"maximum":200,"default":50})",
                               "Items of a page."};
const QueryParameter kCursor = {"cursor", kText, "`next_cursor` of the page before."};

constexpr std::string_view kDeposits = "/api/v1/accounts/{account_id}/deposits";
constexpr std::string_view kDeposit = "/api/v1/accounts/{account_id}/deposits/{deposit_id}";
constexpr std::string_view kCancel = "/api/v1/accounts/{account_id}/deposits/{deposit_id}/cancel";

using Bind = std::function<Handler(net::Response (*)(DepositRoutes&, const Call&))>;

void add_account_routes(std::vector<Route>& table, const Bind& bound) {
  table.push_back({.method = "POST",
                   .pattern = kDeposits,
                   .access = Access::own_account_only,
                   .rate = RateClass::write,
                   .handle = bound(post_deposit),
                   .doc = {.summary = "Begins a deposit; the payer completes it with the client secret.",
                           .tag = "deposits",
                           .request = request_schema<DepositRequest>(),
                           .answers = {{201, "The deposit. A repeated Idempotency-Key answers from it as it is then.",
                                        answer_schema<DepositCreated>()}}},
                   .scope = Scope::billing,
                   .outside = true,
                   .shed = net::Shed::never});
  table.push_back({.method = "GET",
                   .pattern = kDeposits,
                   .access = Access::own_account,
                   .rate = RateClass::read,
                   .handle = bound(get_deposits),
                   .doc = {.summary = "Deposits of the account, newest first.",
                           .tag = "deposits",
                           .query = {kLimit, kCursor},
                           .answers = {{200, "A page.", answer_schema<DepositPage>()}}},
                   .scope = Scope::billing,
                   .when_suspended = true,
                   .shed = net::Shed::first});
  table.push_back({.method = "GET",
                   .pattern = kDeposit,
                   .access = Access::own_account,
                   .rate = RateClass::read,
                   .handle = bound(get_deposit),
                   .doc = {.summary = "One deposit.",
                           .tag = "deposits",
                           .query = {{"client_secret", kFlag,
                                      "With `client_secret`, read from Stripe; null once it is paid or over."}},
                           .answers = {{200, "The deposit.", answer_schema<DepositView>()}}},
                   .scope = Scope::billing,
                   .when_suspended = true,
                   .outside = true});
  table.push_back({.method = "POST",
                   .pattern = kCancel,
                   .access = Access::own_account_only,
                   .rate = RateClass::write,
                   .handle = bound(post_cancel),
                   .doc = {.summary = "Cancels a deposit that has not been paid.",
                           .tag = "deposits",
                           .answers = {{200, "The deposit as it is now.", answer_schema<DepositView>()}}},
                   .scope = Scope::billing,
                   .outside = true});
}

}  // namespace

void add_deposit_routes(std::vector<Route>& table, DepositRoutes& context) {
  const Bind bound = [&context](net::Response (*handler)(DepositRoutes&, const Call&)) -> Handler {
    return [handler, &context](const Call& call) { return handler(context, call); };
  };
  add_account_routes(table, bound);
  table.push_back({.method = "POST",
                   .pattern = StripeWebhook::kPath,
                   .access = Access::open,
                   .rate = RateClass::webhook,
                   .handle = bound(post_webhook),
                   .doc = {.summary = "Events of Stripe, signed in Stripe-Signature.",
                           .tag = "stripe",
                           .answers = {{200, "Stored, now or before.", answer_schema<WebhookAnswer>()}}},
                   .gate = [&context](std::string_view address) -> std::optional<Error> {
                     const auto wait = context.webhook.blocked(net::rate_limit_key(address));
                     if (!wait) return std::nullopt;
                     Error error{.code = ErrorCode::rate_limited, .detail = "too many bad signatures"};
                     error.retry_after = *wait;
                     return error;
                   },
                   .max_body_bytes = stripe::kMaxEventBytes,
                   .outside = true,
                   .shed = net::Shed::never});
  table.push_back({.method = "GET",
                   .pattern = "/api/v1/admin/stripe/status",
                   .access = Access::admin,
                   .rate = RateClass::admin,
                   .handle = bound(get_status),
                   .doc = {.summary = "How Stripe is configured, and whether its key works.",
                           .tag = "stripe",
                           .query = {{"validate", kFlag, "Ask Stripe."}},
                           .answers = {{200, "The status; never a secret.", answer_schema<StripeStatus>()}}},
                   .outside = true,
                   .reserved = true});
  table.push_back({.method = "GET",
                   .pattern = "/api/v1/admin/stripe/events",
                   .access = Access::admin,
                   .rate = RateClass::admin,
                   .handle = bound(get_events),
                   .doc = {.summary = "Events that Stripe sent, newest first.",
                           .tag = "stripe",
                           .query = {{"type", kText, "Only this type."},
                                     {"object_id", kText, "Only about this object."},
                                     {"outcome", R"({"type":"string","enum":["processed","ignored","unmatched"]})",
                                      "Only this outcome."},
                                     kLimit,
                                     kCursor},
                           .answers = {{200, "A page.", answer_schema<StripeEventPage>()}}},
                   .reserved = true});
}

}  // namespace ee::cp
