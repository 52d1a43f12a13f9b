// The routes of /api/v1/apps/{name}/revenue-shares.
#include "cp/http/answers.h"
#include "cp/http/catalogue_routes.h"
#include "cp/http/query.h"

namespace ee::cp {
namespace {

std::string name_of_app(const Call& call) { return std::string(call.request.param("name")); }

Result<std::optional<UtcTime>> time_of(const Query& query, std::string_view name) {
  const auto text = query.text(name);
  if (!text) return std::optional<UtcTime>();
  const auto time = parse_rfc3339(*text);
  if (!time) return fail(bad_query(name, "bad_format", "a time such as 2026-01-02T03:00:00Z"));
  return time;
}

net::Response shares_answer(const Result<ShareSetView>& set, const Call& call) {
  net::Response response = answer_of(set, 200, call.request.request_id);
  if (set) response.headers.push_back({"ETag", "\"" + std::to_string(set->set_version) + "\""});
  return response;
}

net::Response get_shares(CatalogueRoutes& context, const Call& call) {
  const auto query = Query::parse(call.request.query, {"at"});
  if (!query) return error_answer(query.error(), call.request.request_id);
  const auto at = time_of(*query, "at");
  if (!at) return error_answer(at.error(), call.request.request_id);
  return answer_of(context.shares.get(call.principal, name_of_app(call), *at), 200, call.request.request_id);
}

net::Response put_shares(CatalogueRoutes& context, const Call& call) {
  const auto wanted = json::read<SharesRequest>(call.request.body);
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  return shares_answer(context.shares.replace(catalogue_call(call), name_of_app(call), *wanted), call);
}

net::Response post_share(CatalogueRoutes& context, const Call& call) {
  const auto wanted = json::read<ShareAdded>(call.request.body);
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  return shares_answer(context.shares.add(catalogue_call(call), name_of_app(call), *wanted), call);
}

net::Response delete_share(CatalogueRoutes& context, const Call& call) {
  const auto query = Query::parse(call.request.query, {"effective_at"});
  if (!query) return error_answer(query.error(), call.request.request_id);
  const auto at = time_of(*query, "effective_at");
  if (!at) return error_answer(at.error(), call.request.request_id);
  return shares_answer(
      context.shares.remove(catalogue_call(call), name_of_app(call), std::string(call.request.param("share_id")), *at),
      call);
}

}  // namespace

void add_share_routes(std::vector<Route>& table, CatalogueRoutes& context) {
  const auto bound = [&context](net::Response (*handler)(CatalogueRoutes&, const Call&)) {
    return [handler, &context](const Call& call) { return handler(context, call); };
  };
  const std::string tag = "apps";
  table.push_back({.method = "GET",
                   .pattern = "/api/v1/apps/{name}/revenue-shares",
                   .access = Access::owner_not_oidc,
                   .rate = RateClass::read,
                   .handle = bound(get_shares),
                   .doc = {.summary = "Who gets what of an app's earnings, now and later.",
                           .tag = tag,
                           .query = {{"at", R"({"type":"string","format":"date-time"})", "At this time, not now."}},
                           .answers = {{200, "The shares.", answer_schema<SharesObject>()}}},
                   .scope = Scope::read});
  const auto change = [&](const char* method, const char* pattern, Handler handle, const char* summary,
                          SchemaOf request, std::vector<QueryParameter> query = {}) {
    table.push_back({.method = method,
                     .pattern = pattern,
                     .access = Access::owner_not_oidc,
                     .rate = RateClass::write,
                     .handle = std::move(handle),
                     .doc = {.summary = summary,
                             .tag = tag,
                             .request = std::move(request),
                             .query = std::move(query),
                             .answers = {{200, "The new list.", answer_schema<ShareSetView>()}}},
                     .scope = Scope::apps});
  };
  change("PUT", "/api/v1/apps/{name}/revenue-shares", bound(put_shares), "Replaces the list from a full hour on.",
         request_schema<SharesRequest>());
  change("POST", "/api/v1/apps/{name}/revenue-shares", bound(post_share), "The newest list and one more share.",
         request_schema<ShareAdded>());
  change("DELETE", "/api/v1/apps/{name}/revenue-shares/{share_id}", bound(delete_share),
         "The newest list without one share.", {},
         {{"effective_at", R"({"type":"string","format":"date-time"})", "From when on; the next full hour."}});
}

}  // namespace ee::cp
