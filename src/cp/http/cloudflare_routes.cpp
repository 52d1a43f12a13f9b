#include "cp/http/cloudflare_routes.h"

#include "cp/http/admin.h"
#include "cp/http/answers.h"
#include "cp/http/query.h"

namespace ee::cp {
namespace {

constexpr Milliseconds kTimeout{60'000};    // lists have many pages
constexpr Milliseconds kAnswerTime{1'000};  // left for the answer when the handler's time ends

cloudflare::CallContext context_of(const Call& call) {
  return {.stop = call.request.stop,
          .deadline = call.request.deadline == SteadyTime{} ? SteadyTime::max() : call.request.deadline - kAnswerTime};
}

Result<net::Response> get_status(CloudflareRoutes& context, const Call& call) {
  const auto query = Query::parse(call.request.query, {"validate"});
  if (!query) return std::unexpected(query.error());
  const auto validate = query->flag("validate");
  if (!validate) return std::unexpected(validate.error());
  return json_answer(200, context.admin.status(validate->value_or(false), context_of(call)));
}

Result<CloudflareAdmin::Wanted> wanted_of(CloudflareRoutes& context, const Call& call, std::string_view scope) {
  const auto query = Query::parse(call.request.query, {"orphaned", "refresh", "limit", "cursor"});
  if (!query) return std::unexpected(query.error());
  const auto orphaned = query->flag("orphaned");
  if (!orphaned) return std::unexpected(orphaned.error());
  const auto refresh = query->flag("refresh");
  if (!refresh) return std::unexpected(refresh.error());
  const auto page =
      context.cursors.page_request(scope, query->text("limit").value_or(""), query->text("cursor").value_or(""));
  if (!page) return std::unexpected(page.error());
  return CloudflareAdmin::Wanted{.orphaned = *orphaned, .refresh = refresh->value_or(false), .page = *page};
}

Result<net::Response> get_tunnels(CloudflareRoutes& context, const Call& call) {
  const auto wanted = wanted_of(context, call, "cloudflare_tunnels");
  if (!wanted) return std::unexpected(wanted.error());
  const auto page = context.admin.tunnels(*wanted, context_of(call));
  if (!page) return std::unexpected(page.error());
  return json_answer(200, *page);
}

Result<net::Response> get_records(CloudflareRoutes& context, const Call& call) {
  const auto wanted = wanted_of(context, call, "cloudflare_records");
  if (!wanted) return std::unexpected(wanted.error());
  const auto page = context.admin.records(*wanted, context_of(call));
  if (!page) return std::unexpected(page.error());
  return json_answer(200, *page);
}

Result<bool> force_of(const Call& call) {
  const auto query = Query::parse(call.request.query, {"force"});
  if (!query) return std::unexpected(query.error());
  const auto force = query->flag("force");
  if (!force) return std::unexpected(force.error());
  return force->value_or(false);
}

Result<net::Response> delete_tunnel(CloudflareRoutes& context, const Call& call) {
  const auto force = force_of(call);
  if (!force) return std::unexpected(force.error());
  const auto done = context.admin.delete_tunnel(std::string(call.request.param("tunnel_id")), *force, actor_of(call),
                                                context_of(call));
  if (!done) return std::unexpected(done.error());
  return json_answer(200, *done);
}

Result<net::Response> delete_record(CloudflareRoutes& context, const Call& call) {
  const auto force = force_of(call);
  if (!force) return std::unexpected(force.error());
  const auto done = context.admin.delete_record(std::string(call.request.param("record_id")), *force, actor_of(call),
                                                context_of(call));
  if (!done) return std::unexpected(done.error());
  return json_answer(200, *done);
}

}  // namespace

void add_cloudflare_routes(std::vector<Route>& table, CloudflareRoutes& context) {
  using Step = Result<net::Response> (*)(CloudflareRoutes&, const Call&);
  const auto add = [&](std::string_view method, std::string_view pattern, Step step, RouteDoc doc) {
    doc.tag = "cloudflare";
    table.push_back({.method = method,
                     .pattern = pattern,
                     .access = Access::admin,
                     .rate = RateClass::admin,
                     .handle =
                         [step, &context](const Call& call) {
                           auto answered = step(context, call);
                           return answered ? std::move(*answered)
                                           : error_answer(answered.error(), call.request.request_id);
                         },
                     .doc = std::move(doc),
                     .outside = true,
                     .timeout = kTimeout});
  };
  const auto flag = [](std::string name, std::string description) {
    return QueryParameter{std::move(name), R"({"type":"boolean","default":false})", std::move(description)};
  };
  const std::vector<QueryParameter> listing = {
      {"orphaned", R"({"type":"boolean"})", "Only those that nobody needs, or only the others."},
      flag("refresh", "Not from the list that was made up to 30 s ago."),
      {"limit", R"({"type":"integer","minimum":1,"maximum":200,"default":50})", "Items of a page."},
      {"cursor", R"({"type":"string"})", "`next_cursor` of the page before."}};
  const QueryParameter force = flag("force", "Also of a live agent, which gets another tunnel.");
  add("GET", "/api/v1/admin/cloudflare/status", get_status,
      {.summary = "Whether Cloudflare is configured, and what may be called now.",
       .tag = {},
       .query = {flag("validate", "Ask whether the API token works.")},
       .answers = {{200, "As it is now.", answer_schema<CloudflareStatusView>()}}});
  add("GET", "/api/v1/admin/cloudflare/tunnels", get_tunnels,
      {.summary = "All tunnels of the account, and whose they are.",
       .tag = {},
       .query = listing,
       .answers = {{200, "A page.", answer_schema<TunnelPage>()}}});
  add("GET", "/api/v1/admin/cloudflare/dns", get_records,
      {.summary = "DNS records of this installation.",
       .tag = {},
       .query = listing,
       .answers = {{200, "A page.", answer_schema<RecordPage>()}}});
  add("DELETE", "/api/v1/admin/cloudflare/tunnels/{tunnel_id}", delete_tunnel,
      {.summary = "Removes a tunnel of this installation.",
       .tag = {},
       .query = {force},
       .answers = {{200, "Whether it was there.", answer_schema<TunnelDeleted>()}}});
  add("DELETE", "/api/v1/admin/cloudflare/dns/{record_id}", delete_record,
      {.summary = "Removes a DNS record of this installation.",
       .tag = {},
       .query = {force},
       .answers = {{200, "Whether it was there.", answer_schema<RecordDeleted>()}}});
}

}  // namespace ee::cp
