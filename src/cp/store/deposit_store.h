#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/id.h"
#include "common/money.h"
#include "cp/domain/cursor.h"
#include "cp/domain/deposit.h"
#include "db/database.h"

namespace ee::cp {

struct DepositRow {
  std::string id = {};
  AccountId account_id = {};
  UsdMicros amount_micros = {};  ///< asked for: whole cents
  DepositStatus status = DepositStatus::creating;
  std::optional<std::string> payment_intent_id = {};
  std::optional<bool> livemode = {};
  UsdMicros received_micros = {};
  UsdMicros refunded_micros = {};
  UsdMicros disputed_micros = {};
  std::optional<std::string> last_error = {};  ///< a code of Stripe's
  std::optional<std::string> group_id = {};    ///< of the ledger
  UtcTime created_at = {};
  UtcTime updated_at = {};
  std::optional<UtcTime> next_check_at = {};
  bool operator==(const DepositRow&) const = default;
};
BOOST_DESCRIBE_STRUCT(DepositRow, (),
                      (id, account_id, amount_micros, status, payment_intent_id, livemode, received_micros,
                       refunded_micros, disputed_micros, last_error, group_id, created_at, updated_at, next_check_at))

enum class StripeObjectKind : std::uint8_t { refund, dispute };
BOOST_DESCRIBE_ENUM(StripeObjectKind, refund, dispute)

/// What the ledger holds of a refund or dispute.
enum class StripeMoney : std::uint8_t { none, out, back };
BOOST_DESCRIBE_ENUM(StripeMoney, none, out, back)

/// A refund or dispute; `id` is Stripe's.
struct StripeObjectRow {
  std::string id = {};
  StripeObjectKind kind = StripeObjectKind::refund;
  std::optional<std::string> deposit_id = {};
  UsdMicros amount_micros = {};
  std::string status = {};  ///< Stripe's; `lost_lifted`: a lost dispute whose hold an administrator has lifted
  StripeMoney money = StripeMoney::none;
  int withdrawals = 0;                   ///< of a dispute: how often its funds went out
  std::optional<UtcTime> moved_at = {};  ///< of a dispute: Stripe's time of the last news about its funds
  UtcTime updated_at = {};
  bool operator==(const StripeObjectRow&) const = default;
};
BOOST_DESCRIBE_STRUCT(StripeObjectRow, (),
                      (id, kind, deposit_id, amount_micros, status, money, withdrawals, moved_at, updated_at))

/// Tables `deposits` and `stripe_objects`, and the holds that disputes set on accounts. Stateless.
class DepositStore {
 public:
  Result<void> insert(db::Transaction& tx, const DepositRow& row) const;
  Result<std::optional<DepositRow>> find(db::Transaction& tx, std::string_view id) const;
  Result<std::optional<DepositRow>> find_by_intent(db::Transaction& tx, std::string_view payment_intent_id) const;
  /// Newest first.
  Result<Page<DepositRow>> list(db::Transaction& tx, const AccountId& account, const PageRequest& page) const;
  /// Those whose check is due, the longest due first.
  Result<std::vector<DepositRow>> due(db::Transaction& tx, UtcTime now, std::int64_t limit) const;
  /// Writes all that changes after the insert, if the status is still `from`. Errors: `concurrent_update`.
  Result<void> update(db::Transaction& tx, const DepositRow& row, DepositStatus from) const;
  /// Of one that is still unpaid: when to look at it next.
  Result<void> check_at(db::Transaction& tx, std::string_view id, UtcTime when) const;
  /// Times of the newest `limit` deposits that were created after `since`, newest first.
  Result<std::vector<UtcTime>> created_since(db::Transaction& tx, const AccountId& account, UtcTime since,
                                             std::int64_t limit) const;
  Result<std::int64_t> count_unpaid(db::Transaction& tx, const AccountId& account) const;

  Result<std::optional<StripeObjectRow>> find_object(db::Transaction& tx, std::string_view id) const;
  Result<void> put_object(db::Transaction& tx, const StripeObjectRow& row) const;
  /// Refunds of a deposit that take money and were not posted, for they exceeded it; the first told first.
  Result<std::vector<StripeObjectRow>> waiting_refunds(db::Transaction& tx, std::string_view deposit_id,
                                                       std::int64_t limit) const;

  Result<bool> has_hold(db::Transaction& tx, const AccountId& account) const;
  /// Sets the hold. Where there was none, lost disputes of before have been lifted by an administrator, and count no
  /// more.
  Result<void> hold(db::Transaction& tx, const AccountId& account, UtcTime now) const;
  Result<void> release(db::Transaction& tx, const AccountId& account, UtcTime now) const;
  /// Whether a dispute of this account other than `except` is open, or lost with its hold not lifted.
  Result<bool> has_holding_dispute(db::Transaction& tx, const AccountId& account, std::string_view except) const;
};

}  // namespace ee::cp
