#include "cp/domain/settings_registry.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "common/require.h"
#include "cp/domain/settings_rows.h"

namespace ee::cp {
namespace {

std::vector<SettingSpec> make_registry() {
  std::vector<SettingSpec> made;
  rows::add_cloudflare(made);
  rows::add_auth(made);
  rows::add_github(made);
  rows::add_attestation(made);
  rows::add_intel(made);
  rows::add_agents(made);
  rows::add_ops(made);
  rows::add_billing(made);
  rows::add_stripe(made);
  rows::add_deployments(made);
  rows::add_gcp(made);
  std::ranges::sort(made, {}, &SettingSpec::id);
  for (std::size_t i = 0; i < made.size(); ++i)
    require(static_cast<std::size_t>(made[i].id) == i && made[i].fallback != nullptr);
  return made;
}

}  // namespace

std::string_view to_string(SettingType type) {
  switch (type) {
    case SettingType::str: return "str";
    case SettingType::integer: return "int";
    case SettingType::boolean: return "bool";
    case SettingType::enumeration: return "enum";
    case SettingType::list: return "list";
    case SettingType::url: return "url";
    case SettingType::usd: return "usd";
    case SettingType::sec: return "sec";
    case SettingType::secret: return "secret";
  }
  return "";
}

std::span<const SettingSpec> settings_registry() {
  static const std::vector<SettingSpec> registry = make_registry();
  return registry;
}

const SettingSpec& setting_spec(Setting id) { return settings_registry()[static_cast<std::size_t>(id)]; }

const SettingSpec* find_setting(std::string_view key) {
  static const std::map<std::string_view, const SettingSpec*> by_key = [] {
    std::map<std::string_view, const SettingSpec*> out;
    for (const SettingSpec& spec : settings_registry()) out.emplace(spec.key, &spec);
    return out;
  }();
  const auto found = by_key.find(key);
  return found == by_key.end() ? nullptr : found->second;
}

SettingValues::SettingValues(const SettingsContext& context) {
  values_.reserve(settings_registry().size());
  for (const SettingSpec& spec : settings_registry()) values_.push_back(spec.fallback(context));
}

namespace {

template <class T>
const T& held(const SettingValue& value) {
  const T* item = std::get_if<T>(&value);
  require(item != nullptr);
  return *item;
}

}  // namespace

const std::string& SettingValues::text(Setting id) const { return held<std::string>(at(id)); }
std::int64_t SettingValues::integer(Setting id) const { return held<std::int64_t>(at(id)); }
bool SettingValues::flag(Setting id) const { return held<bool>(at(id)); }
const std::vector<std::string>& SettingValues::list(Setting id) const { return held<std::vector<std::string>>(at(id)); }
const Secret& SettingValues::secret(Setting id) const { return held<Secret>(at(id)); }
UsdMicros SettingValues::usd(Setting id) const { return held<UsdMicros>(at(id)); }

std::vector<SettingConflict> setting_conflicts(const SettingValues& values) {
  std::vector<SettingConflict> out;
  const auto number = [&](Setting id) { return values.integer(id); };
  const auto at_least = [&](Setting id, std::int64_t least, Setting other, std::string_view why) {
    if (number(id) < least)
      out.push_back(
          {id, {other}, {"below_min", fmt::format("{} must be at least {}: {}", setting_spec(id).key, least, why)}});
  };
  const std::int64_t interval = number(Setting::agents_health_interval_seconds);
  if (number(Setting::agents_health_timeout_seconds) >= interval)
    out.push_back(
        {Setting::agents_health_timeout_seconds,
         {Setting::agents_health_interval_seconds},
         {"above_max",
          fmt::format("agents.health_timeout_seconds must be below agents.health_interval_seconds, {}", interval)}});
  at_least(Setting::agents_silence_seconds, 3 * interval, Setting::agents_health_interval_seconds,
           "three times agents.health_interval_seconds");
  at_least(Setting::agents_lost_after_seconds, number(Setting::agents_silence_seconds) + 1,
           Setting::agents_silence_seconds, "above agents.silence_seconds");
  at_least(Setting::billing_settle_delay_seconds, number(Setting::agents_lost_after_seconds) + 60,
           Setting::agents_lost_after_seconds, "60 above agents.lost_after_seconds");
  at_least(Setting::attestation_agent_max_age_seconds, 3 * number(Setting::attestation_agent_refresh_seconds),
           Setting::attestation_agent_refresh_seconds, "three times attestation.agent_refresh_seconds");
  if (values.usd(Setting::stripe_max_deposit) < values.usd(Setting::stripe_min_deposit))
    out.push_back({Setting::stripe_max_deposit,
                   {Setting::stripe_min_deposit},
                   {"below_min", "stripe.max_deposit must not be below stripe.min_deposit"}});
  if (values.text(Setting::cosign_mode) == "key" && values.text(Setting::cosign_public_key).empty())
    out.push_back({Setting::cosign_public_key,
                   {Setting::cosign_mode},
                   {"required", "cosign.public_key is needed when cosign.mode is key"}});
  if (values.text(Setting::measure_mode) == "external" && values.text(Setting::measure_url).empty())
    out.push_back({Setting::measure_url,
                   {Setting::measure_mode},
                   {"required", "measure.url is needed when measure.mode is external"}});
  return out;
}

}  // namespace ee::cp
