#pragma once
#include <functional>
#include <optional>
#include <string>

#include "common/agent_api.h"
#include "cp/service/agent_service.h"
#include "cp/service/agent_settings.h"
#include "cp/service/attestation_trail.h"
#include "cp/service/challenge_service.h"
#include "cp/service/verification.h"
#include "cp/store/evidence_store.h"

namespace ee::cp {

/// Fresh evidence of agents that are registered (01 sections 14.3 and 16; 02 section 6.6). Thread-safe; calls block on
/// the database and on outside verifiers.
class AttestationRefresh {
 public:
  struct Parts {
    db::Database& database;
    EvidenceVerifier& verifier;
    const TrustService& trust;
    const ChallengeService& challenges;
    AgentService& agents;
    Directory& directory;
    Clock& clock;
    Random& random;
    AgentSettingsSource settings;
    /// Every finished attempt, for metrics: the reason, or nothing when accepted; what is known of it; its duration.
    std::function<void(std::optional<ErrorCode>, const AttestationAttempt&, Milliseconds)> observe = {};
    std::function<void()> audit_failed = {};
  };
  explicit AttestationRefresh(Parts parts);

  /// A challenge for this agent. Errors: `agent_not_found`, `agent_deleted`, `agent_attestation_failed`,
  /// `verifier_unavailable`, those of the database.
  Result<SignedChallenge> challenge(const AgentId& agent, const std::string& client_nonce,
                                    const ChallengePolicy& policy);

  /// Judges the evidence. Accepted: the agent is `verified`, its rows are new. Refused for what the TD is: the agent is
  /// in quarantine when this returns. Refused for what says nothing about the TD: its row has the reason. Anything else
  /// changes nothing but the audit.
  /// Errors: those of `challenge`, every reason of the pipeline, `policy_changed_retry`, `concurrent_update` (it
  /// registered again meanwhile), `audit_unavailable`.
  Result<agent_api::RefreshAnswer> refresh(const AgentId& agent, const agent_api::RefreshRequest& request,
                                           const EvidenceTransport& transport);

 private:
  struct Attempt;
  Result<AgentRow> admitted(const AgentId& agent);
  Result<AcceptedEvidence> verify(const AgentRow& agent, const agent_api::RefreshRequest& request,
                                  const EvidenceTransport& transport, AttestationAttempt& attempt);
  Result<AgentRow> accept(const AgentRow& agent, const AcceptedEvidence& evidence, const AttestationAttempt& attempt,
                          const EvidenceTransport& transport, UtcTime started);
  Result<AgentRow> write_accepted(db::Transaction& tx, const AgentRow& agent, const AcceptedEvidence& evidence,
                                  const AttestationAttempt& attempt, const EvidenceTransport& transport,
                                  Milliseconds took);
  void refuse(const AgentRow& agent, const AttestationAttempt& attempt, const EvidenceTransport& transport,
              ErrorCode reason, Milliseconds took);
  Result<std::optional<AgentRow>> end_trust(db::Transaction& tx, const AgentRow& agent, ErrorCode reason,
                                            const EvidenceTransport& transport);
  Result<std::optional<AgentRow>> show_reason(db::Transaction& tx, const AgentRow& agent, ErrorCode reason) const;

  Parts parts_;
  AttestationTrail trail_;
  AgentStore agents_;
  EvidenceStore evidence_;
  AttestationAuditStore attestation_audit_;
};

}  // namespace ee::cp
