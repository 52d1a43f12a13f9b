#pragma once
#include <boost/describe/enum.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/time.h"
#include "cp/domain/guardrails.h"
#include "cp/domain/settings_registry.h"

namespace ee::cp {

/// Where an effective value comes from.
enum class SettingSource : std::uint8_t { database, environment, default_ };
BOOST_DESCRIBE_ENUM(SettingSource, database, environment, default_)

/// A row of the table `settings`, as text.
struct StoredSetting {
  std::string value;
  std::int64_t version = 0;
  std::string updated_by;
  UtcTime updated_at;
  bool operator==(const StoredSetting&) const = default;
};
using StoredSettings = std::map<Setting, StoredSetting>;
using EnvironmentSettings = std::map<Setting, SettingValue>;

/// A row that is not used, and why.
struct UnusedSetting {
  enum class Reason { invalid, conflict, guardrail };
  Setting setting{};
  Reason reason = Reason::invalid;
  std::string slug;  ///< of the guardrail; else the code of the problem
  std::string detail;
  bool operator==(const UnusedSetting&) const = default;
};

struct ResolvedSettings {
  SettingValues values;
  std::vector<SettingSource> sources;  ///< by Setting
  std::vector<UnusedSetting> unused;   ///< rows that were passed over
  /// Guardrails that would be broken if no row were passed over for them: what a start refuses.
  std::vector<GuardrailViolation> violations;

  SettingSource source(Setting id) const { return sources[static_cast<std::size_t>(id)]; }
};

/// Database before environment before default (05 section 2.2). A row that cannot be read, breaks a rule over several
/// settings or breaks a guardrail is passed over for the next source; a security mode that cannot be read takes its
/// strictest value.
ResolvedSettings resolve_settings(const StoredSettings& stored, const EnvironmentSettings& environment,
                                  const SettingsContext& context);

}  // namespace ee::cp
