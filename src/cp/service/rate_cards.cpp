#include "cp/service/rate_cards.h"

#include <algorithm>

namespace ee::cp {

Result<RateCardVersion> RateCards::in_force(db::Transaction& tx, UtcTime at) {
  const std::lock_guard lock(mutex_);
  const SteadyTime now = clock_.steady_now();
  if (!read_at_ || now >= *read_at_ + kCached) {
    auto cards = RateCardStore().all(tx);
    if (!cards) return std::unexpected(std::move(cards.error()));
    cards_ = std::move(*cards);
    read_at_ = now;
  }
  const auto after = std::ranges::upper_bound(cards_, at, {}, &RateCardVersion::effective_at);
  if (after == cards_.begin()) return fail(ErrorCode::internal_error, "there is no rate card");
  return *std::prev(after);
}

void RateCards::forget() {
  const std::lock_guard lock(mutex_);
  read_at_.reset();
}

}  // namespace ee::cp
