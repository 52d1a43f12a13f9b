#include "cp/service/ledger_admin.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/redact.h"
#include "cp/service/billing_clock.h"
#include "cp/store/audit_log_store.h"
#include "cp/store/meta_store.h"

namespace ee::cp {

namespace {

constexpr UsdMicros kSmallest{1};
constexpr UsdMicros kCreditMax{100'000'000'000};         // 100,000 dollars
constexpr UsdMicros kCreditLimitMax{9'000'000'000'000};  // as the table of accounts allows

constexpr std::size_t kReferenceBytes = 200;  // as the ledger takes

/// What an audit row says of the change of a number of dollars.
std::string change_detail(std::string_view what, UsdMicros before, UsdMicros after, std::string_view reason) {
  return fmt::format(R"("{0}_before":"{1}","{0}_after":"{2}","reason":{3})", what, to_usd_text(before),
                     to_usd_text(after), json::quote(reason));
}

}  // namespace

/// One administrator's posting between an account and one of the system's.
struct LedgerAdmin::Move {
  LedgerKind kind = LedgerKind::adjustment;
  TransactionType type = TransactionType::adjustment;
  std::string_view audit_action = {};
  AccountId account = {};
  AccountId other = {};
  UsdMicros amount = {};  ///< as the account's balance moves
  std::string reason = {};
  std::optional<std::string> external_reference = {};
  bool must_not_overdraw = false;
  bool stops_when_halted = false;
  bool open_accounts_only = false;
};

Result<IdempotentAnswer> LedgerAdmin::credit(const AccountId& account, const CreditRequest& wanted,
                                             const IdempotentRequest& request, const Actor& actor) const {
  const auto amount = read_amount("amount", wanted.amount, {.low = kSmallest, .high = kCreditMax});
  if (!amount) return std::unexpected(amount.error());
  return post({.kind = LedgerKind::credit,
               .type = TransactionType::credit,
               .audit_action = "credit_posted",
               .account = account,
               .other = kGrantsAccount,
               .amount = *amount,
               .reason = wanted.reason,
               .stops_when_halted = true,
               .open_accounts_only = true},
              request, actor);
}

Result<IdempotentAnswer> LedgerAdmin::adjust(const AccountId& account, const MoneyMoveRequest& wanted,
                                             const IdempotentRequest& request, const Actor& actor) const {
  const auto amount = read_amount("amount", wanted.amount, {.low = {-kLineMicrosMax}, .high = {kLineMicrosMax}});
  if (!amount) return std::unexpected(amount.error());
  return post({.kind = LedgerKind::adjustment,
               .type = TransactionType::adjustment,
               .audit_action = "adjustment_posted",
               .account = account,
               .other = kAdjustmentsAccount,
               .amount = *amount,
               .reason = wanted.reason,
               .external_reference = wanted.external_reference},
              request, actor);
}

Result<IdempotentAnswer> LedgerAdmin::payout(const AccountId& account, const MoneyMoveRequest& wanted,
                                             const IdempotentRequest& request, const Actor& actor) const {
  const auto amount = read_amount("amount", wanted.amount, {.low = kSmallest, .high = {kLineMicrosMax}});
  if (!amount) return std::unexpected(amount.error());
  return post({.kind = LedgerKind::payout,
               .type = TransactionType::withdrawal,
               .audit_action = "payout_posted",
               .account = account,
               .other = kPayoutsAccount,
               .amount = {-amount->value},
               .reason = wanted.reason,
               .external_reference = wanted.external_reference,
               .must_not_overdraw = true,
               .stops_when_halted = true},
              request, actor);
}

Result<IdempotentAnswer> LedgerAdmin::post(const Move& move, const IdempotentRequest& request,
                                           const Actor& actor) const {
  for (const auto& [field, text] : {std::pair<std::string_view, std::string>{"reason", move.reason},
                                    {"external_reference", move.external_reference.value_or("")}}) {
    const bool plain =
        std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
    const bool fits = field == "reason" || text.size() <= kReferenceBytes;
    if (plain && fits) continue;
    return fail(Error{.code = ErrorCode::invalid_request,
                      .fields = {{.field = std::string(field),
                                  .code = plain ? "too_long" : "bad_format",
                                  .detail = plain ? "at most 200 bytes" : "plain text without control characters"}}});
  }
  auto answer = idempotency_.run(
      request, [&](db::Transaction& tx) -> Result<EffectAnswer> { return effect(tx, move, request.key, actor); });
  // The ledger remembers keys for ever; one that comes back with another act is the caller's mistake.
  if (!answer && answer.error().code == ErrorCode::ledger_key_conflict) return fail(ErrorCode::idempotency_key_reused);
  return answer;
}

Result<EffectAnswer> LedgerAdmin::effect(db::Transaction& tx, const Move& move, const std::string& key,
                                         const Actor& actor) const {
  const auto account = queries_.account(tx, move.account);
  if (!account) return std::unexpected(account.error());
  if (move.stops_when_halted)
    if (auto running = meta_.require_running(tx); !running) return std::unexpected(running.error());
  if (move.open_accounts_only && account->status == "closed") return fail(ErrorCode::account_closed);
  const auto before = queries_.balance(tx, move.account);
  if (!before) return std::unexpected(before.error());
  const auto posted = parts_.ledger.post(
      tx, {.kind = move.kind,
           .idempotency_key = "admin:" + key,
           .lines = {{move.account, move.amount.value, move.type}, {move.other, -move.amount.value, move.type}},
           .reference_type = move.external_reference ? "external" : "",
           .reference_id = scrub(move.external_reference.value_or("")),
           .description = fitting_description(scrub(move.reason)),
           .actor = actor.name,
           .must_not_overdraw = move.must_not_overdraw ? std::optional(move.account) : std::nullopt});
  if (!posted) return std::unexpected(posted.error());
  const auto line = queries_.line_of(tx, posted->group_id, move.account);
  if (!line) return std::unexpected(line.error());
  if (!*line) return fail(ErrorCode::internal_error, "a posted group has no line of its account");
  if (!posted->duplicate) {
    const UsdMicros after{before->value + move.amount.value};
    std::string detail =
        fmt::format(R"({{"amount":"{}","group_id":{},{})", to_usd_text(move.amount), json::quote(posted->group_id),
                    change_detail("balance", *before, after, move.reason));
    if (move.external_reference) detail += R"(,"external_reference":)" + json::quote(*move.external_reference);
    detail += '}';
    if (auto done = audit(tx, move.audit_action, move.account, actor, detail); !done)
      return std::unexpected(done.error());
  }
  return EffectAnswer{.status = 201, .body = json::write(view_of(**line))};
}

Result<LimitsView> LedgerAdmin::set_limits(const AccountId& account, const LimitsRequest& wanted,
                                           const Actor& actor) const {
  const auto limit = read_amount_or_zero("credit_limit", wanted.credit_limit, {.low = {}, .high = kCreditLimitMax});
  if (!limit) return std::unexpected(limit.error());
  return parts_.database.write<LimitsView>([&](db::Transaction& tx) -> Result<LimitsView> {
    const auto known = queries_.account(tx, account);
    if (!known) return std::unexpected(known.error());
    const auto changed =
        tx.execute("UPDATE accounts SET credit_limit_micros=:limit, updated_at=:now, version=version+1 WHERE id=:id",
                   {{"limit", *limit}, {"now", parts_.clock.now()}, {"id", account}});
    if (!changed) return std::unexpected(changed.error());
    const std::string detail =
        "{" + change_detail("credit_limit", known->credit_limit_micros, *limit, wanted.reason) + "}";
    if (auto done = audit(tx, "limits_changed", account, actor, detail); !done) return std::unexpected(done.error());
    return LimitsView{.account_id = account.str(), .credit_limit = *limit};
  });
}

Result<BillingHaltView> LedgerAdmin::resume(const std::string& reason, const Actor& actor) const {
  auto view = parts_.database.write<BillingHaltView>([&](db::Transaction& tx) -> Result<BillingHaltView> {
    const auto halted_for = meta_.halted_reason(tx);
    if (!halted_for) return std::unexpected(halted_for.error());
    // The administrator says that the clock is right; a halt of another reason says nothing of it.
    if (*halted_for == kClockLeaptReason)
      if (auto accepted = MetaStore().raise(tx, kClockLeapsAcceptedKey); !accepted)
        return std::unexpected(accepted.error());
    const auto was_halted = meta_.resume(tx);
    if (!was_halted) return std::unexpected(was_halted.error());
    const std::string detail = fmt::format(R"({{"was_halted":{},"reason":{}}})", *was_halted, json::quote(reason));
    if (auto done = audit(tx, "billing_resumed", std::nullopt, actor, detail); !done)
      return std::unexpected(done.error());
    return BillingHaltView{.halted = false, .was_halted = *was_halted};
  });
  if (view) parts_.alarm.clear();
  return view;
}

Result<void> LedgerAdmin::audit(db::Transaction& tx, std::string_view action, const std::optional<AccountId>& account,
                                const Actor& actor, const std::string& detail) const {
  const auto written = AuditLogStore().append(tx,
                                              {.actor = actor.name,
                                               .action = std::string(action),
                                               .object_type = account ? "account" : "billing",
                                               .object_id = account ? std::optional(account->str()) : std::nullopt,
                                               .request_id = actor.request_id,
                                               .client_address = actor.client_address,
                                               .detail = detail},
                                              parts_.clock.now(), parts_.random);
  if (!written) return std::unexpected(written.error());
  return {};
}

}  // namespace ee::cp
