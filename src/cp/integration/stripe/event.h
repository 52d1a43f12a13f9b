#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "common/error.h"
#include "common/time.h"
#include "cp/integration/stripe/stripe_types.h"

namespace ee::cp::stripe {

inline constexpr std::size_t kMaxEventBytes = 256UL * 1024;
inline constexpr std::size_t kMaxEventDepth = 32;

/// Events that mean something to us (04 section 9.3).
enum class EventKind : std::uint8_t {
  intent_succeeded,
  intent_processing,
  intent_payment_failed,
  intent_canceled,
  refund,  ///< any news of a refund: its status tells
  dispute_created,
  dispute_withdrawn,
  dispute_reinstated,
  dispute_closed,
  other,
};
/// The kind of an event's `type`.
EventKind event_kind(std::string_view type);

struct Event {
  std::string id = {};    ///< `evt_...`
  std::string type = {};  ///< a word of at most 64 characters
  EventKind kind = EventKind::other;
  UtcTime created_at = {};
  bool livemode = false;
  std::string object_id = {};  ///< of `data.object`; empty when it has no usable one
  /// What the kind speaks of; nothing for `other`.
  std::variant<std::monostate, PaymentIntent, Refund, Dispute> object = {};
};

/// Reads a webhook's body. Only after its signature was found good. Errors: `invalid_event`, whatever is wrong with it.
Result<Event> parse_event(std::string_view body);

}  // namespace ee::cp::stripe
