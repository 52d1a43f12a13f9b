// The routes of /api/v1/apps.
#include <algorithm>

#include "cp/http/admin.h"
#include "cp/http/answers.h"
#include "cp/http/catalogue_routes.h"
#include "cp/http/query.h"

namespace ee::cp {
namespace {

constexpr std::size_t kMaxTags = 20;

std::string name_of_app(const Call& call) { return std::string(call.request.param("name")); }

net::Response post_app(CatalogueRoutes& context, const Call& call) {
  const auto wanted = json::read<AppRequest>(call.request.body);
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  auto made = context.apps.create(catalogue_call(call), *wanted);
  net::Response response = answer_of(made, 201, call.request.request_id);
  if (made) response.headers.push_back({"Location", "/api/v1/apps/" + made->name});
  return response;
}

/// `tag` may stand there more than once, which Query does not take: they come as one list, `tag=a,b`, or apart.
Result<std::pair<std::string, std::vector<std::string>>> take_tags(std::string_view query) {
  std::pair<std::string, std::vector<std::string>> out;
  while (!query.empty()) {
    const std::string_view part = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(part.size() + 1, query.size()));
    if (!part.starts_with("tag=")) {
      out.first += (out.first.empty() ? "" : "&") + std::string(part);
      continue;
    }
    if (!is_dns_label(part.substr(4))) return fail(bad_query("tag", "bad_format", "a DNS label"));
    if (out.second.size() == kMaxTags) return fail(bad_query("tag", "too_many", "at most 20"));
    out.second.emplace_back(part.substr(4));
  }
  return out;
}

Result<AppFilter> filter_of(const Query& query, std::vector<std::string> tags, const Principal& principal) {
  AppFilter filter{.name_prefix = query.text("name"), .tags = std::move(tags)};
  const auto is_label_character = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
  if (filter.name_prefix &&
      (filter.name_prefix->size() > 63 || !std::ranges::all_of(*filter.name_prefix, is_label_character)))
    return fail(bad_query("name", "bad_format", "how a DNS label begins"));
  if (const auto owner = query.text("owner_account_id")) {
    if (!is_uuid(*owner)) return fail(bad_query("owner_account_id", "bad_format", "an account's id"));
    filter.owner = AccountId(*owner);
  }
  if (const auto part = query.text("q")) {
    if (!principal.is_admin) return fail(ErrorCode::admin_required, "only administrators search descriptions");
    if (part->size() > 200) return fail(bad_query("q", "too_long", "at most 200 bytes"));
    filter.description = part;
  }
  return filter;
}

net::Response get_apps(CatalogueRoutes& context, const Call& call) {
  const std::string& request_id = call.request.request_id;
  auto tags = take_tags(call.request.query);
  if (!tags) return error_answer(tags.error(), request_id);
  const auto query = Query::parse(tags->first, {"name", "owner_account_id", "q", "limit", "cursor"});
  if (!query) return error_answer(query.error(), request_id);
  auto filter = filter_of(*query, std::move(tags->second), call.principal);
  if (!filter) return error_answer(filter.error(), request_id);
  const auto page =
      context.cursors.page_request("apps", query->text("limit").value_or(""), query->text("cursor").value_or(""));
  if (!page) return error_answer(page.error(), request_id);
  auto found = context.apps.list(call.principal, std::move(*filter), *page);
  if (!found) return error_answer(found.error(), request_id);
  return json_answer(
      200, AppPage{.items = std::move(found->items), .next_cursor = context.cursors.encode("apps", found->next)});
}

net::Response get_app(CatalogueRoutes& context, const Call& call) {
  return answer_of(context.apps.get(call.principal, name_of_app(call)), 200, call.request.request_id);
}

net::Response patch_app(CatalogueRoutes& context, const Call& call) {
  const auto wanted = json::read<AppChanges>(call.request.body);
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  return answer_of(context.apps.update(catalogue_call(call), name_of_app(call), *wanted), 200, call.request.request_id);
}

net::Response delete_app(CatalogueRoutes& context, const Call& call) {
  return answer_of(context.apps.archive(catalogue_call(call), name_of_app(call)), 200, call.request.request_id);
}

}  // namespace

CatalogueCall catalogue_call(const Call& call) { return {.principal = call.principal, .actor = actor_of(call)}; }

void add_app_routes(std::vector<Route>& table, CatalogueRoutes& context) {
  const auto bound = [&context](net::Response (*handler)(CatalogueRoutes&, const Call&)) {
    return [handler, &context](const Call& call) { return handler(context, call); };
  };
  const std::string tag = "apps";
  table.push_back({.method = "POST",
                   .pattern = "/api/v1/apps",
                   .access = Access::owner,
                   .rate = RateClass::write,
                   .handle = bound(post_app),
                   .doc = {.summary = "Makes an app of the account's; its name is never given to another one.",
                           .tag = tag,
                           .request = request_schema<AppRequest>(),
                           .answers = {{201, "The app.", answer_schema<AppObject>()}}},
                   .scope = Scope::apps});
  table.push_back({.method = "GET",
                   .pattern = "/api/v1/apps",
                   .access = Access::optional,
                   .rate = RateClass::read,
                   .handle = bound(get_apps),
                   .doc = {.summary = "Public apps, and the caller's private ones; the oldest first.",
                           .tag = tag,
                           .query = {{"name", R"({"type":"string"})", "Only names that begin so."},
                                     {"tag", R"({"type":"string"})", "Only apps with this tag; may be repeated."},
                                     {"owner_account_id", R"({"type":"string"})", "Only this account's."},
                                     {"q", R"({"type":"string"})", "A part of the description (administrators)."},
                                     {"limit", R"({"type":"integer","minimum":1,"maximum":200})", "Page size."},
                                     {"cursor", R"({"type":"string"})", "Where the page begins."}},
                           .answers = {{200, "A page of apps.", answer_schema<AppPage>()}}}});
  table.push_back({.method = "GET",
                   .pattern = "/api/v1/apps/{name}",
                   .access = Access::optional,
                   .rate = RateClass::read,
                   .handle = bound(get_app),
                   .doc = {.summary = "An app with its newest attested versions.",
                           .tag = tag,
                           .answers = {{200, "The app.", answer_schema<AppObject>()}}}});
  table.push_back({.method = "PATCH",
                   .pattern = "/api/v1/apps/{name}",
                   .access = Access::owner_not_oidc,
                   .rate = RateClass::write,
                   .handle = bound(patch_app),
                   .doc = {.summary = "Changes an app; what is said of signers counts for later publishes.",
                           .tag = tag,
                           .request = request_schema<AppChanges>(),
                           .answers = {{200, "The app as it is now.", answer_schema<AppObject>()}}},
                   .scope = Scope::apps});
  table.push_back({.method = "DELETE",
                   .pattern = "/api/v1/apps/{name}",
                   .access = Access::owner_not_oidc,
                   .rate = RateClass::write,
                   .handle = bound(delete_app),
                   .doc = {.summary = "Archives an app that no deployment uses.",
                           .tag = tag,
                           .answers = {{200, "The app as it is now.", answer_schema<AppObject>()}}},
                   .scope = Scope::apps});
}

}  // namespace ee::cp
