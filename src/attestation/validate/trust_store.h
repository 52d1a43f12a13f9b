#pragma once
#include <array>
#include <boost/describe/enum.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/bytes.h"
#include "common/error.h"
#include "common/time.h"

namespace ee::attestation {

using Measurement = ByteArray<48>;

/// What a trusted MRTD may be: the firmware of agents or that of control planes.
enum class MrtdKind : std::uint8_t { agent, control_plane };
BOOST_DESCRIBE_ENUM(MrtdKind, agent, control_plane)

enum class TrustSource : std::uint8_t { database, environment };
BOOST_DESCRIBE_ENUM(TrustSource, database, environment)

std::string_view to_string(MrtdKind kind);
std::string_view to_string(TrustSource source);

struct TrustedMrtd {
  Measurement mrtd{};
  MrtdKind kind = MrtdKind::agent;
  std::string note = {};
  bool enabled = true;
  std::optional<UtcTime> expires_at = {};  ///< from then on it counts no more
  std::int64_t version = 0;                ///< of the database row; 0 from the environment
  TrustSource source = TrustSource::database;
};

/// Expected RTMRs of an MRTD. A register without a value is not checked: a person left it out on purpose.
struct RtmrProfile {
  std::string id;
  Measurement mrtd{};
  std::string name;
  std::optional<std::string> node_size = {};  ///< nothing: every size
  std::array<std::optional<Measurement>, 4> rtmrs = {};
  bool enabled = true;
  std::optional<UtcTime> expires_at = {};
  std::int64_t version = 0;
  TrustSource source = TrustSource::database;
};

/// Everything that is trusted, read for one decision. `mrtds` may hold an MRTD twice only if the environment names it
/// for both kinds.
struct TrustStore {
  std::vector<TrustedMrtd> mrtds = {};
  std::vector<RtmrProfile> profiles = {};
};

/// The effective list: a row of the database replaces every environment entry with the same MRTD (also when the row is
/// disabled), and a profile of the database the environment's with the same MRTD and name.
TrustStore merge_trust(TrustStore database, const TrustStore& environment);

/// The environment's part of the list.
/// agent_mrtds, control_plane_mrtds  comma lists of 96 hexadecimal digits (`TRUSTED_AGENT_MRTDS`, ...), may be empty
/// rtmr_profiles                     `TRUSTED_RTMR_PROFILES`: JSON array of
/// {"mrtd","name","node_size","rtmr0".."rtmr3"},
///                                   at most 64 KiB; may be empty
/// error  invalid_request, the detail naming variable and entry; an all-zero MRTD or a profile without a register is
///        one, too
[[nodiscard]] Result<TrustStore> parse_environment_trust(std::string_view agent_mrtds,
                                                         std::string_view control_plane_mrtds,
                                                         std::string_view rtmr_profiles);

}  // namespace ee::attestation
