#pragma once
#include <vector>

#include "cp/http/route.h"
#include "cp/service/cleanup.h"

namespace ee::cp {

/// Clean-up of what nobody needs any more, for administrators (05 section 11.1).
struct CleanupRoutes {
  Cleanup& cleanup;
  const CursorCodec& cursors;
};

void add_cleanup_routes(std::vector<Route>& table, CleanupRoutes& context);

}  // namespace ee::cp
