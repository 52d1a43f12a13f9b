#include "cp/http/billing_routes.h"

#include "cp/http/admin.h"
#include "cp/http/answers.h"
#include "cp/http/query.h"

namespace ee::cp {
namespace {

net::Response get_rates(BillingRoutes& context, const Call& call) {
  const auto query = Query::parse(call.request.query, {"at"});
  if (!query) return error_answer(query.error(), call.request.request_id);
  std::optional<UtcTime> at;
  if (const auto text = query->text("at")) {
    at = parse_rfc3339(*text);
    if (!at) return error_answer(bad_query("at", "bad_format", "RFC 3339, UTC"), call.request.request_id);
  }
  return answer_of(context.billing.rates(at), 200, call.request.request_id);
}

net::Response post_estimate(BillingRoutes& context, const Call& call) {
  const auto wanted = json::read<EstimateRequest>(call.request.body);
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  return answer_of(context.billing.estimate(*wanted), 200, call.request.request_id);
}

net::Response put_rates(BillingRoutes& context, const Call& call) {
  const auto wanted = json::read<RateCardInput>(call.request.body);
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  return answer_of(context.billing.put_rates(*wanted, actor_of(call)), 200, call.request.request_id);
}

net::Response get_status(BillingRoutes& context, const Call& call) {
  return answer_of(context.billing.status(), 200, call.request.request_id);
}

net::Response post_run(BillingRoutes& context, const Call& call) {
  return answer_of(context.jobs.run_now("hourly_charging", actor_of(call), "billing_run"), 202,
                   call.request.request_id);
}

net::Response post_retry(BillingRoutes& context, const Call& call) {
  const auto wanted = json::read<SegmentRetryRequest>(call.request.body);
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  const auto done = context.charging.retry(wanted->segment_id, wanted->reason, actor_of(call));
  if (!done) return error_answer(done.error(), call.request.request_id);
  return json_answer(200,
                     SegmentRetryView{.segment_id = wanted->segment_id, .hours = done->hours, .amount = done->amount});
}

}  // namespace

void add_billing_routes(std::vector<Route>& table, BillingRoutes& context) {
  const auto bound = [&context](net::Response (*handler)(BillingRoutes&, const Call&)) {
    return [handler, &context](const Call& call) { return handler(context, call); };
  };
  const std::string tag = "billing";
  table.push_back({.method = "GET",
                   .pattern = "/api/v1/billing/rates",
                   .access = Access::open,
                   .rate = RateClass::read,
                   .handle = bound(get_rates),
                   .doc = {.summary = "Prices in force.",
                           .tag = tag,
                           .query = {{"at", R"({"type":"string","format":"date-time"})", "At this time, not now."}},
                           .answers = {{200, "The rate card.", answer_schema<RatesView>()}}}});
  table.push_back({.method = "POST",
                   .pattern = "/api/v1/billing/estimate",
                   .access = Access::open,
                   .rate = RateClass::read,
                   .handle = bound(post_estimate),
                   .doc = {.summary = "What something would cost.",
                           .tag = tag,
                           .request = request_schema<EstimateRequest>(),
                           .answers = {{200, "By hour, day and month.", answer_schema<EstimateView>()}}}});
  table.push_back({.method = "PUT",
                   .pattern = "/api/v1/admin/billing/rates",
                   .access = Access::admin,
                   .rate = RateClass::admin,
                   .handle = bound(put_rates),
                   .doc = {.summary = "A new rate card, from a full hour in the future on.",
                           .tag = tag,
                           .request = request_schema<RateCardInput>(),
                           .answers = {{200, "The card.", answer_schema<RatesView>()}}},
                   .reserved = true});
  table.push_back({.method = "GET",
                   .pattern = "/api/v1/admin/billing/status",
                   .access = Access::admin,
                   .rate = RateClass::admin,
                   .handle = bound(get_status),
                   .doc = {.summary = "Where hourly charging stands.",
                           .tag = tag,
                           .answers = {{200, "Hours, lag, halt.", answer_schema<BillingStatusView>()}}},
                   .reserved = true});
  table.push_back({.method = "POST",
                   .pattern = "/api/v1/admin/billing/run",
                   .access = Access::admin,
                   .rate = RateClass::admin,
                   .handle = bound(post_run),
                   .doc = {.summary = "Starts hourly charging now.",
                           .tag = tag,
                           .answers = {{202, "It runs as soon as it may.", answer_schema<JobRunRequested>()}}},
                   .reserved = true});
  table.push_back({.method = "POST",
                   .pattern = "/api/v1/admin/billing/retry",
                   .access = Access::admin,
                   .rate = RateClass::admin,
                   .handle = bound(post_retry),
                   .doc = {.summary = "Charges a segment that was set aside.",
                           .tag = tag,
                           .request = request_schema<SegmentRetryRequest>(),
                           .answers = {{200, "What it was charged.", answer_schema<SegmentRetryView>()}}},
                   .reserved = true});
}

}  // namespace ee::cp
