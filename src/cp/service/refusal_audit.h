#pragma once
#include <string>
#include <string_view>

#include "common/clock.h"
#include "common/error.h"
#include "common/metrics.h"
#include "common/random.h"
#include "cp/service/audit_fold.h"
#include "cp/store/audit_log_store.h"
#include "db/database.h"

namespace ee::cp {

/// A call that its caller, known by a valid credential, was not allowed to make.
struct RefusedCall {
  std::string actor;        ///< `Principal::actor()`
  std::string_view method;  ///< of the route
  std::string_view route;   ///< its template, never the path as sent
  ErrorCode reason;         ///< `admin_required`, `agent_mismatch`, ...
  std::string_view request_id;
  std::string_view client_address;
};

/// Writes refusals of known callers to the audit log as `authorization_refused` (04 section 12), equal ones of a caller
/// folded into one row a minute. Thread-safe; blocks on the database when a row is due.
class RefusalAudit {
 public:
  /// The references must outlive it.
  RefusalAudit(db::Database& database, Clock& clock, Random& random, metrics::Registry& metrics);

  /// The answer stays a refusal whether or not the row can be written; a failure is logged and counted.
  void record(const RefusedCall& call);

 private:
  db::Database& database_;
  Clock& clock_;
  Random& random_;
  metrics::Counter failures_;
  AuditLogStore audit_;
  AuditFold fold_;
};

}  // namespace ee::cp
