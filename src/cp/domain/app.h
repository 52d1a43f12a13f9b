#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/id.h"
#include "common/random.h"
#include "common/time.h"

/// The app catalogue: apps, their versions, who has a share of what they earn (03 sections 7 and 8).
namespace ee::cp {

enum class VersionStatus : std::uint8_t { pending, measuring, attested, rejected, yanked };
BOOST_DESCRIBE_ENUM(VersionStatus, pending, measuring, attested, rejected, yanked)

enum class VersionEvent : std::uint8_t {
  lease_taken,
  measured,
  failed_for_good,
  failed_for_now,  ///< with attempts left; a lease that ran out counts as one
  failed_too_often,
  yank,
  unyank,
  remeasure,
};

/// Where an event leads; nothing: not from there (03 section 7.2).
std::optional<VersionStatus> next_status(VersionStatus from, VersionEvent event);

/// The wait before attempt `attempts` + 1: 30 s doubled each time, at most an hour, a fifth more or less.
Milliseconds measure_backoff(std::int64_t attempts, Random& random);

/// `[A-Za-z0-9][A-Za-z0-9._+-]{0,63}`, and not `latest`.
bool is_app_version(std::string_view text);
/// `owner/repo` with `[A-Za-z0-9._-]{1,100}` on each side, neither `.` nor `..`.
bool is_source_repo(std::string_view text);
/// A GitHub login.
bool is_github_login(std::string_view text);

/// A row of `apps`. Lists are JSON.
struct AppRow {
  std::string id = {};
  std::string name = {};
  AccountId owner_account_id = {};
  std::string description = {};
  std::optional<std::string> source_repo = {};  ///< lower-case
  std::string maintainers = "[]";
  std::string tags = "[]";
  std::string visibility = "public";  ///< or `private`
  std::optional<std::string> signature_mode = {};
  std::optional<std::string> signer_identity_regexp = {};
  std::optional<std::string> signer_issuer = {};
  std::int64_t shares_version = 0;
  UtcTime created_at = {};
  UtcTime updated_at = {};
  std::optional<UtcTime> archived_at = {};

  bool is_private() const { return visibility == "private"; }
};
BOOST_DESCRIBE_STRUCT(AppRow, (),
                      (id, name, owner_account_id, description, source_repo, maintainers, tags, visibility,
                       signature_mode, signer_identity_regexp, signer_issuer, shares_version, created_at, updated_at,
                       archived_at))

/// A row of `app_versions`: one version for one node size.
struct AppVersionRow {
  std::string id = {};
  std::string app_id = {};
  std::string version = {};
  std::string node_size = {};  ///< empty: any size
  std::string compose = {};    ///< as sent
  std::string compose_sha256 = {};
  std::optional<std::string> ingress = {};  ///< JSON
  std::optional<std::string> health_path = {};
  std::optional<std::string> declared_digests = {};  ///< JSON, service -> digest
  std::optional<std::string> source_commit = {};
  std::optional<std::string> source_tag = {};
  VersionStatus status = VersionStatus::pending;
  std::optional<std::string> rejection_code = {};
  std::optional<std::string> rejection_detail = {};
  std::optional<std::string> resolved_compose = {};
  std::optional<std::string> images = {};  ///< JSON, service -> MeasuredImage
  std::optional<std::string> compose_hash = {};
  std::optional<std::string> workload_hash = {};
  std::optional<std::string> measurement = {};  ///< JSON, Measurement
  std::optional<std::string> mrtd = {};
  std::string published_by = {};
  std::optional<std::string> publish_context = {};
  UtcTime published_at = {};
  std::optional<UtcTime> attested_at = {};
  std::optional<UtcTime> yanked_at = {};
  std::int64_t attempts = 0;
  UtcTime next_attempt_at = {};
  std::optional<std::string> lease_owner = {};
  std::int64_t lease_seq = 0;
  std::optional<UtcTime> lease_expires_at = {};
  std::optional<std::string> report_sha256 = {};
};
BOOST_DESCRIBE_STRUCT(AppVersionRow, (),
                      (id, app_id, version, node_size, compose, compose_sha256, ingress, health_path, declared_digests,
                       source_commit, source_tag, status, rejection_code, rejection_detail, resolved_compose, images,
                       compose_hash, workload_hash, measurement, mrtd, published_by, publish_context, published_at,
                       attested_at, yanked_at, attempts, next_attempt_at, lease_owner, lease_seq, lease_expires_at,
                       report_sha256))

/// A row of `app_share_sets`.
struct ShareSetRow {
  std::string id = {};
  std::string app_id = {};
  std::int64_t set_version = 0;
  UtcTime effective_at = {};
  std::int64_t total_bps = 0;
  UtcTime created_at = {};
  std::string created_by = {};
};
BOOST_DESCRIBE_STRUCT(ShareSetRow, (), (id, app_id, set_version, effective_at, total_bps, created_at, created_by))

/// A row of `app_revenue_shares`.
struct RevenueShareRow {
  std::string id = {};
  std::string app_id = {};
  std::string set_id = {};
  AccountId account_id = {};
  std::int64_t share_bps = 0;
  std::string label = {};
  std::int64_t position = 0;
  UtcTime created_at = {};
  std::string created_by = {};
};
BOOST_DESCRIBE_STRUCT(RevenueShareRow, (),
                      (id, app_id, set_id, account_id, share_bps, label, position, created_at, created_by))

}  // namespace ee::cp
