#pragma once
#include <mutex>
#include <optional>
#include <vector>

#include "common/clock.h"
#include "cp/store/rate_card_store.h"

namespace ee::cp {

/// The rate card in force, read through a cache of 60 s. Thread-safe. Usable inside a transaction: it reads in that
/// one.
class RateCards {
 public:
  static constexpr Seconds kCached{60};

  explicit RateCards(const Clock& clock) : clock_(clock) {}

  /// The card for `at`. A card whose hour comes while the cache is young counts at once. Errors: as
  /// RateCardStore::in_force.
  Result<RateCardVersion> in_force(db::Transaction& tx, UtcTime at);
  /// Forgets what was read: this process has written a card.
  void forget();

 private:
  const Clock& clock_;
  std::mutex mutex_;
  std::optional<SteadyTime> read_at_;
  std::vector<RateCardVersion> cards_;  // by the time they take effect
};

}  // namespace ee::cp
