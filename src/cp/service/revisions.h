#pragma once
#include <map>
#include <string>
#include <vector>

#include "common/random.h"
#include "common/secret_box.h"
#include "cp/domain/deployment.h"
#include "cp/store/revision_store.h"
#include "db/database.h"

namespace ee::cp {

struct SecretValue {
  Secret value = {};
  SecretKind as = SecretKind::env;
};
using SecretValues = std::map<std::string, SecretValue>;

/// Revisions with their secrets. Thread-safe.
class Revisions {
 public:
  Revisions(const SecretBox& box, Random& random) : box_(box), random_(random) {}

  /// Errors: `secrets_unavailable`.
  Result<void> add(db::Transaction& tx, const RevisionRow& row, const SecretValues& secrets) const;
  /// Errors: `secrets_unavailable`.
  Result<SecretValues> secrets(db::Transaction& tx, const DeploymentId& id, std::int64_t revision) const;
  /// A new revision with the content and the secrets of another; its number. Errors: `secrets_unavailable`.
  Result<std::int64_t> copy(db::Transaction& tx, const DeploymentId& id, std::int64_t from,
                            const std::string& created_by, UtcTime now) const;
  /// The same as the first revision of another deployment. Errors: `secrets_unavailable`.
  Result<void> copy_to(db::Transaction& tx, const DeploymentId& id, std::int64_t from, const DeploymentId& to,
                       const std::string& created_by, UtcTime now) const;

 private:
  Result<void> copy_as(db::Transaction& tx, const DeploymentId& id, std::int64_t from, const RevisionRow& made) const;

  const SecretBox& box_;
  Random& random_;
  RevisionStore rows_;
};

}  // namespace ee::cp
