#include "cp/store/deployable_store.h"

namespace ee::cp {

Result<std::optional<DeployableApp>> DeployableStore::app(db::Transaction& tx, const std::string& name,
                                                          const AccountId& account) const {
  return tx.query_one<DeployableApp>(
      "SELECT id, name FROM apps WHERE name=:name AND archived_at IS NULL"
      " AND (visibility='public' OR owner_account_id=:account)",
      {{"name", name}, {"account", account}});
}

Result<std::vector<DeployableVariant>> DeployableStore::variants(db::Transaction& tx, const std::string& app_id,
                                                                 const std::string& version) const {
  static const std::string sql = "SELECT " + db::columns_of<DeployableVariant>() +
                                 " FROM app_versions WHERE app_id=:app AND version=:version ORDER BY node_size";
  return tx.query<DeployableVariant>(sql, {{"app", app_id}, {"version", version}});
}

Result<std::optional<VariantState>> DeployableStore::state(db::Transaction& tx, const std::string& version_id) const {
  return tx.query_one<VariantState>("SELECT status, mrtd FROM app_versions WHERE id=:id", {{"id", version_id}});
}

}  // namespace ee::cp
