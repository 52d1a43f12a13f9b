#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cp/domain/price.h"
#include "db/database.h"

namespace ee::cp {

/// A rate card with its place in time.
struct RateCardVersion {
  std::int64_t version = 0;
  UtcTime effective_at = {};
  RateCard card = {};
};

/// Table `rate_cards` (04 section 7.1): append-only; the card in force is the last whose time has come. Stateless.
class RateCardStore {
 public:
  /// Every card, by the time it takes effect. Errors: `internal_error` for a damaged row.
  Result<std::vector<RateCardVersion>> all(db::Transaction& tx) const;
  /// The card in force at `at`. Errors: `internal_error` when there is none or the row is damaged.
  Result<RateCardVersion> in_force(db::Transaction& tx, UtcTime at) const;
  /// Appends the next version. Errors: `rate_effective_in_past` unless `effective_at` is after `now` and after every
  /// card before it.
  Result<RateCardVersion> append(db::Transaction& tx, const RateCard& card, UtcTime effective_at,
                                 const std::string& created_by, const std::string& reason, UtcTime now) const;
};

}  // namespace ee::cp
