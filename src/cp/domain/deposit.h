#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <optional>
#include <string_view>

#include "common/error.h"
#include "common/money.h"
#include "common/time.h"

namespace ee::cp {

/// States of a deposit (04 section 9.2).
enum class DepositStatus : std::uint8_t { creating, requires_payment, processing, failed, canceled, succeeded };
BOOST_DESCRIBE_ENUM(DepositStatus, creating, requires_payment, processing, failed, canceled, succeeded)

/// Where a deposit goes when Stripe (or the lack of an intent) says `said`; nothing: it stays, `said` is older news. Up
/// the rank creating < requires_payment < processing < failed, canceled < succeeded only, so what arrives out of order
/// undoes nothing. Of the two ends without money `canceled` counts, since it says that an intent was there.
std::optional<DepositStatus> next_status(DepositStatus now, DepositStatus said);

/// Whether it may still be paid as far as we know: what counts as unpaid.
constexpr bool is_unpaid(DepositStatus status) {
  return status == DepositStatus::creating || status == DepositStatus::requires_payment ||
         status == DepositStatus::processing;
}

inline constexpr std::int64_t kMicrosPerCent = 10'000;

/// Bounds and pace of deposits (04 sections 1.3 and 10).
inline constexpr std::int64_t kDepositsPerHour = 10;  ///< of one account
inline constexpr std::int64_t kMaxUnpaidDeposits = 5;
inline constexpr Seconds kDepositHour{3600};
inline constexpr Seconds kCreatingRetryAfter{120};  ///< a create that has not ended by then is repeated
inline constexpr Seconds kFirstCheckAfter{1800};    ///< of an unpaid intent
inline constexpr Seconds kCheckEvery{6 * 3600};     ///< after the first
inline constexpr Seconds kUnpaidCanceledAfter{72 * 3600};

/// The amount of a deposit as a request says it: `^(0|[1-9][0-9]{0,11})(\.[0-9]{1,6})?$`, whole cents, within
/// [least, most]. Errors: `invalid_amount`.
Result<UsdMicros> parse_deposit_amount(std::string_view text, UsdMicros least, UsdMicros most);

}  // namespace ee::cp
