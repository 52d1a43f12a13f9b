#include "attestation/validate/emulated_trust.h"

#ifdef EE_EMULATOR

#include "attestation/tsm/emulated_quote.h"

namespace ee::attestation {

TrustStore emulated_trust(EmulationAllowed /*allowed*/) {
  TrustStore out;
  const auto add = [&out](EmulatedRole role, MrtdKind kind) {
    const auto measured = EmulatedMeasurements::defaults(role);
    out.mrtds.push_back(
        {.mrtd = measured.mrtd, .kind = kind, .note = "emulated TDX", .source = TrustSource::environment});
    out.profiles.push_back({.id = "environment:emulated-" + std::string(to_string(kind)),
                            .mrtd = measured.mrtd,
                            .name = "emulated",
                            .rtmrs = {measured.rtmrs[0], measured.rtmrs[1], measured.rtmrs[2], std::nullopt},
                            .source = TrustSource::environment});
  };
  add(EmulatedRole::agent, MrtdKind::agent);
  add(EmulatedRole::control_plane, MrtdKind::control_plane);
  return out;
}

}  // namespace ee::attestation

#endif
