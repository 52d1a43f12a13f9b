#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/money.h"
#include "common/secret.h"
#include "cp/domain/setting_ids.h"
#include "cp/domain/stage.h"

namespace ee::cp {

/// `sec` is an integer number of seconds. The names are those that the API shows.
enum class SettingType : std::uint8_t { str, integer, boolean, enumeration, list, url, usd, sec, secret };
std::string_view to_string(SettingType type);

/// str, enumeration, url: std::string; integer, sec: std::int64_t; usd: UsdMicros; list: items; secret: Secret.
using SettingValue = std::variant<std::string, std::int64_t, bool, std::vector<std::string>, Secret, UsdMicros>;

/// What defaults and bounds depend on, fixed at start.
struct SettingsContext {
  Stage stage = Stage::production;
  bool emulation_allowed = false;       ///< EE_ALLOW_EMULATED_TDX
  bool relaxed_policy_allowed = false;  ///< EE_ALLOW_RELAXED_POLICY
  std::string public_url = {};          ///< EE_PUBLIC_URL, an origin
};

/// Why a value cannot be taken: a code of `errors[].code`, and a sentence that never repeats a text.
struct SettingProblem {
  std::string code;
  std::string detail;
  bool operator==(const SettingProblem&) const = default;
};

/// One row of the registry (05 sections 2.4 and 2.5). All texts point at literals.
struct SettingSpec {
  Setting id{};
  std::string_view key;  ///< `agents.stale_hours`
  SettingType type = SettingType::str;
  std::string_view env;  ///< the environment variable; it, with `_FILE`, and under the stage's prefix if `provider`
  std::string_view description;
  /// integer, sec: bounds; usd: the same in micro-dollars. str, url, secret: `max` bytes. list: number of items.
  std::int64_t min = 0;
  std::int64_t max = 0;
  std::vector<std::string_view> allowed = {};  ///< of an enumeration, or of the items of a list; empty: any
  SettingValue (*fallback)(const SettingsContext&) = nullptr;  ///< the default
  /// What a text or an item of a list must be; nothing when it is.
  std::optional<std::string> (*check)(std::string_view) = nullptr;
  /// What the whole value must be in this stage.
  std::optional<SettingProblem> (*check_in_stage)(const SettingValue&, const SettingsContext&) = nullptr;
  /// Of a security mode: what counts when a stored value cannot be read.
  std::optional<SettingValue> strictest = {};
  bool guarded = false;  ///< checked by guardrails.h
  bool restart_required = false;
  bool provider = false;     ///< read with the stage's prefix first
  bool may_be_empty = true;  ///< str and url
  bool multi_line = false;   ///< str and secret: line breaks and tabs are part of it (PEM, JSON)
  std::string_view unit = {};

  /// Before the first dot.
  std::string_view group() const { return key.substr(0, key.find('.')); }
  bool is_secret() const { return type == SettingType::secret; }
};

/// All rows, in the order of `Setting`.
std::span<const SettingSpec> settings_registry();
const SettingSpec& setting_spec(Setting id);
const SettingSpec* find_setting(std::string_view key);

/// A value for every setting, by `Setting`. The getters end the process when the type is another one.
class SettingValues {
 public:
  /// The defaults.
  explicit SettingValues(const SettingsContext& context);

  const SettingValue& at(Setting id) const { return values_[static_cast<std::size_t>(id)]; }
  void set(Setting id, SettingValue value) { values_[static_cast<std::size_t>(id)] = std::move(value); }

  const std::string& text(Setting id) const;  ///< str, enumeration, url
  std::int64_t integer(Setting id) const;     ///< integer, sec
  bool flag(Setting id) const;
  const std::vector<std::string>& list(Setting id) const;
  const Secret& secret(Setting id) const;
  UsdMicros usd(Setting id) const;

 private:
  std::vector<SettingValue> values_;
};

/// A rule over several settings that `values` break, with the setting that is named for it.
struct SettingConflict {
  Setting id;
  std::vector<Setting> others;
  SettingProblem problem;
};
/// Cross-field rules of 05 section 2.4. Empty: none is broken.
std::vector<SettingConflict> setting_conflicts(const SettingValues& values);

}  // namespace ee::cp
