#pragma once
#include <functional>
#include <string>

#include "attestation/verify/dcap_verifier.h"
#include "common/clock.h"
#include "cp/domain/cursor.h"
#include "cp/service/actor.h"
#include "cp/service/agent_assignments.h"
#include "cp/service/agent_service.h"
#include "cp/service/attestation_admin_api.h"
#include "cp/service/trust_service.h"
#include "cp/service/verification.h"
#include "cp/store/evidence_store.h"
#include "db/database.h"

namespace ee::cp {

/// What administrators see and try of attestation, and what agents proved. Thread-safe; calls block on the database.
class AttestationAdmin {
 public:
  struct Parts {
    db::Database& database;
    TrustService& trust;
    const AgentAssignments& assignments;
    const attestation::DcapVerifier& dcap;
    attestation::CollateralSource& collateral;
    PolicySource policy;
    std::function<VerificationLimits()> limits;
    const CursorCodec& cursors;
    Clock& clock;
    Random& random;
    std::function<void()> settle_refusals = {};  ///< before decisions are listed
  };
  explicit AttestationAdmin(Parts parts) : parts_(std::move(parts)) {}

  /// Measurements of refused machines with genuine quotes, last seen first.
  Result<ObservedPage> observed(const PageRequest& page) const;
  /// Trusts what was observed: its MRTD, if that has no entry yet, and a profile of the chosen registers. The
  /// observation is over then. Errors: mrtd_not_found, and those of the trust service.
  Result<AdminMrtdView> trust_observed(const std::string& id, const ObservedTrustRequest& wanted, const Actor& actor);
  /// Errors: mrtd_not_found.
  Result<void> forget_observed(const std::string& id, const Actor& actor);

  /// Newest first.
  Result<AttestationAuditPage> audit(const AttestationAuditFilter& filter, const PageRequest& page) const;

  /// Which agents would fail if the MRTD were removed, or changed so. Nothing is changed. Errors: those of
  /// `TrustService::remove` and `change`, policy_invalid.
  Result<TrustPreviewView> preview_remove(const std::string& mrtd) const;
  Result<TrustPreviewView> preview_change(const std::string& mrtd, const TrustedMrtdPatch& patch,
                                          std::optional<std::int64_t> if_version) const;

  /// Runs steps 3, 7, 8 (the built-in verifier) and 10 to 13 over a quote, each as far as it can be judged, without
  /// nonce and without effect. Errors: policy_invalid, those of the database.
  Result<TriedQuote> try_quote(const TryQuoteRequest& wanted, const std::stop_token& stop) const;

  /// The last accepted evidence of an agent. Errors: agent_not_found (also for who may not see it: `scope` and owners
  /// may, and accounts with a deployment on the agent). `accounts`: those that the caller acts for.
  Result<AgentAttestationView> attestation_of(const AgentScope& scope, const std::vector<AccountId>& accounts,
                                              const AgentId& agent) const;

 private:
  Result<TrustPreviewView> preview(const std::string& mrtd, const attestation::TrustStore& after) const;
  Result<AgentAttestationView> view_of(db::Transaction& tx, const AgentRow& agent) const;

  Parts parts_;
};

}  // namespace ee::cp
