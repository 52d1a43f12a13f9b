#include "cp/service/setting_view.h"

#include "common/crypto.h"
#include "cp/domain/setting_text.h"

namespace ee::cp {
namespace {

void add_bounds(SettingView& view, const SettingSpec& spec) {
  switch (spec.type) {
    case SettingType::integer:
    case SettingType::sec:
    case SettingType::usd:
    case SettingType::list:
      view.min = spec.min;
      view.max = spec.max;
      break;
    case SettingType::str:
    case SettingType::url:
    case SettingType::secret: view.max = spec.max; break;
    case SettingType::boolean:
    case SettingType::enumeration: break;
  }
  if (!spec.allowed.empty()) view.enum_.emplace(spec.allowed.begin(), spec.allowed.end());
  if (!spec.unit.empty()) view.unit = std::string(spec.unit);
}

}  // namespace

SettingView setting_view(const SettingSpec& spec, const SettingsSnapshot& settings, const SettingsContext& context,
                         Bytes fingerprint_key) {
  const SettingValue& value = settings.resolved().values.at(spec.id);
  SettingView view{.key = std::string(spec.key),
                   .group = std::string(spec.group()),
                   .type = std::string(to_string(spec.type)),
                   .value = shown_value(value),
                   .default_ = shown_value(spec.fallback(context)),
                   .source = settings.resolved().source(spec.id),
                   .env = std::string(spec.env),
                   .is_secret = spec.is_secret(),
                   .restart_required = spec.restart_required,
                   .description = std::string(spec.description)};
  view.is_set = view.source != SettingSource::default_;
  if (const auto* secret = std::get_if<Secret>(&value)) {
    view.is_set = !secret->empty();
    if (view.is_set) view.fingerprint = to_hex(hmac_sha256(fingerprint_key, bytes_of(secret->reveal()))).substr(0, 8);
  }
  add_bounds(view, spec);
  if (const auto row = settings.stored().find(spec.id); row != settings.stored().end()) {
    view.version = row->second.version;
    view.updated_by = row->second.updated_by;
    view.updated_at = row->second.updated_at;
  }
  return view;
}

}  // namespace ee::cp
