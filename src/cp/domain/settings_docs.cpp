#include "cp/domain/settings_docs.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <iterator>

#include "cp/domain/setting_text.h"
#include "cp/domain/settings_registry.h"

namespace ee::cp {
namespace {

std::string default_in(const SettingSpec& spec, Stage stage) {
  return boost::json::serialize(shown_value(spec.fallback({.stage = stage})));
}

std::string default_text(const SettingSpec& spec) {
  if (spec.is_secret()) return "none";
  const std::string dev = default_in(spec, Stage::dev);
  const std::string staging = default_in(spec, Stage::staging);
  const std::string production = default_in(spec, Stage::production);
  if (dev == staging && staging == production) return fmt::format("`{}`", production);
  if (staging == production) return fmt::format("`{}`, dev `{}`", production, dev);
  return fmt::format("`{}`, staging `{}`, dev `{}`", production, staging, dev);
}

std::string bounds_text(const SettingSpec& spec) {
  switch (spec.type) {
    case SettingType::integer:
    case SettingType::sec:
      return fmt::format("{}..{}{}{}", spec.min, spec.max, spec.unit.empty() ? "" : " ", spec.unit);
    case SettingType::usd: return fmt::format("{}..{} US dollars", to_usd_text({spec.min}), to_usd_text({spec.max}));
    case SettingType::boolean: return "true, false";
    case SettingType::enumeration: return fmt::format("{}", fmt::join(spec.allowed, ", "));
    case SettingType::list:
      return spec.allowed.empty() ? fmt::format("{}..{} items", spec.min, spec.max)
                                  : fmt::format("{}..{} of {}", spec.min, spec.max, fmt::join(spec.allowed, ", "));
    case SettingType::str:
    case SettingType::url:
    case SettingType::secret: return fmt::format("{} bytes", spec.max);
  }
  return {};
}

/// Each once, in the order in which the registry first names them.
std::vector<std::string_view> groups_of_settings() {
  std::vector<std::string_view> groups;
  for (const SettingSpec& spec : settings_registry())
    if (std::ranges::find(groups, spec.group()) == groups.end()) groups.push_back(spec.group());
  return groups;
}

std::string row_of(const SettingSpec& spec) {
  std::string marks;
  for (const auto& [mark, is_set] : {std::pair{'G', spec.guarded}, {'R', spec.restart_required}, {'P', spec.provider}})
    if (is_set) marks += mark;
  return fmt::format("| `{}` | {} | {} | {} | `{}` | {} | {} |\n", spec.key, to_string(spec.type), default_text(spec),
                     bounds_text(spec), spec.env, marks, spec.description);
}

}  // namespace

std::string settings_markdown() {
  std::string out =
      "# Settings\n\n"
      "A setting's value is the database's if an administrator has stored one, else the environment variable's, else "
      "the "
      "default.\nChanges in the database work within seconds, without a restart, but for those marked R. G marks "
      "settings "
      "that a safety\nrule of staging and production guards. Every variable may also be given as `NAME_FILE`, the path "
      "of a "
      "file with the value;\nthose marked P are read as `STAGING_NAME` or `PRODUCTION_NAME` first.\n\n"
      "This file is made from the registry in `src/cp/domain`.\n";
  for (const std::string_view group : groups_of_settings()) {
    fmt::format_to(std::back_inserter(out),
                   "\n## {}\n\n| setting | type | default | bounds | variable | | meaning |\n"
                   "| --- | --- | --- | --- | --- | --- | --- |\n",
                   group);
    for (const SettingSpec& spec : settings_registry())
      if (spec.group() == group) out += row_of(spec);
  }
  return out;
}

}  // namespace ee::cp
