#pragma once
#include <boost/describe.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cp/domain/cursor.h"
#include "db/database.h"

namespace ee::cp {

/// `ignored`: not ours, or of no interest; `unmatched`: ours by its looks, but it fits nothing, and nothing was posted.
enum class StripeOutcome : std::uint8_t { processed, ignored, unmatched };
BOOST_DESCRIBE_ENUM(StripeOutcome, processed, ignored, unmatched)

struct StripeEventRow {
  std::string id = {};  ///< Stripe's
  std::string type = {};
  std::string object_id = {};
  UtcTime event_created_at = {};
  UtcTime received_at = {};
  StripeOutcome outcome = StripeOutcome::processed;
  std::optional<std::string> detail = {};  ///< a slug: why it is unmatched or ignored
};
BOOST_DESCRIBE_STRUCT(StripeEventRow, (), (id, type, object_id, event_created_at, received_at, outcome, detail))

struct StripeEventFilter {
  std::optional<std::string> type = {};
  std::optional<std::string> object_id = {};
  std::optional<StripeOutcome> outcome = {};
};

/// How long an event is known after it was received. Stripe repeats a delivery for 3 days and gives events out for 30;
/// disputes, which last for months, bring events of their own.
inline constexpr std::chrono::days kStripeEventsKept{400};

/// Table `stripe_events`: every event that was accepted, once. Stateless.
class StripeEventStore {
 public:
  /// False: the event is known.
  Result<bool> insert(db::Transaction& tx, const StripeEventRow& row) const;
  Result<bool> known(db::Transaction& tx, std::string_view id) const;
  Result<void> set_outcome(db::Transaction& tx, std::string_view id, StripeOutcome outcome,
                           const std::optional<std::string>& detail) const;
  /// Newest first.
  Result<Page<StripeEventRow>> list(db::Transaction& tx, const StripeEventFilter& filter,
                                    const PageRequest& page) const;
  /// Deletes at most `limit` events that were received before `before`, the oldest first; how many.
  Result<std::int64_t> remove_before(db::Transaction& tx, UtcTime before, std::int64_t limit) const;
  Result<std::optional<UtcTime>> last_received_at(db::Transaction& tx) const;
};

}  // namespace ee::cp
