#pragma once
#include <functional>
#include <stop_token>

#include "cp/service/billing.h"
#include "cp/service/deployment_document.h"
#include "cp/service/deployment_machine.h"
#include "cp/service/directory.h"

namespace ee::cp {

/// Moves what runs on drained agents: makes a second deployment of the same content elsewhere that `replaces` the
/// first, which `replace_finisher` stops when the second is healthy (03 section 4, row "drain with migrate").
/// Thread-safe.
class DeploymentMigration {
 public:
  struct Parts {
    db::Database& database;
    const DeploymentMachine& machine;
    const Placer& placer;
    const Billing& billing;
    const Revisions& revisions;
    Directory& directory;
    const Clock& clock;
    Random& random;
  };
  explicit DeploymentMigration(const Parts& parts) : parts_(parts) {}

  static constexpr Seconds kTryAgain{60};
  static constexpr Seconds kLongestWait{3600};  ///< after replacements that failed

  /// Tries those that are due; how many replacements were made.
  Result<std::int64_t> run(const std::stop_token& stop);

 private:
  Result<std::optional<AgentRow>> step(db::Transaction& tx, const DeploymentId& id);
  Result<std::optional<AgentRow>> move(db::Transaction& tx, const DeploymentRow& row, UtcTime now);
  Result<void> wait(db::Transaction& tx, const DeploymentRow& row, std::string_view why);

  Parts parts_;
  DeploymentStore rows_;
  DeploymentEventStore events_;
  AgentStore agents_;
};

}  // namespace ee::cp
