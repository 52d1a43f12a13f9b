#include "cp/service/attestation_trail.h"

#include "common/crypto.h"
#include "common/id.h"
#include "common/json.h"
#include "common/log.h"
#include "cp/service/attestation_records.h"
#include "cp/service/verification.h"
#include "cp/store/audit_log_store.h"

namespace ee::cp {
namespace {

namespace att = attestation;

constexpr Seconds kNeverDue{3600LL * 24 * 36525};

/// Reasons that say that measurements are not trusted, as against a platform that is bad.
bool is_unknown_measurement(ErrorCode reason) {
  return reason == ErrorCode::mrtd_untrusted || reason == ErrorCode::rtmr_mismatch ||
         reason == ErrorCode::rtmr_no_baseline;
}

}  // namespace

Result<void> AttestationTrail::append(db::Transaction& tx, const Refusal& refusal) const {
  const UtcTime now = refusal.at.value_or(parts_.clock.now());
  AttestationAuditRow row = audit_row_of(refusal.attempt, now);
  auto id = new_uuid_v7(now, parts_.random);
  if (!id) return fail(ErrorCode::audit_unavailable, "the CSPRNG failed");
  row.id = std::move(*id);
  row.event = refusal.event;
  row.result = AttestationResult::rejected;
  row.reason_code = std::string(slug(refusal.reason));
  row.duration_ms = refusal.took.count();
  if (!refusal.actor.empty()) row.actor = refusal.actor;
  if (auto done = rows_.append(tx, row); !done) return fail(ErrorCode::audit_unavailable, done.error().detail);
  if (refusal.folded)
    if (auto done = note_rejected_registration(tx, refusal, now); !done) return done;
  if (!refusal.attempt.quote_verified || !is_unknown_measurement(refusal.reason)) return {};
  return observe(tx, refusal, now);
}

Result<void> AttestationTrail::note_rejected_registration(db::Transaction& tx, const Refusal& refusal,
                                                          UtcTime now) const {
  const AttestationAttempt& attempt = refusal.attempt;
  const AuditEntry entry{.actor = "anonymous",
                         .action = "agent_registration_rejected",
                         .object_type = "agent",
                         .result = AuditResult::refused,
                         .reason_code = std::string(slug(refusal.reason)),
                         .request_id = attempt.request_id,
                         .client_address = attempt.source_ip,
                         .detail = R"({"vm_name":)" + json::quote(attempt.vm_name.value_or("")) + R"(,"folded":)" +
                                   std::to_string(*refusal.folded) + "}"};
  if (auto done = AuditLogStore().append(tx, entry, now, parts_.random); !done)
    return fail(ErrorCode::audit_unavailable, done.error().detail);
  return {};
}

Result<void> AttestationTrail::observe(db::Transaction& tx, const Refusal& refusal, UtcTime now) const {
  const AttestationAttempt& attempt = refusal.attempt;
  auto id = new_uuid_v7(now, parts_.random);
  if (!id) return fail(ErrorCode::internal_error, "the CSPRNG failed");
  ObservedRow seen{.id = std::move(*id),
                   .mrtd = attempt.mrtd.value_or(""),
                   .rtmr0 = attempt.rtmrs[0].value_or(""),
                   .rtmr1 = attempt.rtmrs[1].value_or(""),
                   .rtmr2 = attempt.rtmrs[2].value_or(""),
                   .rtmr3 = attempt.rtmrs[3].value_or(""),
                   .node_size = attempt.node_size,
                   .vm_name = attempt.vm_name.value_or(""),
                   .tcb_status = attempt.tcb_status.value_or(""),
                   .reason_code = std::string(slug(refusal.reason)),
                   .first_seen_at = now,
                   .last_seen_at = now};
  // Fixed lengths in front of the one field that varies: no two sets of fields share a text.
  seen.fingerprint = to_hex(
      sha256(bytes_of(seen.mrtd + "\n" + seen.rtmr0 + "\n" + seen.rtmr1 + "\n" + seen.rtmr2 + "\n" + seen.node_size)));
  return observed_.record(tx, seen);
}

void AttestationTrail::record(const Refusal& refusal) const {
  const auto written = parts_.database.write<bool>([&](db::Transaction& tx) -> Result<bool> {
    if (auto done = append(tx, refusal); !done) return std::unexpected(std::move(done.error()));
    return true;
  });
  if (!written) lost(refusal, written.error());
}

void AttestationTrail::lost(const Refusal& refusal, const Error& why) const {
  log::error("audit", "a refused attestation could not be audited",
             {{"reason_code", refusal.reason},
              {"purpose", refusal.attempt.purpose},
              {"vm_name", refusal.attempt.vm_name},
              {"agent_id", refusal.attempt.agent_id},
              {"source_ip", refusal.attempt.source_ip},
              {"nonce_id", refusal.attempt.nonce_id},
              {"quote_sha256", refusal.attempt.quote_sha256},
              {"error", why.code}});
  if (parts_.audit_failed) parts_.audit_failed();
}

Result<void> check_trust_unchanged(db::Transaction& tx, const TrustService& trust, const AcceptedEvidence& evidence) {
  const auto now_trusted = trust.effective(tx);
  if (!now_trusted) return std::unexpected(now_trusted.error());
  const auto changed = [] { return fail(Error{.code = ErrorCode::policy_changed_retry, .retry_after = Seconds(1)}); };
  if (const auto& vouched = evidence.decision.trusted_mrtd) {
    bool same = false;
    for (const att::TrustedMrtd& entry : now_trusted->trust.mrtds)
      same = same || (entry.mrtd == vouched->mrtd && entry.kind == vouched->kind && entry.source == vouched->source &&
                      entry.version == vouched->version && entry.enabled);
    if (!same) return changed();
  }
  if (const auto& matched = evidence.decision.rtmr_profile) {
    bool same = false;
    for (const att::RtmrProfile& profile : now_trusted->trust.profiles)
      same = same || (profile.id == matched->id && profile.version == matched->version && profile.enabled);
    if (!same) return changed();
  }
  return {};
}

UtcTime attestation_due_after(UtcTime now, Seconds refresh, Random& random) {
  if (refresh.count() == 0) return now + kNeverDue;
  const std::int64_t tenth = Milliseconds(refresh).count() / 10;
  return now + refresh + Milliseconds(random.between(-tenth, tenth));
}

}  // namespace ee::cp
