#pragma once
#include <array>
#include <boost/describe.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "attestation/validate/trust_store.h"
#include "common/bytes.h"
#include "common/json.h"
#include "common/node_size.h"
#include "common/time.h"

/// JSON bodies of the routes of trusted MRTDs (01 sections 14.5 and 14.6).
namespace ee::cp {

struct RtmrProfileInput {
  std::string name;
  std::optional<std::string> node_size;
  std::optional<std::string> rtmr0;
  std::optional<std::string> rtmr1;
  std::optional<std::string> rtmr2;
  std::optional<std::string> rtmr3;
  std::optional<std::vector<std::string>> event_digests;
};
BOOST_DESCRIBE_STRUCT(RtmrProfileInput, (), (name, node_size, rtmr0, rtmr1, rtmr2, rtmr3, event_digests))
constexpr auto json_rules(json::For<RtmrProfileInput>) {
  return std::array{json::field("name").length(1, 100),
                    json::field("node_size").length(1, 32),
                    json::field("rtmr0").hex(96),
                    json::field("rtmr1").hex(96),
                    json::field("rtmr2").hex(96),
                    json::field("rtmr3").hex(96),
                    json::field("event_digests").items(0, 4096)};
}
constexpr std::string_view json_name(json::For<RtmrProfileInput>) { return "RtmrProfileInput"; }

struct TrustedMrtdInput {
  std::string mrtd;
  attestation::MrtdKind kind = attestation::MrtdKind::agent;
  std::optional<std::string> note;
  std::optional<bool> enabled;
  std::optional<UtcTime> expires_at;
  std::optional<std::vector<RtmrProfileInput>> profiles;
};
BOOST_DESCRIBE_STRUCT(TrustedMrtdInput, (), (mrtd, kind, note, enabled, expires_at, profiles))
constexpr auto json_rules(json::For<TrustedMrtdInput>) {
  return std::array{json::field("mrtd").hex(96), json::field("note").length(0, 500),
                    json::field("profiles").items(0, 50)};
}
constexpr std::string_view json_name(json::For<TrustedMrtdInput>) { return "TrustedMrtdInput"; }

/// Absent members stay as they are; `expires_at` null: no expiry.
struct TrustedMrtdPatch {
  std::optional<bool> enabled;
  std::optional<std::string> note;
  std::optional<std::optional<UtcTime>> expires_at;
};
BOOST_DESCRIBE_STRUCT(TrustedMrtdPatch, (), (enabled, note, expires_at))
constexpr auto json_rules(json::For<TrustedMrtdPatch>) { return std::array{json::field("note").length(0, 500)}; }
constexpr std::string_view json_name(json::For<TrustedMrtdPatch>) { return "TrustedMrtdPatch"; }

struct RtmrProfileView {
  std::string id;
  std::string name;
  std::optional<std::string> node_size;
  std::optional<std::string> rtmr0;
  std::optional<std::string> rtmr1;
  std::optional<std::string> rtmr2;
  std::optional<std::string> rtmr3;
};
BOOST_DESCRIBE_STRUCT(RtmrProfileView, (), (id, name, node_size, rtmr0, rtmr1, rtmr2, rtmr3))
constexpr std::string_view json_name(json::For<RtmrProfileView>) { return "RtmrProfile"; }

/// What everybody may see: enabled entries.
struct PublicMrtdView {
  std::string mrtd;
  attestation::MrtdKind kind = attestation::MrtdKind::agent;
  std::string note;
  attestation::TrustSource source = attestation::TrustSource::database;
  std::vector<RtmrProfileView> profiles;
  std::optional<UtcTime> created_at;
};
BOOST_DESCRIBE_STRUCT(PublicMrtdView, (), (mrtd, kind, note, source, profiles, created_at))
constexpr std::string_view json_name(json::For<PublicMrtdView>) { return "TrustedMrtd"; }

struct PublicMrtdPage {
  std::vector<PublicMrtdView> items;
  std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(PublicMrtdPage, (), (items, next_cursor))
constexpr std::string_view json_name(json::For<PublicMrtdPage>) { return "TrustedMrtdPage"; }

/// What administrators see beside it.
struct AdminMrtdView {
  std::string mrtd;
  attestation::MrtdKind kind = attestation::MrtdKind::agent;
  std::string note;
  bool enabled = true;
  std::optional<UtcTime> expires_at;
  attestation::TrustSource source = attestation::TrustSource::database;
  std::int64_t version = 0;  ///< 0: only in the environment
  std::optional<std::string> created_by;
  std::optional<UtcTime> created_at;
  std::optional<UtcTime> updated_at;
  std::vector<RtmrProfileView> profiles;
};
BOOST_DESCRIBE_STRUCT(AdminMrtdView, (),
                      (mrtd, kind, note, enabled, expires_at, source, version, created_by, created_at, updated_at,
                       profiles))
constexpr std::string_view json_name(json::For<AdminMrtdView>) { return "AdminTrustedMrtd"; }

struct AdminMrtdPage {
  std::vector<AdminMrtdView> items;
  std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(AdminMrtdPage, (), (items, next_cursor))
constexpr std::string_view json_name(json::For<AdminMrtdPage>) { return "AdminTrustedMrtdPage"; }

struct MrtdRemoved {
  std::int64_t affected_agents = 0;
};
BOOST_DESCRIBE_STRUCT(MrtdRemoved, (), (affected_agents))
constexpr std::string_view json_name(json::For<MrtdRemoved>) { return "TrustedMrtdRemoved"; }

}  // namespace ee::cp
