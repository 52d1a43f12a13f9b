#pragma once
#include <boost/describe.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cp/domain/cursor.h"
#include "cp/http/export_pump.h"
#include "cp/http/route.h"
#include "cp/jobs/job_admin.h"
#include "cp/service/audit_listing.h"
#include "cp/service/restore_hold.h"
#include "cp/service/settings.h"

namespace ee::cp {

/// Settings, jobs and the audit log, for administrators.
struct AdminRoutes {
  SettingsService& settings;
  JobAdmin& jobs;
  AuditListing& audit;
  RestoreHold& restore_hold;
  const CursorCodec& cursors;
  ExportPump& exports;
};

void add_admin_routes(std::vector<Route>& table, AdminRoutes& context);

}  // namespace ee::cp
