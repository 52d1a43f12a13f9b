#pragma once
#include <optional>
#include <string>
#include <vector>

#include "cp/domain/app.h"
#include "cp/domain/cursor.h"
#include "db/database.h"

namespace ee::cp {

struct VersionFilter {
  std::optional<VersionStatus> status = {};
  std::optional<std::string> node_size = {};
};

/// What attestation writes, once.
struct AttestedContent {
  std::string resolved_compose;
  std::string images;
  std::string compose_hash;
  std::string workload_hash;
  std::string measurement;
};

/// The newest attested version of a node size.
struct LatestVersion {
  std::string node_size = {};
  std::string version = {};
  UtcTime published_at = {};
};
BOOST_DESCRIBE_STRUCT(LatestVersion, (), (node_size, version, published_at))

/// Table `app_versions`: versions, and the queue of those to measure. Every change names the state that it leaves;
/// false: the row was in another one. What a lease's holder writes names `lease_seq` too, so that somebody who lost the
/// lease changes nothing. Stateless.
class AppVersionStore {
 public:
  /// Errors: version_exists.
  Result<void> create(db::Transaction& tx, const AppVersionRow& row) const;
  Result<std::optional<AppVersionRow>> find(db::Transaction& tx, const std::string& id) const;
  /// All variants of a version, by node size.
  Result<std::vector<AppVersionRow>> variants(db::Transaction& tx, const std::string& app_id,
                                              const std::string& version) const;
  /// Newest first.
  Result<Page<AppVersionRow>> list(db::Transaction& tx, const std::string& app_id, const VersionFilter& filter,
                                   const PageRequest& page) const;
  Result<std::vector<LatestVersion>> latest_attested(db::Transaction& tx, const std::string& app_id) const;

  Result<bool> yank(db::Transaction& tx, const std::string& id, UtcTime now) const;
  Result<bool> unyank(db::Transaction& tx, const std::string& id) const;
  Result<bool> remeasure(db::Transaction& tx, const std::string& id, UtcTime now) const;
  /// Only of an attested row without one.
  Result<bool> set_mrtd(db::Transaction& tx, const std::string& id, const std::string& mrtd) const;

  /// What may be measured now, the longest due first.
  Result<std::vector<AppVersionRow>> due(db::Transaction& tx, UtcTime now, std::int64_t limit) const;
  /// The row as it is under the new lease; nothing: somebody else has it.
  Result<std::optional<AppVersionRow>> lease(db::Transaction& tx, const AppVersionRow& row, const std::string& owner,
                                             UtcTime expires_at) const;
  Result<bool> renew(db::Transaction& tx, const std::string& id, std::int64_t lease_seq, UtcTime expires_at) const;
  Result<bool> attest(db::Transaction& tx, const std::string& id, std::int64_t lease_seq,
                      const AttestedContent& content, UtcTime now) const;
  Result<bool> reject(db::Transaction& tx, const std::string& id, std::int64_t lease_seq, const std::string& code,
                      const std::string& detail) const;
  Result<bool> put_back(db::Transaction& tx, const std::string& id, std::int64_t lease_seq,
                        UtcTime next_attempt_at) const;
  Result<void> note_report(db::Transaction& tx, const std::string& id, const std::string& sha256) const;
  /// Measurements whose lease is over, the longest first.
  Result<std::vector<AppVersionRow>> expired(db::Transaction& tx, UtcTime now, std::int64_t limit) const;
  /// Versions that wait or are measured now.
  Result<std::int64_t> queued(db::Transaction& tx) const;
};

}  // namespace ee::cp
