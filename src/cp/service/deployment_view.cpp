#include "cp/service/deployment_view.h"

#include <boost/json.hpp>

#include "common/json.h"

namespace ee::cp {
namespace {

/// Texts that this program wrote: one that does not read is shown as empty.
std::map<std::string, std::string> texts_of(const std::string& json_text) {
  std::map<std::string, std::string> out;
  const auto parsed = json::parse(json_text);
  if (!parsed || !parsed->is_object()) return out;
  for (const auto& [name, value] : parsed->as_object())
    if (value.is_string()) out.emplace(std::string(name), std::string(value.as_string()));
  return out;
}

struct IngressList {
  std::vector<agent_api::IngressRule> items;
};
BOOST_DESCRIBE_STRUCT(IngressList, (), (items))

std::vector<agent_api::IngressRule> ingress_of(const std::string& text) {
  auto read = json::read<IngressList>("{\"items\":" + text + "}");
  return read ? std::move(read->items) : std::vector<agent_api::IngressRule>();
}

std::optional<DeploymentApp> app_of(const RevisionRow& row) {
  if (!row.app_name) return std::nullopt;
  return DeploymentApp{
      .id = row.app_id, .name = *row.app_name, .version = row.app_version.value_or(""), .version_id = row.version_id};
}

std::optional<DeploymentProgress> progress_of(const DeploymentRow& row) {
  if (!row.phase || is_final(row.state)) return std::nullopt;
  DeploymentProgress out{.phase = *row.phase, .percent = {}, .detail = {}};
  if (row.progress) {
    if (const auto read = json::read<agent_api::WorkloadProgress>(*row.progress)) {
      out.percent = read->percent;
      out.detail = read->text;
    }
  }
  return out;
}

DeploymentAuth auth_of(const DeploymentRow& row) {
  const auto claims = texts_of(row.auth_context.value_or("{}"));
  const auto claim = [&](const char* name) {
    const auto found = claims.find(name);
    return found == claims.end() ? std::nullopt : std::optional(found->second);
  };
  return {.method = row.auth_method, .repository = claim("repository"), .sha = claim("sha"), .run_id = claim("run_id")};
}

}  // namespace

std::optional<DeploymentAgent> agent_view(const std::optional<AgentRow>& agent) {
  if (!agent) return std::nullopt;
  return DeploymentAgent{
      .id = agent->id.str(), .vm_name = agent->vm_name, .datacenter = agent->datacenter, .node_size = agent->node_size};
}

std::string DeploymentViews::url_of(const std::string& service) const {
  const DeploymentSettings settings = settings_();
  if (!settings.proxy_host_suffix.empty()) return "https://" + service + "." + settings.proxy_host_suffix;
  return settings.public_url + "/proxy/" + service;
}

Result<DeploymentObject> DeploymentViews::object(db::Transaction& tx, const DeploymentRow& row) const {
  const auto revision = revisions_.get(tx, row.id, row.current_revision);
  if (!revision) return std::unexpected(revision.error());
  const auto service = services_.get(tx, row.service_id);
  if (!service) return std::unexpected(service.error());
  if (!*revision || !*service) return fail(ErrorCode::internal_error, "a deployment without revision or service");
  std::optional<AgentRow> agent;
  if (row.agent_id) {
    auto read = agents_.get(tx, *row.agent_id);
    if (!read) return std::unexpected(read.error());
    agent = std::move(*read);
  }
  const auto secrets = revisions_.secrets(tx, row.id, row.current_revision);
  if (!secrets) return std::unexpected(secrets.error());
  const auto charged = segments_.total_charged(tx, row.id);
  if (!charged) return std::unexpected(charged.error());
  DeploymentObject out;
  out.id = row.id.str();
  out.group_id = row.group_id;
  out.account_id = row.account_id.str();
  out.service = (*service)->name;
  out.state = row.state;
  out.health = row.health;
  out.provenance = (*revision)->app_name ? "attested" : "raw";
  out.app = app_of(**revision);
  out.revision = row.current_revision;
  out.target_revision = row.target_revision;
  out.agent = agent_view(agent);
  out.node_size = row.node_size;
  out.resources = {.vcpus = row.vcpus, .memory_mib = row.memory_mib, .gpu_count = row.gpu_count};
  out.ingress = ingress_of((*revision)->ingress);
  out.env = texts_of((*revision)->env);
  for (const SecretRow& secret : *secrets) out.secret_names.push_back(secret.name);
  out.access = (*service)->access;
  out.url = url_of((*service)->name);
  out.sla_class = row.sla_class;
  out.hourly_price = row.hourly_micros;
  out.total_charged = *charged;
  out.on_agent_lost = row.on_agent_lost;
  out.expires_at = row.expires_at;
  out.created_at = row.created_at;
  out.started_at = row.started_at;
  out.ended_at = row.ended_at;
  out.termination_reason = row.termination_reason;
  if (row.failure_code)
    out.failure = DeploymentFailure{.code = *row.failure_code, .detail = row.failure_detail, .log_tail = row.log_tail};
  if (row.replaces_deployment_id) out.replaces = row.replaces_deployment_id->str();
  out.progress = progress_of(row);
  out.images = texts_of((*revision)->images);
  out.auth = auth_of(row);
  out.row_version = row.row_version;
  return out;
}

Result<ReducedDeployment> DeploymentViews::reduced(db::Transaction& tx, const DeploymentRow& row) const {
  const auto revision = revisions_.get(tx, row.id, row.current_revision);
  if (!revision) return std::unexpected(revision.error());
  ReducedDeployment out{.id = row.id.str(),
                        .state = row.state,
                        .health = row.health,
                        .app_name = {},
                        .app_version = {},
                        .node_size = row.node_size,
                        .datacenter = {},
                        .created_at = row.created_at,
                        .started_at = row.started_at,
                        .ended_at = row.ended_at};
  if (*revision) {
    out.app_name = (*revision)->app_name;
    out.app_version = (*revision)->app_version;
  }
  if (row.agent_id) {
    const auto agent = agents_.get(tx, *row.agent_id);
    if (!agent) return std::unexpected(agent.error());
    if (*agent) out.datacenter = (*agent)->datacenter;
  }
  return out;
}

Result<RevisionObject> DeploymentViews::revision(db::Transaction& tx, const RevisionRow& row) const {
  const auto secrets = revisions_.secrets(tx, row.deployment_id, row.revision);
  if (!secrets) return std::unexpected(secrets.error());
  RevisionObject out{.revision = row.revision,
                     .app = app_of(row),
                     .compose_sha256 = row.compose_sha256,
                     .compose_hash = row.compose_hash,
                     .workload_hash = row.workload_hash,
                     .images = texts_of(row.images),
                     .ingress = ingress_of(row.ingress),
                     .env = texts_of(row.env),
                     .secret_names = {},
                     .health_path = row.health_path,
                     .deploy_timeout_seconds = row.deploy_timeout_seconds,
                     .created_by = row.created_by,
                     .created_at = row.created_at,
                     .outcome = row.outcome};
  for (const SecretRow& secret : *secrets) out.secret_names.push_back(secret.name);
  return out;
}

}  // namespace ee::cp
