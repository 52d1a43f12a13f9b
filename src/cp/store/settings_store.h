#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "common/time.h"
#include "db/database.h"

namespace ee::cp {

struct SettingRow {
  std::string key = {};
  std::string value = {};  ///< canonical text; of a secret the secret itself
  bool is_secret = false;
  std::int64_t version = 0;
  std::string updated_by = {};
  UtcTime updated_at = {};
};
BOOST_DESCRIBE_STRUCT(SettingRow, (), (key, value, is_secret, version, updated_by, updated_at))

/// What the table holds, and the number that each of its changes raises.
struct SettingRows {
  std::vector<SettingRow> rows;
  std::int64_t settings_version = 0;
};

/// Table `settings` (05 section 2.1). Stateless.
class SettingsStore {
 public:
  Result<SettingRows> all(db::Transaction& tx) const;
  /// Inserts or replaces; the row's version is its predecessor's and one, or 1. Raises the settings version, and
  /// announces it.
  Result<void> put(db::Transaction& tx, const SettingRow& row) const;
  /// Also when there is no such row, which changes nothing.
  Result<void> remove(db::Transaction& tx, const std::string& key) const;
};

/// What a transaction that changes a setting announces (db::Transaction::announce).
inline constexpr const char* kSettingsTopic = "ee_settings";

/// Rises with every change of a setting.
inline constexpr std::string_view kSettingsVersionKey = "settings_version";

}  // namespace ee::cp
