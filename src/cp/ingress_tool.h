#pragma once
#include "common/clock.h"
#include "common/http_client.h"
#include "common/random.h"
#include "cp/database_tools.h"
#include "cp/domain/config.h"

namespace ee::cp {

struct IngressCommand {
  bool json = false;      ///< one JSON object with the tunnel's token; else lines without it
  bool takeover = false;  ///< a DNS record of somebody else is overwritten
};

/// `ee-cp ingress ensure`: the control plane's own tunnel `ee-<cluster>-control-plane`, its ingress to where the
/// control plane listens, and the DNS record of the host of `EE_PUBLIC_URL` (02 section 7.8). Each step finds what an
/// earlier call has made, so it may be called again after a failure. Reads the environment's settings only: it works
/// before the first start, and while the server holds the database. Exit codes: 3 Cloudflare is not configured, 1 it
/// failed.
ToolResult ensure_ingress(const Config& config, const IngressCommand& command, HttpClient& http, Clock& clock,
                          Random& random);

}  // namespace ee::cp
