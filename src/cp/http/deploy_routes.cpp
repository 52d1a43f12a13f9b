// Deploying and preflights, raw and from the catalogue.
#include "cp/http/admin.h"
#include "cp/http/answers.h"
#include "cp/http/deployment_calls.h"
#include "cp/http/idempotent.h"

namespace ee::cp {
namespace {

constexpr std::size_t kMaxBody = 256UL * 1024;

net::Response deploy_with(DeploymentRoutes& context, const Call& call, const DeployRequest& wanted, bool dry_run) {
  const auto made_by = deployment_call(call);
  if (!made_by) return error_answer(made_by.error(), call.request.request_id);
  if (dry_run || wanted.dry_run.value_or(false))
    return answer_of(context.deployments.preflight(*made_by, wanted), 200, call.request.request_id);
  const auto answer = context.deployments.deploy(*made_by, wanted);
  net::Response response = idempotent_answer(answer, call.request.request_id);
  if (answer && answer->status == 201) {
    const std::size_t at = answer->body.find(R"("deployments":[{"id":")");
    if (at != std::string::npos)
      response.headers.push_back({"Location", "/api/v1/deployments/" + answer->body.substr(at + 22, 36)});
  }
  return response;
}

net::Response post_deploy(DeploymentRoutes& context, const Call& call, bool dry_run, bool of_app) {
  auto wanted = json::read<DeployRequest>(call.request.body, {.max_bytes = kMaxBody});
  if (!wanted) return error_answer(wanted.error(), call.request.request_id);
  if (of_app) {
    Error conflict{.code = ErrorCode::field_conflict};
    const auto check = [&](const std::optional<std::string>& value, const char* name) {
      if (value) conflict.fields.push_back({.field = name, .code = "field_conflict", .detail = "the path says it"});
    };
    check(wanted->app, "app");
    check(wanted->version, "version");
    check(wanted->compose, "compose");
    if (!conflict.fields.empty()) return error_answer(conflict, call.request.request_id);
    wanted->app = std::string(call.request.param("app_name"));
    wanted->version = std::string(call.request.param("version"));
    if (!is_dns_label(*wanted->app))
      return error_answer(Error{.code = ErrorCode::app_not_found}, call.request.request_id);
    if (wanted->version->size() > 64)
      return error_answer(Error{.code = ErrorCode::version_not_found}, call.request.request_id);
  }
  return deploy_with(context, call, *wanted, dry_run);
}

}  // namespace

Result<DeploymentCall> deployment_call(const Call& call) {
  const auto if_match = if_match_of(call.request);
  if (!if_match) return std::unexpected(if_match.error());
  return DeploymentCall{.principal = call.principal,
                        .actor = actor_of(call),
                        .idempotent = [&call](const AccountId& account) { return idempotency_of(call, account); },
                        .if_match = *if_match};
}

void add_deploy_routes(std::vector<Route>& table, DeploymentRoutes& context) {
  struct Entry {
    std::string_view pattern;
    bool dry_run;
    bool of_app;
    const char* summary;
  };
  static constexpr Entry kEntries[] = {
      {"/api/v1/deploy", false, false, "Deploys a compose document, or a version of an app."},
      {"/api/v1/deploy/preflight", true, false, "What a deploy would find; changes nothing."},
      {"/api/v1/apps/{app_name}/versions/{version}/deploy", false, true, "Deploys this version."},
      {"/api/v1/apps/{app_name}/versions/{version}/deploy/preflight", true, true,
       "What deploying this version would find; changes nothing."},
  };
  for (const Entry& entry : kEntries) {
    std::vector<DocumentedAnswer> answers;
    if (!entry.dry_run) answers.push_back({201, "The deployments.", answer_schema<DeployAnswer>()});
    answers.push_back({200, "What a deploy would find.", answer_schema<PreflightAnswer>()});
    table.push_back({.method = "POST",
                     .pattern = entry.pattern,
                     .access = Access::admin_or_owner,
                     .rate = entry.dry_run ? RateClass::preflight : RateClass::deploy,
                     .handle = [&context, dry_run = entry.dry_run, of_app = entry.of_app](
                                   const Call& call) { return post_deploy(context, call, dry_run, of_app); },
                     .doc = {.summary = entry.summary,
                             .tag = "deployments",
                             .request = request_schema<DeployRequest>(),
                             .answers = std::move(answers)},
                     .scope = Scope::deploy,
                     .max_body_bytes = kMaxBody});
  }
}

}  // namespace ee::cp
