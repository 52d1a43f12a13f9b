#pragma once
#include <boost/describe/enum.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/error.h"
#include "common/id.h"
#include "common/time.h"

/// The ledger's own words (04 section 6): a group of lines that sums to zero is posted as a whole, once, for ever.
namespace ee::cp {

enum class LedgerKind : std::uint8_t { usage, deposit, refund, dispute, credit, adjustment, payout, capacity };
BOOST_DESCRIBE_ENUM(LedgerKind, usage, deposit, refund, dispute, credit, adjustment, payout, capacity)

enum class TransactionType : std::uint8_t {
  charge,
  earning,
  contributor_credit,
  platform_revenue,
  deposit,
  refund,
  dispute,
  dispute_reversal,
  credit,
  adjustment,
  withdrawal,
  capacity_charge,
  capacity_refund
};
BOOST_DESCRIBE_ENUM(TransactionType, charge, earning, contributor_credit, platform_revenue, deposit, refund, dispute,
                    dispute_reversal, credit, adjustment, withdrawal, capacity_charge, capacity_refund)
std::string_view to_string(TransactionType type);
std::string_view to_string(LedgerKind kind);

/// The fixed system accounts: the other side of every group. Made by the migration; of type `system`.
inline const AccountId kPlatformAccount{"00000000-0000-7000-8000-000000000001"};     ///< revenue
inline const AccountId kStripeAccount{"00000000-0000-7000-8000-000000000002"};       ///< money at Stripe
inline const AccountId kGrantsAccount{"00000000-0000-7000-8000-000000000003"};       ///< credits given
inline const AccountId kAdjustmentsAccount{"00000000-0000-7000-8000-000000000004"};  ///< corrections
inline const AccountId kPayoutsAccount{"00000000-0000-7000-8000-000000000005"};      ///< money paid out
inline const AccountId kDisputesAccount{"00000000-0000-7000-8000-000000000006"};     ///< money taken back by banks

/// The largest amount of one line, in micro-dollars.
inline constexpr std::int64_t kLineMicrosMax = 9'000'000'000'000'000;
/// Bytes of a group's description.
inline constexpr std::size_t kDescriptionMax = 200;

/// One side of a group. A positive amount raises the account's balance.
struct LedgerLine {
  AccountId account = {};
  std::int64_t amount_micros = 0;  ///< never 0, at most kLineMicrosMax either way
  TransactionType type = TransactionType::adjustment;
  bool operator==(const LedgerLine&) const = default;
};

/// A group as a caller wants it posted.
struct LedgerPosting {
  LedgerKind kind = LedgerKind::adjustment;
  std::string idempotency_key = {};  ///< names the fact that is posted; the forms are in 04 section 6.2
  std::vector<LedgerLine> lines = {};
  std::optional<UtcTime> period_start = {};  ///< of usage: the hour
  std::string reference_type = {};           ///< empty: none
  std::string reference_id = {};
  std::string description = {};  ///< at most kDescriptionMax bytes; no secrets
  std::string actor = {};        ///< `<kind>:<id>`, as in the audit log
  /// This account's balance with its credit limit may not end below zero, else nothing is posted.
  std::optional<AccountId> must_not_overdraw = {};
  std::optional<std::string> group_id = {};  ///< a UUID that the caller chose; else one is made
};

/// Checks what needs no database: at least two lines, no empty or oversized text, no line of zero, and both halves (the
/// money that goes and the money that comes) equal and within 64 bits. Errors: `amount_out_of_range`; `internal_error`
/// for a group that does not balance or is malformed otherwise, which is a mistake of the program.
Result<void> check_posting(const LedgerPosting& posting);

/// The lines in the order in which they are stored and locked: by account, then type, then amount.
std::vector<LedgerLine> sorted_lines(std::vector<LedgerLine> lines);

/// SHA-256, in hex, of the canonical lines (account, amount, type): what makes two groups of one key the same.
std::string content_sha256(const std::vector<LedgerLine>& lines);

/// What the group does to each account's balance, by account. Requires a posting that passed check_posting.
std::map<AccountId, std::int64_t> balance_changes(const std::vector<LedgerLine>& lines);

/// A text that fits a group's description: cut at kDescriptionMax bytes, between characters.
std::string fitting_description(std::string text);

}  // namespace ee::cp
