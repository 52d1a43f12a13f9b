#pragma once
#include "common/agent_api.h"
#include "common/clock.h"
#include "common/credential_cache.h"
#include "common/random.h"
#include "cp/service/agent_channel.h"
#include "cp/service/audit_fold.h"
#include "cp/service/directory.h"
#include "cp/service/signing_keys.h"
#include "cp/service/verification.h"
#include "cp/store/agent_store.h"
#include "cp/store/audit_log_store.h"
#include "cp/store/credential_store.h"
#include "db/database.h"

namespace ee::cp {

/// `POST /api/v1/agents/{id}/credential/rotate` (02 section 6.4): a new credential, sealed to the keys of the agent's
/// registration. The one before works for ten minutes more, or until the new one is used, so a lost answer locks nobody
/// out. A stolen bearer token alone cannot rotate: the request is signed with the instance key. Thread-safe; calls
/// block on the database.
class CredentialRotation {
 public:
  /// How far `signed_at` may be from this clock.
  static constexpr Seconds kSignedWithin{120};

  struct Parts {
    db::Database& database;
    Directory& directory;
    CredentialCache& credentials;
    const SigningKeys& signing_keys;
    Clock& clock;
    Random& random;
  };
  explicit CredentialRotation(const Parts& parts) : parts_(parts) {}

  /// The answer, signed (kind `credential`). Errors: invalid_request (no signature, or signed at another time),
  /// pop_signature_invalid (also of a request that was used before: whoever captured one could void the credential that
  /// its answer brought), those of `admit_agent`, those of the database.
  Result<SignedBody> rotate(const AgentId& agent, const agent_api::RotateRequest& request,
                            const EvidenceTransport& transport);

 private:
  Result<void> check_signature(const AgentRow& row, const agent_api::RotateRequest& request,
                               const EvidenceTransport& transport) const;
  void audit_refused(const AgentId& agent, const EvidenceTransport& transport);
  Result<void> store(db::Transaction& tx, const AgentRow& row, const CredentialRow& fresh,
                     const EvidenceTransport& transport, UtcTime now) const;

  Parts parts_;
  AgentStore agents_;
  CredentialStore rows_;
  AuditLogStore audit_;
  AuditFold refused_;
};

}  // namespace ee::cp
