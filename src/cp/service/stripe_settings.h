#pragma once
#include <functional>
#include <vector>

#include "common/money.h"
#include "common/secret.h"
#include "common/time.h"
#include "cp/integration/stripe/stripe_types.h"

namespace ee::cp {

/// Effective values of the settings `stripe.*` that deposits and webhooks need.
struct StripeSettings {
  Secret secret_key = {};                    ///< empty: no deposits
  std::vector<Secret> webhook_secrets = {};  ///< empty: no webhooks; several while one is being replaced
  Seconds webhook_tolerance{300};
  UsdMicros min_deposit{5'000'000};
  UsdMicros max_deposit{10'000'000'000};

  bool is_live() const { return stripe::is_live_key(secret_key.reveal()); }
};
using StripeSettingsSource = std::function<StripeSettings()>;

}  // namespace ee::cp
