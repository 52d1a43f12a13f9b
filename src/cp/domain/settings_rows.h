#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cp/domain/settings_registry.h"

/// Building blocks of the registry's rows; included by the files that hold them only.
namespace ee::cp::rows {

using Rows = std::vector<SettingSpec>;
using Text = std::string_view;
using Check = std::optional<std::string> (*)(std::string_view);
using StageCheck = std::optional<SettingProblem> (*)(const SettingValue&, const SettingsContext&);
using Fallback = SettingValue (*)(const SettingsContext&);

/// One row under construction; converts to what it made.
class Row {
 public:
  Row(Setting id, Text key, SettingType type, Text env, Text description) {
    spec_.id = id;
    spec_.key = key;
    spec_.type = type;
    spec_.env = env;
    spec_.description = description;
  }
  Row bounds(std::int64_t min, std::int64_t max) && {
    spec_.min = min;
    spec_.max = max;
    return std::move(*this);
  }
  Row one_of(std::vector<Text> names) && {
    spec_.allowed = std::move(names);
    return std::move(*this);
  }
  Row by_default(Fallback fallback) && {
    spec_.fallback = fallback;
    return std::move(*this);
  }
  Row checked(Check check) && {
    spec_.check = check;
    return std::move(*this);
  }
  Row checked_in_stage(StageCheck check) && {
    spec_.check_in_stage = check;
    return std::move(*this);
  }
  Row strictest(SettingValue value) && {
    spec_.strictest = std::move(value);
    return std::move(*this);
  }
  Row guarded() && {
    spec_.guarded = true;
    return std::move(*this);
  }
  Row needs_restart() && {
    spec_.restart_required = true;
    return std::move(*this);
  }
  Row not_empty() && {
    spec_.may_be_empty = false;
    return std::move(*this);
  }
  Row multi_line() && {
    spec_.multi_line = true;
    return std::move(*this);
  }
  Row in(Text unit) && {
    spec_.unit = unit;
    return std::move(*this);
  }
  operator SettingSpec() && { return std::move(spec_); }

 private:
  SettingSpec spec_;
};

inline SettingValue empty_text(const SettingsContext&) { return std::string(); }
inline SettingValue empty_list(const SettingsContext&) { return std::vector<std::string>(); }
inline SettingValue no_secret(const SettingsContext&) { return Secret(); }
template <std::int64_t N>
SettingValue number(const SettingsContext&) {
  return N;
}
template <bool B>
SettingValue flag(const SettingsContext&) {
  return B;
}

inline Row str(Setting id, Text key, std::int64_t max_bytes, Text env, Text description) {
  return Row(id, key, SettingType::str, env, description).bounds(0, max_bytes).by_default(empty_text);
}
inline Row url(Setting id, Text key, Text env, Text description) {
  return Row(id, key, SettingType::url, env, description).bounds(0, 2048).not_empty();
}
inline Row secret(Setting id, Text key, std::int64_t max_bytes, Text env, Text description) {
  return Row(id, key, SettingType::secret, env, description).bounds(0, max_bytes).by_default(no_secret);
}
inline Row integer(Setting id, Text key, std::int64_t min, std::int64_t max, Text env, Text description) {
  return Row(id, key, SettingType::integer, env, description).bounds(min, max);
}
inline Row seconds(Setting id, Text key, std::int64_t min, std::int64_t max, Text env, Text description) {
  return Row(id, key, SettingType::sec, env, description).bounds(min, max).in("seconds");
}
/// Bounds in micro-dollars.
inline Row usd(Setting id, Text key, std::int64_t min, std::int64_t max, Text env, Text description) {
  return Row(id, key, SettingType::usd, env, description).bounds(min, max).in("USD");
}
template <std::int64_t Micros>
SettingValue amount(const SettingsContext&) {
  return UsdMicros{Micros};
}
inline Row boolean(Setting id, Text key, Text env, Text description) {
  return Row(id, key, SettingType::boolean, env, description);
}
inline Row choice(Setting id, Text key, std::vector<Text> names, Text env, Text description) {
  return Row(id, key, SettingType::enumeration, env, description).one_of(std::move(names));
}
inline Row list(Setting id, Text key, std::int64_t min, std::int64_t max, Text env, Text description) {
  return Row(id, key, SettingType::list, env, description).bounds(min, max).by_default(empty_list);
}

// Forms of texts and items: nothing, or how they should look.
std::optional<std::string> must_be_hex32(std::string_view text);
std::optional<std::string> must_be_dns_name(std::string_view text);
std::optional<std::string> must_be_dns_label(std::string_view text);
std::optional<std::string> must_be_uuid(std::string_view text);
std::optional<std::string> must_be_cidr(std::string_view text);
std::optional<std::string> must_be_origin(std::string_view text);
std::optional<std::string> must_be_tunnel_name(std::string_view text);
std::optional<std::string> must_be_argon2id(std::string_view text);
std::optional<std::string> must_be_github_login(std::string_view text);
std::optional<std::string> must_be_positive_integer(std::string_view text);
std::optional<std::string> must_be_advisory(std::string_view text);
std::optional<std::string> must_be_ita_base(std::string_view text);
std::optional<std::string> must_be_header_value(std::string_view text);
std::optional<std::string> must_be_gcp_project(std::string_view text);
std::optional<std::string> must_be_gcp_image(std::string_view text);

void add_cloudflare(Rows& rows);
void add_auth(Rows& rows);
void add_github(Rows& rows);
void add_attestation(Rows& rows);
void add_intel(Rows& rows);
void add_agents(Rows& rows);
void add_ops(Rows& rows);
void add_billing(Rows& rows);
void add_stripe(Rows& rows);
void add_deployments(Rows& rows);
void add_gcp(Rows& rows);

}  // namespace ee::cp::rows
