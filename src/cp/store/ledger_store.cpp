#include "cp/store/ledger_store.h"

#include <boost/describe.hpp>
#include <limits>

#include "cp/domain/month.h"

namespace ee::cp {

namespace {

struct Posted {
  std::string id;
  std::string content_sha256;
};
BOOST_DESCRIBE_STRUCT(Posted, (), (id, content_sha256))

std::optional<std::string> or_null(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

Result<std::optional<Posted>> find_key(db::Transaction& tx, const std::string& key) {
  return tx.query_one<Posted>("SELECT id, content_sha256 FROM ledger_groups WHERE idempotency_key=:key",
                              {{"key", key}});
}

/// Why the conditional update of a balance found no row.
Error refusal_of(db::Transaction& tx, const AccountId& account, bool funds_are_asked) {
  const auto known = tx.query_one<std::int64_t>("SELECT balance_micros FROM account_balances WHERE account_id=:account",
                                                {{"account", account}});
  if (!known) return known.error();
  if (!*known) return {.code = ErrorCode::account_not_found, .detail = "an account of a ledger group has no balance"};
  if (funds_are_asked) return {.code = ErrorCode::insufficient_funds};
  return {.code = ErrorCode::amount_out_of_range, .detail = "a balance would leave 64 bits"};
}

Result<void> change_balance(db::Transaction& tx, const AccountId& account, std::int64_t change, bool must_not_overdraw,
                            UtcTime now) {
  constexpr std::int64_t kLowest = std::numeric_limits<std::int64_t>::min();
  constexpr std::int64_t kHighest = std::numeric_limits<std::int64_t>::max();
  // Balances from which the change stays within 64 bits: the engines do not agree on what an overflow is.
  db::Params params = {{"account", account},
                       {"change", change},
                       {"now", now},
                       {"low", change < 0 ? kLowest - change : kLowest},
                       {"high", change > 0 ? kHighest - change : kHighest}};
  const bool ask_funds = must_not_overdraw && change < 0;
  Result<std::int64_t> changed = 0;
  if (ask_funds) {
    params.emplace_back("needed", -change);
    changed = tx.execute(
        "UPDATE account_balances SET balance_micros=balance_micros+:change, version=version+1, updated_at=:now "
        "WHERE account_id=:account AND balance_micros BETWEEN :low AND :high AND balance_micros >= :needed - "
        "(SELECT credit_limit_micros FROM accounts WHERE id=:account)",
        params);
  } else {
    changed = tx.execute(
        "UPDATE account_balances SET balance_micros=balance_micros+:change, version=version+1, updated_at=:now "
        "WHERE account_id=:account AND balance_micros BETWEEN :low AND :high",
        params);
  }
  if (!changed) return std::unexpected(std::move(changed.error()));
  if (*changed != 1) return std::unexpected(refusal_of(tx, account, ask_funds));
  // By the time that the lines have, so that a clock that went back leaves no month wrong. The balance's row is locked.
  const auto of_month = tx.execute(
      "INSERT INTO account_months (account_id, month_start_at, amount_micros) VALUES (:account, :month, :change) "
      "ON CONFLICT (account_id, month_start_at) DO UPDATE SET "
      "amount_micros=account_months.amount_micros+excluded.amount_micros",
      {{"account", account}, {"month", Month::of(now).begin()}, {"change", change}});
  if (!of_month) return std::unexpected(of_month.error());
  return {};
}

}  // namespace

Result<PostOutcome> LedgerStore::post(db::Transaction& tx, const LedgerPosting& posting, UtcTime now) const {
  if (auto sound = check_posting(posting); !sound) return std::unexpected(std::move(sound.error()));
  const std::string content = content_sha256(posting.lines);
  auto known = find_key(tx, posting.idempotency_key);
  if (!known) return std::unexpected(std::move(known.error()));
  if (*known) {
    if ((*known)->content_sha256 != content)
      return fail(ErrorCode::ledger_key_conflict, "the ledger key " + posting.idempotency_key + " has other lines");
    return PostOutcome{.group_id = std::move((*known)->id), .duplicate = true};
  }
  // Before the lines: an account without a balance is then told as such, not as a broken reference.
  for (const auto& [account, change] : balance_changes(posting.lines)) {
    const bool guarded = posting.must_not_overdraw == account;
    if (auto done = change_balance(tx, account, change, guarded, now); !done)
      return std::unexpected(std::move(done.error()));
  }
  auto group = write_group(tx, posting, content, now);
  if (!group) return std::unexpected(std::move(group.error()));
  return PostOutcome{.group_id = std::move(*group), .duplicate = false};
}

Result<std::string> LedgerStore::write_group(db::Transaction& tx, const LedgerPosting& posting,
                                             const std::string& content, UtcTime now) const {
  const auto group = posting.group_id ? posting.group_id : new_uuid_v7(now, random_);
  if (!group) return fail(ErrorCode::internal_error, "the CSPRNG failed");
  const auto reference_type = or_null(posting.reference_type);
  const auto reference_id = or_null(posting.reference_id);
  std::int64_t line_no = 0;
  for (const LedgerLine& line : sorted_lines(posting.lines)) {
    const auto id = new_uuid_v7(now, random_);
    if (!id) return fail(ErrorCode::internal_error, "the CSPRNG failed");
    const auto written = tx.execute(
        "INSERT INTO transactions (id, group_id, line_no, account_id, amount_micros, tx_type, period_start_at, "
        "reference_type, reference_id, created_at) VALUES (:id, :group, :line_no, :account, :amount, :type, :period, "
        ":reference_type, :reference_id, :now)",
        {{"id", *id},
         {"group", *group},
         {"line_no", ++line_no},
         {"account", line.account},
         {"amount", line.amount_micros},
         {"type", line.type},
         {"period", posting.period_start},
         {"reference_type", reference_type},
         {"reference_id", reference_id},
         {"now", now}});
    if (!written) return std::unexpected(written.error());
  }
  // The header last: it seals the lines, and the engine refuses it unless they are complete and sum to zero.
  const auto sealed = tx.execute(
      "INSERT INTO ledger_groups (id, kind, idempotency_key, content_sha256, line_count, reference_type, reference_id, "
      "description, actor, created_at) VALUES (:id, :kind, :key, :content, :lines, :reference_type, :reference_id, "
      ":description, :actor, :now)",
      {{"id", *group},
       {"kind", posting.kind},
       {"key", posting.idempotency_key},
       {"content", content},
       {"lines", line_no},
       {"reference_type", reference_type},
       {"reference_id", reference_id},
       {"description", posting.description},
       {"actor", posting.actor},
       {"now", now}});
  if (!sealed) return std::unexpected(sealed.error());
  return *group;
}

}  // namespace ee::cp
