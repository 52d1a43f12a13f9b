#pragma once
#include <vector>

#include "cp/http/route.h"
#include "cp/service/maintenance.h"

namespace ee::cp {

struct MaintenanceRoutes {
  Maintenance& maintenance;
};

void add_maintenance_routes(std::vector<Route>& table, MaintenanceRoutes& context);

/// Whether a route goes on while the installation takes no changes: what reads only, and what is needed to keep it
/// alive and to end the maintenance (05 section 11.3).
bool goes_on_in_maintenance(const Route& route);

}  // namespace ee::cp
