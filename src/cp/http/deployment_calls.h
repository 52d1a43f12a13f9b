#pragma once
#include "cp/http/deployment_routes.h"

namespace ee::cp {

/// Who makes a call about deployments, its `Idempotency-Key` and `If-Match`. Views into `call`. Errors:
/// invalid_request.
Result<DeploymentCall> deployment_call(const Call& call);

}  // namespace ee::cp
