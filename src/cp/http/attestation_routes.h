#pragma once
#include <functional>
#include <vector>

#include "cp/http/route.h"
#include "cp/service/control_plane_attestation.h"

namespace ee::cp {

/// The control plane's own evidence, public.
struct AttestationRoutes {
  ControlPlaneAttestation& attestation;
  std::function<Seconds()> refresh;  ///< `attestation.cp_refresh_seconds`
  std::function<std::int64_t()> signing_keys_version;
};

void add_attestation_routes(std::vector<Route>& table, AttestationRoutes& context);

}  // namespace ee::cp
