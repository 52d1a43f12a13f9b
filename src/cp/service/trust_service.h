#pragma once
#include <functional>
#include <optional>
#include <string>

#include "attestation/validate/trust_store.h"
#include "common/clock.h"
#include "common/random.h"
#include "cp/domain/cursor.h"
#include "cp/service/actor.h"
#include "cp/service/trust_api.h"
#include "cp/store/attestation_audit_store.h"
#include "cp/store/trust_store.h"
#include "db/database.h"

namespace ee::cp {

/// What is trusted: rows of the database united with entries of the environment; a row wins over an entry with the same
/// MRTD, also when it is disabled. Read from the database for each decision, never cached. Thread-safe.
class TrustService {
 public:
  /// `environment`: entries of the environment variables and, in dev, the emulator's. `changed` runs after each change.
  TrustService(db::Database& database, attestation::TrustStore environment, Clock& clock, Random& random,
               std::function<void()> changed = {})
      : database_(database),
        environment_(std::move(environment)),
        clock_(clock),
        random_(random),
        changed_(std::move(changed)) {}

  struct Effective {
    attestation::TrustStore trust;
    std::int64_t version = 0;  ///< `meta.trust_version`
  };
  const attestation::TrustStore& environment() const { return environment_; }
  Result<Effective> effective() const;
  Result<Effective> effective(db::Transaction& tx) const;

  /// Enabled, unexpired entries, also those of the environment (on the first page, before the rows).
  Result<PublicMrtdPage> list_public(std::optional<attestation::MrtdKind> kind, const PageRequest& page,
                                     const CursorCodec& cursors) const;
  Result<AdminMrtdPage> list(std::optional<attestation::MrtdKind> kind, const PageRequest& page,
                             const CursorCodec& cursors) const;
  /// Errors: mrtd_not_found.
  Result<AdminMrtdView> get(const std::string& mrtd) const;
  /// Errors: mrtd_exists, invalid_request (all zero; a profile without a register; two profiles of one name).
  Result<AdminMrtdView> add(const TrustedMrtdInput& input, const Actor& actor);
  /// Errors: mrtd_not_found, version_mismatch.
  Result<AdminMrtdView> change(const std::string& mrtd, const TrustedMrtdPatch& patch,
                               std::optional<std::int64_t> if_version, const Actor& actor);
  /// Errors: mrtd_not_found, mrtd_from_environment.
  Result<MrtdRemoved> remove(const std::string& mrtd, const Actor& actor);
  /// What would be trusted after that, without doing it. Errors: those of `remove` and `change`.
  Result<attestation::TrustStore> without(const std::string& mrtd) const;
  Result<attestation::TrustStore> changed(const std::string& mrtd, const TrustedMrtdPatch& patch,
                                          std::optional<std::int64_t> if_version) const;
  /// An entry of the environment gets a row first. Errors: mrtd_not_found, invalid_request.
  Result<AdminMrtdView> add_profile(const std::string& mrtd, const RtmrProfileInput& input, const Actor& actor);
  /// Errors: mrtd_not_found.
  Result<AdminMrtdView> remove_profile(const std::string& mrtd, const std::string& profile_id, const Actor& actor);

 private:
  Result<AdminMrtdView> view(db::Transaction& tx, const std::string& mrtd) const;
  Result<AdminMrtdView> view_of(db::Transaction& tx, const TrustedMrtdRow& row) const;
  std::optional<AdminMrtdView> environment_view(const std::string& mrtd) const;
  const attestation::TrustedMrtd* environment_entry(const std::string& mrtd) const;
  Result<void> insert_profile(db::Transaction& tx, const std::string& mrtd, const RtmrProfileInput& input,
                              const std::string& by, UtcTime now) const;
  Result<void> audit(db::Transaction& tx, AttestationEvent event, std::string_view action, const std::string& mrtd,
                     const Actor& actor, UtcTime now) const;

  db::Database& database_;
  attestation::TrustStore environment_;
  Clock& clock_;
  Random& random_;
  std::function<void()> changed_;
  TrustStore rows_;
  AttestationAuditStore attestation_audit_;
};

}  // namespace ee::cp
