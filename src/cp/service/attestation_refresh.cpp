#include "cp/service/attestation_refresh.h"

#include <algorithm>

#include "attestation/validate/policy.h"
#include "common/id.h"
#include "cp/service/agent_channel.h"
#include "cp/service/attestation_records.h"
#include "cp/store/audit_log_store.h"

namespace ee::cp {
namespace {

namespace att = attestation;

constexpr Seconds kUndecidedRetryAfter{5};
/// Somebody else may write the agent's row meanwhile: a heartbeat's health, a tunnel.
constexpr int kTries = 4;

Actor actor_of(const AgentRow& agent, const EvidenceTransport& transport) {
  return {.name = "agent:" + agent.id.str(), .request_id = transport.request_id, .client_address = transport.source_ip};
}

Result<ByteArray<32>> stored_key(const std::string& base64) {
  const auto raw = from_base64(base64);
  if (!raw || raw->size() != 32) return fail(ErrorCode::internal_error, "a stored key of an agent is damaged");
  ByteArray<32> key{};
  std::ranges::copy(*raw, key.begin());
  return key;
}

/// The reason, if there is one, that ends the trust in the TD.
std::optional<ErrorCode> definite_reason(const AttestationAttempt& attempt, ErrorCode reason) {
  // Before the signature was checked anybody with the bearer token may have sent it: that must not end the agent's
  // trust.
  if (!attempt.request_signed) return std::nullopt;
  const auto is_definite = [](ErrorCode code) { return att::decision_class(code) == att::DecisionClass::refused; };
  if (is_definite(reason)) return reason;
  // Of two verifiers one could not decide, but the other did.
  if (att::is_undecided_refusal(reason) && attempt.other_reason && is_definite(*attempt.other_reason))
    return attempt.other_reason;
  return std::nullopt;
}

}  // namespace

AttestationRefresh::AttestationRefresh(Parts parts)
    : parts_(std::move(parts)),
      trail_({.database = parts_.database,
              .clock = parts_.clock,
              .random = parts_.random,
              .audit_failed = parts_.audit_failed}) {}

Result<AgentRow> AttestationRefresh::admitted(const AgentId& agent) {
  if (const auto entry = admit_agent(parts_.directory, agent); !entry) return std::unexpected(entry.error());
  auto row = parts_.database.read<std::optional<AgentRow>>([&](db::Transaction& tx) { return agents_.get(tx, agent); });
  if (!row) return std::unexpected(row.error());
  if (!*row) return fail(ErrorCode::agent_not_found);
  // The directory may be a moment behind another replica.
  if ((*row)->attestation_state == AttestationState::failed) return fail(ErrorCode::agent_attestation_failed);
  return std::move(**row);
}

Result<SignedChallenge> AttestationRefresh::challenge(const AgentId& agent, const std::string& client_nonce,
                                                      const ChallengePolicy& policy) {
  const auto row = admitted(agent);
  if (!row) return std::unexpected(row.error());
  return parts_.challenges.issue(static_cast<std::uint8_t>(att::Purpose::refresh), row->vm_name, agent.str(),
                                 client_nonce, policy);
}

Result<agent_api::RefreshAnswer> AttestationRefresh::refresh(const AgentId& agent,
                                                             const agent_api::RefreshRequest& request,
                                                             const EvidenceTransport& transport) {
  const UtcTime started = parts_.clock.now();
  const auto row = admitted(agent);
  if (!row) return std::unexpected(row.error());
  AttestationAttempt attempt{.purpose = "refresh",
                             .request_id = transport.request_id,
                             .source_ip = transport.source_ip,
                             .vm_name = row->vm_name,
                             .agent_id = agent.str(),
                             .node_size = row->node_size};
  const auto evidence = verify(*row, request, transport, attempt);
  auto accepted = evidence ? accept(*row, *evidence, attempt, transport, started)
                           : Result<AgentRow>(std::unexpected(evidence.error()));
  const Milliseconds took = parts_.clock.now() - started;
  if (parts_.observe) parts_.observe(accepted ? std::nullopt : std::optional(accepted.error().code), attempt, took);
  if (!accepted) {
    if (attempt.audited) refuse(*row, attempt, transport, accepted.error().code, took);
    if (error_info(accepted.error().code).http_status == 503 && !accepted.error().retry_after)
      accepted.error().retry_after = kUndecidedRetryAfter;
    return std::unexpected(std::move(accepted.error()));
  }
  const bool due = parts_.settings().attestation_refresh.count() != 0;
  return agent_api::RefreshAnswer{
      .attested_at = accepted->attested_at,
      .attestation_due_at = due ? std::optional(accepted->attestation_due_at) : std::nullopt,
      .tcb_status = accepted->tcb_status,
      .warnings = attempt.warnings};
}

Result<AcceptedEvidence> AttestationRefresh::verify(const AgentRow& agent, const agent_api::RefreshRequest& request,
                                                    const EvidenceTransport& transport, AttestationAttempt& attempt) {
  auto before = parts_.database.read<std::optional<EvidenceRow>>(
      [&](db::Transaction& tx) { return evidence_.get(tx, agent.id); });
  if (!before) return std::unexpected(std::move(before.error()));
  if (!*before) return fail(ErrorCode::internal_error, "an agent without evidence");
  const EvidenceRow& known = **before;
  const auto signing = stored_key(agent.signing_key);
  if (!signing) return std::unexpected(signing.error());
  const auto sealing = stored_key(agent.sealing_key);
  if (!sealing) return std::unexpected(sealing.error());
  const EvidenceClaim claim{
      .purpose = att::Purpose::refresh,
      .evidence = request.evidence,
      .challenge = request.challenge,
      .nonce = request.nonce,
      .signing_key = *signing,
      .sealing_key = *sealing,
      .vm_name = agent.vm_name,
      .agent_id = agent.id.str(),
      .node_size = agent.node_size,
      .before = MeasuredBefore{
          .mrtd = known.mrtd, .rtmrs = {known.rtmr0, known.rtmr1, known.rtmr2, known.rtmr3}, .binding = known.binding}};
  return parts_.verifier.verify(claim, transport, attempt);
}

Result<AgentRow> AttestationRefresh::accept(const AgentRow& agent, const AcceptedEvidence& evidence,
                                            const AttestationAttempt& attempt, const EvidenceTransport& transport,
                                            UtcTime started) {
  for (int attempted = 1;; ++attempted) {
    const Milliseconds took = parts_.clock.now() - started;
    auto row = parts_.database.write<AgentRow>(
        [&](db::Transaction& tx) { return write_accepted(tx, agent, evidence, attempt, transport, took); });
    if (row) parts_.agents.published(*row);
    if (row || row.error().code != ErrorCode::concurrent_update || attempted == kTries) return row;
  }
}

Result<AgentRow> AttestationRefresh::write_accepted(db::Transaction& tx, const AgentRow& agent,
                                                    const AcceptedEvidence& evidence, const AttestationAttempt& attempt,
                                                    const EvidenceTransport& transport, Milliseconds took) {
  if (auto same = check_trust_unchanged(tx, parts_.trust, evidence); !same) return std::unexpected(same.error());
  const auto before = agents_.get(tx, agent.id);
  if (!before) return std::unexpected(before.error());
  if (!*before || (*before)->status == AgentStatus::deleting || (*before)->status == AgentStatus::deleted)
    return fail(ErrorCode::agent_deleted);
  if ((*before)->attestation_state == AttestationState::failed) return fail(ErrorCode::agent_attestation_failed);
  if ((*before)->registration_id != agent.registration_id) return fail(ErrorCode::concurrent_update);

  const UtcTime now = parts_.clock.now();
  AgentRow after = **before;
  apply_evidence(after, evidence, now,
                 attestation_due_after(now, parts_.settings().attestation_refresh, parts_.random));
  const auto updated = agents_.update(tx, **before, after, now);
  if (!updated) return std::unexpected(updated.error());
  if (!*updated) return fail(ErrorCode::concurrent_update);

  AttestationAuditRow decision = audit_row_of(attempt, now);
  const auto id = new_uuid_v7(now, parts_.random);
  if (!id) return fail(ErrorCode::audit_unavailable, "the CSPRNG failed");
  decision.id = *id;
  decision.event = AttestationEvent::refresh_attestation_accepted;
  decision.result = AttestationResult::accepted;
  decision.reason_code = "ok";
  decision.duration_ms = took.count();
  if (auto done = attestation_audit_.append(tx, decision); !done)
    return fail(ErrorCode::audit_unavailable, done.error().detail);
  const EvidenceRecord record{
      .evidence = evidence, .attempt = attempt, .agent = after, .now = now, .audit_id = decision.id};
  if (auto done = evidence_.put(tx, evidence_row_of(record)); !done) return std::unexpected(done.error());
  const AuditEntry entry{.actor = "agent:" + agent.id.str(),
                         .action = "agent_attestation_refreshed",
                         .object_type = "agent",
                         .object_id = agent.id.str(),
                         .request_id = transport.request_id,
                         .client_address = transport.source_ip};
  if (auto done = AuditLogStore().append(tx, entry, now, parts_.random); !done)
    return fail(ErrorCode::audit_unavailable, done.error().detail);
  return after;
}

/// The refusal's row and what it does to the agent: together, so that none is without the other.
void AttestationRefresh::refuse(const AgentRow& agent, const AttestationAttempt& attempt,
                                const EvidenceTransport& transport, ErrorCode reason, Milliseconds took) {
  const AttestationTrail::Refusal refusal{
      .attempt = attempt, .event = AttestationEvent::refresh_attestation_rejected, .reason = reason, .took = took};
  const auto definite = definite_reason(attempt, reason);
  const bool undecided = attempt.request_signed && att::is_undecided_refusal(reason);
  if (!definite && !undecided) return trail_.record(refusal);
  for (int attempted = 1;; ++attempted) {
    const auto row =
        parts_.database.write<std::optional<AgentRow>>([&](db::Transaction& tx) -> Result<std::optional<AgentRow>> {
          if (auto done = trail_.append(tx, refusal); !done) return std::unexpected(done.error());
          const auto now_known = agents_.get(tx, agent.id);
          if (!now_known) return std::unexpected(now_known.error());
          // Since then it may have been deleted, failed by another decision, or registered with other evidence.
          const bool still = *now_known && (*now_known)->registration_id == agent.registration_id &&
                             (*now_known)->attestation_state != AttestationState::failed &&
                             (*now_known)->status != AgentStatus::deleting &&
                             (*now_known)->status != AgentStatus::deleted;
          if (!still) return std::optional<AgentRow>{};
          return definite ? end_trust(tx, **now_known, *definite, transport) : show_reason(tx, **now_known, reason);
        });
    if (row) {
      if (*row) parts_.agents.published(**row);
      return;
    }
    if (row.error().code != ErrorCode::concurrent_update || attempted == kTries)
      return trail_.lost(refusal, row.error());
  }
}

Result<std::optional<AgentRow>> AttestationRefresh::end_trust(db::Transaction& tx, const AgentRow& agent,
                                                              ErrorCode reason, const EvidenceTransport& transport) {
  const std::string code(slug(reason));
  const AuditEntry entry{.actor = "agent:" + agent.id.str(),
                         .action = "agent_attestation_failed",
                         .object_type = "agent",
                         .object_id = agent.id.str(),
                         .result = AuditResult::refused,
                         .reason_code = code,
                         .request_id = transport.request_id,
                         .client_address = transport.source_ip};
  if (auto done = AuditLogStore().append(tx, entry, parts_.clock.now(), parts_.random); !done)
    return std::unexpected(done.error());
  auto after = parts_.agents.fail_attestation(tx, agent, code, actor_of(agent, transport));
  if (!after) return std::unexpected(after.error());
  return std::optional(std::move(*after));
}

/// A refusal that says nothing about the TD: whoever looks at the agent sees why its evidence grows old.
Result<std::optional<AgentRow>> AttestationRefresh::show_reason(db::Transaction& tx, const AgentRow& agent,
                                                                ErrorCode reason) const {
  const std::string code(slug(reason));
  if (agent.attestation_error == code) return std::optional<AgentRow>{};
  AgentRow after = agent;
  after.attestation_error = code;
  const auto written = agents_.update(tx, agent, after, parts_.clock.now());
  if (!written) return std::unexpected(written.error());
  if (!*written) return fail(ErrorCode::concurrent_update);
  return std::optional(std::move(after));
}

}  // namespace ee::cp
