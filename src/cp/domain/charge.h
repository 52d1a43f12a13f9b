#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/id.h"
#include "common/time.h"

/// What one segment costs in one hour, and who gets it (04 section 7.3). Pure; the charging pass does the same in SQL
/// and is tested against this.
namespace ee::cp {

/// Who contributed to an app at a time: parts of the contributors' pool, in 1/10000, at most 10000 in sum.
struct Share {
  AccountId account = {};
  std::int64_t bps = 0;
  bool operator==(const Share&) const = default;
};
using ShareSet = std::vector<Share>;

/// Whether nobody would be paid more than there is: each part 1..10000, at most 10000 together.
bool is_valid(const ShareSet& shares);

struct ChargedSegment {
  std::int64_t rate_micros = 0;  ///< 0..10^11
  std::int64_t operator_bps = 0;
  std::int64_t pool_bps = 0;
  bool has_operator = false;
  UtcTime from_at = {};
  std::optional<UtcTime> to_at = {};
};

struct HourCharge {
  std::int64_t billed_ms = 0;  ///< 0: nothing ran
  std::int64_t gross_micros = 0;
  std::int64_t operator_micros = 0;
  std::int64_t pool_micros = 0;
  bool operator==(const HourCharge&) const = default;
};

/// The charge for the hour that begins at `hour`: the price to the millisecond, half up; the other parts round down.
HourCharge charge_of(const ChargedSegment& segment, UtcTime hour);

/// A contributor's part of a pool, rounded down. Requires 0 <= bps <= 10000 and pool >= 0.
std::int64_t contributor_part(std::int64_t pool_micros, std::int64_t bps);

}  // namespace ee::cp
