// The routes of /api/v1/apps/{name}/versions, and the reports of external measurers.
#include "cp/domain/agent.h"
#include "cp/http/admin.h"
#include "cp/http/answers.h"
#include "cp/http/catalogue_routes.h"
#include "cp/http/query.h"

namespace ee::cp {
namespace {

constexpr std::size_t kMaxPublishBytes = 128UL * 1024;
constexpr std::size_t kMaxReportBytes = 256UL * 1024;

std::string name_of_app(const Call& call) { return std::string(call.request.param("name")); }
std::string version_of(const Call& call) { return std::string(call.request.param("version")); }

net::Response post_version(CatalogueRoutes& context, const Call& call) {
  const auto wanted = json::read<VersionRequest>(call.request.body);
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  return answer_of(context.versions.publish(catalogue_call(call), name_of_app(call), *wanted), 202,
                   call.request.request_id);
}

net::Response get_versions(CatalogueRoutes& context, const Call& call) {
  const std::string& request_id = call.request.request_id;
  const auto query = Query::parse(call.request.query, {"status", "node_size", "limit", "cursor"});
  if (!query) return error_answer(query.error(), request_id);
  VersionFilter filter{.status = {}, .node_size = query->text("node_size")};
  if (const auto status = query->text("status")) {
    filter.status = enum_of<VersionStatus>(*status);
    if (!filter.status) return error_answer(bad_query("status", "not_in_enum", "not a status"), request_id);
  }
  const auto page = context.cursors.page_request("app-versions", query->text("limit").value_or(""),
                                                 query->text("cursor").value_or(""));
  if (!page) return error_answer(page.error(), request_id);
  auto found = context.versions.list(call.principal, name_of_app(call), filter, *page);
  if (!found) return error_answer(found.error(), request_id);
  return json_answer(200, VersionPage{.items = std::move(found->items),
                                      .next_cursor = context.cursors.encode("app-versions", found->next)});
}

net::Response get_version(CatalogueRoutes& context, const Call& call) {
  const auto query = Query::parse(call.request.query, {"node_size"});
  if (!query) return error_answer(query.error(), call.request.request_id);
  return answer_of(context.versions.get(call.principal, name_of_app(call), version_of(call), query->text("node_size")),
                   200, call.request.request_id);
}

using ChangeOfVersion = Result<VersionVariants> (AppVersions::*)(const CatalogueCall&, const std::string&,
                                                                 const std::string&, const VersionChoice&);
template <ChangeOfVersion change>
net::Response change_version(CatalogueRoutes& context, const Call& call) {
  const auto choice = json::read<VersionChoice>(call.request.body.empty() ? "{}" : call.request.body);
  if (!choice) return error_answer(choice.error(), call.request.request_id);
  return answer_of((context.versions.*change)(catalogue_call(call), name_of_app(call), version_of(call), *choice), 200,
                   call.request.request_id);
}

net::Response attest_version(CatalogueRoutes& context, const Call& call) {
  const auto wanted = json::read<AttestRequest>(call.request.body);
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  return answer_of(context.versions.set_mrtd(catalogue_call(call), name_of_app(call), version_of(call), *wanted), 200,
                   call.request.request_id);
}

net::Response post_report(CatalogueRoutes& context, const Call& call) {
  const std::string& request_id = call.request.request_id;
  const auto header = call.request.header("authorization");
  constexpr std::string_view kBearer = "Bearer ee_meas_";
  const auto refused = [&](const Error& error, const std::string& version_id) {
    if (error.code == ErrorCode::callback_unauthorized || error.code == ErrorCode::measurement_superseded ||
        error.code == ErrorCode::measurement_inconsistent)
      context.measuring.note_refused(error, version_id, actor_of(call));
    return error_answer(error, request_id);
  };
  if (!header || !header->starts_with(kBearer) || call.request.header_count("authorization") != 1)
    return refused(Error{.code = ErrorCode::callback_unauthorized}, {});
  const auto report = json::read<MeasurementReport>(call.request.body);
  if (!report) return error_answer(report.error(), request_id);
  const auto answer = context.measuring.report(header->substr(7), *report, call.request.body, call.request.stop);
  return answer ? json_answer(200, *answer) : refused(answer.error(), report->version_id);
}

Route version_change(const char* pattern, Access access, Handler handle, const char* summary) {
  return {.method = "POST",
          .pattern = pattern,
          .access = access,
          .rate = RateClass::write,
          .handle = std::move(handle),
          .doc = {.summary = summary,
                  .tag = "apps",
                  .request = request_schema<VersionChoice>(),
                  .answers = {{200, "The variants as they are now.", answer_schema<VersionVariants>()}}},
          .scope = Scope::apps};
}

}  // namespace

void add_version_routes(std::vector<Route>& table, CatalogueRoutes& context) {
  const auto bound = [&context](net::Response (*handler)(CatalogueRoutes&, const Call&)) {
    return [handler, &context](const Call& call) { return handler(context, call); };
  };
  const std::string tag = "apps";
  table.push_back({.method = "POST",
                   .pattern = "/api/v1/apps/{name}/versions",
                   .access = Access::owner,
                   .rate = RateClass::write,
                   .handle = bound(post_version),
                   .doc = {.summary = "Publishes a version, which is measured before it can be deployed.",
                           .tag = tag,
                           .request = request_schema<VersionRequest>(),
                           .answers = {{202, "It waits to be measured.", answer_schema<VersionObject>()}}},
                   .scope = Scope::apps,
                   .max_body_bytes = kMaxPublishBytes});
  table.push_back({.method = "GET",
                   .pattern = "/api/v1/apps/{name}/versions",
                   .access = Access::optional,
                   .rate = RateClass::read,
                   .handle = bound(get_versions),
                   .doc = {.summary = "Versions, the newest first, without compose texts.",
                           .tag = tag,
                           .query = {{"status", R"({"type":"string"})", "Only versions in this state."},
                                     {"node_size", R"({"type":"string"})", "Only variants for this node size."},
                                     {"limit", R"({"type":"integer","minimum":1,"maximum":200})", "Page size."},
                                     {"cursor", R"({"type":"string"})", "Where the page begins."}},
                           .answers = {{200, "A page of versions.", answer_schema<VersionPage>()}}}});
  table.push_back({.method = "GET",
                   .pattern = "/api/v1/apps/{name}/versions/{version}",
                   .access = Access::optional,
                   .rate = RateClass::read,
                   .handle = bound(get_version),
                   .doc = {.summary = "All variants of a version, with compose text and measurement.",
                           .tag = tag,
                           .query = {{"node_size", R"({"type":"string"})", "Only the variant for this node size."}},
                           .answers = {{200, "The variants.", answer_schema<VersionVariants>()}}}});
  table.push_back(version_change("/api/v1/apps/{name}/versions/{version}/yank", Access::owner,
                                 bound(change_version<&AppVersions::yank>), "Refuses new deployments of a version."));
  table.push_back(version_change("/api/v1/apps/{name}/versions/{version}/unyank", Access::owner,
                                 bound(change_version<&AppVersions::unyank>), "Allows deployments of it again."));
  table.push_back(version_change("/api/v1/apps/{name}/versions/{version}/remeasure", Access::owner_not_oidc,
                                 bound(change_version<&AppVersions::remeasure>),
                                 "Measures a version again that was rejected for something that may have passed."));
  table.push_back({.method = "POST",
                   .pattern = "/api/v1/apps/{name}/versions/{version}/attest",
                   .access = Access::admin,
                   .rate = RateClass::admin,
                   .handle = bound(attest_version),
                   .doc = {.summary = "Sets the MRTD that agents must have to run an attested version.",
                           .tag = tag,
                           .request = request_schema<AttestRequest>(),
                           .answers = {{200, "The variants as they are now.", answer_schema<VersionVariants>()}}}});
  table.push_back({.method = "POST",
                   .pattern = "/api/v1/internal/measurement-callback",
                   .access = Access::open,
                   .rate = RateClass::webhook,
                   .handle = bound(post_report),
                   .doc = {.summary = "The report of an external measurer, with the token of its measurement.",
                           .tag = tag,
                           .request = request_schema<MeasurementReport>(),
                           .answers = {{200, "What became of the version.", answer_schema<ReportAnswer>()}}},
                   .max_body_bytes = kMaxReportBytes,
                   .outside = true,
                   .timeout = Milliseconds(40'000)});
}

}  // namespace ee::cp
