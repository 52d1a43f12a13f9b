#pragma once
#include <string>
#include <string_view>

#include "common/clock.h"
#include "cp/domain/cursor.h"
#include "cp/integration/stripe/stripe_client.h"
#include "cp/service/deposits_api.h"
#include "cp/service/settings.h"
#include "cp/service/stripe_settings.h"
#include "cp/store/stripe_event_store.h"
#include "db/database.h"

namespace ee::cp {

/// What administrators see of Stripe (05 section 10). Thread-safe.
class StripeAdmin {
 public:
  struct Parts {
    db::Database& database;
    stripe::StripeClient& stripe;
    SettingsService& settings;
    StripeSettingsSource values;
  };
  /// All outlive it.
  explicit StripeAdmin(Parts parts) : parts_(std::move(parts)) {}

  /// `validate`: asks Stripe whether the key works; a refusal is part of the answer, not an error.
  Result<StripeStatus> status(bool validate, const stripe::CallContext& context) const;
  Result<StripeEventPage> events(const StripeEventFilter& filter, const PageRequest& page,
                                 const CursorCodec& cursors) const;

 private:
  Result<StripeSecretView> secret(std::string_view key) const;
  Parts parts_;
  StripeEventStore events_;
};

}  // namespace ee::cp
