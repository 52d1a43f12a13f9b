#pragma once
#include <optional>

#include "common/error.h"
#include "cp/http/route.h"
#include "cp/service/trust_service.h"

namespace ee::cp {

/// Who makes this call, for the audit.
Actor actor_of(const Call& call);

/// The version of `If-Match: "7"`; nothing when the field is absent. Errors: invalid_request.
Result<std::optional<std::int64_t>> if_match_of(const net::Request& request);

}  // namespace ee::cp
