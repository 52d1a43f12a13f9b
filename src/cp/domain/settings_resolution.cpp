#include "cp/domain/settings_resolution.h"

#include <fmt/format.h>

#include <algorithm>

#include "cp/domain/setting_text.h"

namespace ee::cp {
namespace {

class Resolver {
 public:
  Resolver(const StoredSettings& stored, const EnvironmentSettings& environment, const SettingsContext& context)
      : environment_(environment),
        context_(context),
        out_{.values = SettingValues(context), .sources = {}, .unused = {}, .violations = {}} {
    out_.sources.assign(settings_registry().size(), SettingSource::default_);
    for (const SettingSpec& spec : settings_registry()) fall_back(spec.id);
    for (const auto& [id, row] : stored) take(id, row);
  }

  ResolvedSettings finish() {
    drop_conflicts();
    out_.violations = setting_violations(out_.values, context_);
    drop_violations();
    return std::move(out_);
  }

 private:
  SettingSource& source(Setting id) { return out_.sources[static_cast<std::size_t>(id)]; }

  void fall_back(Setting id) {
    const auto found = environment_.find(id);
    out_.values.set(id, found == environment_.end() ? setting_spec(id).fallback(context_) : found->second);
    source(id) = found == environment_.end() ? SettingSource::default_ : SettingSource::environment;
  }

  void take(Setting id, const StoredSetting& row) {
    const SettingSpec& spec = setting_spec(id);
    auto value = parse_stored_setting(spec, row.value, context_);
    if (value) {
      out_.values.set(id, std::move(*value));
      source(id) = SettingSource::database;
      return;
    }
    pass_over(id, UnusedSetting::Reason::invalid, value.error().code, value.error().detail);
    if (!spec.strictest) return;
    out_.values.set(id, *spec.strictest);
    source(id) = SettingSource::default_;
  }

  void pass_over(Setting id, UnusedSetting::Reason reason, std::string slug, std::string detail) {
    out_.unused.push_back({id, reason, std::move(slug), std::move(detail)});
  }

  /// The first of these that a row gave; nothing when none did.
  std::optional<Setting> stored_one(Setting id, const std::vector<Setting>& others) {
    if (source(id) == SettingSource::database) return id;
    for (const Setting other : others)
      if (source(other) == SettingSource::database) return other;
    return std::nullopt;
  }

  // Each round passes over at least one row, so both loops end.
  void drop_conflicts() {
    for (bool again = true; again;) {
      again = false;
      for (const SettingConflict& conflict : setting_conflicts(out_.values)) {
        const auto culprit = stored_one(conflict.id, conflict.others);
        if (!culprit) continue;
        pass_over(*culprit, UnusedSetting::Reason::conflict, conflict.problem.code, conflict.problem.detail);
        fall_back(*culprit);
        again = true;
        break;
      }
    }
  }
  void drop_violations() {
    for (bool again = true; again;) {
      again = false;
      for (const GuardrailViolation& violation : setting_violations(out_.values, context_)) {
        const auto culprit = violation.setting ? stored_one(*violation.setting, violation.others) : std::nullopt;
        if (!culprit) continue;
        pass_over(*culprit, UnusedSetting::Reason::guardrail, std::string(violation.slug), violation.detail);
        fall_back(*culprit);
        again = true;
        break;
      }
    }
  }

  const EnvironmentSettings& environment_;
  const SettingsContext& context_;
  ResolvedSettings out_;
};

}  // namespace

ResolvedSettings resolve_settings(const StoredSettings& stored, const EnvironmentSettings& environment,
                                  const SettingsContext& context) {
  return Resolver(stored, environment, context).finish();
}

}  // namespace ee::cp
