#pragma once
#include <array>
#include <boost/describe.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/json.h"
#include "cp/store/deposit_store.h"
#include "cp/store/stripe_event_store.h"

/// What the routes of deposits and of Stripe's administration take and answer (04 section 9.1; 05 section 10).
namespace ee::cp {

struct DepositRequest {
  std::string amount = {};
};
BOOST_DESCRIBE_STRUCT(DepositRequest, (), (amount))
constexpr auto json_rules(json::For<DepositRequest>) {
  return std::array{json::field("amount").length(0, 32).describe("US dollars, whole cents, such as \"25.00\"")};
}
constexpr std::string_view json_name(json::For<DepositRequest>) { return "DepositRequest"; }

/// The answer to a new deposit. `client_secret` lets the payer's browser pay; it is null once that is over.
struct DepositCreated {
  std::string id = {};
  std::optional<std::string> payment_intent_id = {};
  std::optional<std::string> client_secret = {};
  UsdMicros amount = {};
  DepositStatus status = DepositStatus::creating;
};
BOOST_DESCRIBE_STRUCT(DepositCreated, (), (id, payment_intent_id, client_secret, amount, status))
constexpr std::string_view json_name(json::For<DepositCreated>) { return "DepositCreated"; }

struct DepositView {
  std::string id = {};
  std::string account_id = {};
  std::optional<std::string> payment_intent_id = {};
  UsdMicros amount = {};
  UsdMicros received = {};
  UsdMicros refunded = {};
  UsdMicros disputed = {};
  DepositStatus status = DepositStatus::creating;
  std::optional<bool> livemode = {};
  std::optional<std::string> last_error = {};
  UtcTime created_at = {};
  UtcTime updated_at = {};
};
BOOST_DESCRIBE_STRUCT(DepositView, (),
                      (id, account_id, payment_intent_id, amount, received, refunded, disputed, status, livemode,
                       last_error, created_at, updated_at))
constexpr std::string_view json_name(json::For<DepositView>) { return "Deposit"; }

struct DepositPage {
  std::vector<DepositView> items = {};
  std::optional<std::string> next_cursor = {};
};
BOOST_DESCRIBE_STRUCT(DepositPage, (), (items, next_cursor))
constexpr std::string_view json_name(json::For<DepositPage>) { return "DepositPage"; }

struct WebhookAnswer {
  bool received = true;
  bool duplicate = false;
};
BOOST_DESCRIBE_STRUCT(WebhookAnswer, (), (received, duplicate))
constexpr std::string_view json_name(json::For<WebhookAnswer>) { return "WebhookAnswer"; }

enum class StripeMode : std::uint8_t { test, live, none };
BOOST_DESCRIBE_ENUM(StripeMode, test, live, none)

/// Of a secret: whether there is one, where it comes from, and a mark by which a change shows.
struct StripeSecretView {
  bool is_set = false;
  std::string source = {};
  std::optional<std::string> fingerprint = {};
};
BOOST_DESCRIBE_STRUCT(StripeSecretView, (), (is_set, source, fingerprint))

struct StripeValidation {
  bool attempted = false;
  bool ok = false;
  std::optional<std::string> code = {};  ///< of Stripe, or why there was no answer; never its text
};
BOOST_DESCRIBE_STRUCT(StripeValidation, (), (attempted, ok, code))

struct StripeStatus {
  bool enabled = false;
  StripeMode mode = StripeMode::none;
  StripeSecretView secret_key = {};
  StripeSecretView webhook_secret = {};
  std::string webhook_path = {};
  std::optional<UtcTime> last_webhook_at = {};
  StripeValidation validation = {};
};
BOOST_DESCRIBE_STRUCT(StripeStatus, (),
                      (enabled, mode, secret_key, webhook_secret, webhook_path, last_webhook_at, validation))
constexpr std::string_view json_name(json::For<StripeStatus>) { return "StripeStatus"; }

struct StripeEventPage {
  std::vector<StripeEventRow> items = {};
  std::optional<std::string> next_cursor = {};
};
BOOST_DESCRIBE_STRUCT(StripeEventPage, (), (items, next_cursor))
constexpr std::string_view json_name(json::For<StripeEventPage>) { return "StripeEventPage"; }

}  // namespace ee::cp
