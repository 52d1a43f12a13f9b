#include "cp/http/ledger_routes.h"

#include "cp/domain/agent.h"
#include "cp/http/admin.h"
#include "cp/http/answers.h"
#include "cp/http/idempotent.h"
#include "cp/http/query.h"

namespace ee::cp {
namespace {

/// The account of the path. What is no id is no account.
Result<AccountId> account_of(const Call& call) {
  const std::string_view text = call.request.param("account_id");
  if (!is_uuid(text)) return fail(ErrorCode::account_not_found);
  return AccountId(std::string(text));
}

Result<std::optional<UtcTime>> time_of(const Query& query, std::string_view name) {
  const auto text = query.text(name);
  if (!text) return std::optional<UtcTime>{};
  const auto time = parse_rfc3339(*text);
  if (!time) return fail(bad_query(name, "bad_format", "RFC 3339, UTC"));
  return time;
}

Result<net::Response> balance(LedgerRoutes& context, const Call& call) {
  const auto account = account_of(call);
  if (!account) return std::unexpected(account.error());
  const auto view = context.money.balance(*account);
  if (!view) return std::unexpected(view.error());
  return json_answer(200, *view);
}

Result<net::Response> transactions(LedgerRoutes& context, const Call& call) {
  const auto account = account_of(call);
  if (!account) return std::unexpected(account.error());
  const auto query = Query::parse(call.request.query, {"type", "from", "to", "limit", "cursor"});
  if (!query) return std::unexpected(query.error());
  TransactionFilter filter;
  if (const auto type = query->text("type")) {
    filter.type = enum_of<TransactionType>(*type);
    if (!filter.type) return fail(bad_query("type", "not_in_enum", "a type of transaction"));
  }
  const auto from = time_of(*query, "from");
  if (!from) return std::unexpected(from.error());
  const auto to = time_of(*query, "to");
  if (!to) return std::unexpected(to.error());
  filter.from = *from;
  filter.to = *to;
  const auto page = context.cursors.page_request("transactions", query->text("limit").value_or(""),
                                                 query->text("cursor").value_or(""));
  if (!page) return std::unexpected(page.error());
  const auto found = context.money.transactions(*account, filter, *page);
  if (!found) return std::unexpected(found.error());
  return json_answer(200, *found);
}

Result<net::Response> usage(LedgerRoutes& context, const Call& call) {
  const auto account = account_of(call);
  if (!account) return std::unexpected(account.error());
  const auto query = Query::parse(call.request.query, {"from", "to", "group_by"});
  if (!query) return std::unexpected(query.error());
  const auto group = enum_of<UsageGroup>(query->text("group_by").value_or("day"));
  if (!group) return fail(bad_query("group_by", "not_in_enum", "hour, day, deployment or app"));
  const auto from = time_of(*query, "from");
  if (!from) return std::unexpected(from.error());
  const auto to = time_of(*query, "to");
  if (!to) return std::unexpected(to.error());
  const auto view = context.money.usage(*account, *from, *to, *group);
  if (!view) return std::unexpected(view.error());
  return json_answer(200, *view);
}

Result<net::Response> statements(LedgerRoutes& context, const Call& call) {
  const auto account = account_of(call);
  if (!account) return std::unexpected(account.error());
  const auto query = Query::parse(call.request.query, {"limit", "cursor"});
  if (!query) return std::unexpected(query.error());
  const auto page =
      context.cursors.page_request("statements", query->text("limit").value_or(""), query->text("cursor").value_or(""));
  if (!page) return std::unexpected(page.error());
  const auto found = context.money.statements(*account, *page);
  if (!found) return std::unexpected(found.error());
  return json_answer(200, *found);
}

/// `format` decides; without it an `Accept` that names CSV and not JSON does.
Result<StatementFormat> format_of(const Call& call, const Query& query) {
  if (const auto wanted = query.text("format")) {
    const auto format = enum_of<StatementFormat>(*wanted);
    if (!format) return fail(bad_query("format", "not_in_enum", "json or csv"));
    return *format;
  }
  const std::string_view accept = call.request.header("Accept").value_or("");
  const bool csv = accept.find("text/csv") != std::string_view::npos;
  return csv && accept.find("json") == std::string_view::npos ? StatementFormat::csv : StatementFormat::json;
}

Result<net::Response> statement(LedgerRoutes& context, const Call& call) {
  const auto account = account_of(call);
  if (!account) return std::unexpected(account.error());
  const auto query = Query::parse(call.request.query, {"format"});
  if (!query) return std::unexpected(query.error());
  const auto format = format_of(call, *query);
  if (!format) return std::unexpected(format.error());
  auto reader = context.money.statement(*account, call.request.param("month"), *format);
  if (!reader) return std::unexpected(reader.error());
  auto text = reader->next();
  if (!text) return std::unexpected(text.error());
  net::Response response = json_text(200, {});
  if (*format == StatementFormat::csv) {
    response.headers.front().value = "text/csv; charset=utf-8";
    response.headers.push_back({"Content-Disposition", "attachment; filename=\"statement-" +
                                                           std::string(call.request.param("month")) + ".csv\""});
  }
  response.headers.push_back({"Vary", "Accept"});
  if (reader->ended()) {
    response.body = std::move(*text);
    return response;
  }
  return context.exports.stream(std::move(response), std::move(*text),
                                [rest = std::move(*reader)]() mutable { return rest.next(); });
}

template <class Body, class Act>
Result<net::Response> move_money(const Call& call, const Act& act) {
  const auto account = account_of(call);
  if (!account) return std::unexpected(account.error());
  // An administrator acts for nobody but the platform.
  const auto request = required_idempotency_of(call, std::nullopt);
  if (!request) return std::unexpected(request.error());
  const auto wanted = json::read<Body>(call.request.body);
  if (!wanted) return std::unexpected(with_invalid_amount(wanted.error(), "amount"));
  return idempotent_answer(act(*account, *wanted, *request, actor_of(call)), call.request.request_id);
}

Result<net::Response> credit(LedgerRoutes& context, const Call& call) {
  return move_money<CreditRequest>(
      call, [&](const auto& account, const auto& wanted, const auto& request, const auto& actor) {
        return context.admin.credit(account, wanted, request, actor);
      });
}
Result<net::Response> adjust(LedgerRoutes& context, const Call& call) {
  return move_money<MoneyMoveRequest>(
      call, [&](const auto& account, const auto& wanted, const auto& request, const auto& actor) {
        return context.admin.adjust(account, wanted, request, actor);
      });
}
Result<net::Response> payout(LedgerRoutes& context, const Call& call) {
  return move_money<MoneyMoveRequest>(
      call, [&](const auto& account, const auto& wanted, const auto& request, const auto& actor) {
        return context.admin.payout(account, wanted, request, actor);
      });
}

Result<net::Response> limits(LedgerRoutes& context, const Call& call) {
  const auto account = account_of(call);
  if (!account) return std::unexpected(account.error());
  const auto wanted = json::read<LimitsRequest>(call.request.body);
  if (!wanted) return std::unexpected(with_invalid_amount(wanted.error(), "credit_limit"));
  const auto view = context.admin.set_limits(*account, *wanted, actor_of(call));
  if (!view) return std::unexpected(view.error());
  return json_answer(200, *view);
}

Result<net::Response> resume(LedgerRoutes& context, const Call& call) {
  const auto wanted = json::read<ReasonRequest>(call.request.body);
  if (!wanted) return std::unexpected(wanted.error());
  const auto view = context.admin.resume(wanted->reason, actor_of(call));
  if (!view) return std::unexpected(view.error());
  return json_answer(200, *view);
}

Result<net::Response> verify(LedgerRoutes& context, const Call& call) {
  if (const auto wanted = context.check.ask_full_pass(); !wanted) return std::unexpected(wanted.error());
  const auto asked = context.jobs.run_now("ledger_verify", actor_of(call));
  if (!asked) return std::unexpected(asked.error());
  return json_answer(202, *asked);
}

const std::string kTimeSchema = R"({"type":"string","format":"date-time"})";
const QueryParameter kFrom = {"from", kTimeSchema, "From then on."};
const QueryParameter kTo = {"to", kTimeSchema, "Before then."};
const QueryParameter kLimit = {"limit", R"({"type":"integer","minimum":1,"maximum":200,"default":50})",
                               "Items of a page."};
const QueryParameter kCursor = {"cursor", R"({"type":"string"})", "`next_cursor` of the page before."};

using Step = Result<net::Response> (*)(LedgerRoutes&, const Call&);

/// GETs of accounts' own money.
void add_reads(std::vector<Route>& table, const std::function<Handler(Step)>& bound) {
  const auto add = [&](std::string_view pattern, Step step, RouteDoc doc, std::string_view also_answers = {}) {
    doc.tag = "money";
    table.push_back({.method = "GET",
                     .pattern = pattern,
                     .access = Access::own_account,
                     .rate = RateClass::read,
                     .handle = bound(step),
                     .doc = std::move(doc),
                     .when_suspended = true,
                     .also_answers = also_answers});
  };
  add("/api/v1/accounts/{account_id}/balance", balance,
      {.summary = "Balance, what is used but not charged yet, and how long the money lasts.",
       .tag = {},
       .answers = {{200, "At this moment.", answer_schema<BalanceView>()}}});
  add("/api/v1/accounts/{account_id}/transactions", transactions,
      {.summary = "Lines of the ledger, newest first.",
       .tag = {},
       .query = {{"type", R"({"type":"string"})", "Only lines of this type."}, kFrom, kTo, kLimit, kCursor},
       .answers = {{200, "A page.", answer_schema<TransactionPage>()}}});
  add("/api/v1/accounts/{account_id}/usage", usage,
      {.summary = "Charged use, summed by hour, day, deployment or app; at most 92 days and 5,000 groups.",
       .tag = {},
       .query = {kFrom,
                 kTo,
                 {"group_by", R"({"type":"string","enum":["hour","day","deployment","app"],"default":"day"})",
                  "What is summed together."}},
       .answers = {{200, "All groups.", answer_schema<UsageView>()}}});
  add("/api/v1/accounts/{account_id}/statements", statements,
      {.summary = "Monthly statements, the present month first.",
       .tag = {},
       .query = {kLimit, kCursor},
       .answers = {{200, "A page.", answer_schema<StatementPage>()}}});
  add("/api/v1/accounts/{account_id}/statements/{month}", statement,
      {.summary = "The statement of a month (yyyy-mm, UTC), as JSON or CSV.",
       .tag = {},
       .query = {{"format", R"({"type":"string","enum":["json","csv"]})", "In place of Accept."}},
       .answers = {{200, "Opening balance, lines with the running balance, totals, closing balance. Also as text/csv.",
                    answer_schema<StatementView>()}}},
      "text/csv");
}

/// What administrators do.
void add_acts(std::vector<Route>& table, const std::function<Handler(Step)>& bound) {
  const auto add = [&](std::string_view method, std::string_view pattern, Step step, RouteDoc doc) {
    doc.tag = "money";
    table.push_back({.method = method,
                     .pattern = pattern,
                     .access = Access::admin,
                     .rate = RateClass::admin,
                     .handle = bound(step),
                     .doc = std::move(doc),
                     .reserved = true});
  };
  const std::vector<DocumentedAnswer> posted = {{201, "The account's line.", answer_schema<TransactionView>()}};
  add("POST", "/api/v1/accounts/{account_id}/credit", credit,
      {.summary = "Gives an account money. Needs an Idempotency-Key.",
       .tag = {},
       .request = request_schema<CreditRequest>(),
       .answers = posted});
  add("POST", "/api/v1/accounts/{account_id}/adjust", adjust,
      {.summary = "Corrects a balance, either way. Needs an Idempotency-Key.",
       .tag = {},
       .request = request_schema<MoneyMoveRequest>(),
       .answers = posted});
  add("POST", "/api/v1/accounts/{account_id}/payout", payout,
      {.summary = "Records that an account's money was paid out. Needs an Idempotency-Key.",
       .tag = {},
       .request = request_schema<MoneyMoveRequest>(),
       .answers = posted});
  add("PUT", "/api/v1/accounts/{account_id}/limits", limits,
      {.summary = "Sets how far below zero an account may spend.",
       .tag = {},
       .request = request_schema<LimitsRequest>(),
       .answers = {{200, "The limits now.", answer_schema<LimitsView>()}}});
  add("POST", "/api/v1/admin/billing/resume", resume,
      {.summary = "Lifts the halt that a failed check of the ledger set.",
       .tag = {},
       .request = request_schema<ReasonRequest>(),
       .answers = {{200, "Billing runs.", answer_schema<BillingHaltView>()}}});
  add("POST", "/api/v1/admin/billing/verify", verify,
      {.summary = "Asks for a check of the whole ledger now.",
       .tag = {},
       .answers = {{202, "It runs as soon as it may.", answer_schema<JobRunRequested>()}}});
}

}  // namespace

void add_ledger_routes(std::vector<Route>& table, LedgerRoutes& context) {
  const std::function<Handler(Step)> bound = [&context](Step step) -> Handler {
    return [step, &context](const Call& call) {
      auto answered = step(context, call);
      return answered ? std::move(*answered) : error_answer(answered.error(), call.request.request_id);
    };
  };
  add_reads(table, bound);
  add_acts(table, bound);
}

}  // namespace ee::cp
