#include "cp/service/attestation_admin.h"

#include <algorithm>
#include <array>
#include <boost/json/value.hpp>

#include "common/crypto.h"
#include "cp/service/stored_evidence.h"
#include "cp/store/agent_store.h"
#include "cp/store/audit_log_store.h"

namespace ee::cp {
namespace {

namespace att = attestation;

constexpr std::int64_t kEvidenceAtOnce = 200;

/// JSON text of the database as a value; null when it is absent or damaged.
boost::json::value value_of(const std::optional<std::string>& text) {
  if (!text) return nullptr;
  auto parsed = json::parse(*text);
  return parsed ? std::move(*parsed) : boost::json::value(nullptr);
}

ObservedView view_of_observed(ObservedRow row) {
  return {.id = std::move(row.id),
          .mrtd = std::move(row.mrtd),
          .rtmr0 = std::move(row.rtmr0),
          .rtmr1 = std::move(row.rtmr1),
          .rtmr2 = std::move(row.rtmr2),
          .rtmr3 = std::move(row.rtmr3),
          .node_size = std::move(row.node_size),
          .vm_name = std::move(row.vm_name),
          .tcb_status = std::move(row.tcb_status),
          .reason_code = std::move(row.reason_code),
          .count = row.count,
          .first_seen_at = row.first_seen_at,
          .last_seen_at = row.last_seen_at};
}

AttestationAuditView view_of_decision(AttestationAuditRow row) {
  return {.id = std::move(row.id),
          .at = row.at,
          .event = row.event,
          .result = row.result,
          .reason_code = std::move(row.reason_code),
          .warnings = value_of(row.warnings),
          .request_id = std::move(row.request_id),
          .agent_id = std::move(row.agent_id),
          .vm_name = std::move(row.vm_name),
          .actor = std::move(row.actor),
          .source_ip = std::move(row.source_ip),
          .purpose = std::move(row.purpose),
          .nonce_id = std::move(row.nonce_id),
          .quote_sha256 = std::move(row.quote_sha256),
          .mrtd = std::move(row.mrtd),
          .rtmrs = {row.rtmr0, row.rtmr1, row.rtmr2, row.rtmr3},
          .td_attributes = std::move(row.td_attributes),
          .tcb_status = std::move(row.tcb_status),
          .fmspc = std::move(row.fmspc),
          .advisory_ids = value_of(row.advisory_ids),
          .ita_token_sha256 = std::move(row.ita_token_sha256),
          .verifier_mode = std::move(row.verifier_mode),
          .policy = value_of(row.policy_snapshot),
          .details = value_of(row.details),
          .duration_ms = row.duration_ms};
}

RtmrProfileInput profile_of(const ObservedRow& row, const ObservedTrustRequest& wanted) {
  RtmrProfileInput profile{.name = "observed-" + row.id,
                           .node_size = wanted.node_size,
                           .rtmr0 = {},
                           .rtmr1 = {},
                           .rtmr2 = {},
                           .rtmr3 = {},
                           .event_digests = {}};
  const std::array from = {&row.rtmr0, &row.rtmr1, &row.rtmr2, &row.rtmr3};
  const std::array to = {&profile.rtmr0, &profile.rtmr1, &profile.rtmr2, &profile.rtmr3};
  for (const std::int64_t index : wanted.registers)
    *to[static_cast<std::size_t>(index)] = *from[static_cast<std::size_t>(index)];
  return profile;
}

}  // namespace

// ---- observed measurements -----------------------------------------------------------------------------------------

Result<ObservedPage> AttestationAdmin::observed(const PageRequest& page) const {
  auto rows =
      parts_.database.read<Page<ObservedRow>>([&](db::Transaction& tx) { return ObservedStore().list(tx, page); });
  if (!rows) return std::unexpected(rows.error());
  ObservedPage out{.items = {}, .next_cursor = parts_.cursors.encode("observed_measurements", rows->next)};
  for (ObservedRow& row : rows->items) out.items.push_back(view_of_observed(std::move(row)));
  return out;
}

Result<AdminMrtdView> AttestationAdmin::trust_observed(const std::string& id, const ObservedTrustRequest& wanted,
                                                       const Actor& actor) {
  const auto row = parts_.database.read<std::optional<ObservedRow>>(
      [&](db::Transaction& tx) { return ObservedStore().get(tx, id); });
  if (!row) return std::unexpected(row.error());
  if (!*row) return fail(ErrorCode::mrtd_not_found);
  const RtmrProfileInput profile = profile_of(**row, wanted);
  auto trusted = parts_.trust.add({.mrtd = (*row)->mrtd,
                                   .kind = wanted.kind,
                                   .note = wanted.note,
                                   .enabled = {},
                                   .expires_at = {},
                                   .profiles = std::vector{profile}},
                                  actor);
  if (!trusted && trusted.error().code == ErrorCode::mrtd_exists)
    trusted = parts_.trust.add_profile((*row)->mrtd, profile, actor);
  if (!trusted) return trusted;
  // Were this to fail, the row would only be seen once more.
  const auto forgotten =
      parts_.database.write<bool>([&](db::Transaction& tx) { return ObservedStore().remove(tx, id); });
  if (!forgotten) return std::unexpected(forgotten.error());
  return trusted;
}

Result<void> AttestationAdmin::forget_observed(const std::string& id, const Actor& actor) {
  return parts_.database.run_write([&](db::Transaction& tx) -> Result<void> {
    const auto removed = ObservedStore().remove(tx, id);
    if (!removed) return std::unexpected(removed.error());
    if (!*removed) return fail(ErrorCode::mrtd_not_found);
    const auto written = AuditLogStore().append(tx,
                                                {.actor = actor.name,
                                                 .action = "observed_measurement_forgotten",
                                                 .object_type = "observed_measurement",
                                                 .object_id = id,
                                                 .request_id = actor.request_id,
                                                 .client_address = actor.client_address},
                                                parts_.clock.now(), parts_.random);
    if (!written) return std::unexpected(written.error());
    return {};
  });
}

// ---- decisions -----------------------------------------------------------------------------------------------------

Result<AttestationAuditPage> AttestationAdmin::audit(const AttestationAuditFilter& filter,
                                                     const PageRequest& page) const {
  if (parts_.settle_refusals) parts_.settle_refusals();
  auto rows = parts_.database.read<Page<AttestationAuditRow>>(
      [&](db::Transaction& tx) { return AttestationAuditStore().list(tx, filter, page); });
  if (!rows) return std::unexpected(rows.error());
  AttestationAuditPage out{.items = {}, .next_cursor = parts_.cursors.encode("attestation_audit", rows->next)};
  for (AttestationAuditRow& row : rows->items) out.items.push_back(view_of_decision(std::move(row)));
  return out;
}

// ---- previews ------------------------------------------------------------------------------------------------------

Result<TrustPreviewView> AttestationAdmin::preview_remove(const std::string& mrtd) const {
  const auto after = parts_.trust.without(mrtd);
  if (!after) return std::unexpected(after.error());
  return preview(mrtd, *after);
}

Result<TrustPreviewView> AttestationAdmin::preview_change(const std::string& mrtd, const TrustedMrtdPatch& patch,
                                                          std::optional<std::int64_t> if_version) const {
  const auto after = parts_.trust.changed(mrtd, patch, if_version);
  if (!after) return std::unexpected(after.error());
  return preview(mrtd, *after);
}

Result<TrustPreviewView> AttestationAdmin::preview(const std::string& text, const att::TrustStore& after) const {
  const auto policy = parts_.policy();
  if (!policy) return std::unexpected(policy.error());
  const UtcTime now = parts_.clock.now();
  const auto mrtd = from_hex_exact<48>(text);
  if (!mrtd) return fail(ErrorCode::mrtd_not_found);
  return parts_.database.read<TrustPreviewView>([&](db::Transaction& tx) -> Result<TrustPreviewView> {
    TrustPreviewView out;
    AgentId last;
    while (true) {
      const auto rows = EvidenceStore().with_mrtd(tx, to_hex(*mrtd), last, kEvidenceAtOnce);
      if (!rows) return std::unexpected(rows.error());
      for (const EvidenceRow& row : *rows) {
        last = row.agent_id;
        const auto agent = AgentStore().get(tx, row.agent_id);
        if (!agent) return std::unexpected(agent.error());
        if (!*agent || (*agent)->attestation_state == AttestationState::failed ||
            (*agent)->status == AgentStatus::deleting || (*agent)->status == AgentStatus::deleted)
          continue;
        const auto decision = judge_stored(row, *policy, after, now);
        if (!decision) return std::unexpected(decision.error());
        if (!decision->reason) continue;
        ++out.affected_agents;
        if (out.agents.size() < TrustPreviewView::kMaxAgents)
          out.agents.push_back({.agent_id = row.agent_id.str(),
                                .vm_name = (*agent)->vm_name,
                                .reason_code = std::string(slug(*decision->reason))});
      }
      if (static_cast<std::int64_t>(rows->size()) < kEvidenceAtOnce) return out;
    }
  });
}

// ---- what an agent proved ------------------------------------------------------------------------------------------

Result<AgentAttestationView> AttestationAdmin::attestation_of(const AgentScope& scope,
                                                              const std::vector<AccountId>& accounts,
                                                              const AgentId& agent) const {
  return parts_.database.read<AgentAttestationView>([&](db::Transaction& tx) -> Result<AgentAttestationView> {
    const auto row = AgentStore().get(tx, agent);
    if (!row) return std::unexpected(row.error());
    if (!*row || (*row)->status == AgentStatus::deleted) return fail(ErrorCode::agent_not_found);
    const bool owns = (*row)->account_id && std::ranges::find(accounts, *(*row)->account_id) != accounts.end();
    if (!owns && !scope.contains(**row)) {
      if (accounts.empty()) return fail(ErrorCode::agent_not_found);
      const auto serves = parts_.assignments.serves(tx, agent, accounts);
      if (!serves) return std::unexpected(serves.error());
      if (!*serves) return fail(ErrorCode::agent_not_found);
    }
    return view_of(tx, **row);
  });
}

Result<AgentAttestationView> AttestationAdmin::view_of(db::Transaction& tx, const AgentRow& agent) const {
  auto found = EvidenceStore().get(tx, agent.id);
  if (!found) return std::unexpected(found.error());
  if (!*found) return fail(ErrorCode::internal_error, "an agent without evidence");
  EvidenceRow& row = **found;
  const auto trust = parts_.trust.effective(tx);
  if (!trust) return std::unexpected(trust.error());
  AgentAttestationView view{
      .agent_id = agent.id.str(),
      .mrtd = row.mrtd,
      .rtmrs = {row.rtmr0, row.rtmr1, row.rtmr2, row.rtmr3},
      .tcb_status = row.tcb_status,
      .evidence_kind = row.kind,
      .attested_at = row.attested_at,
      .attestation_due_at = agent.attestation_due_at,
      .fresh = agent.attestation_state == AttestationState::verified && parts_.clock.now() < agent.attestation_due_at,
      .policy = value_of(row.policy_snapshot),
      .reason_code = agent.attestation_error.value_or("ok"),
      .signing_key = agent.signing_key,
      .claims = value_of(agent.attestation_summary),
      .warnings = value_of(row.warnings),
      .mrtd_note = {},
      .rtmr_profile = {},
      .td_attributes = row.td_attributes,
      .advisory_ids = value_of(row.advisory_ids),
      .fmspc = row.fmspc,
      .verifier_mode = row.verifier_mode,
      .quote = row.quote,
      .quote_sha256 = to_hex(sha256(from_base64(row.quote).value_or(ByteVector{}))),
      .preimage = row.preimage,
      .audit_id = row.audit_id};
  for (const att::TrustedMrtd& entry : trust->trust.mrtds)
    if (entry.kind == att::MrtdKind::agent && to_hex(entry.mrtd) == row.mrtd) view.mrtd_note = entry.note;
  for (const att::RtmrProfile& profile : trust->trust.profiles)
    if (row.rtmr_profile_id == profile.id) view.rtmr_profile = profile.name;
  return view;
}

}  // namespace ee::cp
