#pragma once
#include "common/bytes.h"
#include "cp/service/settings.h"
#include "cp/service/settings_api.h"

namespace ee::cp {

/// One setting as the API shows it. `fingerprint_key`: random, of this process.
SettingView setting_view(const SettingSpec& spec, const SettingsSnapshot& settings, const SettingsContext& context,
                         Bytes fingerprint_key);

}  // namespace ee::cp
