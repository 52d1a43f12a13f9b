#include "attestation/validate/trust_store.h"

#include <algorithm>
#include <boost/json/value.hpp>
#include <cstdlib>
#include <utility>

#include "common/json.h"

namespace ee::attestation {

namespace {

constexpr std::size_t kProfilesMaxBytes = 64UL * 1024;

/// One profile of the variable. Member names are the format's.
struct EnvironmentProfile {
  std::string mrtd;
  std::string name;
  std::optional<std::string> node_size;
  std::optional<std::string> rtmr0;
  std::optional<std::string> rtmr1;
  std::optional<std::string> rtmr2;
  std::optional<std::string> rtmr3;
};
BOOST_DESCRIBE_STRUCT(EnvironmentProfile, (), (mrtd, name, node_size, rtmr0, rtmr1, rtmr2, rtmr3))
constexpr auto json_rules(json::For<EnvironmentProfile> /*type*/) {
  return std::array{
      json::field("mrtd").hex(96),  json::field("name").length(1, 100), json::field("node_size").length(1, 32),
      json::field("rtmr0").hex(96), json::field("rtmr1").hex(96),       json::field("rtmr2").hex(96),
      json::field("rtmr3").hex(96)};
}

std::unexpected<Error> invalid(std::string_view variable, const std::string& what) {
  return fail(ErrorCode::invalid_request, std::string(variable) + ": " + what);
}

bool is_zero(const Measurement& value) {
  return std::ranges::all_of(value, [](std::uint8_t byte) { return byte == 0; });
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

Result<void> parse_mrtds(std::string_view variable, std::string_view list, MrtdKind kind, TrustStore& to) {
  if (trimmed(list).empty()) return {};
  std::size_t entry = 0;
  for (std::size_t begin = 0; begin <= list.size(); ++entry) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    const auto mrtd = from_hex_exact<48>(trimmed(list.substr(begin, end - begin)));
    if (!mrtd || is_zero(*mrtd)) return invalid(variable, "entry " + std::to_string(entry) + " is no MRTD");
    to.mrtds.push_back({.mrtd = *mrtd, .kind = kind, .source = TrustSource::environment});
    begin = end + 1;
  }
  return {};
}

std::optional<Measurement> measurement_of(const std::optional<std::string>& hex) {
  if (!hex) return std::nullopt;
  return from_hex_exact<48>(*hex);
}

RtmrProfile profile_of(const EnvironmentProfile& given) {
  return {.id = "environment:" + given.mrtd.substr(0, 16) + ":" + given.name,
          .mrtd = from_hex_exact<48>(given.mrtd).value(),
          .name = given.name,
          .node_size = given.node_size,
          .rtmrs = {measurement_of(given.rtmr0), measurement_of(given.rtmr1), measurement_of(given.rtmr2),
                    measurement_of(given.rtmr3)},
          .source = TrustSource::environment};
}

Result<void> parse_profiles(std::string_view text, TrustStore& to) {
  constexpr std::string_view kVariable = "TRUSTED_RTMR_PROFILES";
  if (trimmed(text).empty()) return {};
  if (text.size() > kProfilesMaxBytes) return invalid(kVariable, "longer than 64 KiB");
  const auto parsed = json::parse(text, {.max_bytes = kProfilesMaxBytes});
  if (!parsed) return invalid(kVariable, parsed.error().detail);
  if (!parsed->is_array()) return invalid(kVariable, "not an array");
  for (const auto& element : parsed->get_array()) {
    const std::string entry = "entry " + std::to_string(to.profiles.size());
    const auto given = json::read_value<EnvironmentProfile>(element);
    if (!given) {
      const auto& fields = given.error().fields;
      return invalid(kVariable,
                     entry + ": " + (fields.empty() ? "not an object" : fields[0].field + " " + fields[0].code));
    }
    RtmrProfile profile = profile_of(*given);
    if (is_zero(profile.mrtd)) return invalid(kVariable, entry + " has an all-zero MRTD");
    if (std::ranges::none_of(profile.rtmrs, [](const auto& rtmr) { return rtmr.has_value(); }))
      return invalid(kVariable, entry + " has no register");
    to.profiles.push_back(std::move(profile));
  }
  return {};
}

}  // namespace

std::string_view to_string(MrtdKind kind) {
  switch (kind) {
    case MrtdKind::agent: return "agent";
    case MrtdKind::control_plane: return "control_plane";
  }
  std::abort();
}

std::string_view to_string(TrustSource source) {
  switch (source) {
    case TrustSource::database: return "database";
    case TrustSource::environment: return "environment";
  }
  std::abort();
}

TrustStore merge_trust(TrustStore database, const TrustStore& environment) {
  const std::size_t mrtds = database.mrtds.size();
  const std::size_t profiles = database.profiles.size();
  for (const TrustedMrtd& entry : environment.mrtds) {
    const auto rows = std::span(database.mrtds).first(mrtds);
    if (std::ranges::find(rows, entry.mrtd, &TrustedMrtd::mrtd) == rows.end()) database.mrtds.push_back(entry);
  }
  for (const RtmrProfile& entry : environment.profiles) {
    const auto rows = std::span(database.profiles).first(profiles);
    const bool replaced = std::ranges::any_of(
        rows, [&](const RtmrProfile& row) { return row.mrtd == entry.mrtd && row.name == entry.name; });
    if (!replaced) database.profiles.push_back(entry);
  }
  return database;
}

Result<TrustStore> parse_environment_trust(std::string_view agent_mrtds, std::string_view control_plane_mrtds,
                                           std::string_view rtmr_profiles) {
  TrustStore out;
  if (const auto done = parse_mrtds("TRUSTED_AGENT_MRTDS", agent_mrtds, MrtdKind::agent, out); !done)
    return fail(done.error());
  if (const auto done = parse_mrtds("TRUSTED_CONTROL_PLANE_MRTDS", control_plane_mrtds, MrtdKind::control_plane, out);
      !done)
    return fail(done.error());
  if (const auto done = parse_profiles(rtmr_profiles, out); !done) return fail(done.error());
  return out;
}

}  // namespace ee::attestation
