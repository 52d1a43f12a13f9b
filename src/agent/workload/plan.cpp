#include "agent/workload/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "agent/workload/secret_files.h"
#include "common/crypto.h"
#include "common/json.h"

namespace ee::agent {
namespace {

constexpr std::size_t kMaxDetail = 1000;

/// `ee-<last 12 hex of the deployment id>`.
std::string prefix_of(const std::string& deployment_id) {
  return "ee-" + deployment_id.substr(deployment_id.size() - 12);
}

std::string describe(const Error& error) {
  std::string out = error.detail.empty() ? std::string(slug(error.code)) : error.detail;
  for (const FieldError& field : error.fields) out += fmt::format("; {}: {}", field.field, field.code);
  if (out.size() > kMaxDetail) out.resize(kMaxDetail);
  return out;
}

std::unexpected<Error> compose_failed(const Error& error) {
  Error out{.code = ErrorCode::compose_failed, .detail = describe(error)};
  out.fields = error.fields;
  return std::unexpected(std::move(out));
}

void add_labels(boost::json::object& body, const Labels& labels) {
  boost::json::object& all = body["Labels"].is_object() ? body["Labels"].get_object() : body["Labels"].emplace_object();
  for (const auto& [name, value] : labels) all[name] = value;
}

void add_secret_env(boost::json::object& body, const std::vector<std::string>& names, const OpenedSecrets& opened) {
  if (names.empty()) return;
  boost::json::array& env = body["Env"].is_array() ? body["Env"].get_array() : body["Env"].emplace_array();
  for (const std::string& name : names) {
    const auto secret = std::ranges::find(opened.secrets, name, &WorkloadSecret::name);
    if (secret == opened.secrets.end()) continue;  // the checker has seen that each is there
    std::string line = name + '=' + secret->value.reveal();
    env.emplace_back(boost::json::string_view(line));
    wipe(line);
  }
}

}  // namespace

const PlannedContainer* WorkloadPlan::find(std::string_view service) const {
  const auto found = std::ranges::find(containers, service, &PlannedContainer::service);
  return found == containers.end() ? nullptr : &*found;
}

void WorkloadPlan::wipe_secrets() {
  for (PlannedContainer& container : containers) wipe(container.spec.body);
}

Result<compose::Workload> check_compose(const agent_api::DeploymentDocument& document, const OpenedSecrets* opened,
                                        const PlanPlace& place) {
  if (to_hex(sha256(bytes_of(document.compose))) != document.compose_sha256)
    return fail(ErrorCode::compose_failed, "compose_sha256 is not that of the compose document");
  compose::CheckOptions options{.ceiling = place.ceiling};
  options.reserved_ports = place.reserved_ports;
  for (const agent_api::IngressRule& rule : document.ingress)
    options.ingress_ports.push_back(static_cast<std::uint16_t>(rule.port));
  if (opened != nullptr) {
    compose::RequestNames names;
    for (const auto& [name, value] : document.env) names.env.push_back(name);
    for (const WorkloadSecret& secret : opened->secrets)
      (secret.as == agent_api::SecretKind::env ? names.env_secrets : names.file_secrets).push_back(secret.name);
    options.request = std::move(names);
  }
  auto checked = compose::check_resolved(document.compose, options);
  if (!checked) return compose_failed(checked.error());
  return checked;
}

Result<WorkloadPlan> make_plan(const agent_api::DeploymentDocument& document, const OpenedSecrets* opened,
                               const PlanPlace& place) {
  const auto workload = check_compose(document, opened, place);
  if (!workload) return fail(workload.error());
  const std::string prefix = prefix_of(document.deployment_id);
  compose::Plan requests = compose::create_requests(
      *workload, {.prefix = prefix,
                  .workload_address = place.workload_address,
                  .secrets_dir = SecretFiles::directory(place.run_dir, document.deployment_id, document.revision),
                  .vm_memory_mib = place.ceiling.memory_mib,
                  .env = document.env});

  const Labels labels = {{std::string(kInstanceLabel), place.instance},
                         {std::string(kDeploymentLabel), document.deployment_id},
                         {std::string(kEpochLabel), std::to_string(document.assignment_epoch)},
                         {std::string(kRevisionLabel), std::to_string(document.revision)}};
  WorkloadPlan out{.deployment_id = document.deployment_id,
                   .revision = document.revision,
                   .networks = {},
                   .volumes = {},
                   .containers = {},
                   .stop_levels = std::move(requests.stop_levels)};
  for (const compose::CreateNetwork& network : requests.networks)
    out.networks.push_back({.name = network.name, .internal = network.internal, .labels = labels});
  for (const std::string& volume : requests.volumes) out.volumes.push_back({.name = volume, .labels = labels});
  for (compose::CreateContainer& request : requests.containers) {
    PlannedContainer planned{.service = request.service,
                             .image = request.image,
                             .registry_host = {},
                             .spec = {},
                             .spec_hash = {},
                             .depends_on = request.depends_on,
                             .health = request.health};
    planned.registry_host = request.image.substr(0, request.image.find('/'));
    planned.stop_grace = Seconds(std::min(request.stop_seconds, document.stop_grace_seconds));
    const auto canonical = json::canonical(boost::json::value(request.body));
    if (!canonical) return fail(ErrorCode::compose_failed, "a create request has no canonical form");
    planned.spec_hash = to_hex(sha256(bytes_of(*canonical)));
    Labels own = labels;
    own[std::string(kServiceLabel)] = request.service;
    own[std::string(kSpecLabel)] = planned.spec_hash;
    add_labels(request.body, own);
    if (opened != nullptr) add_secret_env(request.body, request.secret_env, *opened);
    planned.spec.name = fmt::format("{}-r{}-{}", prefix, document.revision, request.service);
    planned.spec.body = boost::json::serialize(request.body);
    for (compose::ConnectNetwork& network : request.connect)
      planned.spec.further_networks.push_back({.network = network.name, .aliases = std::move(network.aliases)});
    out.containers.push_back(std::move(planned));
  }
  for (const PlannedContainer& waiting : out.containers)
    for (const compose::Dependency& dependency : waiting.depends_on)
      if (dependency.condition == compose::Condition::service_completed_successfully)
        for (PlannedContainer& awaited : out.containers)
          if (awaited.service == dependency.service) awaited.may_complete = true;
  return out;
}

}  // namespace ee::agent
