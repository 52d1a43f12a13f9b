#include "cp/service/agent_object.h"

#include <boost/json/array.hpp>
#include <boost/json/string.hpp>
#include <boost/json/value.hpp>

namespace ee::cp {
namespace {

/// The stored JSON array of texts.
std::vector<std::string> texts_of(const std::string& stored) {
  std::vector<std::string> out;
  const auto parsed = json::parse(stored);
  if (!parsed || !parsed->is_array()) return out;
  for (const auto& item : parsed->get_array())
    if (item.is_string()) out.emplace_back(item.get_string());
  return out;
}

template <class Tag>
std::optional<std::string> text_of_id(const std::optional<Id<Tag>>& id) {
  return id ? std::optional(id->str()) : std::nullopt;
}

}  // namespace

AdminAgentObject agent_object(const AgentRow& row, std::optional<UtcTime> last_heartbeat_at) {
  AdminAgentObject out;
  out.id = row.id.str();
  out.vm_name = row.vm_name;
  out.status = row.status;
  out.quarantine_reason = row.quarantine_reason;
  out.health_status = row.health_status;
  out.health_reason = row.health_reason;
  out.attestation_state = row.attestation_state;
  out.verified = row.attestation_state == AttestationState::verified;
  out.draining = row.draining;
  out.node_size = row.node_size;
  out.datacenter = row.datacenter;
  out.cloud = row.cloud;
  out.vcpus = row.vcpus;
  out.memory_mib = row.memory_mib;
  out.disk_mib = row.disk_mib;
  out.gpu_count = row.gpu_count;
  out.agent_version = row.agent_version;
  out.hostname = row.hostname;
  out.tunnel_state = row.tunnel_state;
  out.tunnel_reachable = row.tunnel_reachable;
  out.account_id = text_of_id(row.account_id);
  out.github_owner_id = row.github_owner_id;
  out.github_owner = row.github_owner;
  out.placement_scope = row.placement_scope;
  out.current_deployment_id = text_of_id(row.current_deployment_id);
  out.assignment_epoch = row.assignment_epoch;
  out.deployed_app = row.deployed_app;
  out.mrtd = row.mrtd;
  out.tcb_status = row.tcb_status;
  out.attested_at = row.attested_at;
  out.attestation_due_at = row.attestation_due_at;
  out.last_heartbeat_at = last_heartbeat_at;
  out.registered_at = row.registered_at;
  out.created_at = row.created_at;
  out.row_version = row.row_version;
  out.rtmrs = texts_of(row.rtmrs);
  out.tunnel_id = row.tunnel_id;
  out.tunnel_error = row.tunnel_error;
  out.attestation_error = row.attestation_error;
  out.boot_id = row.boot_id;
  out.launch_order_id = row.launch_order_id;
  return out;
}

}  // namespace ee::cp
