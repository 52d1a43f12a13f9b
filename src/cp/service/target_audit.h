#pragma once
#include <string>

#include "common/clock.h"
#include "common/random.h"
#include "cp/service/audit_fold.h"
#include "cp/store/audit_log_store.h"
#include "db/database.h"

namespace ee::cp {

/// Writes addresses that the proxy refused to connect to into the audit log as `proxy_target_refused` (03 section 15),
/// those of one agent folded into a row a minute. Thread-safe; blocks on the database when a row is due.
class TargetAudit {
 public:
  TargetAudit(db::Database& database, Clock& clock, Random& random)
      : database_(database), clock_(clock), random_(random) {}

  /// The answer stays a refusal whether or not the row can be written; a failure is logged.
  void record(const std::string& agent_id, const std::string& deployment_id, const std::string& request_id);

 private:
  db::Database& database_;
  Clock& clock_;
  Random& random_;
  AuditLogStore audit_;
  AuditFold fold_;
};

}  // namespace ee::cp
