#pragma once
#include <optional>
#include <string>
#include <vector>

#include "common/id.h"
#include "db/database.h"

namespace ee::cp {

/// A variant of a version, as far as deploying needs it. Columns of `app_versions`.
struct DeployableVariant {
  std::string id = {};
  std::string node_size = {};  ///< empty: any
  std::string status = {};     ///< pending, measuring, attested, rejected, yanked
  std::string compose = {};
  std::string compose_sha256 = {};
  std::optional<std::string> ingress = {};
  std::optional<std::string> health_path = {};
  std::optional<std::string> resolved_compose = {};
  std::optional<std::string> images = {};
  std::optional<std::string> compose_hash = {};
  std::optional<std::string> workload_hash = {};
  std::optional<std::string> mrtd = {};
};
BOOST_DESCRIBE_STRUCT(DeployableVariant, (),
                      (id, node_size, status, compose, compose_sha256, ingress, health_path, resolved_compose, images,
                       compose_hash, workload_hash, mrtd))

struct DeployableApp {
  std::string id = {};
  std::string name = {};
};
BOOST_DESCRIBE_STRUCT(DeployableApp, (), (id, name))

/// What of an attested variant may still change.
struct VariantState {
  std::string status = {};
  std::optional<std::string> mrtd = {};
};
BOOST_DESCRIBE_STRUCT(VariantState, (), (status, mrtd))

/// What of the catalogue can be deployed; reads only. Stateless.
class DeployableStore {
 public:
  /// The app, if this account may see it (private ones: their owner alone) and it is not archived.
  Result<std::optional<DeployableApp>> app(db::Transaction& tx, const std::string& name,
                                           const AccountId& account) const;
  /// All variants of a version, by node size.
  Result<std::vector<DeployableVariant>> variants(db::Transaction& tx, const std::string& app_id,
                                                  const std::string& version) const;
  /// One variant as it is now.
  Result<std::optional<VariantState>> state(db::Transaction& tx, const std::string& version_id) const;
};

}  // namespace ee::cp
