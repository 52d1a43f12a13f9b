#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "common/id.h"
#include "common/money.h"
#include "common/time.h"

namespace ee::cp {

/// Settings of prices, charging and funds (04 section 11).
struct BillingSettings {
  bool enabled = true;
  std::int64_t operator_bps = 7000;  ///< for new segments
  std::int64_t pool_bps = 5000;      ///< for new segments
  std::optional<AccountId> platform_account = {};
  Seconds settle_delay{300};
  std::int64_t batch_rows = 2000;
  std::int64_t batch_rows_min = 200;
  std::int64_t batch_rows_max = 10'000;
  std::int64_t max_hours_per_tick = 24;
  std::int64_t usage_detail_days = 400;
  std::int64_t warn_hours = 24;
  Seconds grace{3600};
  UsdMicros max_overdraft{25'000'000};
  std::int64_t min_prepaid_hours = 1;
  std::map<std::string, UsdMicros> capacity_month = {};  ///< by node size
};
using BillingSettingsSource = std::function<BillingSettings()>;

}  // namespace ee::cp
