#pragma once
#include <array>
#include <boost/describe.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/deployment_document.h"
#include "common/json.h"
#include "cp/domain/deployment.h"
#include "cp/domain/placement_reasons.h"

/// Deployments as the API takes and shows them (03 sections 3 and 5.1).
namespace ee::cp {

struct PlacementRequest {
  std::optional<std::vector<std::string>> datacenters;
  std::optional<std::vector<std::string>> excluded_datacenters;
  std::optional<std::vector<std::string>> clouds;
  std::optional<std::vector<std::string>> excluded_clouds;
};
BOOST_DESCRIBE_STRUCT(PlacementRequest, (), (datacenters, excluded_datacenters, clouds, excluded_clouds))
constexpr auto json_rules(json::For<PlacementRequest> /*type*/) {
  return std::array{json::field("datacenters").items(0, 32).length(1, 128),
                    json::field("excluded_datacenters").items(0, 32).length(1, 128),
                    json::field("clouds").items(0, 32).length(1, 32),
                    json::field("excluded_clouds").items(0, 32).length(1, 32)};
}
constexpr std::string_view json_name(json::For<PlacementRequest> /*type*/) { return "Placement"; }

struct DeployRequest {
  std::optional<std::string> app;
  std::optional<std::string> version;
  std::optional<std::string> compose;
  std::optional<std::string> service;
  std::optional<std::string> node_size;
  std::optional<PlacementRequest> placement;
  std::optional<std::string> agent_name;
  std::optional<std::int64_t> replicas;
  std::optional<std::map<std::string, std::string>> env;
  std::optional<std::map<std::string, boost::json::value>> secrets;
  std::optional<std::vector<agent_api::IngressRule>> ingress;
  std::optional<std::string> health_path;
  std::optional<ServiceAccess> access;
  std::optional<SlaClass> sla_class;
  std::optional<std::int64_t> ttl_seconds;
  std::optional<std::int64_t> deploy_timeout_seconds;
  std::optional<OnAgentLost> on_agent_lost;
  std::optional<std::int64_t> wait_for_capacity_seconds;
  std::optional<std::string> replaces;
  std::optional<std::string> account_id;
  std::optional<bool> dry_run;
};
BOOST_DESCRIBE_STRUCT(DeployRequest, (),
                      (app, version, compose, service, node_size, placement, agent_name, replicas, env, secrets,
                       ingress, health_path, access, sla_class, ttl_seconds, deploy_timeout_seconds, on_agent_lost,
                       wait_for_capacity_seconds, replaces, account_id, dry_run))
constexpr auto json_rules(json::For<DeployRequest> /*type*/) {
  return std::array{json::field("app").dns_label(),
                    json::field("version").length(1, 64),
                    json::field("compose").length(1, 65536),
                    json::field("service").dns_label(),
                    json::field("node_size").length(1, 32),
                    json::field("agent_name").length(1, 63),
                    json::field("replicas").between(1, 8),
                    json::field("env").items(0, 128).length(0, 4096),
                    json::field("secrets").items(0, 64),
                    json::field("ingress").items(0, 8),
                    json::field("health_path").matching(agent_api::is_health_path, "^(/.*)?$").length(0, 256),
                    json::field("ttl_seconds").between(300, 31'536'000),
                    json::field("deploy_timeout_seconds").between(60, 7200),
                    json::field("wait_for_capacity_seconds").between(0, 3600),
                    json::field("replaces").uuid(),
                    json::field("account_id").uuid()};
}
constexpr std::string_view json_name(json::For<DeployRequest> /*type*/) { return "DeployRequest"; }

struct UpgradeRequest {
  std::optional<std::string> version;
  std::optional<std::string> compose;
  std::optional<std::map<std::string, std::string>> env;
  std::optional<std::map<std::string, boost::json::value>> secrets;
  std::optional<std::vector<agent_api::IngressRule>> ingress;
  std::optional<std::string> health_path;
  std::optional<std::int64_t> deploy_timeout_seconds;
  std::optional<std::string> strategy;
  std::optional<bool> dry_run;
};
BOOST_DESCRIBE_STRUCT(UpgradeRequest, (),
                      (version, compose, env, secrets, ingress, health_path, deploy_timeout_seconds, strategy, dry_run))
constexpr auto json_rules(json::For<UpgradeRequest> /*type*/) {
  return std::array{json::field("version").length(1, 64),
                    json::field("compose").length(1, 65536),
                    json::field("env").items(0, 128).length(0, 4096),
                    json::field("secrets").items(0, 64),
                    json::field("ingress").items(0, 8),
                    json::field("health_path").matching(agent_api::is_health_path, "^(/.*)?$").length(0, 256),
                    json::field("deploy_timeout_seconds").between(60, 7200),
                    json::field("strategy").length(1, 16)};
}
constexpr std::string_view json_name(json::For<UpgradeRequest> /*type*/) { return "DeploymentUpgrade"; }

struct RollbackRequest {
  std::optional<std::int64_t> revision;
};
BOOST_DESCRIBE_STRUCT(RollbackRequest, (), (revision))
constexpr auto json_rules(json::For<RollbackRequest> /*type*/) {
  return std::array{json::field("revision").between(1, 1'000'000'000)};
}
constexpr std::string_view json_name(json::For<RollbackRequest> /*type*/) { return "DeploymentRollback"; }

struct EmptyRequest {};
BOOST_DESCRIBE_STRUCT(EmptyRequest, (), ())
constexpr std::string_view json_name(json::For<EmptyRequest> /*type*/) { return "Empty"; }

struct StopRequest {
  std::optional<std::string> reason;
  std::optional<bool> force;
};
BOOST_DESCRIBE_STRUCT(StopRequest, (), (reason, force))
constexpr auto json_rules(json::For<StopRequest> /*type*/) { return std::array{json::field("reason").length(0, 200)}; }
constexpr std::string_view json_name(json::For<StopRequest> /*type*/) { return "DeploymentStop"; }

struct DeploymentPatch {
  std::optional<std::optional<std::int64_t>> ttl_seconds;
  std::optional<OnAgentLost> on_agent_lost;
};
BOOST_DESCRIBE_STRUCT(DeploymentPatch, (), (ttl_seconds, on_agent_lost))
constexpr auto json_rules(json::For<DeploymentPatch> /*type*/) {
  return std::array{json::field("ttl_seconds").between(300, 31'536'000)};
}
constexpr std::string_view json_name(json::For<DeploymentPatch> /*type*/) { return "DeploymentPatch"; }

// ---- answers --------------------------------------------------------------------------------------------------------

struct DeploymentAgent {
  std::string id;
  std::string vm_name;
  std::string datacenter;
  std::string node_size;
};
BOOST_DESCRIBE_STRUCT(DeploymentAgent, (), (id, vm_name, datacenter, node_size))
constexpr std::string_view json_name(json::For<DeploymentAgent> /*type*/) { return "DeploymentAgent"; }

struct DeploymentService {
  std::string name;
  std::string url;
};
BOOST_DESCRIBE_STRUCT(DeploymentService, (), (name, url))
constexpr std::string_view json_name(json::For<DeploymentService> /*type*/) { return "DeploymentService"; }

struct DeployedOne {
  std::string id;
  DeploymentState state = DeploymentState::assigned;
  std::optional<DeploymentAgent> agent;
  std::int64_t revision = 1;
  UsdMicros hourly_price;
  std::optional<UtcTime> expires_at;
};
BOOST_DESCRIBE_STRUCT(DeployedOne, (), (id, state, agent, revision, hourly_price, expires_at))
constexpr std::string_view json_name(json::For<DeployedOne> /*type*/) { return "DeployedOne"; }

struct DeployWarning {
  std::string code;
  std::string detail;
};
BOOST_DESCRIBE_STRUCT(DeployWarning, (), (code, detail))
constexpr std::string_view json_name(json::For<DeployWarning> /*type*/) { return "DeployWarning"; }

struct DeployAnswer {
  std::string group_id;
  DeploymentService service;
  std::vector<DeployedOne> deployments;
  std::vector<DeployWarning> warnings;
};
BOOST_DESCRIBE_STRUCT(DeployAnswer, (), (group_id, service, deployments, warnings))
constexpr std::string_view json_name(json::For<DeployAnswer> /*type*/) { return "DeployAnswer"; }

struct PreflightAgent {
  std::string id;
  std::string vm_name;
  std::string node_size;
  std::string datacenter;
  std::vector<std::string> reasons;
};
BOOST_DESCRIBE_STRUCT(PreflightAgent, (), (id, vm_name, node_size, datacenter, reasons))
constexpr std::string_view json_name(json::For<PreflightAgent> /*type*/) { return "PreflightAgent"; }

struct PreflightSelected {
  std::string id;
  std::string vm_name;
  std::string node_size;
  std::string datacenter;
  std::string cloud;
};
BOOST_DESCRIBE_STRUCT(PreflightSelected, (), (id, vm_name, node_size, datacenter, cloud))
constexpr std::string_view json_name(json::For<PreflightSelected> /*type*/) { return "PreflightSelected"; }

struct PreflightVersion {
  std::string id;
  std::string node_size;
};
BOOST_DESCRIBE_STRUCT(PreflightVersion, (), (id, node_size))
constexpr std::string_view json_name(json::For<PreflightVersion> /*type*/) { return "PreflightVersion"; }

struct PreflightIssue {
  std::string code;
  std::string detail;
  std::optional<std::string> field;
};
BOOST_DESCRIBE_STRUCT(PreflightIssue, (), (code, detail, field))
constexpr std::string_view json_name(json::For<PreflightIssue> /*type*/) { return "PreflightIssue"; }

struct PreflightAnswer {
  bool dry_run = true;
  bool eligible = false;
  std::optional<PreflightSelected> selected;
  std::optional<PreflightVersion> version;
  std::optional<UsdMicros> hourly_price;
  std::vector<PreflightIssue> issues;
  std::map<std::string, std::int64_t> reasons;
  std::vector<PreflightAgent> agents;
  bool agents_truncated = false;
  bool will_consume_reservation = false;
};
BOOST_DESCRIBE_STRUCT(PreflightAnswer, (),
                      (dry_run, eligible, selected, version, hourly_price, issues, reasons, agents, agents_truncated,
                       will_consume_reservation))
constexpr std::string_view json_name(json::For<PreflightAnswer> /*type*/) { return "Preflight"; }

struct DeploymentApp {
  std::optional<std::string> id;
  std::string name;
  std::string version;
  std::optional<std::string> version_id;
};
BOOST_DESCRIBE_STRUCT(DeploymentApp, (), (id, name, version, version_id))
constexpr std::string_view json_name(json::For<DeploymentApp> /*type*/) { return "DeploymentApp"; }

struct DeploymentResources {
  std::optional<std::int64_t> vcpus;
  std::optional<std::int64_t> memory_mib;
  std::optional<std::int64_t> gpu_count;
};
BOOST_DESCRIBE_STRUCT(DeploymentResources, (), (vcpus, memory_mib, gpu_count))
constexpr std::string_view json_name(json::For<DeploymentResources> /*type*/) { return "DeploymentResources"; }

struct DeploymentFailure {
  std::string code;
  std::optional<std::string> detail;
  std::optional<std::string> log_tail;
};
BOOST_DESCRIBE_STRUCT(DeploymentFailure, (), (code, detail, log_tail))
constexpr std::string_view json_name(json::For<DeploymentFailure> /*type*/) { return "DeploymentFailure"; }

struct DeploymentProgress {
  std::string phase;
  std::optional<std::int64_t> percent;
  std::optional<std::string> detail;
};
BOOST_DESCRIBE_STRUCT(DeploymentProgress, (), (phase, percent, detail))
constexpr std::string_view json_name(json::For<DeploymentProgress> /*type*/) { return "DeploymentProgress"; }

struct DeploymentAuth {
  DeployAuth method = DeployAuth::api_key;
  std::optional<std::string> repository;
  std::optional<std::string> sha;
  std::optional<std::string> run_id;
};
BOOST_DESCRIBE_STRUCT(DeploymentAuth, (), (method, repository, sha, run_id))
constexpr std::string_view json_name(json::For<DeploymentAuth> /*type*/) { return "DeploymentAuth"; }

struct DeploymentObject {
  std::string id;
  std::string group_id;
  std::string account_id;
  std::string service;
  DeploymentState state = DeploymentState::pending;
  DeploymentHealth health = DeploymentHealth::unknown;
  std::string provenance;  ///< `raw` or `attested`
  std::optional<DeploymentApp> app;
  std::int64_t revision = 1;
  std::int64_t target_revision = 1;
  std::optional<DeploymentAgent> agent;
  std::string node_size;
  DeploymentResources resources;
  std::vector<agent_api::IngressRule> ingress;
  std::map<std::string, std::string> env;
  std::vector<std::string> secret_names;
  ServiceAccess access = ServiceAccess::account;
  std::string url;
  SlaClass sla_class = SlaClass::adhoc;
  std::optional<UsdMicros> hourly_price;
  UsdMicros total_charged;
  OnAgentLost on_agent_lost = OnAgentLost::fail;
  std::optional<UtcTime> expires_at;
  UtcTime created_at;
  std::optional<UtcTime> started_at;
  std::optional<UtcTime> ended_at;
  std::optional<std::string> termination_reason;
  std::optional<DeploymentFailure> failure;
  std::optional<std::string> replaces;
  std::optional<DeploymentProgress> progress;
  std::map<std::string, std::string> images;
  std::optional<DeploymentAuth> auth;
  std::int64_t row_version = 0;
};
BOOST_DESCRIBE_STRUCT(DeploymentObject, (),
                      (id, group_id, account_id, service, state, health, provenance, app, revision, target_revision,
                       agent, node_size, resources, ingress, env, secret_names, access, url, sla_class, hourly_price,
                       total_charged, on_agent_lost, expires_at, created_at, started_at, ended_at, termination_reason,
                       failure, replaces, progress, images, auth, row_version))
constexpr std::string_view json_name(json::For<DeploymentObject> /*type*/) { return "Deployment"; }

/// What the operator of its agent sees of somebody's deployment.
struct ReducedDeployment {
  std::string id;
  DeploymentState state = DeploymentState::pending;
  DeploymentHealth health = DeploymentHealth::unknown;
  std::optional<std::string> app_name;
  std::optional<std::string> app_version;
  std::string node_size;
  std::optional<std::string> datacenter;
  UtcTime created_at;
  std::optional<UtcTime> started_at;
  std::optional<UtcTime> ended_at;
};
BOOST_DESCRIBE_STRUCT(ReducedDeployment, (),
                      (id, state, health, app_name, app_version, node_size, datacenter, created_at, started_at,
                       ended_at))
constexpr std::string_view json_name(json::For<ReducedDeployment> /*type*/) { return "ReducedDeployment"; }

struct RevisionObject {
  std::int64_t revision = 1;
  std::optional<DeploymentApp> app;
  std::string compose_sha256;
  std::string compose_hash;
  std::string workload_hash;
  std::map<std::string, std::string> images;
  std::vector<agent_api::IngressRule> ingress;
  std::map<std::string, std::string> env;
  std::vector<std::string> secret_names;
  std::string health_path;
  std::int64_t deploy_timeout_seconds = 900;
  std::string created_by;
  UtcTime created_at;
  RevisionOutcome outcome = RevisionOutcome::pending;
};
BOOST_DESCRIBE_STRUCT(RevisionObject, (),
                      (revision, app, compose_sha256, compose_hash, workload_hash, images, ingress, env, secret_names,
                       health_path, deploy_timeout_seconds, created_by, created_at, outcome))
constexpr std::string_view json_name(json::For<RevisionObject> /*type*/) { return "DeploymentRevision"; }

struct DeploymentEventObject {
  std::int64_t seq = 0;
  UtcTime at;
  std::string kind;
  std::optional<DeploymentState> from_state;
  std::optional<DeploymentState> to_state;
  std::string actor;
  std::optional<std::string> reason;
  boost::json::value detail;
  std::optional<std::string> request_id;
};
BOOST_DESCRIBE_STRUCT(DeploymentEventObject, (),
                      (seq, at, kind, from_state, to_state, actor, reason, detail, request_id))
constexpr std::string_view json_name(json::For<DeploymentEventObject> /*type*/) { return "DeploymentEvent"; }

}  // namespace ee::cp
