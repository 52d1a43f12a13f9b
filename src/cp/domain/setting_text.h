#pragma once
#include <expected>
#include <string>
#include <string_view>

#include "cp/domain/settings_registry.h"

namespace boost::json {
class value;
}

namespace ee::cp {

using ParsedSetting = std::expected<SettingValue, SettingProblem>;

/// The value of an environment variable: a list is comma text, a flag 1, 0, true or false.
ParsedSetting parse_env_setting(const SettingSpec& spec, std::string_view text, const SettingsContext& context);
/// The canonical text in the database: a list is a JSON array, a flag true or false.
ParsedSetting parse_stored_setting(const SettingSpec& spec, std::string_view text, const SettingsContext& context);
/// The API's value, of the JSON type that fits.
ParsedSetting parse_json_setting(const SettingSpec& spec, const boost::json::value& value,
                                 const SettingsContext& context);

/// What is stored; of a secret the secret itself.
std::string stored_text(const SettingValue& value);
/// As the API shows it; a secret is null.
boost::json::value shown_value(const SettingValue& value);

}  // namespace ee::cp
