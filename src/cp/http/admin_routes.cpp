#include "cp/http/admin_routes.h"

#include <boost/json/value.hpp>

#include "cp/domain/agent.h"
#include "cp/http/admin.h"
#include "cp/http/answers.h"
#include "cp/http/query.h"
#include "cp/service/settings_api.h"

namespace ee::cp {
namespace {

constexpr std::string_view kNdjson = "application/x-ndjson";

net::Response setting_answer(const Result<SettingView>& view, const Call& call) {
  net::Response response = answer_of(view, 200, call.request.request_id);
  if (view) response.headers.push_back({"ETag", '"' + std::to_string(view->version) + '"'});
  response.sensitive = true;
  return response;
}

net::Response get_settings(AdminRoutes& context, const Call& call) {
  const auto query = Query::parse(call.request.query, {"group", "prefix"});
  if (!query) return error_answer(query.error(), call.request.request_id);
  auto found = context.settings.list(query->text("group").value_or(""), query->text("prefix").value_or(""));
  if (!found) return error_answer(found.error(), call.request.request_id);
  return json_answer(200, SettingPage{.items = std::move(*found)});
}

net::Response get_setting(AdminRoutes& context, const Call& call) {
  return setting_answer(context.settings.get(call.request.param("key")), call);
}

net::Response put_setting(AdminRoutes& context, const Call& call) {
  const auto wanted = json::read<SettingPutRequest>(call.request.body);
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  const auto version = if_match_of(call.request);
  if (!version) return error_answer(version.error(), call.request.request_id);
  return setting_answer(context.settings.put(call.request.param("key"), wanted->value, *version, actor_of(call)), call);
}

net::Response delete_setting(AdminRoutes& context, const Call& call) {
  const auto version = if_match_of(call.request);
  if (!version) return error_answer(version.error(), call.request.request_id);
  return setting_answer(context.settings.reset(call.request.param("key"), *version, actor_of(call)), call);
}

net::Response get_jobs(AdminRoutes& context, const Call& call) {
  return answer_of(context.jobs.list(), 200, call.request.request_id);
}

net::Response get_job_runs(AdminRoutes& context, const Call& call) {
  const auto query = Query::parse(call.request.query, {"limit", "cursor"});
  if (!query) return error_answer(query.error(), call.request.request_id);
  return answer_of(context.jobs.runs(std::string(call.request.param("name")), query->text("limit").value_or(""),
                                     query->text("cursor").value_or("")),
                   200, call.request.request_id);
}

net::Response delete_restore_hold(AdminRoutes& context, const Call& call) {
  return answer_of(context.restore_hold.lift(actor_of(call)), 200, call.request.request_id);
}

net::Response post_job_run(AdminRoutes& context, const Call& call) {
  return answer_of(context.jobs.run_now(std::string(call.request.param("name")), actor_of(call)), 202,
                   call.request.request_id);
}

Result<std::optional<UtcTime>> time_of(const Query& query, std::string_view name) {
  const auto text = query.text(name);
  if (!text) return std::optional<UtcTime>{};
  const auto time = parse_rfc3339(*text);
  if (!time) return fail(bad_query(name, "bad_format", "RFC 3339, UTC"));
  return time;
}

Result<AuditFilter> audit_filter(const Query& query) {
  AuditFilter filter{.action = query.text("action"),
                     .actor = query.text("actor"),
                     .object_type = query.text("object_type"),
                     .object_id = query.text("object_id")};
  if (const auto result = query.text("result")) {
    filter.result = enum_of<AuditResult>(*result);
    if (!filter.result) return fail(bad_query("result", "not_in_enum", "ok, refused or failed"));
  }
  const auto since = time_of(query, "since");
  if (!since) return std::unexpected(since.error());
  filter.since = *since;
  const auto until = time_of(query, "until");
  if (!until) return std::unexpected(until.error());
  filter.until = *until;
  return filter;
}

net::Response get_audit(AdminRoutes& context, const Call& call) {
  const std::string& request_id = call.request.request_id;
  const auto query = Query::parse(call.request.query, {"action", "actor", "object_type", "object_id", "result", "since",
                                                       "until", "limit", "cursor"});
  if (!query) return error_answer(query.error(), request_id);
  const auto filter = audit_filter(*query);
  if (!filter) return error_answer(filter.error(), request_id);
  const auto page =
      context.cursors.page_request("audit", query->text("limit").value_or(""), query->text("cursor").value_or(""));
  if (!page) return error_answer(page.error(), request_id);
  return answer_of(context.audit.list(*filter, *page), 200, request_id);
}

net::Response get_audit_export(AdminRoutes& context, const Call& call) {
  const std::string& request_id = call.request.request_id;
  const auto query =
      Query::parse(call.request.query, {"action", "actor", "object_type", "object_id", "result", "since", "until"});
  if (!query) return error_answer(query.error(), request_id);
  const auto filter = audit_filter(*query);
  if (!filter) return error_answer(filter.error(), request_id);
  AuditExport rows = context.audit.export_of(*filter);
  auto lines = rows.next();
  if (!lines) return error_answer(lines.error(), request_id);
  net::Response response{.status = 200};
  response.headers.push_back({"Content-Type", std::string(kNdjson)});
  response.headers.push_back({"Content-Disposition", "attachment; filename=\"audit.ndjson\""});
  if (rows.ended()) {
    response.body = std::move(*lines);
    return response;
  }
  auto streamed = context.exports.stream(std::move(response), std::move(*lines),
                                         [rest = std::move(rows)]() mutable { return rest.next(); });
  return streamed ? std::move(*streamed) : error_answer(streamed.error(), request_id);
}

const std::string kText = R"({"type":"string"})";
const QueryParameter kLimit = {"limit", R"({"type":"integer","minimum":1,"maximum":200,"default":50})",
                               "Items of a page."};
const QueryParameter kCursor = {"cursor", R"({"type":"string"})", "`next_cursor` of the page before."};

}  // namespace

void add_admin_routes(std::vector<Route>& table, AdminRoutes& context) {
  const auto bound = [&context](net::Response (*handler)(AdminRoutes&, const Call&)) {
    return [handler, &context](const Call& call) { return handler(context, call); };
  };
  const auto add = [&](std::string_view method, std::string_view pattern,
                       net::Response (*handler)(AdminRoutes&, const Call&), RouteDoc doc) {
    table.push_back({.method = method,
                     .pattern = pattern,
                     .access = Access::admin,
                     .rate = RateClass::admin,
                     .handle = bound(handler),
                     .doc = std::move(doc),
                     .reserved = true});
  };
  const std::vector<DocumentedAnswer> setting = {
      {200, "The setting; ETag is its version.", answer_schema<SettingView>()}};
  add("GET", "/api/v1/admin/settings", get_settings,
      {.summary = "Settings with value, source and bounds.",
       .tag = "settings",
       .query = {{"group", kText, "Only this group."}, {"prefix", kText, "Keys that begin so."}},
       .answers = {{200, "All of them.", answer_schema<SettingPage>()}}});
  add("GET", "/api/v1/admin/settings/{key}", get_setting,
      {.summary = "One setting.", .tag = "settings", .answers = setting});
  add("PUT", "/api/v1/admin/settings/{key}", put_setting,
      {.summary = "Stores a value; it counts at once.",
       .tag = "settings",
       .request = request_schema<SettingPutRequest>(),
       .answers = setting});
  add("DELETE", "/api/v1/admin/settings/{key}", delete_setting,
      {.summary = "Back to environment or default.", .tag = "settings", .answers = setting});
  add("GET", "/api/v1/admin/jobs", get_jobs,
      {.summary = "Background jobs.", .tag = "jobs", .answers = {{200, "All of them.", answer_schema<JobList>()}}});
  add("GET", "/api/v1/admin/jobs/{name}/runs", get_job_runs,
      {.summary = "Runs of a job, newest first.",
       .tag = "jobs",
       .query = {kLimit, kCursor},
       .answers = {{200, "A page.", answer_schema<JobRunList>()}}});
  add("POST", "/api/v1/admin/jobs/{name}/run", post_job_run,
      {.summary = "Asks for a run now.",
       .tag = "jobs",
       .answers = {{202, "It runs as soon as it may.", answer_schema<JobRunRequested>()}}});
  add("DELETE", "/api/v1/admin/cleanup/hold", delete_restore_hold,
      {.summary = "After a restore: removals of what the database does not know may begin.",
       .tag = "jobs",
       .answers = {{200, "Whether it was held.", answer_schema<RestoreHold::View>()}}});
  const std::vector<QueryParameter> filters = {
      {"action", kText, "Exactly this action."},
      {"actor", kText, "Exactly this actor."},
      {"object_type", kText, "Kind of object."},
      {"object_id", kText, "Its id."},
      {"result", R"({"type":"string","enum":["ok","refused","failed"]})", "How it ended."},
      {"since", R"({"type":"string","format":"date-time"})", "From then on."},
      {"until", R"({"type":"string","format":"date-time"})", "Before then."}};
  std::vector<QueryParameter> paged = filters;
  paged.push_back(kLimit);
  paged.push_back(kCursor);
  add("GET", "/api/v1/admin/audit", get_audit,
      {.summary = "The audit log, decisions about evidence included, newest first.",
       .tag = "audit",
       .query = std::move(paged),
       .answers = {{200, "A page.", answer_schema<AuditPage>()}}});
  add("GET", "/api/v1/admin/audit/export", get_audit_export,
      {.summary = "The same as a line of JSON for each row, at most 1,000,000.",
       .tag = "audit",
       .query = filters,
       .answers = {{200, "The rows.", answer_schema<AuditView>(), std::string(kNdjson)}}});
  table.back().also_answers = kNdjson;
}

}  // namespace ee::cp
