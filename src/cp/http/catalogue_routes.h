#pragma once
#include <vector>

#include "cp/domain/cursor.h"
#include "cp/http/route.h"
#include "cp/service/app_versions.h"
#include "cp/service/apps.h"
#include "cp/service/revenue_shares.h"
#include "cp/service/version_measuring.h"

namespace ee::cp {

/// The app catalogue: apps, versions, shares, and the reports of external measurers.
struct CatalogueRoutes {
  Apps& apps;
  AppVersions& versions;
  VersionMeasuring& measuring;
  RevenueShares& shares;
  const CursorCodec& cursors;
};

void add_app_routes(std::vector<Route>& table, CatalogueRoutes& context);
void add_version_routes(std::vector<Route>& table, CatalogueRoutes& context);
void add_share_routes(std::vector<Route>& table, CatalogueRoutes& context);

/// Who makes a call of the catalogue.
CatalogueCall catalogue_call(const Call& call);

}  // namespace ee::cp
