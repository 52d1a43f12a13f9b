#pragma once
#include <string>

#include "cp/domain/agent.h"

namespace ee::testing {

/// A healthy, verified, idle agent whose id ends in `number`. Include only where cp is linked.
inline cp::AgentRow make_agent(int number, UtcTime now = from_unix_ms(1'767'225'600'000)) {
  const auto id = [&](int kind) {
    std::string digits = std::to_string(number);
    digits.insert(0, 12 - digits.size(), '0');
    return "0190a000-000" + std::to_string(kind) + "-7000-8000-" + digits;
  };
  cp::AgentRow row;
  row.id = AgentId(id(0));
  row.vm_name = "vm-" + std::to_string(number);
  row.health_status = cp::HealthStatus::healthy;
  row.health_changed_at = now;
  row.registration_id = RegistrationId(id(1));
  row.boot_id = id(2);
  row.placement_key = "p";
  row.idle_since_at = now;
  row.signing_key = row.sealing_key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
  row.mrtd = std::string(96, 'a');
  const std::string rtmr = '"' + std::string(96, 'b') + '"';
  row.rtmrs = '[' + rtmr + ',' + rtmr + ',' + rtmr + ',' + rtmr + ']';
  row.tcb_status = "UpToDate";
  row.evidence_kind = "dcap";
  row.attestation_summary = "{}";
  row.attested_at = now;
  row.attestation_due_at = now + Seconds(3600);
  row.node_size = "tiny";
  row.datacenter = "gcp:us-central1-a";
  row.cloud = "gcp";
  row.agent_version = "2.0.0";
  row.vcpus = 4;
  row.memory_mib = 15800;
  row.disk_mib = 90000;
  row.registered_at = row.created_at = row.updated_at = now;
  return row;
}

}  // namespace ee::testing
