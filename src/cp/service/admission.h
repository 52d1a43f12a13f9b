#pragma once
#include <optional>
#include <string>

#include "cp/service/bootstrap_tokens.h"
#include "cp/service/registration.h"

namespace ee::cp {

/// The credential that a re-registering agent showed, its hash already verified (Argon2 has no place in a transaction).
struct PreviousCredential {
  std::string lookup;
  AgentId agent;
};

/// Identifiers of what a registration makes, drawn before the transaction.
struct AdmissionIds {
  std::string agent;  ///< of a new agent
  std::string registration;
  std::string credential;
  std::string evidence_audit;
};

/// Everything that decides about a registration whose evidence was accepted.
struct AdmissionInput {
  const agent_api::RegisterRequest& request;
  const AcceptedEvidence& evidence;
  const AttestationAttempt& attempt;
  const RegistrationSettings& settings;
  const EvidenceTransport& transport;
  const AdmissionIds& ids;
  std::optional<PreviousCredential> previous;
  std::optional<PresentedToken> token;  ///< nothing: none was sent
  std::string credential_lookup;
  std::string credential_hash;
  UtcTime credential_expires_at;
  UtcTime attestation_due_at;
  UtcTime now;
  Milliseconds took{};  ///< since the request came in
};

struct AdmittedAgent {
  AgentRow row;
  bool reused = false;
};

/// The one transaction of a registration: trust re-read, identity rules, then agent, evidence, credential and audit
/// rows. Whatever fails, nothing of it stays.
class Admission {
 public:
  Admission(const TrustService& trust, TunnelService& tunnels, DeploymentHooks& deployments,
            const BootstrapTokens& tokens, LiveMap& live, Random& random)
      : trust_(trust), tunnels_(tunnels), deployments_(deployments), tokens_(tokens), live_(live), random_(random) {}

  /// Errors: `policy_changed_retry`, those of `decide_identity`, `registration_flapping`, `concurrent_update`,
  /// `audit_unavailable`, those of the database.
  Result<AdmittedAgent> admit(db::Transaction& tx, const AdmissionInput& input) const;

 private:
  Result<void> check_trust_unchanged(db::Transaction& tx, const AcceptedEvidence& evidence) const;
  /// Who owns the agent from now on; of an existing one nothing changes.
  Result<AgentOwner> check_identity(db::Transaction& tx, const AdmissionInput& input,
                                    const std::optional<AgentRow>& existing) const;
  Result<IdentityClaim> claim_of(db::Transaction& tx, const AdmissionInput& input, const AgentRow* existing) const;
  Result<AgentRow> insert_new(db::Transaction& tx, const AdmissionInput& input, const AgentOwner& owner) const;
  Result<AgentRow> update_existing(db::Transaction& tx, const AdmissionInput& input, const AgentRow& existing) const;
  Result<void> write_records(db::Transaction& tx, const AdmissionInput& input, const AgentRow& row, bool reused) const;

  const TrustService& trust_;
  TunnelService& tunnels_;
  DeploymentHooks& deployments_;
  const BootstrapTokens& tokens_;
  LiveMap& live_;
  Random& random_;
  AgentStore agents_;
  CredentialStore credentials_;
  EvidenceStore evidence_;
  AttestationAuditStore attestation_audit_;
  AuditLogStore audit_log_;
};

}  // namespace ee::cp
