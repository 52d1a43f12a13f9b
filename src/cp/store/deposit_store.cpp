#include "cp/store/deposit_store.h"

#include <fmt/format.h>

#include <utility>

namespace ee::cp {
namespace {

Result<void> done(const Result<std::int64_t>& changed) {
  if (!changed) return std::unexpected(changed.error());
  return {};
}

}  // namespace

Result<void> DepositStore::insert(db::Transaction& tx, const DepositRow& row) const {
  static const std::string sql = fmt::format("INSERT INTO deposits ({}) VALUES ({})", db::columns_of<DepositRow>(),
                                             db::placeholders_of<DepositRow>());
  return done(tx.execute(sql, db::params_of(row)));
}

Result<std::optional<DepositRow>> DepositStore::find(db::Transaction& tx, std::string_view id) const {
  static const std::string sql = fmt::format("SELECT {} FROM deposits WHERE id=:id", db::columns_of<DepositRow>());
  return tx.query_one<DepositRow>(sql, {{"id", id}});
}

Result<std::optional<DepositRow>> DepositStore::find_by_intent(db::Transaction& tx,
                                                               std::string_view payment_intent_id) const {
  static const std::string sql =
      fmt::format("SELECT {} FROM deposits WHERE payment_intent_id=:intent", db::columns_of<DepositRow>());
  return tx.query_one<DepositRow>(sql, {{"intent", payment_intent_id}});
}

Result<Page<DepositRow>> DepositStore::list(db::Transaction& tx, const AccountId& account,
                                            const PageRequest& page) const {
  static const std::string select =
      fmt::format("SELECT {} FROM deposits WHERE account_id=:account", db::columns_of<DepositRow>());
  static const std::string order = " ORDER BY created_at DESC, id DESC LIMIT :limit";
  static const std::string first = select + order;
  static const std::string next = select + " AND (created_at, id)<(:at, :id)" + order;
  db::Params params = {{"account", account}, {"limit", page.limit + 1}};
  if (page.after) {
    params.emplace_back("at", page.after->at);
    params.emplace_back("id", page.after->id);
  }
  auto rows = tx.query<DepositRow>(page.after ? next : first, params);
  if (!rows) return std::unexpected(std::move(rows.error()));
  return page_of(std::move(*rows), page.limit,
                 [](const DepositRow& row) { return PagePosition{.at = row.created_at, .id = row.id}; });
}

Result<std::vector<DepositRow>> DepositStore::due(db::Transaction& tx, UtcTime now, std::int64_t limit) const {
  static const std::string sql = fmt::format(
      "SELECT {} FROM deposits WHERE next_check_at IS NOT NULL AND next_check_at<=:now"
      " ORDER BY next_check_at, id LIMIT :limit",
      db::columns_of<DepositRow>());
  return tx.query<DepositRow>(sql, {{"now", now}, {"limit", limit}});
}

Result<void> DepositStore::update(db::Transaction& tx, const DepositRow& row, DepositStatus from) const {
  const auto changed = tx.execute(
      "UPDATE deposits SET status=:status, payment_intent_id=:payment_intent_id, livemode=:livemode,"
      " received_micros=:received_micros, refunded_micros=:refunded_micros, disputed_micros=:disputed_micros,"
      " last_error=:last_error, group_id=:group_id, updated_at=:updated_at, next_check_at=:next_check_at"
      " WHERE id=:id AND status=:from_status",
      {{"id", row.id},
       {"from_status", from},
       {"status", row.status},
       {"payment_intent_id", row.payment_intent_id},
       {"livemode", row.livemode},
       {"received_micros", row.received_micros},
       {"refunded_micros", row.refunded_micros},
       {"disputed_micros", row.disputed_micros},
       {"last_error", row.last_error},
       {"group_id", row.group_id},
       {"updated_at", row.updated_at},
       {"next_check_at", row.next_check_at}},
      db::OnUnique{ErrorCode::concurrent_update});
  if (!changed) return std::unexpected(changed.error());
  if (*changed != 1) return fail(ErrorCode::concurrent_update, "the deposit has moved on");
  return {};
}

Result<void> DepositStore::check_at(db::Transaction& tx, std::string_view id, UtcTime when) const {
  return done(tx.execute(
      "UPDATE deposits SET next_check_at=:at WHERE id=:id AND status IN ('creating', 'requires_payment', 'processing')",
      {{"id", id}, {"at", when}}));
}

Result<std::vector<UtcTime>> DepositStore::created_since(db::Transaction& tx, const AccountId& account, UtcTime since,
                                                         std::int64_t limit) const {
  return tx.query<UtcTime>(
      "SELECT created_at FROM deposits WHERE account_id=:account AND created_at>:since"
      " ORDER BY created_at DESC, id DESC LIMIT :limit",
      {{"account", account}, {"since", since}, {"limit", limit}});
}

Result<std::int64_t> DepositStore::count_unpaid(db::Transaction& tx, const AccountId& account) const {
  const auto count = tx.query_one<std::int64_t>(
      "SELECT COUNT(*) FROM deposits WHERE account_id=:account"
      " AND status IN ('creating', 'requires_payment', 'processing')",
      {{"account", account}});
  if (!count) return std::unexpected(count.error());
  return count->value_or(0);
}

Result<std::optional<StripeObjectRow>> DepositStore::find_object(db::Transaction& tx, std::string_view id) const {
  static const std::string sql =
      fmt::format("SELECT {} FROM stripe_objects WHERE id=:id", db::columns_of<StripeObjectRow>());
  return tx.query_one<StripeObjectRow>(sql, {{"id", id}});
}

Result<void> DepositStore::put_object(db::Transaction& tx, const StripeObjectRow& row) const {
  static const std::string sql =
      fmt::format("INSERT INTO stripe_objects ({}) VALUES ({}) ON CONFLICT (id) DO UPDATE SET {}",
                  db::columns_of<StripeObjectRow>(), db::placeholders_of<StripeObjectRow>(),
                  db::excluded_of<StripeObjectRow>("id"));
  return done(tx.execute(sql, db::params_of(row)));
}

Result<std::vector<StripeObjectRow>> DepositStore::waiting_refunds(db::Transaction& tx, std::string_view deposit_id,
                                                                   std::int64_t limit) const {
  static const std::string sql = fmt::format(
      "SELECT {} FROM stripe_objects WHERE deposit_id=:deposit AND kind='refund' AND money='none'"
      " AND status IN ('pending', 'requires_action', 'succeeded') ORDER BY updated_at, id LIMIT :limit",
      db::columns_of<StripeObjectRow>());
  return tx.query<StripeObjectRow>(sql, {{"deposit", deposit_id}, {"limit", limit}});
}

Result<bool> DepositStore::has_hold(db::Transaction& tx, const AccountId& account) const {
  const auto held = tx.query_one<std::int64_t>("SELECT dispute_hold FROM account_balances WHERE account_id=:account",
                                               {{"account", account}});
  if (!held) return std::unexpected(held.error());
  return held->value_or(0) != 0;
}

Result<void> DepositStore::hold(db::Transaction& tx, const AccountId& account, UtcTime now) const {
  const auto held = has_hold(tx, account);
  if (!held) return std::unexpected(held.error());
  if (*held) return {};
  const auto lifted = tx.execute(
      "UPDATE stripe_objects SET status='lost_lifted', updated_at=:now WHERE kind='dispute' AND status='lost'"
      " AND deposit_id IN (SELECT id FROM deposits WHERE account_id=:account)",
      {{"account", account}, {"now", now}});
  if (!lifted) return std::unexpected(lifted.error());
  return done(tx.execute("UPDATE account_balances SET dispute_hold=1, updated_at=:now WHERE account_id=:account",
                         {{"account", account}, {"now", now}}));
}

Result<void> DepositStore::release(db::Transaction& tx, const AccountId& account, UtcTime now) const {
  return done(tx.execute("UPDATE account_balances SET dispute_hold=0, updated_at=:now WHERE account_id=:account",
                         {{"account", account}, {"now", now}}));
}

Result<bool> DepositStore::has_holding_dispute(db::Transaction& tx, const AccountId& account,
                                               std::string_view except) const {
  const auto count = tx.query_one<std::int64_t>(
      "SELECT COUNT(*) FROM stripe_objects o JOIN deposits d ON d.id=o.deposit_id WHERE d.account_id=:account"
      " AND o.kind='dispute' AND o.id<>:except AND o.status NOT IN ('won', 'warning_closed', 'lost_lifted')",
      {{"account", account}, {"except", except}});
  if (!count) return std::unexpected(count.error());
  return count->value_or(0) > 0;
}

}  // namespace ee::cp
