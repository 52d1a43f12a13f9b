#pragma once
#include <optional>
#include <string>

#include "common/id.h"
#include "cp/domain/principal.h"
#include "cp/service/actor.h"
#include "cp/service/idempotency.h"
#include "cp/store/audit_log_store.h"

namespace ee::cp {

/// A call about an account: who makes it (already let in by the route's access rule), for the audit too.
struct AccountCall {
  const Principal& principal;
  Actor actor;
  AccountId account = {};                            ///< the one in the path; empty where there is none
  std::optional<IdempotentRequest> idempotent = {};  ///< of the header `Idempotency-Key`
};

/// An audit row of this call about its account, which the caller completes.
inline AuditEntry audit_entry(const AccountCall& call, std::string action) {
  const auto some = [](const std::string& text) { return text.empty() ? std::nullopt : std::optional(text); };
  return {.actor = call.actor.name,
          .action = std::move(action),
          .object_type = "account",
          .object_id = call.account.str(),
          .request_id = some(call.actor.request_id),
          .client_address = some(call.actor.client_address)};
}

}  // namespace ee::cp
