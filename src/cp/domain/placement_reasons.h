#pragma once
#include <boost/describe.hpp>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/error.h"
#include "cp/domain/agent.h"

/// Which agents a request may be placed on, and why not on the others (03 sections 5.1 to 5.3). Pure.
namespace ee::cp {

/// `placement` of a request: empty allow lists allow everything.
struct PlacementRules {
  std::vector<std::string> datacenters = {};
  std::vector<std::string> excluded_datacenters = {};
  std::vector<std::string> clouds = {};
  std::vector<std::string> excluded_clouds = {};
  bool operator==(const PlacementRules&) const = default;
};
BOOST_DESCRIBE_STRUCT(PlacementRules, (), (datacenters, excluded_datacenters, clouds, excluded_clouds))

/// A variant of a version, by node size (`""`: any size).
struct PlacementVariant {
  std::optional<std::string> mrtd = {};  ///< only agents with this one
};
BOOST_DESCRIBE_STRUCT(PlacementVariant, (), (mrtd))

/// Everything placement asks of an agent; kept with the deployment, for when it must be placed again.
struct PlacementWants {
  PlacementRules rules = {};
  std::optional<std::map<std::string, PlacementVariant>> variants = {};  ///< nothing: raw
  std::int64_t nano_cpus = 0;
  std::int64_t memory_mib = 0;
  std::int64_t gpu_count = 0;
};
BOOST_DESCRIBE_STRUCT(PlacementWants, (), (rules, variants, nano_cpus, memory_mib, gpu_count))

/// Who asks: what makes private agents visible.
struct PlacementCaller {
  AccountId account = {};
  std::vector<std::int64_t> github_owners = {};  ///< at most 16, ascending
};

/// Why an agent cannot take a deployment, in the order in which they are told.
enum class PlacementReason : std::uint8_t {
  agent_status_not_deployable,
  agent_attestation_invalid,
  agent_unhealthy,
  agent_draining,
  agent_no_address,
  agent_node_size_mismatch,
  agent_datacenter_not_allowed,
  agent_datacenter_excluded,
  agent_cloud_not_allowed,
  agent_cloud_excluded,
  agent_reserved,
  agent_resources_too_small,
  agent_mrtd_mismatch,
  version_variant_not_found,
  agent_version_too_old,
  agent_name_mismatch
};
BOOST_DESCRIBE_ENUM(PlacementReason, agent_status_not_deployable, agent_attestation_invalid, agent_unhealthy,
                    agent_draining, agent_no_address, agent_node_size_mismatch, agent_datacenter_not_allowed,
                    agent_datacenter_excluded, agent_cloud_not_allowed, agent_cloud_excluded, agent_reserved,
                    agent_resources_too_small, agent_mrtd_mismatch, version_variant_not_found, agent_version_too_old,
                    agent_name_mismatch)

/// What placement looks at; columns of `agents`.
struct PlacementCandidate {
  AgentId id = {};
  std::string vm_name = {};
  AgentStatus status = AgentStatus::undeployed;
  AttestationState attestation_state = AttestationState::verified;
  HealthStatus health_status = HealthStatus::unknown;
  bool draining = false;
  std::optional<std::string> hostname = {};
  std::optional<DeploymentId> current_deployment_id = {};
  std::string node_size = {};
  std::string datacenter = {};
  std::string cloud = {};
  std::string placement_key = {};
  std::int64_t vcpus = 0;
  std::int64_t memory_mib = 0;
  std::int64_t gpu_count = 0;
  std::string mrtd = {};
  std::string agent_version = {};
};
BOOST_DESCRIBE_STRUCT(PlacementCandidate, (),
                      (id, vm_name, status, attestation_state, health_status, draining, hostname, current_deployment_id,
                       node_size, datacenter, cloud, placement_key, vcpus, memory_mib, gpu_count, mrtd, agent_version))

/// What is asked beyond PlacementWants.
struct PlacementQuestion {
  PlacementWants wants = {};
  std::optional<std::string> node_size = {};   ///< nothing: any that the version has a variant for
  std::optional<std::string> agent_name = {};  ///< the pin
  std::string min_agent_version = {};          ///< deploy.min_agent_version; empty: any
};

/// All that apply, in order; empty: it can be placed here.
std::vector<PlacementReason> placement_reasons(const PlacementQuestion& question, const PlacementCaller& caller,
                                               const PlacementCandidate& agent);

/// Whether lists let this datacenter through; the cloud is the part before its colon.
bool datacenter_allowed(const PlacementRules& rules, std::string_view datacenter);

/// The variant for agents of this size: its own, else the one for any size; null when there is none.
const PlacementVariant* variant_for(const PlacementWants& wants, const std::string& node_size);

/// Keys that are probed, in order: reserved for the account, the account's own, those of its GitHub owners, public.
std::vector<std::string> placement_keys(const PlacementCaller& caller);

/// Whether `version` is `least` or later; both `major.minor.patch`, whatever follows is not compared. A text that is
/// no version is below everything.
bool version_at_least(std::string_view version, std::string_view least);

}  // namespace ee::cp
