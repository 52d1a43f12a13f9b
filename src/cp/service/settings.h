#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "common/error.h"
#include "common/metrics.h"
#include "common/random.h"
#include "cp/domain/config.h"
#include "cp/domain/guardrails.h"
#include "cp/domain/settings_resolution.h"
#include "cp/service/actor.h"
#include "db/database.h"

namespace boost::json {
class value;
}

namespace ee::cp {

struct SettingView;

/// The effective settings at one moment; never changes.
class SettingsSnapshot {
 public:
  SettingsSnapshot(ResolvedSettings resolved, StoredSettings stored, std::int64_t version)
      : resolved_(std::move(resolved)), stored_(std::move(stored)), version_(version) {}

  const std::string& text(Setting id) const { return resolved_.values.text(id); }
  std::int64_t integer(Setting id) const { return resolved_.values.integer(id); }
  Seconds seconds(Setting id) const { return Seconds(integer(id)); }
  bool flag(Setting id) const { return resolved_.values.flag(id); }
  const std::vector<std::string>& list(Setting id) const { return resolved_.values.list(id); }
  const Secret& secret(Setting id) const { return resolved_.values.secret(id); }
  UsdMicros usd(Setting id) const { return resolved_.values.usd(id); }

  /// Rises with every change in the database; 0 before there was one.
  std::int64_t version() const { return version_; }
  const ResolvedSettings& resolved() const { return resolved_; }
  const StoredSettings& stored() const { return stored_; }

 private:
  ResolvedSettings resolved_;
  StoredSettings stored_;
  std::int64_t version_;
};
using SettingsPtr = std::shared_ptr<const SettingsSnapshot>;

/// Settings: database before environment before default, read through a snapshot that is at most one TTL old (05
/// section 2). Thread-safe.
class SettingsService {
 public:
  /// Until `load` only environment and defaults count. Everything given by reference must outlive it.
  SettingsService(const Config& config, db::Database& database, Clock& clock, Random& random,
                  metrics::Registry& metrics);
  SettingsService(const SettingsService&) = delete;
  SettingsService& operator=(const SettingsService&) = delete;
  ~SettingsService();

  /// The first read of the database. Errors: of the database.
  Result<void> load();
  /// Guardrails that the settings broke when they were loaded, also by rows that are passed over since: a start refuses
  /// them.
  std::vector<GuardrailViolation> start_violations() const;

  /// At a start, after `load`: an audit row `policy_relaxed` for each policy that is weaker than it should be and
  /// allowed to be (05 section 1.3). A change that relaxes one writes its own. Errors: of the database.
  Result<void> audit_relaxed_policies(const Actor& actor);

  /// The settings in force. Older than the TTL it starts a reload in the background and is answered at once; only when
  /// no reload has worked for 12 TTLs the caller waits for one, at most kMaxWait.
  SettingsPtr snapshot();
  static constexpr Seconds kMaxWait{5};
  /// How long reloads have been failing; zero when the last one worked. `/ready` gives up after 10 minutes.
  Milliseconds stale_for() const;
  /// Called after each change of the snapshot, on the thread that made it. Add listeners before `load`.
  void on_change(std::function<void(const SettingsSnapshot& now)> listener);
  /// Reads the database anew in the background: another process says that it changed a setting.
  void refresh();
  /// Returns when no reload is under way or asked for.
  void settle();

  /// In the order of the registry. Errors: invalid_request for an unknown group.
  Result<std::vector<SettingView>> list(std::string_view group, std::string_view prefix);
  /// Errors: setting_unknown.
  Result<SettingView> get(std::string_view key);
  /// Stores a value and audits it; in force in this process when it returns. `if_version`: the ETag that the row must
  /// have (0: no row). Errors: setting_unknown, setting_invalid (fields[0] says why), version_mismatch,
  /// guardrail_violation (audited), those of the database.
  Result<SettingView> put(std::string_view key, const boost::json::value& value, std::optional<std::int64_t> if_version,
                          const Actor& actor);
  /// Removes the row, so that environment or default count again. Errors: the same; no row is no error.
  Result<SettingView> reset(std::string_view key, std::optional<std::int64_t> if_version, const Actor& actor);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ee::cp
