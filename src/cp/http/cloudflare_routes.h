#pragma once
#include <vector>

#include "cp/http/route.h"
#include "cp/service/cloudflare_admin.h"

namespace ee::cp {

/// Tunnels and DNS records at Cloudflare, for administrators (05 section 10).
struct CloudflareRoutes {
  CloudflareAdmin& admin;
  const CursorCodec& cursors;
};

void add_cloudflare_routes(std::vector<Route>& table, CloudflareRoutes& context);

}  // namespace ee::cp
