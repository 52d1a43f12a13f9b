#pragma once
#include "cp/domain/settings_registry.h"
#include "cp/service/measurement.h"
#include "cp/service/version_measuring.h"

/// What measuring and publishing read out of the settings in force. Pure.
namespace ee::cp::views {

MeasureSettings measuring(const SettingValues& values);
SignatureSettings signatures(const SettingValues& values);
PublishSettings publishing(const SettingValues& values);
MeasureQueueSettings measure_queue(const SettingValues& values, const std::string& public_url);

}  // namespace ee::cp::views
