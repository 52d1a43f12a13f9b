#include "cp/store/settings_store.h"

#include <fmt/format.h>

#include "cp/store/meta_store.h"

namespace ee::cp {

namespace {
Result<void> changed(db::Transaction& tx) {
  const auto raised = MetaStore().raise(tx, kSettingsVersionKey);
  if (!raised) return std::unexpected(raised.error());
  return tx.announce(kSettingsTopic);
}
}  // namespace

Result<SettingRows> SettingsStore::all(db::Transaction& tx) const {
  static const std::string sql = fmt::format("SELECT {} FROM settings ORDER BY key", db::columns_of<SettingRow>());
  auto rows = tx.query<SettingRow>(sql);
  if (!rows) return std::unexpected(std::move(rows.error()));
  const auto version = MetaStore().number(tx, kSettingsVersionKey);
  if (!version) return std::unexpected(version.error());
  return SettingRows{.rows = std::move(*rows), .settings_version = *version};
}

Result<void> SettingsStore::put(db::Transaction& tx, const SettingRow& row) const {
  const auto written = tx.execute(R"sql(
      INSERT INTO settings (key, value, is_secret, version, updated_by, updated_at)
      VALUES (:key, :value, :is_secret, 1, :updated_by, :updated_at)
      ON CONFLICT (key) DO UPDATE SET value = excluded.value, is_secret = excluded.is_secret,
        version = settings.version + 1, updated_by = excluded.updated_by, updated_at = excluded.updated_at)sql",
                                  {{"key", row.key},
                                   {"value", row.value},
                                   {"is_secret", row.is_secret},
                                   {"updated_by", row.updated_by},
                                   {"updated_at", row.updated_at}});
  if (!written) return std::unexpected(written.error());
  return changed(tx);
}

Result<void> SettingsStore::remove(db::Transaction& tx, const std::string& key) const {
  const auto removed = tx.execute("DELETE FROM settings WHERE key = :key", {{"key", key}});
  if (!removed) return std::unexpected(removed.error());
  if (*removed == 0) return {};
  return changed(tx);
}

}  // namespace ee::cp
