#pragma once
#include <vector>

#include "common/clock.h"
#include "cp/domain/cursor.h"
#include "cp/http/route.h"
#include "cp/service/deposits.h"
#include "cp/service/stripe_admin.h"
#include "cp/service/stripe_webhook.h"

namespace ee::cp {

/// Deposits of accounts, Stripe's webhook, and what administrators see of Stripe.
struct DepositRoutes {
  Deposits& deposits;
  StripeWebhook& webhook;
  StripeAdmin& admin;
  const CursorCodec& cursors;
};

void add_deposit_routes(std::vector<Route>& table, DepositRoutes& context);

}  // namespace ee::cp
