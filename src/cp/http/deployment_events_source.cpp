#include "cp/http/deployment_events_source.h"

#include <boost/json/value.hpp>

namespace ee::cp {
namespace {

constexpr Milliseconds kPause{500};

}  // namespace

DeploymentEventObject event_object(const DeploymentEventRow& row) {
  return {.seq = row.seq,
          .at = row.at,
          .kind = row.kind,
          .from_state = row.from_state,
          .to_state = row.to_state,
          .actor = row.actor,
          .reason = row.reason,
          .detail = json::parse(row.detail).value_or(boost::json::value(nullptr)),
          .request_id = row.request_id};
}

EventSource::State DeploymentEventsSource::pull(std::string& out, std::size_t) {
  // Whatever wakes the hub, the database is asked now and then only.
  const SteadyTime now = clock_.steady_now();
  if (now < next_read_) return State::waiting;
  next_read_ = now + kPause;
  const auto read = read_(after_, kBatch);
  if (!read) return read.error().code == ErrorCode::deployment_not_found ? State::ended : State::waiting;
  for (const DeploymentEventRow& row : read->rows) {
    append_event(out, "", std::to_string(row.seq), json::write(event_object(row)));
    after_ = row.seq;
  }
  if (static_cast<std::int64_t>(read->rows.size()) == kBatch) {
    next_read_ = now;
    return State::more;
  }
  return read->is_final ? State::ended : State::waiting;
}

}  // namespace ee::cp
