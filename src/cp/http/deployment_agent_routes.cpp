// What agents ask and tell about their deployment.
#include <charconv>

#include "cp/http/answers.h"
#include "cp/http/deployment_routes.h"
#include "cp/http/query.h"

namespace ee::cp {
namespace {

constexpr std::size_t kStatusMaxBytes = 64UL * 1024;

Result<std::optional<std::int64_t>> number_of(const Query& query, std::string_view name) {
  const auto text = query.text(name);
  if (!text) return std::optional<std::int64_t>{};
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || end != text->data() + text->size() || value < 0)
    return fail(bad_query(name, "bad_format", "a number from 0"));
  return std::optional(value);
}

net::Response get_desired(DeploymentRoutes& context, const Call& call) {
  const std::string& request_id = call.request.request_id;
  const auto query = Query::parse(call.request.query, {"epoch", "revision"});
  if (!query) return error_answer(query.error(), request_id);
  const auto epoch = number_of(*query, "epoch");
  if (!epoch) return error_answer(epoch.error(), request_id);
  const auto revision = number_of(*query, "revision");
  if (!revision) return error_answer(revision.error(), request_id);
  auto pulled = context.channel.desired(*call.principal.agent_id, *epoch, *revision);
  if (!pulled) return error_answer(pulled.error(), request_id);
  if (pulled->not_modified) return net::Response{.status = 304};
  if (!pulled->document) return no_content();
  net::Response response = json_text(200, std::move(pulled->document->body));
  response.headers.push_back({"X-EE-Kid", pulled->document->signature.kid});
  response.headers.push_back({"X-EE-Signature", pulled->document->signature.signature});
  response.sensitive = true;
  return response;
}

/// A refused report is told what should run instead.
net::Response report_answer(DeploymentRoutes& context, const Call& call, const Result<agent_api::StatusAnswer>& answer,
                            const std::optional<agent_api::WorkloadReport>& reported) {
  net::Response response = answer_of(answer, 200, call.request.request_id);
  if (!answer && answer.error().code == ErrorCode::stale_assignment && response.body.ends_with('}')) {
    const auto desired = context.channel.desired_now(*call.principal.agent_id, reported);
    response.body.pop_back();
    response.body += ",\"desired\":" + json::write(desired) + "}";
  }
  return response;
}

net::Response post_status(DeploymentRoutes& context, const Call& call) {
  const auto report = json::read<agent_api::StatusRequest>(call.request.body);
  if (!report) return error_answer(report.error(), call.request.request_id);
  return report_answer(context, call, context.channel.status(*call.principal.agent_id, *report), report->workload);
}

net::Response post_deployed(DeploymentRoutes& context, const Call& call) {
  const auto report = json::read<agent_api::DeployedRequest>(call.request.body);
  if (!report) return error_answer(report.error(), call.request.request_id);
  return report_answer(context, call, context.channel.deployed(*call.principal.agent_id, *report), report->workload);
}

}  // namespace

void add_deployment_agent_routes(std::vector<Route>& table, DeploymentRoutes& context) {
  const auto bound = [&context](net::Response (*handler)(DeploymentRoutes&, const Call&)) {
    return [handler, &context](const Call& call) { return handler(context, call); };
  };
  const std::string number = R"({"type":"integer","minimum":0})";
  table.push_back({.method = "GET",
                   .pattern = "/api/v1/agents/{agent_id}/desired-deployment",
                   .access = Access::own_agent,
                   .rate = RateClass::agent,
                   .handle = bound(get_desired),
                   .doc = {.summary = "What the agent is to run.",
                           .tag = "agents",
                           .query = {{"epoch", number, "What it holds."}, {"revision", number, "What it holds."}},
                           .answers = {{200, "The document, signed.", answer_schema<agent_api::DeploymentDocument>()},
                                       {204, "Nothing.", {}, ""},
                                       {304, "What it holds already.", {}, ""}}},
                   .shed = net::Shed::never});
  table.push_back({.method = "POST",
                   .pattern = "/api/v1/agents/{agent_id}/status",
                   .access = Access::own_agent,
                   .rate = RateClass::agent,
                   .handle = bound(post_status),
                   .doc = {.summary = "A change of the workload, told at once.",
                           .tag = "agents",
                           .request = request_schema<agent_api::StatusRequest>(),
                           .answers = {{200, "What the agent should run.", answer_schema<agent_api::StatusAnswer>()}}},
                   .max_body_bytes = kStatusMaxBytes,
                   .shed = net::Shed::never});
  table.push_back({.method = "POST",
                   .pattern = "/api/v1/agents/{agent_id}/deployed",
                   .access = Access::own_agent,
                   .rate = RateClass::agent,
                   .handle = bound(post_deployed),
                   .doc = {.summary = "The workload runs, with these images.",
                           .tag = "agents",
                           .request = request_schema<agent_api::DeployedRequest>(),
                           .answers = {{200, "What the agent should run.", answer_schema<agent_api::StatusAnswer>()}}},
                   .max_body_bytes = kStatusMaxBytes,
                   .shed = net::Shed::never});
}

}  // namespace ee::cp
