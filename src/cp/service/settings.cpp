#include "cp/service/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <mutex>

#include "common/log.h"
#include "common/require.h"
#include "cp/domain/setting_text.h"
#include "cp/service/setting_view.h"
#include "cp/service/settings_cache.h"
#include "cp/store/attestation_audit_store.h"
#include "cp/store/audit_log_store.h"
#include "cp/store/ledger_query_store.h"
#include "cp/store/settings_store.h"

namespace ee::cp {
namespace {

constexpr std::string_view kComponent = "settings";

/// Policies with a mode, by their label.
constexpr std::array<std::pair<const char*, Setting>, 3> kPolicyModes = {
    {{"tcb", Setting::attestation_tcb_mode},
     {"rtmr", Setting::attestation_rtmr_mode},
     {"signature", Setting::attestation_signature_mode}}};

/// What a policy snapshot holds (01 section 11.5): a change of one of these changes which evidence is accepted.
constexpr std::array kEvidencePolicy = {
    Setting::attestation_verifier_mode,     Setting::attestation_tcb_mode,
    Setting::attestation_rtmr_mode,         Setting::attestation_allowed_tcb_statuses,
    Setting::attestation_denied_advisories, Setting::attestation_event_log_mode,
    Setting::attestation_ita_minter,        Setting::attestation_require_sept_ve_disable,
    Setting::attestation_allow_migratable,  Setting::attestation_allow_service_td};

std::vector<std::string> registry_keys() {
  std::vector<std::string> keys;
  for (const SettingSpec& spec : settings_registry()) keys.emplace_back(spec.key);
  return keys;
}

StoredSettings known_rows(const std::vector<SettingRow>& rows) {
  StoredSettings out;
  for (const SettingRow& row : rows) {
    // A key of a later version of the program stays in the table, unused.
    if (const SettingSpec* spec = find_setting(row.key))
      out[spec->id] = {
          .value = row.value, .version = row.version, .updated_by = row.updated_by, .updated_at = row.updated_at};
  }
  return out;
}

Error invalid_setting(const SettingProblem& problem) {
  return {.code = ErrorCode::setting_invalid,
          .detail = "The value is not acceptable: it " + problem.detail + ".",
          .fields = {{"value", problem.code, problem.detail}}};
}

/// What an audit row says of a change; never a secret.
std::string change_detail(const SettingSpec& spec, const SettingValue& before, const SettingValue& after) {
  boost::json::object detail;
  if (spec.is_secret()) {
    detail["value"] = before == after ? "unchanged" : "changed";
  } else {
    detail["before"] = shown_value(before);
    detail["after"] = shown_value(after);
  }
  return boost::json::serialize(detail);
}

}  // namespace

class SettingsService::Impl {
 public:
  Impl(const Config& config, db::Database& database, Clock& clock, Random& random, metrics::Registry& metrics)
      : context_(config.settings_context()),
        environment_(config.settings),
        database_(database),
        clock_(clock),
        random_(random),
        reload_failures_(metrics.counter("ee_settings_reload_failures_total", "Reloads of settings that failed.")),
        invalid_(metrics.gauge("ee_settings_invalid", "1 for a setting whose stored value is not used.",
                               {{"key", registry_keys()}})),
        violations_(metrics.counter("ee_guardrail_violations_total",
                                    "Stored settings that broke a guardrail and are not used.",
                                    {{"slug", {kSettingGuardrails.begin(), kSettingGuardrails.end()}}})),
        relaxed_(metrics.gauge("ee_policy_relaxed", "1 while the mode of a policy is not strict.",
                               {{"policy", {kPolicyModes[0].first, kPolicyModes[1].first, kPolicyModes[2].first}}})),
        cache_(
            std::make_shared<SettingsSnapshot>(resolve_settings({}, environment_, context_), StoredSettings{}, 0),
            config.settings_ttl, clock, [this] { return read(); },
            [this](const SettingsSnapshot& now) { announce(now); },
            [this](const Error& error) { count_failure(error); }) {
    require(random.fill(fingerprint_key_));
  }

  Result<void> load() {
    if (auto loaded = cache_.load(); !loaded) return loaded;
    start_violations_ = cache_.current()->resolved().violations;
    tell_relaxed(*cache_.current());
    return {};
  }
  const std::vector<GuardrailViolation>& start_violations() const { return start_violations_; }
  const SettingsContext& context() const { return context_; }
  SettingsCache& cache() { return cache_; }
  const SettingsCache& cache() const { return cache_; }
  void on_change(std::function<void(const SettingsSnapshot&)> listener) { listeners_.push_back(std::move(listener)); }

  SettingView view(const SettingSpec& spec, const SettingsSnapshot& settings) const {
    return setting_view(spec, settings, context_, fingerprint_key_);
  }

  /// Stores `value`, or removes the row when there is none.
  Result<SettingView> change(const SettingSpec& spec, const std::optional<SettingValue>& value,
                             std::optional<std::int64_t> if_version, const Actor& actor) {
    auto fresh = database_.write<SettingsPtr>([&](db::Transaction& tx) -> Result<SettingsPtr> {
      const auto before = read(tx);
      if (!before) return std::unexpected(before.error());
      if (auto allowed = check(spec, value, if_version, **before); !allowed)
        return std::unexpected(std::move(allowed.error()));
      if (auto known = check_reference(tx, spec, value); !known) return std::unexpected(std::move(known.error()));
      if (auto stored = store(tx, spec, value, actor); !stored) return std::unexpected(std::move(stored.error()));
      auto after = read(tx);
      if (!after) return after;
      if (auto audited = audit_change(tx, spec, value, **before, **after, actor); !audited)
        return std::unexpected(std::move(audited.error()));
      if (auto audited = audit_policy(tx, spec, **before, **after, actor); !audited)
        return std::unexpected(std::move(audited.error()));
      auto now_relaxed = relaxed(**after);
      std::erase_if(now_relaxed, [known = relaxed(**before)](const GuardrailViolation& policy) {
        return std::ranges::find(known, policy) != known.end();
      });
      if (auto audited = audit_relaxed(tx, now_relaxed, **after, actor); !audited)
        return std::unexpected(std::move(audited.error()));
      return after;
    });
    if (!fresh) {
      if (fresh.error().code == ErrorCode::guardrail_violation) audit_refusal(spec, fresh.error(), actor);
      return std::unexpected(std::move(fresh.error()));
    }
    cache_.replace(*fresh);
    return view(spec, **fresh);
  }

  /// What is weaker than it should be when the process starts; the warnings are `announce`'s.
  Result<void> audit_relaxed_at_start(const Actor& actor) {
    const SettingsPtr now = cache_.current();
    const auto policies = relaxed(*now);
    if (policies.empty()) return {};
    const auto written = database_.write<bool>([&](db::Transaction& tx) -> Result<bool> {
      if (auto done = audit_relaxed(tx, policies, *now, actor); !done) return std::unexpected(std::move(done.error()));
      return true;
    });
    if (!written) return std::unexpected(written.error());
    return {};
  }

 private:
  Result<SettingsPtr> read() {
    auto read_now = database_.read<SettingsPtr>([&](db::Transaction& tx) { return read(tx); });
    if (read_now) tell_unused((*read_now)->resolved().unused);
    return read_now;
  }
  Result<SettingsPtr> read(db::Transaction& tx) const {
    auto rows = store_.all(tx);
    if (!rows) return std::unexpected(std::move(rows.error()));
    StoredSettings stored = known_rows(rows->rows);
    ResolvedSettings resolved = resolve_settings(stored, environment_, context_);
    return std::make_shared<SettingsSnapshot>(std::move(resolved), std::move(stored), rows->settings_version);
  }

  Result<void> check(const SettingSpec& spec, const std::optional<SettingValue>& value,
                     std::optional<std::int64_t> if_version, const SettingsSnapshot& now) const {
    const auto row = now.stored().find(spec.id);
    const std::int64_t version = row == now.stored().end() ? 0 : row->second.version;
    if (if_version && *if_version != version)
      return fail(ErrorCode::version_mismatch, fmt::format("The setting's version is {}.", version));
    SettingValues candidate = now.resolved().values;
    const auto given = environment_.find(spec.id);
    candidate.set(spec.id, value ? *value : given != environment_.end() ? given->second : spec.fallback(context_));
    for (const SettingConflict& conflict : setting_conflicts(candidate))
      if (conflict.id == spec.id || std::ranges::find(conflict.others, spec.id) != conflict.others.end())
        return fail(
            invalid_setting({conflict.problem.code, "does not fit the other settings: " + conflict.problem.detail}));
    // What is broken already, by the environment of a relaxed staging, does not stand in the way of other changes.
    const auto known = setting_violations(now.resolved().values, context_);
    for (const GuardrailViolation& violation : setting_violations(candidate, context_))
      if (std::ranges::find(known, violation) == known.end())
        return fail(ErrorCode::guardrail_violation, violation.detail);
    return {};
  }

  /// What a value names must be there.
  static Result<void> check_reference(db::Transaction& tx, const SettingSpec& spec,
                                      const std::optional<SettingValue>& value) {
    if (spec.id != Setting::billing_platform_account_id || !value) return {};
    const auto& id = std::get<std::string>(*value);
    if (id.empty()) return {};
    const auto payable = LedgerQueryStore().can_be_platform(tx, AccountId(id));
    if (!payable) return std::unexpected(payable.error());
    if (!*payable) return fail(invalid_setting({"not_found", "must be the id of an active account"}));
    return {};
  }

  Result<void> store(db::Transaction& tx, const SettingSpec& spec, const std::optional<SettingValue>& value,
                     const Actor& actor) const {
    if (!value) return store_.remove(tx, std::string(spec.key));
    return store_.put(tx, {.key = std::string(spec.key),
                           .value = stored_text(*value),
                           .is_secret = spec.is_secret(),
                           .updated_by = actor.name,
                           .updated_at = clock_.now()});
  }

  AuditEntry entry(std::string action, const SettingSpec& spec, const Actor& actor) const {
    AuditEntry out{
        .actor = actor.name, .action = std::move(action), .object_type = "setting", .object_id = std::string(spec.key)};
    if (!actor.request_id.empty()) out.request_id = actor.request_id;
    if (!actor.client_address.empty()) out.client_address = actor.client_address;
    return out;
  }
  Result<void> audit_change(db::Transaction& tx, const SettingSpec& spec, const std::optional<SettingValue>& value,
                            const SettingsSnapshot& before, const SettingsSnapshot& after, const Actor& actor) const {
    AuditEntry row = entry(value ? "setting_changed" : "setting_reset", spec, actor);
    row.detail = change_detail(spec, before.resolved().values.at(spec.id), after.resolved().values.at(spec.id));
    const auto written = audit_.append(tx, row, clock_.now(), random_);
    if (!written) return std::unexpected(written.error());
    return {};
  }
  /// Beside the decisions that it will explain, so that those who read them see since when the policy is another one.
  Result<void> audit_policy(db::Transaction& tx, const SettingSpec& spec, const SettingsSnapshot& before,
                            const SettingsSnapshot& after, const Actor& actor) const {
    if (std::ranges::find(kEvidencePolicy, spec.id) == kEvidencePolicy.end()) return {};
    const SettingValue& old_value = before.resolved().values.at(spec.id);
    const SettingValue& new_value = after.resolved().values.at(spec.id);
    if (old_value == new_value) return {};
    const UtcTime now = clock_.now();
    const auto id = new_uuid_v7(now, random_);
    if (!id) return fail(ErrorCode::audit_unavailable, "the CSPRNG failed");
    AttestationAuditRow row{
        .id = *id,
        .at = now,
        .event = AttestationEvent::attestation_policy_changed,
        .actor = actor.name,
        .details = boost::json::serialize(boost::json::object{
            {"setting", spec.key}, {"before", shown_value(old_value)}, {"after", shown_value(new_value)}})};
    if (!actor.request_id.empty()) row.request_id = actor.request_id;
    if (!actor.client_address.empty()) row.source_ip = actor.client_address;
    if (auto written = attestation_audit_.append(tx, row); !written)
      return fail(ErrorCode::audit_unavailable, written.error().detail);
    return {};
  }
  std::vector<GuardrailViolation> relaxed(const SettingsSnapshot& settings) const {
    return relaxed_policies(settings.resolved().values, context_);
  }
  Result<void> audit_relaxed(db::Transaction& tx, const std::vector<GuardrailViolation>& policies,
                             const SettingsSnapshot& settings, const Actor& actor) const {
    for (const GuardrailViolation& policy : policies) {
      const SettingSpec& spec = setting_spec(*policy.setting);
      AuditEntry row = entry(std::string(policy.slug), spec, actor);
      row.detail =
          boost::json::serialize(boost::json::object{{"value", shown_value(settings.resolved().values.at(spec.id))}});
      if (auto written = audit_.append(tx, row, clock_.now(), random_); !written)
        return std::unexpected(std::move(written.error()));
    }
    return {};
  }
  void audit_refusal(const SettingSpec& spec, const Error& error, const Actor& actor) {
    AuditEntry row = entry("guardrail_refused", spec, actor);
    row.result = AuditResult::refused;
    row.reason_code = error.detail.substr(0, error.detail.find(':'));
    const auto written = database_.write<std::string>(
        [&](db::Transaction& tx) { return audit_.append(tx, row, clock_.now(), random_); });
    if (!written)
      log::error(kComponent, "a refused change could not be audited",
                 {{"key", spec.key}, {"detail", written.error().detail}});
  }

  /// Once for each row that starts or ceases to be passed over, not at every reload.
  void tell_unused(const std::vector<UnusedSetting>& unused) {
    const std::lock_guard lock(told_mutex_);
    for (const UnusedSetting& row : unused) {
      const std::string_view key = setting_spec(row.setting).key;
      invalid_.with({key}).set(1);
      if (std::ranges::find(told_, row) != told_.end()) continue;
      if (row.reason == UnusedSetting::Reason::guardrail) violations_.with({row.slug}).increment();
      log::error(kComponent, "a stored setting is not used",
                 {{"key", key}, {"reason", row.slug}, {"detail", row.detail}});
    }
    for (const UnusedSetting& row : told_) {
      const auto same = [&](const UnusedSetting& other) { return other.setting == row.setting; };
      if (std::ranges::none_of(unused, same)) invalid_.with({setting_spec(row.setting).key}).set(0);
    }
    told_ = unused;
  }
  /// Whoever relaxed it, here or on another replica; once per policy, until it is strict again.
  void tell_relaxed(const SettingsSnapshot& now) {
    const std::lock_guard lock(told_mutex_);
    auto policies = relaxed(now);
    for (const GuardrailViolation& policy : policies)
      if (std::ranges::find(told_relaxed_, policy) == told_relaxed_.end())
        log::warn(kComponent, "a policy is relaxed",
                  {{"key", setting_spec(*policy.setting).key}, {"detail", policy.detail}});
    told_relaxed_ = std::move(policies);
    auto warnings = guardrail_warnings(now.resolved().values, context_);
    for (const GuardrailViolation& warning : warnings)
      if (std::ranges::find(told_warnings_, warning) == told_warnings_.end())
        log::warn(kComponent, "production would refuse this",
                  {{"key", setting_spec(*warning.setting).key}, {"slug", warning.slug}, {"detail", warning.detail}});
    told_warnings_ = std::move(warnings);
    for (const auto& [label, setting] : kPolicyModes) relaxed_.with({label}).set(now.text(setting) == "strict" ? 0 : 1);
  }
  void announce(const SettingsSnapshot& now) {
    tell_relaxed(now);
    for (const auto& listener : listeners_) listener(now);
  }
  void count_failure(const Error& error) {
    reload_failures_.increment();
    log::error(kComponent, "settings could not be read anew", {{"code", error.code}, {"detail", error.detail}});
  }

  const SettingsContext context_;
  const EnvironmentSettings environment_;
  db::Database& database_;
  Clock& clock_;
  Random& random_;
  const metrics::Counter reload_failures_;
  const metrics::Family<metrics::Gauge> invalid_;
  const metrics::Family<metrics::Counter> violations_;
  const metrics::Family<metrics::Gauge> relaxed_;
  SettingsStore store_;
  AuditLogStore audit_;
  AttestationAuditStore attestation_audit_;
  ByteArray<32> fingerprint_key_{};
  std::vector<GuardrailViolation> start_violations_;
  std::vector<std::function<void(const SettingsSnapshot&)>> listeners_;
  std::mutex told_mutex_;
  std::vector<UnusedSetting> told_;
  std::vector<GuardrailViolation> told_relaxed_;
  std::vector<GuardrailViolation> told_warnings_;
  SettingsCache cache_;  // last: its thread uses all of the above
};

SettingsService::SettingsService(const Config& config, db::Database& database, Clock& clock, Random& random,
                                 metrics::Registry& metrics)
    : impl_(std::make_unique<Impl>(config, database, clock, random, metrics)) {}
SettingsService::~SettingsService() = default;
Result<void> SettingsService::load() { return impl_->load(); }
Result<void> SettingsService::audit_relaxed_policies(const Actor& actor) {
  return impl_->audit_relaxed_at_start(actor);
}
std::vector<GuardrailViolation> SettingsService::start_violations() const { return impl_->start_violations(); }
SettingsPtr SettingsService::snapshot() { return impl_->cache().get(); }
Milliseconds SettingsService::stale_for() const { return impl_->cache().failing_for(); }
void SettingsService::refresh() { impl_->cache().refresh(); }
void SettingsService::settle() { impl_->cache().settle(); }
void SettingsService::on_change(std::function<void(const SettingsSnapshot&)> listener) {
  impl_->on_change(std::move(listener));
}

Result<std::vector<SettingView>> SettingsService::list(std::string_view group, std::string_view prefix) {
  const auto registry = settings_registry();
  const auto in_group = [&](const SettingSpec& spec) { return spec.group() == group; };
  if (!group.empty() && std::ranges::none_of(registry, in_group))
    return fail({.code = ErrorCode::invalid_request,
                 .detail = "There is no such group of settings.",
                 .fields = {{"group", "not_in_enum", "is not a group of settings"}}});
  const SettingsPtr settings = snapshot();
  std::vector<SettingView> out;
  for (const SettingSpec& spec : registry)
    if ((group.empty() || in_group(spec)) && spec.key.starts_with(prefix)) out.push_back(impl_->view(spec, *settings));
  return out;
}

Result<SettingView> SettingsService::get(std::string_view key) {
  const SettingSpec* spec = find_setting(key);
  if (spec == nullptr) return fail(ErrorCode::setting_unknown);
  return impl_->view(*spec, *snapshot());
}

Result<SettingView> SettingsService::put(std::string_view key, const boost::json::value& value,
                                         std::optional<std::int64_t> if_version, const Actor& actor) {
  const SettingSpec* spec = find_setting(key);
  if (spec == nullptr) return fail(ErrorCode::setting_unknown);
  auto parsed = parse_json_setting(*spec, value, impl_->context());
  if (!parsed) return fail(invalid_setting(parsed.error()));
  return impl_->change(*spec, std::move(*parsed), if_version, actor);
}

Result<SettingView> SettingsService::reset(std::string_view key, std::optional<std::int64_t> if_version,
                                           const Actor& actor) {
  const SettingSpec* spec = find_setting(key);
  if (spec == nullptr) return fail(ErrorCode::setting_unknown);
  return impl_->change(*spec, std::nullopt, if_version, actor);
}

}  // namespace ee::cp
