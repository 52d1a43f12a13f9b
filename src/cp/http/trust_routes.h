#pragma once
#include <vector>

#include "cp/domain/cursor.h"
#include "cp/http/route.h"
#include "cp/service/attestation_admin.h"
#include "cp/service/trust_service.h"

namespace ee::cp {

/// Trusted MRTDs and RTMR profiles: the public list, and what administrators do with it.
struct TrustRoutes {
  TrustService& trust;
  const AttestationAdmin& preview;
  const CursorCodec& cursors;
};

void add_trust_routes(std::vector<Route>& table, TrustRoutes& context);

}  // namespace ee::cp
