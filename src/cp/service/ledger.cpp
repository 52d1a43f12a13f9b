#include "cp/service/ledger.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/describe.hpp>

#include "common/json.h"
#include "common/log.h"
#include "cp/store/audit_log_store.h"

namespace ee::cp {

namespace {

struct ChargeLine {
  AccountId account_id;
  UsdMicros amount_micros;
  TransactionType tx_type = TransactionType::capacity_charge;
};
BOOST_DESCRIBE_STRUCT(ChargeLine, (), (account_id, amount_micros, tx_type))

Result<std::string> capacity_key(std::string_view ref) {
  // With a colon in it, one purchase's charge could be taken for another's refund.
  if (ref.empty() || ref.size() > 100 || ref.find(':') != std::string_view::npos)
    return fail(ErrorCode::internal_error, "not the reference of a purchase");
  return fmt::format("capacity:{}", ref);
}

std::string refund_key(const std::string& charge_key, CapacityRefundCause cause) {
  return fmt::format("{}:refund:{}", charge_key, boost::describe::enum_to_string(cause, ""));
}

/// The lines of the group with this key; empty when there is none.
Result<std::vector<ChargeLine>> lines_of(db::Transaction& tx, const std::string& key) {
  return tx.query<ChargeLine>(
      "SELECT t.account_id, t.amount_micros, t.tx_type FROM transactions t JOIN ledger_groups g ON g.id=t.group_id "
      "WHERE g.idempotency_key=:key ORDER BY t.line_no",
      {{"key", key}});
}

}  // namespace

LedgerAlarm::LedgerAlarm(metrics::Registry& metrics)
    : failed_(metrics.gauge("ee_ledger_invariant_failed", "1 while a check of the ledger has found a difference.")),
      conflicts_(metrics.counter("ee_ledger_key_conflicts_total",
                                 "Postings refused because their key was posted with other lines.")) {
  failed_.set(0);
}

void LedgerAlarm::raise() {
  raised_ = true;
  failed_.set(1);
}

void LedgerAlarm::clear() {
  raised_ = false;
  failed_.set(0);
}

Result<AccountId> Ledger::platform_account(db::Transaction& tx) const {
  const std::string wanted = parts_.platform_account_id ? parts_.platform_account_id() : std::string();
  if (wanted.empty()) return kPlatformAccount;
  AccountId id(wanted);
  const auto payable = queries_.can_be_platform(tx, id);
  if (!payable) return std::unexpected(payable.error());
  if (*payable) return id;
  log::error("billing", "billing.platform_account_id is not an active account; the system's own is paid",
             {{"account_id", wanted}});
  return kPlatformAccount;
}

void Ledger::note_conflict(const Error& error) const {
  parts_.alarm.key_conflict();
  log::error("billing", "a ledger key was posted again with other lines", {{"error", error.detail}});
  const auto written = parts_.database.write<std::string>([&](db::Transaction& tx) {
    return AuditLogStore().append(tx,
                                  {.actor = "system:ledger",
                                   .action = "ledger_key_conflict",
                                   .object_type = "ledger_group",
                                   .result = AuditResult::failed,
                                   .reason_code = "ledger_key_conflict",
                                   .detail = "{\"what\":" + json::quote(error.detail) + "}"},
                                  parts_.clock.now(), parts_.random);
  });
  if (!written)
    log::error("billing", "the conflict of a ledger key could not be audited", {{"error", written.error().detail}});
}

Result<UsdMicros> Ledger::charge(db::Transaction& tx, const AccountId& account, UsdMicros amount, std::string_view ref,
                                 std::string_view actor) const {
  if (amount.value <= 0 || amount.value > kLineMicrosMax)
    return fail(ErrorCode::amount_out_of_range, "a charge of capacity");
  const auto key = capacity_key(ref);
  if (!key) return std::unexpected(key.error());
  if (auto running = meta_.require_running(tx); !running) return std::unexpected(running.error());
  if (const auto known = queries_.account(tx, account); !known) return std::unexpected(known.error());
  const auto platform = platform_account(tx);
  if (!platform) return std::unexpected(platform.error());
  const auto posted = post(tx, {.kind = LedgerKind::capacity,
                                .idempotency_key = *key,
                                .lines = {{account, -amount.value, TransactionType::capacity_charge},
                                          {*platform, amount.value, TransactionType::platform_revenue}},
                                .reference_type = "capacity_purchase",
                                .reference_id = std::string(ref),
                                .description = "capacity",
                                .actor = std::string(actor),
                                .must_not_overdraw = account});
  if (!posted) return std::unexpected(posted.error());
  return queries_.balance(tx, account);
}

Result<UsdMicros> Ledger::refund(db::Transaction& tx, std::string_view ref, CapacityRefundCause cause, UsdMicros amount,
                                 std::string_view actor) const {
  if (amount.value <= 0 || amount.value > kLineMicrosMax)
    return fail(ErrorCode::amount_out_of_range, "a refund of capacity");
  const auto key = capacity_key(ref);
  if (!key) return std::unexpected(key.error());
  const auto charged = lines_of(tx, *key);
  if (!charged) return std::unexpected(charged.error());
  if (charged->size() != 2) return fail(ErrorCode::not_found, "nothing was charged for this purchase");
  const bool payer_first = charged->front().tx_type == TransactionType::capacity_charge;
  const ChargeLine& paid = payer_first ? charged->front() : charged->back();
  const ChargeLine& received = payer_first ? charged->back() : charged->front();
  std::int64_t others = 0;
  for (const CapacityRefundCause other : {CapacityRefundCause::undelivered, CapacityRefundCause::admin}) {
    if (other == cause) continue;  // the same cause again: a duplicate or a conflict, as `post` finds
    const auto lines = lines_of(tx, refund_key(*key, other));
    if (!lines) return std::unexpected(lines.error());
    for (const ChargeLine& line : *lines)
      if (line.amount_micros.value > 0) others += line.amount_micros.value;
  }
  if (amount.value > -paid.amount_micros.value - others)
    return fail(ErrorCode::invalid_amount, "more than is left of the charge");
  const auto posted = post(tx, {.kind = LedgerKind::capacity,
                                .idempotency_key = refund_key(*key, cause),
                                .lines = {{paid.account_id, amount.value, TransactionType::capacity_refund},
                                          {received.account_id, -amount.value, TransactionType::capacity_refund}},
                                .reference_type = "capacity_purchase",
                                .reference_id = std::string(ref),
                                .description = "capacity refund",
                                .actor = std::string(actor)});
  if (!posted) return std::unexpected(posted.error());
  return queries_.balance(tx, paid.account_id);
}

}  // namespace ee::cp
