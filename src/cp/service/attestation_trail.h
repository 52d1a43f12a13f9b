#pragma once
#include <functional>
#include <optional>
#include <string>

#include "common/clock.h"
#include "common/error.h"
#include "common/random.h"
#include "cp/domain/attestation_attempt.h"
#include "cp/service/trust_service.h"
#include "cp/store/attestation_audit_store.h"
#include "cp/store/observed_store.h"
#include "db/database.h"

namespace ee::cp {

struct AcceptedEvidence;

/// The record of attempts to attest that were refused, and what refused machines were seen to measure. Thread-safe.
class AttestationTrail {
 public:
  struct Parts {
    db::Database& database;
    Clock& clock;
    Random& random;
    std::function<void()> audit_failed = {};  ///< a refusal could not be recorded; it went to the log
  };
  explicit AttestationTrail(Parts parts) : parts_(std::move(parts)) {}

  /// What of a refused attempt is written.
  struct Refusal {
    const AttestationAttempt& attempt;
    AttestationEvent event;
    ErrorCode reason;
    Milliseconds took{};
    std::string actor = {};          ///< empty: nobody but the sender
    std::optional<UtcTime> at = {};  ///< nothing: now
    /// Of a registration: written to `audit_log` too, with so many before it that were not.
    std::optional<std::int64_t> folded = {};
  };
  /// The refusal's row, in the caller's transaction. A machine whose quote is genuine and whose measurements are not
  /// trusted is counted in `observed_measurements` too. Errors: audit_unavailable, those of the database.
  Result<void> append(db::Transaction& tx, const Refusal& refusal) const;
  /// The same in a transaction of its own. What cannot be written goes to the log.
  void record(const Refusal& refusal) const;
  /// For callers whose transaction failed.
  void lost(const Refusal& refusal, const Error& why) const;

 private:
  Result<void> note_rejected_registration(db::Transaction& tx, const Refusal& refusal, UtcTime now) const;
  Result<void> observe(db::Transaction& tx, const Refusal& refusal, UtcTime now) const;

  Parts parts_;
  AttestationAuditStore rows_;
  ObservedStore observed_;
};

/// A trust row that vouched is as it was when the evidence was judged. Errors: policy_changed_retry, those of the
/// database.
Result<void> check_trust_unchanged(db::Transaction& tx, const TrustService& trust, const AcceptedEvidence& evidence);

/// When evidence that was accepted now falls due: after the setting's time +-10 %, or, when evidence does not age (0),
/// in a hundred years.
UtcTime attestation_due_after(UtcTime now, Seconds refresh, Random& random);

}  // namespace ee::cp
