// Exports of logs (03 section 10.3).
#include <algorithm>

#include "cp/http/admin.h"
#include "cp/http/answers.h"
#include "cp/http/log_parameters.h"
#include "cp/http/log_routes.h"
#include "cp/http/repeated_parameter.h"

namespace ee::cp {
namespace {

constexpr std::size_t kMaxDeployments = 20;

net::Response error_of(const Error& error, const Call& call) { return error_answer(error, call.request.request_id); }

/// `deployment_id` may stand several times; it is taken out of the query, the rest stays.
Result<std::vector<DeploymentId>> take_deployments(std::string& query) {
  std::vector<DeploymentId> found;
  for (const std::string& id : take_repeated(query, "deployment_id")) {
    if (!is_uuid(id)) return fail(bad_query("deployment_id", "bad_format", "a UUID"));
    if (std::ranges::find(found, DeploymentId(id)) != found.end()) continue;
    if (found.size() >= kMaxDeployments) return fail(bad_query("deployment_id", "too_many", "at most 20"));
    found.emplace_back(id);
  }
  return found;
}

/// `include`: a comma list.
Result<void> read_parts(const Query& query, ExportWanted& wanted) {
  const auto text = query.text("include");
  if (!text) {
    wanted.control_plane = wanted.deployment_rows = wanted.agents = wanted.jobs = wanted.settings = true;
    return {};
  }
  std::string_view rest = *text;
  while (!rest.empty()) {
    const std::string_view name = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    bool known = false;
    for (const auto& [part, member] :
         {std::pair("control_plane", &ExportWanted::control_plane), std::pair("containers", &ExportWanted::containers),
          std::pair("deployments", &ExportWanted::deployment_rows), std::pair("agents", &ExportWanted::agents),
          std::pair("jobs", &ExportWanted::jobs), std::pair("settings", &ExportWanted::settings)})
      if (name == part) known = wanted.*member = true;
    if (!known)
      return fail(bad_query("include", "not_in_enum",
                            "a list of control_plane, containers, deployments, agents, jobs, settings"));
  }
  return {};
}

Result<void> read_common(const LogRoutes& context, const Query& query, ExportWanted& wanted) {
  const UtcTime now = context.clock.now();
  const auto since = log_time_of(query, "since");
  if (!since) return std::unexpected(since.error());
  wanted.since = *since ? (*since)->resolved(now) : now - Seconds(3600);
  const auto until = log_time_of(query, "until");
  if (!until) return std::unexpected(until.error());
  if (*until) wanted.until = (*until)->resolved(now);
  const std::string format = query.text("format").value_or("tar.gz");
  if (format != "tar.gz" && format != "ndjson") return fail(bad_query("format", "not_in_enum", "tar.gz or ndjson"));
  wanted.archive = format == "tar.gz";
  return {};
}

net::Response start_export(LogRoutes& context, ExportStreams& streams, const Call& call, const ExportWanted& wanted) {
  const std::string type = wanted.archive ? "application/gzip" : "application/x-ndjson";
  if (call.request.method == "HEAD") return head_of_stream(type);
  auto place = streams.reserve();
  if (!place) return error_of(place.error(), call);
  if (auto audited = context.exports.audit(actor_of(call), wanted); !audited) return error_of(audited.error(), call);
  const ExportLimits limits{.deadline = context.clock.steady_now() + LogExport::kLongest};
  return streams.start(std::move(*place), type, context.exports.file_name(wanted),
                       [&context, wanted, limits](const ByteSink& sink, const std::stop_token& stop) {
                         const auto writer = wanted.archive ? archive_writer(sink, limits, context.clock)
                                                            : ndjson_writer(sink, limits, context.clock);
                         context.exports.run(wanted, *writer, stop);
                       });
}

net::Response get_export(LogRoutes& context, const Call& call) {
  std::string text = call.request.query;
  auto deployments = take_deployments(text);
  if (!deployments) return error_of(deployments.error(), call);
  const auto query = Query::parse(text, {"since", "until", "min_level", "include", "format"});
  if (!query) return error_of(query.error(), call);
  ExportWanted wanted{.deployments = std::move(*deployments)};
  if (auto read = read_common(context, *query, wanted); !read) return error_of(read.error(), call);
  const auto level = level_of(*query, "min_level", log::Level::debug);
  if (!level) return error_of(level.error(), call);
  wanted.min_level = *level;
  if (auto read = read_parts(*query, wanted); !read) return error_of(read.error(), call);
  return start_export(context, context.export_streams, call, wanted);
}

net::Response get_deployment_export(LogRoutes& context, const Call& call) {
  const auto query = Query::parse(call.request.query, {"since", "until", "format"});
  if (!query) return error_of(query.error(), call);
  const DeploymentId id{std::string(call.request.param("deployment_id"))};
  ExportWanted wanted{.deployments = {id}, .containers = true, .deployment_rows = true};
  if (auto read = read_common(context, *query, wanted); !read) return error_of(read.error(), call);
  if (auto found = context.containers.find(call.principal, {.deployment = id}, ""); !found)
    return error_of(found.error(), call);
  return start_export(context, call.principal.is_admin ? context.export_streams : context.tenant_exports, call, wanted);
}

}  // namespace

void add_export_routes(std::vector<Route>& table, LogRoutes& context) {
  const std::string text = R"({"type":"string"})";
  const std::vector<QueryParameter> common = {
      {"since", text, "From then on: a time, or how long ago; `1h` when it is left out."},
      {"until", text, "Before then."},
      {"format", R"({"type":"string","enum":["tar.gz","ndjson"],"default":"tar.gz"})", "An archive, or lines."}};
  const auto add = [&](std::string_view pattern, Access access, RateClass rate, std::string summary,
                       std::vector<QueryParameter> query, net::Response (*handler)(LogRoutes&, const Call&)) {
    table.push_back({.method = "GET",
                     .pattern = pattern,
                     .access = access,
                     .rate = rate,
                     .handle = [handler, &context](const Call& call) { return handler(context, call); },
                     .doc = {.summary = std::move(summary),
                             .tag = "logs",
                             .query = std::move(query),
                             .answers = {{200, "The archive, or NDJSON.", {}, "application/gzip"}}},
                     .any_accept = true,
                     .shed = net::Shed::first});
  };
  std::vector<QueryParameter> all = common;
  all.push_back({"min_level", R"({"type":"string","enum":["trace","debug","info","warn","error"],"default":"debug"})",
                 "Records of this level and above."});
  all.push_back({"deployment_id", R"({"type":"string","format":"uuid"})", "Only of these; may stand up to 20 times."});
  all.push_back({"include", text,
                 "A list of control_plane, containers, deployments, agents, jobs, settings; all but containers when it "
                 "is left out."});
  add("/api/v1/logs/export", Access::admin, RateClass::admin, "Logs and what belongs to them, in one file.",
      std::move(all), get_export);
  add("/api/v1/deployments/{deployment_id}/logs/export", Access::admin_or_owner, RateClass::agent_relay,
      "Events and container logs of one deployment, in one file.", common, get_deployment_export);
}

}  // namespace ee::cp
