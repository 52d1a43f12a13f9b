#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/agent_api.h"
#include "common/credential_cache.h"
#include "cp/domain/identity_rules.h"
#include "cp/service/agent_settings.h"
#include "cp/service/attestation_trail.h"
#include "cp/service/audit_fold.h"
#include "cp/service/deployment_hooks.h"
#include "cp/service/directory.h"
#include "cp/service/late_refusals.h"
#include "cp/service/live_map.h"
#include "cp/service/signing_keys.h"
#include "cp/service/tunnel_service.h"
#include "cp/service/verification.h"
#include "cp/store/agent_store.h"
#include "cp/store/attestation_audit_store.h"
#include "cp/store/audit_log_store.h"
#include "cp/store/credential_store.h"
#include "cp/store/evidence_store.h"
#include "db/database.h"

namespace ee::cp {

/// What settings say of registrations.
struct RegistrationSettings {
  IdentitySettings identity = {};
  AgentSettings agents = {};
  bool dev = false;                                ///< `EE_ENV` is `dev`: `direct_url` may be sent
  std::vector<std::string> direct_url_cidrs = {};  ///< `agents.direct_url_cidrs`
};

/// The answer of a registration: the exact bytes and the signature over them.
struct SignedAnswer {
  int status = 200;
  std::string body;
  BodySignature signature;
};

struct AdmissionInput;
struct AdmittedAgent;
struct PreviousCredential;
struct PresentedToken;

/// Admits agents: `POST /api/v1/agents/register`. Thread-safe; a call blocks on the database, on outside verifiers and,
/// for at most 8 s, on Cloudflare.
class RegistrationService {
 public:
  struct Parts {
    db::Database& database;
    EvidenceVerifier& verifier;
    const TrustService& trust;
    const SigningKeys& signing_keys;
    TunnelService& tunnels;
    DeploymentHooks& deployments;
    Directory& directory;
    LiveMap& live;
    CredentialCache& credentials;
    Clock& clock;
    Random& random;
    std::function<RegistrationSettings()> settings;
    std::function<std::int64_t()> signing_keys_version;
    /// Every finished attempt, for metrics: the reason, or nothing when accepted; what is known of it; its duration.
    std::function<void(std::optional<ErrorCode>, const AttestationAttempt&, Milliseconds)> observe = {};
    /// A refusal could not be audited; it went to the log.
    std::function<void()> audit_failed = {};
  };
  explicit RegistrationService(Parts parts)
      : parts_(std::move(parts)),
        trail_({.database = parts_.database,
                .clock = parts_.clock,
                .random = parts_.random,
                .audit_failed = parts_.audit_failed}),
        late_(trail_, parts_.database) {}

  /// Errors: `invalid_request`, `unknown_node_size`, `capacity_below_size`, `direct_url_not_allowed`,
  /// `capacity_reached`, `overloaded` before anything is consumed; every reason of the attestation pipeline; then
  /// `vm_name_in_use`, `agent_identity_mismatch`, `mrtd_changed`, `bootstrap_token_required`,
  /// `invalid_bootstrap_token`, `registration_flapping`, `policy_changed_retry`, `concurrent_update`,
  /// `audit_unavailable`. No error leaves an agent's row.
  Result<SignedAnswer> register_agent(const agent_api::RegisterRequest& request, const EvidenceTransport& transport);

  /// For io threads: never blocks. The refusal that `register_agent` would answer to what is no evidence by its form
  /// alone, recorded and counted like any other; nothing in every other case, which is for `register_agent` to decide.
  std::optional<Error> refuse_form(const agent_api::RegisterRequest& request, const EvidenceTransport& transport);
  /// The rows of all refusals so far are written.
  void settle_refusals() { late_.settle(); }

 private:
  std::optional<std::int64_t> fold_of_refusal(const EvidenceTransport& transport);
  Result<void> check_request(const agent_api::RegisterRequest& request, const RegistrationSettings& settings) const;
  static AttestationAttempt attempt_of(const agent_api::RegisterRequest& request, const EvidenceTransport& transport);
  static EvidenceClaim claim_of(const agent_api::RegisterRequest& request);
  Result<SignedAnswer> attempt_registration(const agent_api::RegisterRequest& request,
                                            const EvidenceTransport& transport, const RegistrationSettings& settings,
                                            AttestationAttempt& attempt, UtcTime started);
  Result<std::optional<PreviousCredential>> verified_previous(const agent_api::RegisterRequest& request);
  void publish(const AgentRow& row);
  Result<SignedAnswer> answer(const AdmissionInput& input, const AdmittedAgent& admitted, const Secret& credential);
  void audit_refused_token(const PresentedToken& token, const std::string& vm_name, const EvidenceTransport& transport);

  Parts parts_;
  CredentialStore credential_rows_;
  AttestationTrail trail_;
  LateRefusals late_;
  AuditLogStore audit_log_;
  AuditFold refused_tokens_;
  AuditFold refused_registrations_{10};
};

}  // namespace ee::cp
