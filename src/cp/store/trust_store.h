#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "attestation/validate/trust_store.h"
#include "common/time.h"
#include "cp/domain/cursor.h"
#include "db/database.h"

namespace ee::cp {

/// A row of `trusted_mrtds`.
struct TrustedMrtdRow {
  std::string mrtd = {};  ///< 96 lower-case hex, not all zero
  attestation::MrtdKind kind = attestation::MrtdKind::agent;
  std::string note = {};
  bool enabled = true;
  std::optional<UtcTime> expires_at = {};
  std::int64_t version = 1;
  std::string created_by = {};
  UtcTime created_at = {};
  UtcTime updated_at = {};
  bool operator==(const TrustedMrtdRow&) const = default;
};
BOOST_DESCRIBE_STRUCT(TrustedMrtdRow, (),
                      (mrtd, kind, note, enabled, expires_at, version, created_by, created_at, updated_at))

/// A row of `trusted_rtmr_profiles`. A register that is absent is not checked; at least one is there.
struct RtmrProfileRow {
  std::string id = {};  ///< UUIDv7
  std::string mrtd = {};
  std::string name = {};
  std::optional<std::string> node_size = {};  ///< absent: every size
  std::optional<std::string> rtmr0 = {};
  std::optional<std::string> rtmr1 = {};
  std::optional<std::string> rtmr2 = {};
  std::optional<std::string> rtmr3 = {};
  std::optional<std::string> event_digests = {};  ///< JSON array
  bool enabled = true;
  std::optional<UtcTime> expires_at = {};
  std::int64_t version = 1;
  std::string created_by = {};
  UtcTime created_at = {};
  bool operator==(const RtmrProfileRow&) const = default;
};
BOOST_DESCRIBE_STRUCT(RtmrProfileRow, (),
                      (id, mrtd, name, node_size, rtmr0, rtmr1, rtmr2, rtmr3, event_digests, enabled, expires_at,
                       version, created_by, created_at))

/// What a PATCH changes; an absent member stays. `expires_at` given and empty: no expiry.
struct TrustedMrtdChange {
  std::optional<bool> enabled = {};
  std::optional<std::string> note = {};
  std::optional<std::optional<UtcTime>> expires_at = {};
};

struct TrustedMrtdFilter {
  std::optional<attestation::MrtdKind> kind = {};
  bool enabled_only = false;
};

/// Tables `trusted_mrtds` and `trusted_rtmr_profiles` (01 section 15.1). Every change raises `meta.trust_version`, by
/// which a decision sees that trust changed while it was made. Stateless.
class TrustStore {
 public:
  /// Every row, also disabled and expired ones (they hide entries of the environment), and the version that they have.
  struct Loaded {
    attestation::TrustStore trust;
    std::int64_t version = 0;
  };
  /// Read for each decision, never cached, so that a removal counts at once on every replica. Errors: `internal_error`
  /// for a damaged row: nothing is trusted then.
  Result<Loaded> load(db::Transaction& tx) const;
  Result<std::int64_t> version(db::Transaction& tx) const;

  /// By creation, oldest first.
  Result<Page<TrustedMrtdRow>> list(db::Transaction& tx, const TrustedMrtdFilter& filter,
                                    const PageRequest& page) const;
  Result<std::optional<TrustedMrtdRow>> get(db::Transaction& tx, const std::string& mrtd) const;
  /// By name.
  Result<std::vector<RtmrProfileRow>> profiles(db::Transaction& tx, const std::string& mrtd) const;
  /// The digests of the stored event log of a profile; none when it has no log, or there is no such profile.
  Result<std::vector<attestation::Measurement>> event_digests(db::Transaction& tx, const std::string& profile_id) const;
  /// When the newest expiry of an entry or profile was that is over at `now`; nothing when none is.
  Result<std::optional<UtcTime>> latest_expiry(db::Transaction& tx, UtcTime now) const;
  /// What is trusted changed by itself (an expiry, another environment): as if an entry had been changed.
  Result<void> raise_version(db::Transaction& tx) const;
  /// How many agents that are not deleted run with it.
  Result<std::int64_t> agents_with(db::Transaction& tx, const std::string& mrtd) const;

  /// Errors: `mrtd_exists`.
  Result<void> add(db::Transaction& tx, const TrustedMrtdRow& row) const;
  /// `if_version`: only when the row has it. Errors: `mrtd_not_found`, `version_mismatch`.
  Result<TrustedMrtdRow> change(db::Transaction& tx, const std::string& mrtd, const TrustedMrtdChange& change,
                                std::optional<std::int64_t> if_version, UtcTime now) const;
  /// With its profiles. Errors: `mrtd_not_found`.
  Result<void> remove(db::Transaction& tx, const std::string& mrtd) const;
  /// Errors: `mrtd_not_found` when the MRTD has no row; `invalid_request` for a name that its profiles have already, or
  /// no register.
  Result<void> add_profile(db::Transaction& tx, const RtmrProfileRow& row) const;
  /// Errors: `mrtd_not_found` when that MRTD has no such profile.
  Result<void> remove_profile(db::Transaction& tx, const std::string& mrtd, const std::string& profile_id) const;
};

}  // namespace ee::cp
