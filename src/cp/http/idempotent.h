#pragma once
#include <optional>

#include "cp/http/route.h"
#include "cp/service/idempotency.h"

namespace ee::cp {

/// The `Idempotency-Key` of a POST, made into what it stands for; nothing when none was sent. `acted_for`: see
/// idempotent_request. Errors: `invalid_idempotency_key` (also when it was sent twice).
Result<std::optional<IdempotentRequest>> idempotency_of(const Call& call, const std::optional<AccountId>& acted_for);
/// The same where one is needed. Errors: also `idempotency_key_required`.
Result<IdempotentRequest> required_idempotency_of(const Call& call, const std::optional<AccountId>& acted_for);

/// The answer, marked when it is a replay.
net::Response idempotent_answer(const Result<IdempotentAnswer>& answer, std::string_view request_id);

}  // namespace ee::cp
