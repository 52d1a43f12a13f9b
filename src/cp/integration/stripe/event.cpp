#include "cp/integration/stripe/event.h"

#include <array>
#include <boost/json/value.hpp>
#include <utility>

#include "common/json.h"
#include "cp/integration/stripe/objects.h"

namespace ee::cp::stripe {
namespace {

constexpr json::Limits kLimits{.max_bytes = kMaxEventBytes, .max_depth = kMaxEventDepth, .max_nodes = 50'000};
constexpr std::int64_t kLastSecond = 253'402'300'799;  // of the year 9999

std::unexpected<Error> refused(std::string_view what) { return fail(ErrorCode::invalid_event, std::string(what)); }

template <class T>
bool take(Event& event, std::optional<T> object) {
  if (!object) return false;
  event.object = std::move(*object);
  return true;
}

bool read_object(Event& event, const boost::json::value& object) {
  switch (event.kind) {
    case EventKind::intent_succeeded:
    case EventKind::intent_processing:
    case EventKind::intent_payment_failed:
    case EventKind::intent_canceled: return take(event, intent_of(object));
    case EventKind::refund: return take(event, refund_of(object));
    case EventKind::dispute_created:
    case EventKind::dispute_withdrawn:
    case EventKind::dispute_reinstated:
    case EventKind::dispute_closed: return take(event, dispute_of(object));
    case EventKind::other: return true;
  }
  return false;
}

}  // namespace

EventKind event_kind(std::string_view type) {
  using enum EventKind;
  constexpr std::array<std::pair<std::string_view, EventKind>, 12> kKinds = {
      {{"payment_intent.succeeded", intent_succeeded},
       {"payment_intent.processing", intent_processing},
       {"payment_intent.payment_failed", intent_payment_failed},
       {"payment_intent.canceled", intent_canceled},
       {"refund.created", refund},
       {"refund.updated", refund},
       {"charge.refund.updated", refund},
       {"refund.failed", refund},
       {"charge.dispute.created", dispute_created},
       {"charge.dispute.funds_withdrawn", dispute_withdrawn},
       {"charge.dispute.funds_reinstated", dispute_reinstated},
       {"charge.dispute.closed", dispute_closed}}};
  for (const auto& [name, kind] : kKinds)
    if (name == type) return kind;
  return other;
}

Result<Event> parse_event(std::string_view body) {
  const auto document = json::parse(body, kLimits);
  if (!document) return refused("the event is not acceptable JSON");
  const std::string_view id = text_member(*document, "id");
  const std::string_view type = text_member(*document, "type");
  const auto created = integer_member(*document, "created");
  const auto* livemode = member(*document, "livemode");
  if (!is_object_id(id, "evt_")) return refused("id");
  if (!is_word(type)) return refused("type");
  if (!created || *created < 0 || *created > kLastSecond) return refused("created");
  if (livemode == nullptr || !livemode->is_bool()) return refused("livemode");
  const auto* data = member(*document, "data");
  const auto* object = data == nullptr ? nullptr : member(*data, "object");
  if (object == nullptr || !object->is_object()) return refused("data.object");
  Event event{.id = std::string(id),
              .type = std::string(type),
              .kind = event_kind(type),
              .created_at = UtcTime(Seconds(*created)),
              .livemode = livemode->get_bool()};
  if (const auto object_id = text_member(*object, "id"); is_object_id(object_id, "")) event.object_id = object_id;
  if (!read_object(event, *object)) return refused("data.object is not what the type says");
  return event;
}

}  // namespace ee::cp::stripe
