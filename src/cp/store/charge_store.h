#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/id.h"
#include "common/money.h"
#include "common/time.h"
#include "db/database.h"

namespace ee::cp {

/// Place of a segment in the order in which an hour is charged: by payer, then id.
struct SegmentKey {
  AccountId account_id = {};
  std::string id = {};
  auto operator<=>(const SegmentKey&) const = default;
};
BOOST_DESCRIBE_STRUCT(SegmentKey, (), (account_id, id))

/// The segments that one batch works on: those after `after` up to and with `upto`, or one alone.
struct SegmentRange {
  SegmentKey after = {};
  SegmentKey upto = {};
  bool alone = false;  ///< only `upto`
};

/// A row of `billing_hours`. A waived hour is never charged; without `finished_at` it is under way.
enum class HourStatus : std::uint8_t { charging, done, waived };
BOOST_DESCRIBE_ENUM(HourStatus, charging, done, waived)
struct BillingHour {
  UtcTime hour_start_at = {};
  HourStatus status = HourStatus::charging;
  AccountId cursor_account = {};
  std::string cursor_segment = {};
  std::int64_t rows_charged = 0;
  UsdMicros gross_micros = {};
  UtcTime started_at = {};
  std::optional<UtcTime> finished_at = {};
  SegmentKey cursor() const { return {.account_id = cursor_account, .id = cursor_segment}; }
};
BOOST_DESCRIBE_STRUCT(BillingHour, (),
                      (hour_start_at, status, cursor_account, cursor_segment, rows_charged, gross_micros, started_at,
                       finished_at))

/// What charging waits for.
struct BillingMeta {
  UtcTime next_hour_at = {};  ///< the first hour that is not finished
  bool halted = false;
};
BOOST_DESCRIBE_STRUCT(BillingMeta, (), (next_hour_at, halted))

/// What one new row of `usage_charges` charges.
struct ChargedRow {
  AccountId account_id = {};
  std::optional<std::string> app_id = {};
  std::int64_t gross_micros = 0;
  std::int64_t operator_micros = 0;
  std::int64_t pool_micros = 0;
};
BOOST_DESCRIBE_STRUCT(ChargedRow, (), (account_id, app_id, gross_micros, operator_micros, pool_micros))

/// What the agents of one owner earned in a batch.
struct EarnedRow {
  AccountId account_id = {};
  std::int64_t micros = 0;
};
BOOST_DESCRIBE_STRUCT(EarnedRow, (), (account_id, micros))

/// The statements of the charging pass (04 section 7.4) over `deployment_segments`, `usage_charges`, `billing_hours`
/// and `billing_meta`. Each works on a key range, so that no row travels to the program before it is charged. What they
/// mean together is in service/charging.h. Stateless.
class ChargeStore {
 public:
  /// Nothing before the first segment was opened.
  Result<std::optional<BillingMeta>> meta(db::Transaction& tx) const;
  /// The same, locked until the transaction ends: who charges, and who takes a segment back, take turns.
  Result<std::optional<BillingMeta>> lock_meta(db::Transaction& tx) const;
  /// Charging begins with `hour`, unless it has begun.
  Result<void> begin_at(db::Transaction& tx, UtcTime hour) const;

  /// The hour's row, locked until the transaction ends; made with `status` when there is none.
  Result<BillingHour> lock_hour(db::Transaction& tx, UtcTime hour, HourStatus status, UtcTime now) const;
  Result<std::optional<BillingHour>> hour(db::Transaction& tx, UtcTime hour) const;
  /// Newest first.
  Result<std::vector<BillingHour>> last_hours(db::Transaction& tx, std::int64_t limit) const;
  Result<std::vector<UtcTime>> waived_hours(db::Transaction& tx, UtcTime from, UtcTime before) const;
  Result<void> move_cursor(db::Transaction& tx, UtcTime hour, const SegmentKey& to, std::int64_t rows,
                           std::int64_t gross_micros) const;
  /// Counts rows that were charged out of turn.
  Result<void> add_to_hour(db::Transaction& tx, UtcTime hour, std::int64_t rows, std::int64_t gross_micros) const;
  /// A charging hour is done; the next one is next. Errors: `concurrent_update` when it was not the next.
  Result<void> finish_hour(db::Transaction& tx, UtcTime hour, UtcTime now) const;

  /// The key of the live segment that is the `rows`-th after `after`; nothing when there are fewer.
  Result<std::optional<SegmentKey>> nth_after(db::Transaction& tx, const SegmentKey& after, std::int64_t rows) const;
  /// The last live segment, when it lies after `after`.
  Result<std::optional<SegmentKey>> last_after(db::Transaction& tx, const SegmentKey& after) const;

  /// Charges the live segments of the range for the hour; the rows that are new. Those that were charged for it before
  /// are passed over.
  Result<std::vector<ChargedRow>> insert_charges(db::Transaction& tx, const SegmentRange& range, UtcTime hour,
                                                 const std::string& group_id) const;
  /// Who earned the operators' parts of those.
  Result<std::vector<EarnedRow>> earned(db::Transaction& tx, const SegmentRange& range, UtcTime hour,
                                        const std::string& group_id) const;
  /// Notes the charges on their segments, and settles those that have ended.
  Result<void> note_charges(db::Transaction& tx, const SegmentRange& range, UtcTime hour,
                            const std::string& group_id) const;
  /// The hour costs nothing.
  Result<void> waive(db::Transaction& tx, const SegmentRange& range, UtcTime hour) const;

  /// False when the segment was not live (`set_aside`), or not set aside (`take_back`).
  Result<bool> set_aside(db::Transaction& tx, const std::string& segment_id) const;
  Result<bool> take_back(db::Transaction& tx, const std::string& segment_id) const;
};

}  // namespace ee::cp
