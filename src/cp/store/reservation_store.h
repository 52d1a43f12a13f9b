#pragma once
#include <boost/describe.hpp>
#include <optional>
#include <string>

#include "common/id.h"
#include "common/random.h"
#include "common/time.h"
#include "db/database.h"

namespace ee::cp {

enum class ReservationStatus : std::uint8_t { open, consumed, released, expired };
BOOST_DESCRIBE_ENUM(ReservationStatus, open, consumed, released, expired)

/// A row of `capacity_reservations`: an agent kept for somebody.
struct ReservationRow {
  std::string id = {};
  AgentId agent_id = {};
  std::optional<std::string> target_id = {};
  std::optional<AccountId> account_id = {};  ///< nothing: whoever comes first
  std::string datacenter = {};
  std::string node_size = {};
  ReservationStatus status = ReservationStatus::open;
  std::optional<DeploymentId> deployment_id = {};
  std::optional<UtcTime> unfit_since_at = {};
  std::optional<std::string> end_reason = {};
  UtcTime created_at = {};
  std::optional<UtcTime> consumed_at = {};
  std::optional<UtcTime> ended_at = {};
  UtcTime updated_at = {};
};
BOOST_DESCRIBE_STRUCT(ReservationRow, (),
                      (id, agent_id, target_id, account_id, datacenter, node_size, status, deployment_id,
                       unfit_since_at, end_reason, created_at, consumed_at, ended_at, updated_at))

/// Table `capacity_reservations` as far as deploying changes it (05 section 6.3). Whoever changes a row recomputes the
/// agent's `placement_key` in the same transaction. Stateless.
class ReservationStore {
 public:
  /// Errors: `concurrent_update` when the agent has one that is open or consumed.
  Result<void> insert(db::Transaction& tx, const ReservationRow& row) const;
  Result<std::optional<ReservationRow>> open_of(db::Transaction& tx, const AgentId& agent) const;
  /// The account of the open one, if it names one: what `placement_key` needs.
  Result<std::optional<AccountId>> reserved_for(db::Transaction& tx, const AgentId& agent) const;
  Result<std::optional<ReservationRow>> consumed_by(db::Transaction& tx, const DeploymentId& deployment) const;
  /// True: the agent had an open one, and it is the deployment's now.
  Result<bool> consume(db::Transaction& tx, const AgentId& agent, const DeploymentId& deployment, UtcTime now) const;
  Result<void> end(db::Transaction& tx, const std::string& id, ReservationStatus status, std::string_view reason,
                   UtcTime now) const;
  /// Whether the target is an account's that still runs: its reservation opens again when the deployment ends.
  Result<bool> target_goes_on(db::Transaction& tx, const std::string& target_id, UtcTime now) const;
};

}  // namespace ee::cp
