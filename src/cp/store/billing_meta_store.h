#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "common/time.h"
#include "db/database.h"

namespace ee::cp {

/// The halt in table `billing_meta` (04 sections 6.3, 7.4): while it is on, charging, payouts and credits stop;
/// deposits still post. The row is made at its first need. Stateless.
class BillingMetaStore {
 public:
  Result<bool> halted(db::Transaction& tx) const;
  /// Why; nothing when it is not halted.
  Result<std::optional<std::string>> halted_reason(db::Transaction& tx) const;
  /// Errors: `billing_halted`.
  Result<void> require_running(db::Transaction& tx) const;
  /// True when it was not halted before; an earlier reason stays. A row made here lets charging begin with the hour
  /// before `now`: nothing ran earlier, else the row had existed.
  Result<bool> halt(db::Transaction& tx, std::string_view reason, UtcTime now) const;
  /// True when it was halted.
  Result<bool> resume(db::Transaction& tx) const;
};

}  // namespace ee::cp
