#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "common/id.h"
#include "cp/domain/price.h"
#include "db/database.h"

namespace ee::cp {

/// A row of `deployment_segments`: one stretch of time that a deployment ran, at a price fixed when it began.
struct SegmentRow {
  std::string id = {};  ///< UUIDv7
  DeploymentId deployment_id = {};
  std::int64_t seq = 0;
  AccountId account_id = {};  ///< who pays
  AgentId agent_id = {};
  std::optional<AccountId> agent_account_id = {};  ///< who earns the operator's part
  std::optional<std::string> app_id = {};
  std::int64_t vcpus = 0;
  std::int64_t memory_mib = 0;
  std::int64_t gpu_count = 0;
  std::int64_t extra_disk_gib = 0;
  SlaClass sla_class = SlaClass::adhoc;
  std::string machine_class = {};
  std::string datacenter = {};
  UsdMicros rate_micros = {};
  std::int64_t rate_version = 0;
  std::int64_t operator_bps = 0;
  std::int64_t pool_bps = 0;
  UtcTime from_at = {};
  std::optional<UtcTime> to_at = {};
  UtcTime charged_to_at = {};
  UsdMicros charged_micros = {};
  std::int64_t settled = 0;  ///< 0 live, 1 all charged, 2 set aside after an error
  bool operator==(const SegmentRow&) const = default;
};
BOOST_DESCRIBE_STRUCT(SegmentRow, (),
                      (id, deployment_id, seq, account_id, agent_id, agent_account_id, app_id, vcpus, memory_mib,
                       gpu_count, extra_disk_gib, sla_class, machine_class, datacenter, rate_micros, rate_version,
                       operator_bps, pool_bps, from_at, to_at, charged_to_at, charged_micros, settled))

/// What an account owes beyond its balance and what it burns, at one moment.
struct AccountUse {
  UsdMicros accrued = {};  ///< used and not charged yet
  UsdMicros burn = {};     ///< per hour: the rates of its open segments
};
BOOST_DESCRIBE_STRUCT(AccountUse, (), (accrued, burn))

/// SQL: what a segment has used and not been charged for at `:now`, rounded down to a micro-dollar. Whole hours first,
/// so that it stays below 2^63 for any time without charging.
const std::string& accrued_of_segment();

/// Table `deployment_segments` (04 section 7.2). The charging pass has statements of its own (charge_store.h).
/// Stateless.
class SegmentStore {
 public:
  /// Errors: `concurrent_update` when the deployment has an open segment already.
  Result<void> open(db::Transaction& tx, const SegmentRow& row) const;
  Result<std::optional<SegmentRow>> get(db::Transaction& tx, const std::string& id) const;
  Result<std::optional<SegmentRow>> find_open(db::Transaction& tx, const DeploymentId& deployment) const;
  /// The segment with the highest `seq`.
  Result<std::optional<SegmentRow>> last(db::Transaction& tx, const DeploymentId& deployment) const;
  /// Ends an open segment. Errors: `concurrent_update` when it is not open.
  Result<void> close(db::Transaction& tx, const std::string& id, UtcTime to_at) const;
  /// Everything a deployment has been charged.
  Result<UsdMicros> total_charged(db::Transaction& tx, const DeploymentId& deployment) const;
  /// Of one account, segments that were set aside included.
  /// A seek, however many segments have been charged long ago: balances are asked for often.
  Result<AccountUse> use_of(db::Transaction& tx, const AccountId& account, UtcTime now) const;
  static const std::string& use_sql();  ///< of use_of, for tests; names :account and :now
  /// Whether an account has segments that are not all charged: it cannot be closed then.
  Result<bool> has_unsettled(db::Transaction& tx, const AccountId& account) const;
  /// How many segments are set aside.
  Result<std::int64_t> failed_count(db::Transaction& tx) const;
};

}  // namespace ee::cp
