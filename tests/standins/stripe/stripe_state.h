#pragma once
#include <boost/json/object.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/random.h"
#include "common/time.h"

namespace ee::standins {

/// What Stripe would remember of payments, with its rules. Objects are kept in the JSON form in which they are shown.
/// Not thread-safe: its owner locks.
class StripeState {
 public:
  struct Refusal {
    int status;
    std::string_view type;
    std::string_view code;
  };
  struct Outcome {
    std::optional<boost::json::object> object = {};
    std::optional<Refusal> refusal = {};
  };

  StripeState(Random& random, bool livemode) : random_(random), livemode_(livemode) {}

  /// `fields`: of the form, by name.
  Outcome create_intent(const std::map<std::string, std::string>& fields, UtcTime now);
  Outcome intent(std::string_view id) const;
  Outcome cancel_intent(std::string_view id, UtcTime now);

  /// `verb`: succeed, fail, process, cancel. `amount_received` (cents): what is paid, else all.
  Outcome move_intent(std::string_view id, std::string_view verb, std::optional<std::int64_t> amount_received,
                      UtcTime now);
  Outcome add_refund(std::string_view intent, std::int64_t amount, std::string_view status, UtcTime now);
  Outcome change_refund(std::string_view id, std::string_view status, UtcTime now);
  Outcome add_dispute(std::string_view intent, std::int64_t amount, UtcTime now);
  /// `verb`: withdraw, reinstate, close; `status` of a closed one: won, lost, warning_closed.
  Outcome change_dispute(std::string_view id, std::string_view verb, std::string_view status, UtcTime now);

  /// Events of everything that happened, in its order.
  const std::vector<boost::json::object>& events() const { return events_; }
  std::size_t intents() const { return intents_.size(); }
  /// An event that nothing caused: for what Stripe never sends, or sends about others.
  boost::json::object make_event(std::string_view type, boost::json::object object, UtcTime now);

 private:
  Outcome happened(std::string_view type, const boost::json::object& object, UtcTime now);
  std::string new_id(std::string_view prefix);

  Random& random_;
  const bool livemode_;
  std::map<std::string, boost::json::object, std::less<>> intents_;
  std::map<std::string, boost::json::object, std::less<>> refunds_;
  std::map<std::string, boost::json::object, std::less<>> disputes_;
  std::vector<boost::json::object> events_;
  std::int64_t made_ = 0;
};

}  // namespace ee::standins
