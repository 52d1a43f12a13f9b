#include "cp/service/deposits.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/describe.hpp>

#include "common/id.h"
#include "common/json.h"
#include "common/log.h"
#include "cp/store/account_store.h"

namespace ee::cp {
namespace {

/// What is kept under an Idempotency-Key: which deposit it made.
struct KeptDeposit {
  std::string deposit_id = {};
};
BOOST_DESCRIBE_STRUCT(KeptDeposit, (), (deposit_id))

DepositView view_of(const DepositRow& row) {
  return {.id = row.id,
          .account_id = row.account_id.str(),
          .payment_intent_id = row.payment_intent_id,
          .amount = row.amount_micros,
          .received = row.received_micros,
          .refunded = row.refunded_micros,
          .disputed = row.disputed_micros,
          .status = row.status,
          .livemode = row.livemode,
          .last_error = row.last_error,
          .created_at = row.created_at,
          .updated_at = row.updated_at};
}

std::optional<std::string> payable_secret(const stripe::PaymentIntent& intent) {
  if (intent.status != stripe::IntentStatus::requires_payment || intent.client_secret.empty()) return std::nullopt;
  return intent.client_secret.reveal();
}

}  // namespace

Error service_error(const stripe::StripeError& error) {
  const bool no_answer =
      error.http_status == 0 || error.http_status >= 500 || error.http_status == 429 || error.http_status == 409;
  return {.code = error.failure != stripe::Failure::refused && no_answer ? ErrorCode::stripe_unavailable
                                                                         : ErrorCode::stripe_error,
          .detail = "Stripe: " + error.code};
}

Result<DepositRow> Deposits::find(const AccountId& account, std::string_view id) const {
  auto row =
      parts_.database.read<std::optional<DepositRow>>([&](db::Transaction& tx) { return deposits_.find(tx, id); });
  if (!row) return std::unexpected(std::move(row.error()));
  if (!*row || (*row)->account_id != account) return fail(ErrorCode::not_found, "there is no such deposit");
  return std::move(**row);
}

Result<DepositView> Deposits::get(const AccountId& account, std::string_view id) const {
  const auto row = find(account, id);
  if (!row) return std::unexpected(row.error());
  return view_of(*row);
}

Result<std::string> Deposits::get_with_secret(const AccountId& account, std::string_view id,
                                              const stripe::CallContext& context) const {
  const auto row = find(account, id);
  if (!row) return std::unexpected(row.error());
  std::optional<std::string> secret;
  if (is_unpaid(row->status) && row->payment_intent_id) {
    if (parts_.settings().secret_key.empty()) return fail(ErrorCode::stripe_not_configured);
    const auto intent = parts_.stripe.get_intent(*row->payment_intent_id, context);
    if (!intent) return fail(service_error(intent.error()));
    secret = payable_secret(*intent);
  }
  std::string body = json::write(view_of(*row));
  body.insert(body.size() - 1, R"(,"client_secret":)" + (secret ? json::quote(*secret) : "null"));
  return body;
}

Result<DepositPage> Deposits::list(const AccountId& account, const PageRequest& page,
                                   const CursorCodec& cursors) const {
  const auto rows =
      parts_.database.read<Page<DepositRow>>([&](db::Transaction& tx) { return deposits_.list(tx, account, page); });
  if (!rows) return std::unexpected(rows.error());
  DepositPage out{.items = {}, .next_cursor = cursors.encode("deposits", rows->next)};
  out.items.reserve(rows->items.size());
  for (const DepositRow& row : rows->items) out.items.push_back(view_of(row));
  return out;
}

// ---- create ---------------------------------------------------------------------------------------------------------

Result<void> Deposits::check_pace(db::Transaction& tx, const AccountId& account, UtcTime now) const {
  const auto times = deposits_.created_since(tx, account, now - kDepositHour, kDepositsPerHour);
  if (!times) return std::unexpected(times.error());
  if (static_cast<std::int64_t>(times->size()) >= kDepositsPerHour) {
    Error error{.code = ErrorCode::rate_limited, .detail = "at most ten deposits in an hour"};
    error.retry_after = std::max(Seconds(1), std::chrono::ceil<Seconds>(times->back() + kDepositHour - now));
    return std::unexpected(std::move(error));
  }
  const auto unpaid = deposits_.count_unpaid(tx, account);
  if (!unpaid) return std::unexpected(unpaid.error());
  if (*unpaid >= kMaxUnpaidDeposits) return fail(ErrorCode::too_many_pending_deposits);
  return {};
}

Result<Deposits::Begun> Deposits::begin(const AccountId& account, std::string_view amount_text,
                                        const StripeSettings& settings, const std::optional<IdempotentRequest>& request,
                                        const Actor& actor) {
  const UtcTime now = parts_.clock.now();
  return parts_.database.write<Begun>([&](db::Transaction& tx) -> Result<Begun> {
    if (request) {
      const auto kept = idempotency_.find(tx, *request, now);
      if (!kept) return std::unexpected(kept.error());
      if (*kept) {
        const auto named = json::read<KeptDeposit>((*kept)->body);
        if (!named) return std::unexpected(named.error());
        auto row = deposits_.find(tx, named->deposit_id);
        if (!row) return std::unexpected(row.error());
        if (!*row || (*row)->account_id != account) return fail(ErrorCode::not_found);
        return Begun{.row = std::move(**row), .replayed = true};
      }
    }
    const auto amount = parse_deposit_amount(amount_text, settings.min_deposit, settings.max_deposit);
    if (!amount) return std::unexpected(amount.error());
    const auto owner = AccountStore().find(tx, account);
    if (!owner) return std::unexpected(owner.error());
    if (!*owner) return fail(ErrorCode::account_not_found);
    if ((*owner)->status == AccountStatus::closed) return fail(ErrorCode::account_closed);
    if (auto paced = check_pace(tx, account, now); !paced) return std::unexpected(paced.error());
    const auto id = new_uuid_v7(now, parts_.random);
    if (!id) return fail(ErrorCode::internal_error, "no random bytes");
    DepositRow row{.id = *id,
                   .account_id = account,
                   .amount_micros = *amount,
                   .created_at = now,
                   .updated_at = now,
                   .next_check_at = now + kCreatingRetryAfter};
    if (auto done = deposits_.insert(tx, row); !done) return std::unexpected(done.error());
    if (auto done = parts_.ledger.audit(tx, "deposit_created", row, actor, now); !done)
      return std::unexpected(done.error());
    if (request) {
      const StoredAnswer names{.status = 201, .body = json::write(KeptDeposit{.deposit_id = row.id})};
      if (auto done = idempotency_.keep(tx, *request, names, now); !done) return std::unexpected(done.error());
    }
    return Begun{.row = std::move(row)};
  });
}

Result<DepositRow> Deposits::take_over(const std::string& id, const stripe::PaymentIntent& intent, const Actor& actor) {
  const UtcTime now = parts_.clock.now();
  return parts_.ledger.noted(parts_.database.write<DepositRow>([&](db::Transaction& tx) -> Result<DepositRow> {
    auto row = deposits_.find(tx, id);
    if (!row) return std::unexpected(row.error());
    if (!*row) return fail(ErrorCode::not_found);
    if (const auto why = DepositLedger::mismatch(**row, intent))
      return fail(ErrorCode::stripe_error, fmt::format("the intent is not that of the deposit: {}", *why));
    if (auto done = parts_.ledger.intent_said(tx, **row, intent, status_of(intent.status), actor, now); !done)
      return std::unexpected(done.error());
    return std::move(**row);
  }));
}

Result<Deposits::Opened> Deposits::open_intent(const DepositRow& row, const Actor& actor,
                                               const stripe::CallContext& context) {
  auto intent = parts_.stripe.create_intent({.amount_cents = row.amount_micros.value / kMicrosPerCent,
                                             .account_id = row.account_id.str(),
                                             .deposit_id = row.id,
                                             .instance_id = parts_.instance_id,
                                             .idempotency_key = "ee-dep-" + row.id},
                                            context);
  if (!intent) {
    if (intent.error().failure == stripe::Failure::refused) {
      const UtcTime now = parts_.clock.now();
      const auto failed = parts_.database.write<bool>([&](db::Transaction& tx) -> Result<bool> {
        auto now_row = deposits_.find(tx, row.id);
        if (!now_row) return std::unexpected(now_row.error());
        if (!*now_row) return false;
        if (auto done = parts_.ledger.create_refused(tx, **now_row, intent.error().code, actor, now); !done)
          return std::unexpected(done.error());
        return true;
      });
      if (!failed) return std::unexpected(failed.error());
    }
    return fail(service_error(intent.error()));
  }
  auto opened = take_over(row.id, *intent, actor);
  if (!opened) return std::unexpected(opened.error());
  return Opened{.row = std::move(*opened), .intent = std::move(*intent)};
}

Result<Deposits::Created> Deposits::create(const AccountId& account, std::string_view amount,
                                           const std::optional<IdempotentRequest>& request, const Actor& actor,
                                           const stripe::CallContext& context) {
  const StripeSettings settings = parts_.settings();
  if (settings.secret_key.empty()) return fail(ErrorCode::stripe_not_configured);
  auto begun = begin(account, amount, settings, request, actor);
  if (!begun) return std::unexpected(begun.error());
  DepositRow& row = begun->row;
  std::optional<std::string> secret;
  if (row.status == DepositStatus::creating) {
    auto opened = open_intent(row, actor, context);
    if (!opened) return std::unexpected(opened.error());
    row = std::move(opened->row);
    if (is_unpaid(row.status)) secret = payable_secret(opened->intent);
  } else if (is_unpaid(row.status) && row.payment_intent_id) {
    const auto intent = parts_.stripe.get_intent(*row.payment_intent_id, context);
    if (!intent) return fail(service_error(intent.error()));
    secret = payable_secret(*intent);
  }
  return Created{.answer = {.id = row.id,
                            .payment_intent_id = row.payment_intent_id,
                            .client_secret = std::move(secret),
                            .amount = row.amount_micros,
                            .status = row.status},
                 .replayed = begun->replayed};
}

// ---- cancel ---------------------------------------------------------------------------------------------------------

Result<DepositView> Deposits::cancel(const AccountId& account, std::string_view id, const Actor& actor,
                                     const stripe::CallContext& context) {
  auto row = find(account, id);
  if (!row) return std::unexpected(row.error());
  if (row->status == DepositStatus::canceled) return view_of(*row);
  if (!is_unpaid(row->status)) return fail(ErrorCode::deposit_not_cancelable);
  if (parts_.settings().secret_key.empty()) return fail(ErrorCode::stripe_not_configured);
  if (!row->payment_intent_id) {  // the intent's id is not known yet: ask for it first
    auto opened = open_intent(*row, actor, context);
    if (!opened) return std::unexpected(opened.error());
    row = std::move(opened->row);
  }
  auto intent = parts_.stripe.cancel_intent(*row->payment_intent_id, context);
  const bool too_late = !intent && intent.error().code == "payment_intent_unexpected_state";
  if (!intent && !too_late) return fail(service_error(intent.error()));
  if (too_late) {
    intent = parts_.stripe.get_intent(*row->payment_intent_id, context);
    if (!intent) return fail(service_error(intent.error()));
  }
  row = take_over(row->id, *intent, actor);
  if (!row) return std::unexpected(row.error());
  if (row->status != DepositStatus::canceled) return fail(ErrorCode::deposit_not_cancelable);
  return view_of(*row);
}

// ---- reconcile ------------------------------------------------------------------------------------------------------

namespace {

constexpr Milliseconds kItemTime{20'000};  // a check is begun only when so much is left
constexpr Seconds kUnavailableRetryAfter{300};
constexpr int kUnavailableInARow = 3;
const Actor kReconciler{.name = "system:deposit_reconcile", .request_id = {}, .client_address = {}};

}  // namespace

Result<void> Deposits::look_again(const std::string& id, Seconds after) {
  const UtcTime when = parts_.clock.now() + after;
  const auto done = parts_.database.write<bool>([&](db::Transaction& tx) -> Result<bool> {
    if (auto set = deposits_.check_at(tx, id, when); !set) return std::unexpected(set.error());
    return true;
  });
  if (!done) return std::unexpected(done.error());
  return {};
}

Result<Deposits::Checked> Deposits::check_intent(const DepositRow& row, const stripe::CallContext& context) {
  const auto later = [&](Seconds after, Checked checked) -> Result<Checked> {
    if (auto done = look_again(row.id, after); !done) return std::unexpected(done.error());
    return checked;
  };
  const auto failed = [&](const stripe::StripeError& error) -> Result<Checked> {
    if (error.failure != stripe::Failure::refused) return later(kUnavailableRetryAfter, Checked::unavailable);
    log::warn("stripe", "Stripe refused to tell of a deposit", {{"deposit_id", row.id}, {"error", error.code}});
    return later(kCheckEvery, Checked::waiting);
  };
  auto intent = parts_.stripe.get_intent(*row.payment_intent_id, context);
  if (!intent) return failed(intent.error());
  const bool too_old = parts_.clock.now() - row.created_at > kUnpaidCanceledAfter;
  if (too_old && intent->status == stripe::IntentStatus::requires_payment) {
    auto canceled = parts_.stripe.cancel_intent(*row.payment_intent_id, context);
    if (!canceled) return failed(canceled.error());
    intent = std::move(canceled);
  }
  if (const auto why = DepositLedger::mismatch(row, *intent)) {
    log::error("stripe", "the intent of a deposit is not what it should be",
               {{"deposit_id", row.id}, {"reason", *why}});
    return later(kCheckEvery, Checked::waiting);
  }
  const auto taken = take_over(row.id, *intent, kReconciler);
  if (!taken) return std::unexpected(taken.error());
  if (!is_unpaid(taken->status)) return Checked::settled;
  return later(kCheckEvery, Checked::waiting);
}

Result<Deposits::Checked> Deposits::check(const DepositRow& row, const stripe::CallContext& context) {
  if (row.payment_intent_id) return check_intent(row, context);
  const auto opened = open_intent(row, kReconciler, context);
  if (opened) return Checked::waiting;
  if (opened.error().code == ErrorCode::stripe_error) {
    // Refused for good: the deposit has failed, and is due no more. An answer that is none is asked for again.
    if (auto done = look_again(row.id, kUnavailableRetryAfter); !done) return std::unexpected(done.error());
    return Checked::settled;
  }
  if (opened.error().code != ErrorCode::stripe_unavailable) return std::unexpected(opened.error());
  if (auto done = look_again(row.id, kUnavailableRetryAfter); !done) return std::unexpected(done.error());
  return Checked::unavailable;
}

Result<JobSummary> Deposits::reconcile(const std::stop_token& stop, SteadyTime deadline) {
  JobSummary summary;
  if (parts_.settings().secret_key.empty()) {
    summary.skipped = true;
    return summary;
  }
  const UtcTime now = parts_.clock.now();
  const auto rows = parts_.database.read<std::vector<DepositRow>>(
      [&](db::Transaction& tx) { return deposits_.due(tx, now, kReconcileBatch); });
  if (!rows) return std::unexpected(rows.error());
  std::int64_t checked = 0;
  std::int64_t settled = 0;
  int unavailable = 0;
  std::optional<Error> failed;
  for (const DepositRow& row : *rows) {
    if (stop.stop_requested() || deadline - parts_.clock.steady_now() < kItemTime) {
      summary.stopped = true;
      break;
    }
    const auto outcome = check(row, {.stop = stop, .deadline = deadline});
    ++checked;
    if (!outcome) {
      // One that cannot be settled must not keep those behind it from their money.
      log::error("stripe", "a deposit could not be reconciled",
                 {{"deposit_id", row.id}, {"error", outcome.error().code}, {"detail", outcome.error().detail}});
      if (auto done = look_again(row.id, kUnavailableRetryAfter); !done) return std::unexpected(done.error());
      failed = outcome.error();
      continue;
    }
    if (*outcome == Checked::settled) ++settled;
    unavailable = *outcome == Checked::unavailable ? unavailable + 1 : 0;
    if (unavailable == kUnavailableInARow) {  // Stripe is away: the others stay due
      summary.notes.emplace_back("stripe_unavailable");
      break;
    }
  }
  if (failed) return std::unexpected(std::move(*failed));
  summary.count("checked", checked);
  summary.count("settled", settled);
  return summary;
}

}  // namespace ee::cp
