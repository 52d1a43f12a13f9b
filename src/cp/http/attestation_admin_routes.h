#pragma once
#include <functional>
#include <vector>

#include "cp/domain/cursor.h"
#include "cp/http/route.h"
#include "cp/service/attestation_admin.h"
#include "cp/service/attestation_sweeper.h"

namespace ee::cp {

/// Attestation as administrators see it, and the stored evidence of an agent as its owner and its tenants do.
struct AttestationAdminRoutes {
  AttestationAdmin& admin;
  AttestationSweeper& sweeper;
  const CursorCodec& cursors;
  std::function<AttestationStatusView()> status;
  std::function<void()> wake_sweeper;
};

void add_attestation_admin_routes(std::vector<Route>& table, AttestationAdminRoutes& context);

}  // namespace ee::cp
