#include "cp/domain/charge.h"

#include <algorithm>

#include "common/require.h"
#include "cp/domain/price.h"

namespace ee::cp {
namespace {

constexpr std::int64_t kWhole = 10'000;

/// floor(amount * bps / 10000) without overflow.
std::int64_t part(std::int64_t amount, std::int64_t bps) {
  require(amount >= 0 && bps >= 0 && bps <= kWhole);
  return amount / kWhole * bps + amount % kWhole * bps / kWhole;
}

}  // namespace

bool is_valid(const ShareSet& shares) {
  std::int64_t sum = 0;
  for (const Share& share : shares) {
    if (share.bps < 1 || share.bps > kWhole) return false;
    sum += share.bps;
    if (sum > kWhole) return false;
  }
  return true;
}

HourCharge charge_of(const ChargedSegment& segment, UtcTime hour) {
  const UtcTime end = hour + kHour;
  const UtcTime to = std::min(segment.to_at.value_or(end), end);
  const std::int64_t ms = (to - std::max(segment.from_at, hour)).count();
  if (ms <= 0) return {};
  HourCharge out{.billed_ms = ms};
  out.gross_micros = (segment.rate_micros * ms + kHourMs / 2) / kHourMs;
  if (segment.has_operator) out.operator_micros = part(out.gross_micros, segment.operator_bps);
  out.pool_micros = part(out.gross_micros - out.operator_micros, segment.pool_bps);
  return out;
}

std::int64_t contributor_part(std::int64_t pool_micros, std::int64_t bps) { return part(pool_micros, bps); }

}  // namespace ee::cp
