#pragma once
#include <array>
#include <boost/describe.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/json.h"
#include "cp/domain/app.h"
#include "cp/service/measurement.h"
#include "cp/store/share_store.h"

/// JSON bodies of the catalogue's routes (03 sections 7 and 8).
namespace ee::cp {

struct AppRequest {
  std::string name;
  std::optional<std::string> description;
  std::optional<std::string> source_repo;
  std::optional<std::vector<std::string>> maintainers;
  std::optional<std::vector<std::string>> tags;
  std::optional<std::string> visibility;
  std::optional<std::string> signature_mode;
  std::optional<std::string> signer_identity_regexp;
  std::optional<std::string> signer_issuer;
};
BOOST_DESCRIBE_STRUCT(AppRequest, (),
                      (name, description, source_repo, maintainers, tags, visibility, signature_mode,
                       signer_identity_regexp, signer_issuer))
constexpr std::string_view json_name(json::For<AppRequest> /*type*/) { return "AppRequest"; }

/// Absent members stay; null clears.
struct AppChanges {
  std::optional<std::string> description;
  std::optional<std::optional<std::string>> source_repo;
  std::optional<std::vector<std::string>> maintainers;
  std::optional<std::vector<std::string>> tags;
  std::optional<std::string> visibility;
  std::optional<std::optional<std::string>> signature_mode;
  std::optional<std::optional<std::string>> signer_identity_regexp;
  std::optional<std::optional<std::string>> signer_issuer;
};
BOOST_DESCRIBE_STRUCT(AppChanges, (),
                      (description, source_repo, maintainers, tags, visibility, signature_mode, signer_identity_regexp,
                       signer_issuer))
constexpr std::string_view json_name(json::For<AppChanges> /*type*/) { return "AppChanges"; }

struct AppObject {
  std::string id = {};
  std::string name = {};
  std::string owner_account_id = {};
  std::string description = {};
  std::optional<std::string> source_repo = {};
  std::vector<std::string> maintainers = {};
  std::vector<std::string> tags = {};
  std::string visibility = {};
  std::optional<std::string> signature_mode = {};
  std::optional<std::string> signer_identity_regexp = {};
  std::optional<std::string> signer_issuer = {};
  UtcTime created_at = {};
  UtcTime updated_at = {};
  std::optional<UtcTime> archived_at = {};
  /// Node size (empty: any) to the newest attested version; null in lists.
  std::optional<std::map<std::string, std::string>> latest_attested = {};
};
BOOST_DESCRIBE_STRUCT(AppObject, (),
                      (id, name, owner_account_id, description, source_repo, maintainers, tags, visibility,
                       signature_mode, signer_identity_regexp, signer_issuer, created_at, updated_at, archived_at,
                       latest_attested))
constexpr std::string_view json_name(json::For<AppObject> /*type*/) { return "App"; }

struct AppPage {
  std::vector<AppObject> items;
  std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(AppPage, (), (items, next_cursor))
constexpr std::string_view json_name(json::For<AppPage> /*type*/) { return "AppPage"; }

/// Where a version takes traffic.
struct VersionIngress {
  std::string path_prefix;
  std::int64_t port = 0;
};
BOOST_DESCRIBE_STRUCT(VersionIngress, (), (path_prefix, port))
constexpr auto json_rules(json::For<VersionIngress> /*type*/) {
  return std::array{json::field("path_prefix").length(1, 128), json::field("port").between(1, 65535)};
}
constexpr std::string_view json_name(json::For<VersionIngress> /*type*/) { return "AppVersionIngress"; }

struct VersionRequest {
  std::string version;
  std::string compose;
  std::optional<std::string> node_size;
  std::optional<std::vector<VersionIngress>> ingress;
  std::optional<std::string> health_path;
  std::optional<std::map<std::string, std::string>> declared_digests;
  std::optional<std::string> source_commit;
  std::optional<std::string> source_tag;
};
BOOST_DESCRIBE_STRUCT(VersionRequest, (),
                      (version, compose, node_size, ingress, health_path, declared_digests, source_commit, source_tag))
constexpr auto json_rules(json::For<VersionRequest> /*type*/) {
  return std::array{json::field("ingress").items(0, 8), json::field("health_path").length(0, 256),
                    json::field("source_tag").length(1, 128)};
}
constexpr std::string_view json_name(json::For<VersionRequest> /*type*/) { return "AppVersionRequest"; }

struct VersionChoice {
  std::optional<std::string> node_size;
  std::optional<std::string> reason;
};
BOOST_DESCRIBE_STRUCT(VersionChoice, (), (node_size, reason))
constexpr auto json_rules(json::For<VersionChoice> /*type*/) {
  return std::array{json::field("reason").length(0, 200)};
}
constexpr std::string_view json_name(json::For<VersionChoice> /*type*/) { return "AppVersionChoice"; }

struct AttestRequest {
  std::optional<std::string> node_size;
  std::optional<std::string> mrtd;
  std::string reason;
};
BOOST_DESCRIBE_STRUCT(AttestRequest, (), (node_size, mrtd, reason))
constexpr auto json_rules(json::For<AttestRequest> /*type*/) {
  return std::array{json::field("mrtd").hex(96), json::field("reason").length(1, 200)};
}
constexpr std::string_view json_name(json::For<AttestRequest> /*type*/) { return "AppVersionAttest"; }

struct VersionRejection {
  std::string code = {};
  std::string detail = {};
};
BOOST_DESCRIBE_STRUCT(VersionRejection, (), (code, detail))
constexpr std::string_view json_name(json::For<VersionRejection> /*type*/) { return "AppVersionRejection"; }

struct VersionSignature {
  std::optional<bool> verified = {};
  std::optional<std::string> identity = {};
  std::optional<std::string> issuer = {};
  std::optional<std::int64_t> log_index = {};
  std::optional<std::string> error = {};
};
BOOST_DESCRIBE_STRUCT(VersionSignature, (), (verified, identity, issuer, log_index, error))
constexpr std::string_view json_name(json::For<VersionSignature> /*type*/) { return "AppVersionSignature"; }

struct VersionImage {
  std::string reference = {};  ///< as published
  std::string digest = {};     ///< what runs
  std::string platform = {};
  VersionSignature signature = {};
};
BOOST_DESCRIBE_STRUCT(VersionImage, (), (reference, digest, platform, signature))
constexpr std::string_view json_name(json::For<VersionImage> /*type*/) { return "AppVersionImage"; }

struct VersionSource {
  std::optional<std::string> commit = {};
  std::optional<std::string> tag = {};
};
BOOST_DESCRIBE_STRUCT(VersionSource, (), (commit, tag))
constexpr std::string_view json_name(json::For<VersionSource> /*type*/) { return "AppVersionSource"; }

struct VersionObject {
  std::string id = {};
  std::string app = {};
  std::string version = {};
  std::string node_size = {};  ///< empty: any
  VersionStatus status = VersionStatus::pending;
  std::optional<VersionRejection> rejection = {};
  std::string compose_sha256 = {};
  std::optional<std::string> compose_hash = {};
  std::optional<std::string> workload_hash = {};
  std::map<std::string, VersionImage> images = {};
  std::vector<std::string> warnings = {};  ///< `<service>: <slug>`
  std::optional<std::string> mrtd = {};
  std::optional<std::vector<VersionIngress>> ingress = {};
  std::optional<std::string> health_path = {};
  VersionSource source = {};
  std::string published_by = {};
  UtcTime published_at = {};
  std::optional<UtcTime> attested_at = {};
  std::optional<UtcTime> yanked_at = {};
  // Null in lists.
  std::optional<std::string> compose = {};
  std::optional<Measurement> measurement = {};
};
BOOST_DESCRIBE_STRUCT(VersionObject, (),
                      (id, app, version, node_size, status, rejection, compose_sha256, compose_hash, workload_hash,
                       images, warnings, mrtd, ingress, health_path, source, published_by, published_at, attested_at,
                       yanked_at, compose, measurement))
constexpr std::string_view json_name(json::For<VersionObject> /*type*/) { return "AppVersion"; }

struct VersionPage {
  std::vector<VersionObject> items;
  std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(VersionPage, (), (items, next_cursor))
constexpr std::string_view json_name(json::For<VersionPage> /*type*/) { return "AppVersionPage"; }

/// All variants of one version.
struct VersionVariants {
  std::vector<VersionObject> items;
};
BOOST_DESCRIBE_STRUCT(VersionVariants, (), (items))
constexpr std::string_view json_name(json::For<VersionVariants> /*type*/) { return "AppVersionVariants"; }

struct ShareInput {
  std::string account_id;
  std::int64_t share_bps = 0;
  std::optional<std::string> label;
};
BOOST_DESCRIBE_STRUCT(ShareInput, (), (account_id, share_bps, label))
constexpr auto json_rules(json::For<ShareInput> /*type*/) {
  return std::array{json::field("share_bps").between(1, 10000), json::field("label").length(0, 100)};
}
constexpr std::string_view json_name(json::For<ShareInput> /*type*/) { return "RevenueShareInput"; }

struct SharesRequest {
  std::vector<ShareInput> shares;
  std::optional<UtcTime> effective_at;
  std::int64_t expected_set_version = 0;
};
BOOST_DESCRIBE_STRUCT(SharesRequest, (), (shares, effective_at, expected_set_version))
constexpr auto json_rules(json::For<SharesRequest> /*type*/) { return std::array{json::field("shares").items(0, 50)}; }
constexpr std::string_view json_name(json::For<SharesRequest> /*type*/) { return "RevenueSharesRequest"; }

struct ShareAdded {
  std::string account_id;
  std::int64_t share_bps = 0;
  std::optional<std::string> label;
  std::optional<UtcTime> effective_at;
};
BOOST_DESCRIBE_STRUCT(ShareAdded, (), (account_id, share_bps, label, effective_at))
constexpr auto json_rules(json::For<ShareAdded> /*type*/) {
  return std::array{json::field("share_bps").between(1, 10000), json::field("label").length(0, 100)};
}
constexpr std::string_view json_name(json::For<ShareAdded> /*type*/) { return "RevenueShareAdded"; }

constexpr std::string_view json_name(json::For<ShareWithAccount> /*type*/) { return "RevenueShare"; }

/// One list of shares.
struct ShareSetView {
  std::int64_t set_version = 0;
  UtcTime effective_at = {};
  std::int64_t total_bps = 0;
  std::int64_t unassigned_bps = 10000;
  std::vector<ShareWithAccount> shares = {};
};
BOOST_DESCRIBE_STRUCT(ShareSetView, (), (set_version, effective_at, total_bps, unassigned_bps, shares))
constexpr std::string_view json_name(json::For<ShareSetView> /*type*/) { return "RevenueShareSet"; }

struct SharesObject {
  std::string app = {};
  std::int64_t set_version = 0;  ///< 0: there is no list in force
  std::optional<UtcTime> effective_at = {};
  std::int64_t total_bps = 0;
  std::int64_t unassigned_bps = 10000;
  std::vector<ShareWithAccount> shares = {};
  std::vector<ShareSetView> pending = {};
};
BOOST_DESCRIBE_STRUCT(SharesObject, (), (app, set_version, effective_at, total_bps, unassigned_bps, shares, pending))
constexpr std::string_view json_name(json::For<SharesObject> /*type*/) { return "RevenueShares"; }

}  // namespace ee::cp
