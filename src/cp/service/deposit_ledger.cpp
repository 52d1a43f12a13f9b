#include "cp/service/deposit_ledger.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "common/json.h"
#include "common/require.h"

namespace ee::cp {
namespace {

constexpr std::string_view kCurrency = "usd";
constexpr std::int64_t kWaitingAtOnce = 100;  // refunds of one deposit

UsdMicros from_cents(std::int64_t cents) { return {cents * kMicrosPerCent}; }

/// Action of the audit row when a deposit gets there; empty: none.
std::string_view action_of(DepositStatus status) {
  switch (status) {
    case DepositStatus::creating:
    case DepositStatus::requires_payment: return {};
    case DepositStatus::processing: return "deposit_processing";
    case DepositStatus::failed: return "deposit_failed";
    case DepositStatus::canceled: return "deposit_canceled";
    case DepositStatus::succeeded: return "deposit_succeeded";
  }
  return {};
}

std::string amount_member(std::string_view name, UsdMicros amount) {
  return fmt::format(R"("{}":"{}")", name, to_usd_text(amount));
}

/// Statuses of a refund that takes money, and of one that ended without.
bool takes_money(std::string_view status) {
  constexpr std::array<std::string_view, 3> kTaking = {"pending", "requires_action", "succeeded"};
  return std::ranges::find(kTaking, status) != kTaking.end();
}
bool is_dead(std::string_view status) { return status == "failed" || status == "canceled"; }

/// Names and ledger words of a refund and a dispute.
struct Words {
  LedgerKind kind;
  TransactionType out;
  TransactionType back;
  AccountId other_side;
  std::string_view key;
  std::string_view out_suffix;
  std::string_view back_suffix;
  std::string_view name;
  std::string_view out_action;
  std::string_view back_action;
};

Words words_of(StripeObjectKind kind) {
  if (kind == StripeObjectKind::refund)
    return {.kind = LedgerKind::refund,
            .out = TransactionType::refund,
            .back = TransactionType::refund,
            .other_side = kStripeAccount,
            .key = "stripe:re:",
            .out_suffix = "",
            .back_suffix = ":rev",
            .name = "refund",
            .out_action = "refund_posted",
            .back_action = "refund_reversed"};
  return {.kind = LedgerKind::dispute,
          .out = TransactionType::dispute,
          .back = TransactionType::dispute_reversal,
          .other_side = kDisputesAccount,
          .key = "stripe:dp:",
          .out_suffix = ":out",
          .back_suffix = ":in",
          .name = "dispute",
          .out_action = "dispute_funds_withdrawn",
          .back_action = "dispute_funds_reinstated"};
}

/// The ledger's key of one movement. The second and later withdrawals of one dispute have their number in it.
std::string key_of(const Words& words, const StripeObjectRow& object, bool out) {
  std::string key = fmt::format("{}{}{}", words.key, object.id, out ? words.out_suffix : words.back_suffix);
  if (object.withdrawals > 1) key += fmt::format(":{}", object.withdrawals);
  return key;
}

bool exceeds(const DepositRow& deposit, const StripeObjectRow& refund) {
  return deposit.refunded_micros.value + refund.amount_micros.value > deposit.received_micros.value;
}

}  // namespace

DepositStatus status_of(stripe::IntentStatus status) {
  switch (status) {
    case stripe::IntentStatus::requires_payment: return DepositStatus::requires_payment;
    case stripe::IntentStatus::processing: return DepositStatus::processing;
    case stripe::IntentStatus::canceled: return DepositStatus::canceled;
    case stripe::IntentStatus::succeeded: return DepositStatus::succeeded;
  }
  return DepositStatus::requires_payment;
}

std::optional<std::string_view> DepositLedger::mismatch(const DepositRow& deposit,
                                                        const stripe::PaymentIntent& intent) {
  if (intent.account_id != deposit.account_id.str() || intent.deposit_id != deposit.id) return "account_mismatch";
  if (deposit.payment_intent_id && *deposit.payment_intent_id != intent.id) return "intent_mismatch";
  if (intent.currency != kCurrency) return "currency_mismatch";
  if (intent.status == stripe::IntentStatus::succeeded && intent.amount_received <= 0) return "nothing_received";
  return std::nullopt;
}

Result<void> DepositLedger::audit(db::Transaction& tx, std::string_view action, const DepositRow& deposit,
                                  const Actor& actor, UtcTime now, std::string_view detail_members) const {
  const std::string intent =
      deposit.payment_intent_id ? R"(,"payment_intent_id":)" + json::quote(*deposit.payment_intent_id) : "";
  const AuditEntry entry{
      .actor = actor.name,
      .action = std::string(action),
      .object_type = "deposit",
      .object_id = deposit.id,
      .result = action == "deposit_failed" ? AuditResult::failed : AuditResult::ok,
      .request_id = actor.request_id.empty() ? std::nullopt : std::optional(actor.request_id),
      .client_address = actor.client_address.empty() ? std::nullopt : std::optional(actor.client_address),
      .detail = fmt::format(R"({{"account_id":{},{}{}{}{}}})", json::quote(deposit.account_id.str()),
                            amount_member("amount", deposit.amount_micros), intent, detail_members.empty() ? "" : ",",
                            detail_members)};
  const auto written = audit_.append(tx, entry, now, random_);
  if (!written) return std::unexpected(written.error());
  return {};
}

Result<std::string> DepositLedger::post(db::Transaction& tx, const LedgerPosting& posting, UtcTime now) const {
  if (before_post_) before_post_();
  auto posted = ledger_.post(tx, posting, now);
  if (!posted) return std::unexpected(std::move(posted.error()));
  return std::move(posted->group_id);
}

Result<void> DepositLedger::intent_said(db::Transaction& tx, DepositRow& deposit, const stripe::PaymentIntent& intent,
                                        DepositStatus said, const Actor& actor, UtcTime now) const {
  const DepositStatus from = deposit.status;
  const auto next = next_status(from, said);
  bool changed = next.has_value();
  if (!deposit.payment_intent_id) {
    deposit.payment_intent_id = intent.id;
    deposit.livemode = intent.livemode;
    changed = true;
  }
  if (said == DepositStatus::requires_payment && is_unpaid(from) && !intent.last_error.empty() &&
      deposit.last_error != intent.last_error) {
    deposit.last_error = intent.last_error;
    changed = true;
  }
  if (!changed) return {};
  if (next) {
    deposit.status = *next;
    deposit.next_check_at.reset();
    if (is_unpaid(*next)) deposit.next_check_at = now + kFirstCheckAfter;
  }
  if (next == DepositStatus::succeeded) {
    require(intent.amount_received > 0);
    deposit.received_micros = from_cents(intent.amount_received);
    const std::int64_t micros = deposit.received_micros.value;
    auto group = post(tx,
                      {.kind = LedgerKind::deposit,
                       .idempotency_key = "stripe:pi:" + intent.id,
                       .lines = {{deposit.account_id, micros, TransactionType::deposit},
                                 {kStripeAccount, -micros, TransactionType::deposit}},
                       .reference_type = "deposit",
                       .reference_id = deposit.id,
                       .description = "deposit",
                       .actor = actor.name},
                      now);
    if (!group) return std::unexpected(group.error());
    deposit.group_id = std::move(*group);
  }
  deposit.updated_at = now;
  if (auto done = deposits_.update(tx, deposit, from); !done) return done;
  if (!next) return {};
  if (next == DepositStatus::succeeded) {
    const std::string received = amount_member("received", deposit.received_micros);
    if (!is_unpaid(from))
      if (auto done = audit(tx, "deposit_late_success", deposit, actor, now, received); !done) return done;
    if (deposit.received_micros != deposit.amount_micros)
      if (auto done = audit(tx, "deposit_amount_differs", deposit, actor, now, received); !done) return done;
    return audit(tx, "deposit_succeeded", deposit, actor, now, received);
  }
  if (action_of(*next).empty()) return {};
  return audit(tx, action_of(*next), deposit, actor, now);
}

Result<void> DepositLedger::create_refused(db::Transaction& tx, DepositRow& deposit, const std::string& code,
                                           const Actor& actor, UtcTime now) const {
  const DepositStatus from = deposit.status;
  const auto next = next_status(from, DepositStatus::failed);
  if (!next || deposit.payment_intent_id) return {};  // a webhook has told better meanwhile
  deposit.status = *next;
  deposit.last_error = code;
  deposit.next_check_at.reset();
  deposit.updated_at = now;
  if (auto done = deposits_.update(tx, deposit, from); !done) return done;
  return audit(tx, action_of(*next), deposit, actor, now, R"("error":)" + json::quote(code));
}

// ---- money that goes back -------------------------------------------------------------------------------------------

Result<void> DepositLedger::move_money(db::Transaction& tx, DepositRow& deposit, StripeObjectRow& object,
                                       StripeMoney to, const Actor& actor, UtcTime now) const {
  const Words words = words_of(object.kind);
  const bool out = to == StripeMoney::out;
  const std::int64_t micros = object.amount_micros.value;
  const std::int64_t change = out ? -micros : micros;
  const TransactionType type = out ? words.out : words.back;
  const auto group = post(tx,
                          {.kind = words.kind,
                           .idempotency_key = key_of(words, object, out),
                           .lines = {{deposit.account_id, change, type}, {words.other_side, -change, type}},
                           .reference_type = std::string(words.name),
                           .reference_id = object.id,
                           .description = fmt::format("{}{}", words.name, out ? "" : " taken back"),
                           .actor = actor.name},
                          now);
  if (!group) return std::unexpected(group.error());
  object.money = to;
  UsdMicros& total = object.kind == StripeObjectKind::refund ? deposit.refunded_micros : deposit.disputed_micros;
  total.value -= change;
  deposit.updated_at = now;
  if (auto done = deposits_.update(tx, deposit, deposit.status); !done) return done;
  return audit(tx, out ? words.out_action : words.back_action, deposit, actor, now,
               fmt::format(R"("{}_id":{},{})", words.name, json::quote(object.id),
                           amount_member("moved", object.amount_micros)));
}

Result<StripeVerdict> DepositLedger::refund_said(db::Transaction& tx, DepositRow& deposit, const stripe::Refund& refund,
                                                 const Actor& actor, UtcTime now) const {
  auto found = deposits_.find_object(tx, refund.id);
  if (!found) return std::unexpected(found.error());
  StripeObjectRow object = found->value_or(StripeObjectRow{.id = refund.id, .kind = StripeObjectKind::refund});
  if (object.deposit_id && *object.deposit_id != deposit.id) return StripeVerdict::unmatched("refund_of_another");
  const bool was_dead = is_dead(object.status);
  object.deposit_id = deposit.id;
  object.updated_at = now;
  if (object.money == StripeMoney::none) object.amount_micros = from_cents(refund.amount);
  if (!was_dead) object.status = refund.status;  // what failed or was cancelled stays so, whatever arrives late
  if (takes_money(refund.status) && object.money == StripeMoney::none && !was_dead) {
    if (refund.currency != kCurrency) return StripeVerdict::unmatched("currency_mismatch");
    if (exceeds(deposit, object)) {
      if (auto done = deposits_.put_object(tx, object); !done) return std::unexpected(done.error());
      return StripeVerdict::unmatched("refund_exceeds_deposit");
    }
    if (auto done = move_money(tx, deposit, object, StripeMoney::out, actor, now); !done)
      return std::unexpected(done.error());
  } else if (is_dead(refund.status) && object.money == StripeMoney::out) {
    if (auto done = move_money(tx, deposit, object, StripeMoney::back, actor, now); !done)
      return std::unexpected(done.error());
    if (auto done = post_waiting(tx, deposit, actor, now); !done) return std::unexpected(done.error());
  }
  if (auto done = deposits_.put_object(tx, object); !done) return std::unexpected(done.error());
  return StripeVerdict{};
}

/// A refund may be told before the failure of the one in whose place it was made.
Result<void> DepositLedger::post_waiting(db::Transaction& tx, DepositRow& deposit, const Actor& actor,
                                         UtcTime now) const {
  auto waiting = deposits_.waiting_refunds(tx, deposit.id, kWaitingAtOnce);
  if (!waiting) return std::unexpected(waiting.error());
  for (StripeObjectRow& refund : *waiting) {
    if (exceeds(deposit, refund)) continue;
    if (auto done = move_money(tx, deposit, refund, StripeMoney::out, actor, now); !done) return done;
    refund.updated_at = now;
    if (auto done = deposits_.put_object(tx, refund); !done) return done;
  }
  return {};
}

/// Funds can only be given back after they were withdrawn: of what is told first, the other is known with it. They are
/// withdrawn once more only by news that are later than the last ones: the same news may come twice, and late.
Result<void> DepositLedger::move_dispute(db::Transaction& tx, DepositRow& deposit, StripeObjectRow& object,
                                         const stripe::Dispute& dispute, const DisputeTold& told, const Actor& actor,
                                         UtcTime now) const {
  const bool later = !object.moved_at || told.at > *object.moved_at;
  const bool stale = object.moved_at && told.at < *object.moved_at;
  const bool again = told.news == DisputeNews::withdrawn && object.money == StripeMoney::back && later;
  if (again) {
    object.amount_micros = from_cents(dispute.amount);
    if (object.status != "lost") object.status = "open";
    if (auto done = deposits_.hold(tx, deposit.account_id, now); !done) return done;
  }
  if (again || object.money == StripeMoney::none) {
    ++object.withdrawals;
    if (auto done = move_money(tx, deposit, object, StripeMoney::out, actor, now); !done) return done;
  }
  if (told.news == DisputeNews::reinstated && object.money == StripeMoney::out && !stale)
    if (auto done = move_money(tx, deposit, object, StripeMoney::back, actor, now); !done) return done;
  if (later) object.moved_at = told.at;
  return {};
}

Result<void> DepositLedger::close_dispute(db::Transaction& tx, const DepositRow& deposit, StripeObjectRow& object,
                                          const stripe::Dispute& dispute, bool known, UtcTime now) const {
  const AccountId& account = deposit.account_id;
  object.status = dispute.status;
  const bool lifts = dispute.status == "won" || dispute.status == "warning_closed";
  // A dispute that is first heard of when it has been lost sets the hold that its beginning would have set.
  if (!lifts) return known ? Result<void>{} : deposits_.hold(tx, account, now);
  const auto others = deposits_.has_holding_dispute(tx, account, object.id);
  if (!others) return std::unexpected(others.error());
  return *others ? Result<void>{} : deposits_.release(tx, account, now);
}

Result<StripeVerdict> DepositLedger::dispute_said(db::Transaction& tx, DepositRow& deposit,
                                                  const stripe::Dispute& dispute, const DisputeTold& told,
                                                  const Actor& actor, UtcTime now) const {
  const DisputeNews news = told.news;
  if (dispute.currency != kCurrency) return StripeVerdict::unmatched("currency_mismatch");
  auto found = deposits_.find_object(tx, dispute.id);
  if (!found) return std::unexpected(found.error());
  const bool known = found->has_value();
  StripeObjectRow object =
      found->value_or(StripeObjectRow{.id = dispute.id, .kind = StripeObjectKind::dispute, .status = "open"});
  if (object.deposit_id && *object.deposit_id != deposit.id) return StripeVerdict::unmatched("dispute_of_another");
  object.deposit_id = deposit.id;
  object.updated_at = now;
  if (object.money == StripeMoney::none) object.amount_micros = from_cents(dispute.amount);
  if (!known && news != DisputeNews::closed)
    if (auto done = deposits_.hold(tx, deposit.account_id, now); !done) return std::unexpected(done.error());

  const bool moves = news == DisputeNews::withdrawn || news == DisputeNews::reinstated;
  if (moves)
    if (auto done = move_dispute(tx, deposit, object, dispute, told, actor, now); !done)
      return std::unexpected(done.error());
  if (news == DisputeNews::closed && object.status == "open")
    if (auto done = close_dispute(tx, deposit, object, dispute, known, now); !done)
      return std::unexpected(done.error());
  if (auto done = deposits_.put_object(tx, object); !done) return std::unexpected(done.error());
  if (moves) return StripeVerdict{};
  const std::string detail = fmt::format(R"("dispute_id":{},"status":{},{})", json::quote(object.id),
                                         json::quote(dispute.status), amount_member("disputed", object.amount_micros));
  const bool created = news == DisputeNews::created;
  if (created && known) return StripeVerdict{};
  if (auto done = audit(tx, created ? "dispute_created" : "dispute_closed", deposit, actor, now, detail); !done)
    return std::unexpected(done.error());
  return StripeVerdict{};
}

}  // namespace ee::cp
