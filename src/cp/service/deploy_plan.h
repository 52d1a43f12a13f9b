#pragma once
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cp/domain/placement_reasons.h"
#include "cp/service/deployment_api.h"
#include "cp/service/deployment_settings.h"
#include "cp/service/revisions.h"
#include "cp/store/deployable_store.h"

namespace ee::cp {

/// The catalogue's side of a request.
struct PlannedVersion {
  DeployableApp app = {};
  std::string version = {};
  std::vector<DeployableVariant> variants = {};  ///< attested ones
};

/// What runs, without where.
struct PlannedWorkload {
  RevisionRow revision = {};  ///< complete but for ids, number and times
  SecretValues secrets = {};
  std::int64_t nano_cpus = 0;
  std::int64_t memory_mib = 0;
  std::int64_t gpu_count = 0;
  std::vector<DeployWarning> warnings = {};  ///< of a version: what its measurement found and its policy let through
};

/// What of a request makes the content of a revision: of a deploy, or of an upgrade with what stays filled in.
struct WorkloadWanted {
  std::map<std::string, std::string> env = {};
  SecretValues secrets = {};
  std::optional<std::vector<agent_api::IngressRule>> ingress = {};  ///< nothing: the version's, or the default
  std::optional<std::string> health_path = {};
  std::int64_t deploy_timeout_seconds = 900;
};

/// Secrets of a request. Errors: `invalid_request` (shape, lengths), with fields.
Result<SecretValues> secrets_of(const std::optional<std::map<std::string, boost::json::value>>& wanted);
/// Names, lengths and doubles of env and secrets. Errors: `invalid_request`, `env_duplicate`.
Result<void> check_env(const std::map<std::string, std::string>& env, const SecretValues& secrets);
/// `invalid_request` for doubled prefixes.
Result<void> check_ingress(const std::vector<agent_api::IngressRule>& ingress);

/// The rules of a request that need nothing but itself (03 section 3.2). Errors: `workload_source`,
/// `placement_conflict`, `invalid_request` with every wrong field.
Result<void> check_fields(const DeployRequest& request);
PlacementRules rules_of(const std::optional<PlacementRequest>& wanted);

/// Service name to pinned reference.
using PinnedImages = std::map<std::string, std::string>;
/// What the images of a compose file are.
using PinImages = std::function<Result<PinnedImages>(const std::string& compose)>;

/// A raw compose file, checked and resolved for a node size. `pin` is asked when the policy lets tags through and an
/// image has no digest. Errors: `raw_compose_disabled`, `compose_invalid`, `compose_forbidden`, `env_unused`,
/// `ingress_port_unpublished`, those of `pin`.
Result<PlannedWorkload> plan_raw(const std::string& compose, const std::string& node_size, const WorkloadWanted& wanted,
                                 const DeploymentSettings& settings, const PinImages& pin);
/// A variant of a version with the request's values. Errors: those of the compose rules.
Result<PlannedWorkload> plan_version(const PlannedVersion& version, const DeployableVariant& variant,
                                     const std::string& node_size, const WorkloadWanted& wanted,
                                     const DeploymentSettings& settings);

/// The attested variants of a version that was found. Errors: `version_not_found` (none at all),
/// `version_not_attested`, `version_rejected`, `version_yanked`.
Result<std::vector<DeployableVariant>> attested_of(const std::vector<DeployableVariant>& variants);

}  // namespace ee::cp
