#pragma once
#include <boost/json/value.hpp>
#include <optional>
#include <string_view>

#include "cp/integration/stripe/stripe_types.h"

/// Objects of Stripe's API as we read them: the members that we use, checked; all others are passed over, since Stripe
/// adds some at any time.
namespace ee::cp::stripe {

/// Most cents that any object may speak of: what fits into a ledger line, and far above what Stripe takes.
inline constexpr std::int64_t kMaxCents = 99'999'999'999;

/// `pi_...`, `re_...`, `evt_...`: a prefix, then letters, digits and underscores, at most 255 bytes in all. Ids go into
/// paths and keys.
bool is_object_id(std::string_view text, std::string_view prefix);
/// A word of Stripe's such as an error code: `[a-z0-9_.]`, 1 to 64 characters.
bool is_word(std::string_view text);

/// Nothing when a member that we need is missing or malformed.
std::optional<PaymentIntent> intent_of(const boost::json::value& value);
std::optional<Refund> refund_of(const boost::json::value& value);
std::optional<Dispute> dispute_of(const boost::json::value& value);

/// A member of an object, or nullptr.
const boost::json::value* member(const boost::json::value& value, std::string_view name);
/// A member that is a text; empty otherwise.
std::string_view text_member(const boost::json::value& value, std::string_view name);
std::optional<std::int64_t> integer_member(const boost::json::value& value, std::string_view name);

}  // namespace ee::cp::stripe
