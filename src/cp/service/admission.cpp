#include "cp/service/admission.h"

#include "common/json.h"
#include "cp/domain/agent_changes.h"
#include "cp/domain/placement.h"
#include "cp/service/attestation_records.h"

namespace ee::cp {
namespace {

std::string cloud_of(const std::string& datacenter) { return datacenter.substr(0, datacenter.find(':')); }

/// What a registration writes into a row, new or old: instance, evidence, measured capacity.
void apply_registration(AgentRow& row, const AdmissionInput& input) {
  const agent_api::RegisterRequest& request = input.request;
  row.registration_id = RegistrationId(input.ids.registration);
  row.boot_id = request.boot_id;
  row.signing_key = request.signing_key;
  row.sealing_key = request.sealing_key;
  row.agent_version = request.agent_version;
  row.vcpus = request.capacity.vcpus;
  row.memory_mib = request.capacity.memory_mib;
  row.disk_mib = request.capacity.disk_mib;
  row.gpu_count = request.capacity.gpu_count;
  row.direct_url = request.direct_url;
  apply_evidence(row, input.evidence, input.now, input.attestation_due_at);
  row.health_status = HealthStatus::unknown;
  row.health_reason.reset();
  row.health_changed_at = input.now;
  row.unhealthy_since_at.reset();
  row.registered_at = input.now;
}

}  // namespace

Result<AdmittedAgent> Admission::admit(db::Transaction& tx, const AdmissionInput& input) const {
  if (auto same = check_trust_unchanged(tx, trust_, input.evidence); !same) return std::unexpected(same.error());
  auto existing = agents_.find_by_vm_name(tx, input.request.vm_name);
  if (!existing) return std::unexpected(existing.error());
  const auto owner = check_identity(tx, input, *existing);
  if (!owner) return std::unexpected(owner.error());
  auto row = *existing ? update_existing(tx, input, **existing) : insert_new(tx, input, *owner);
  if (!row) return std::unexpected(row.error());
  const CredentialRow credential{.id = input.ids.credential,
                                 .agent_id = row->id,
                                 .lookup = input.credential_lookup,
                                 .secret_hash = input.credential_hash,
                                 .state = CredentialState::active,
                                 .created_at = input.now,
                                 .expires_at = input.credential_expires_at};
  if (auto replaced = credentials_.replace_all(tx, credential, input.now); !replaced)
    return std::unexpected(replaced.error());
  if (auto written = write_records(tx, input, *row, existing->has_value()); !written)
    return std::unexpected(written.error());
  return AdmittedAgent{.row = std::move(*row), .reused = existing->has_value()};
}

/// What the registration claims and proved. A good previous credential (R2) leaves the token unused.
Result<IdentityClaim> Admission::claim_of(db::Transaction& tx, const AdmissionInput& input,
                                          const AgentRow* existing) const {
  IdentityClaim claim{.node_size = input.request.node_size,
                      .datacenter = input.request.datacenter,
                      .mrtd = to_hex(input.evidence.quote.mrtd())};
  if (existing != nullptr && input.previous && input.previous->agent == existing->id) {
    const auto credential = credentials_.find(tx, input.previous->lookup);
    if (!credential) return std::unexpected(credential.error());
    claim.previous_credential_valid = *credential && is_usable(**credential, input.now);
    if (claim.previous_credential_valid) return claim;
  }
  if (!input.token) return claim;
  auto outcome = tokens_.redeem(tx, *input.token, {.node_size = claim.node_size, .datacenter = claim.datacenter},
                                existing, input.now);
  if (!outcome) return std::unexpected(outcome.error());
  claim.token = std::move(*outcome);
  return claim;
}

Result<AgentOwner> Admission::check_identity(db::Transaction& tx, const AdmissionInput& input,
                                             const std::optional<AgentRow>& existing) const {
  const AgentRow* const row = existing ? &*existing : nullptr;
  auto claim = claim_of(tx, input, row);
  if (!claim) return std::unexpected(claim.error());
  std::optional<UtcTime> last_heartbeat_at;
  if (row != nullptr) {
    const auto seen = live_.last_heartbeat_at(tx, row->id);
    if (!seen) return std::unexpected(seen.error());
    last_heartbeat_at = *seen;
  }
  const auto rule = decide_identity(row, last_heartbeat_at, *claim, input.settings.identity, input.now);
  if (!rule) return std::unexpected(rule.error());
  if (row == nullptr) return std::move(claim->token.owner);
  const auto recent = attestation_audit_.count_accepted(tx, row->id.str(), input.now - kRegistrationWindow);
  if (!recent) return std::unexpected(recent.error());
  if (*recent >= kMaxRegistrationsInWindow)
    return fail(Error{.code = ErrorCode::registration_flapping, .retry_after = kRegistrationWindow});
  return AgentOwner{};
}

Result<AgentRow> Admission::insert_new(db::Transaction& tx, const AdmissionInput& input,
                                       const AgentOwner& owner) const {
  AgentRow row{.id = AgentId(input.ids.agent),
               .vm_name = input.request.vm_name,
               .status = AgentStatus::undeployed,
               .idle_since_at = input.now,
               .node_size = input.request.node_size,
               .datacenter = input.request.datacenter,
               .cloud = cloud_of(input.request.datacenter),
               .account_id = owner.account_id,
               .github_owner_id = owner.github_owner_id,
               .github_owner = owner.github_owner,
               .launch_order_id = owner.launch_order_id,
               .enrollment_token_id = owner.enrollment_token_id,
               .created_at = input.now,
               .updated_at = input.now};
  apply_registration(row, input);
  row.placement_scope = default_placement_scope(row.account_id, row.github_owner_id, row.launch_order_id.has_value());
  row.placement_key = placement_key(row, std::nullopt);
  if (auto reserved = tunnels_.reserve(tx, row, input.now); !reserved) return std::unexpected(reserved.error());
  if (auto inserted = agents_.insert(tx, row); !inserted) return std::unexpected(inserted.error());
  return row;
}

Result<AgentRow> Admission::update_existing(db::Transaction& tx, const AdmissionInput& input,
                                            const AgentRow& existing) const {
  AgentRow row = existing;
  const bool busy = input.request.workload.has_value();
  const AgentFacts facts = facts_of(existing, busy);
  apply_registration(row, input);
  const auto effects =
      change_state(row, busy ? AgentEvent::registered_busy : AgentEvent::registered_idle, facts, input.now);
  if (!effects) return std::unexpected(effects.error());
  if (auto reserved = tunnels_.reserve(tx, row, input.now); !reserved) return std::unexpected(reserved.error());
  const auto updated = agents_.update(tx, existing, row, input.now);
  if (!updated) return std::unexpected(updated.error());
  if (!*updated) return fail(ErrorCode::concurrent_update);
  if (auto told = deployments_.apply_agent_report(tx, row, input.request.workload, input.now); !told)
    return std::unexpected(told.error());
  // The report may have changed the row: the answer and the directory need it as it is now.
  auto fresh = agents_.get(tx, row.id);
  if (!fresh) return std::unexpected(fresh.error());
  if (!*fresh) return fail(ErrorCode::concurrent_update);
  return std::move(**fresh);
}

Result<void> Admission::write_records(db::Transaction& tx, const AdmissionInput& input, const AgentRow& row,
                                      bool reused) const {
  AttestationAuditRow decision = audit_row_of(input.attempt, input.now);
  decision.id = input.ids.evidence_audit;
  decision.event = AttestationEvent::registration_attestation_accepted;
  decision.result = AttestationResult::accepted;
  decision.reason_code = "ok";
  decision.agent_id = row.id.str();
  decision.duration_ms = input.took.count();
  if (auto done = attestation_audit_.append(tx, decision); !done)
    return fail(ErrorCode::audit_unavailable, done.error().detail);
  if (auto done = evidence_.put(tx, evidence_row_of({.evidence = input.evidence,
                                                     .attempt = input.attempt,
                                                     .agent = row,
                                                     .now = input.now,
                                                     .audit_id = input.ids.evidence_audit}));
      !done)
    return std::unexpected(done.error());
  const AuditEntry entry{.actor = "agent:" + row.id.str(),
                         .action = reused ? "agent_reregistered" : "agent_registered",
                         .object_type = "agent",
                         .object_id = row.id.str(),
                         .request_id = input.transport.request_id,
                         .client_address = input.transport.source_ip,
                         .detail = R"({"vm_name":)" + json::quote(row.vm_name) + "}"};
  if (auto done = audit_log_.append(tx, entry, input.now, random_); !done)
    return fail(ErrorCode::audit_unavailable, done.error().detail);
  return {};
}

}  // namespace ee::cp
