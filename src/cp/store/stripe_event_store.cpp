#include "cp/store/stripe_event_store.h"

#include <fmt/format.h>

#include <utility>

namespace ee::cp {

Result<bool> StripeEventStore::insert(db::Transaction& tx, const StripeEventRow& row) const {
  static const std::string sql = fmt::format("INSERT INTO stripe_events ({}) VALUES ({}) ON CONFLICT (id) DO NOTHING",
                                             db::columns_of<StripeEventRow>(), db::placeholders_of<StripeEventRow>());
  const auto inserted = tx.execute(sql, db::params_of(row));
  if (!inserted) return std::unexpected(inserted.error());
  return *inserted == 1;
}

Result<bool> StripeEventStore::known(db::Transaction& tx, std::string_view id) const {
  const auto found = tx.query_one<std::string>("SELECT id FROM stripe_events WHERE id=:id", {{"id", id}});
  if (!found) return std::unexpected(found.error());
  return found->has_value();
}

Result<void> StripeEventStore::set_outcome(db::Transaction& tx, std::string_view id, StripeOutcome outcome,
                                           const std::optional<std::string>& detail) const {
  const auto changed = tx.execute("UPDATE stripe_events SET outcome=:outcome, detail=:detail WHERE id=:id",
                                  {{"id", id}, {"outcome", outcome}, {"detail", detail}});
  if (!changed) return std::unexpected(changed.error());
  return {};
}

Result<Page<StripeEventRow>> StripeEventStore::list(db::Transaction& tx, const StripeEventFilter& filter,
                                                    const PageRequest& page) const {
  // A position far in the future stands for "from the start", so that one prepared statement serves all pages.
  static const std::string sql = fmt::format(
      "SELECT {} FROM stripe_events WHERE (received_at, id)<(:at, :id)"
      " AND (:any_type=1 OR type=:type) AND (:any_object=1 OR object_id=:object)"
      " AND (:any_outcome=1 OR outcome=:outcome) ORDER BY received_at DESC, id DESC LIMIT :limit",
      db::columns_of<StripeEventRow>());
  constexpr std::int64_t kNever = 253'402'300'800'000;
  const PagePosition after = page.after.value_or(PagePosition{.at = from_unix_ms(kNever), .id = ""});
  auto rows = tx.query<StripeEventRow>(sql, {{"at", after.at},
                                             {"id", after.id},
                                             {"any_type", !filter.type.has_value()},
                                             {"type", filter.type.value_or("")},
                                             {"any_object", !filter.object_id.has_value()},
                                             {"object", filter.object_id.value_or("")},
                                             {"any_outcome", !filter.outcome.has_value()},
                                             {"outcome", filter.outcome.value_or(StripeOutcome::processed)},
                                             {"limit", page.limit + 1}});
  if (!rows) return std::unexpected(std::move(rows.error()));
  return page_of(std::move(*rows), page.limit,
                 [](const StripeEventRow& row) { return PagePosition{.at = row.received_at, .id = row.id}; });
}

Result<std::int64_t> StripeEventStore::remove_before(db::Transaction& tx, UtcTime before, std::int64_t limit) const {
  return tx.execute(
      "DELETE FROM stripe_events WHERE id IN (SELECT id FROM stripe_events WHERE received_at<:before "
      "ORDER BY received_at LIMIT :limit)",
      {{"before", before}, {"limit", limit}});
}

Result<std::optional<UtcTime>> StripeEventStore::last_received_at(db::Transaction& tx) const {
  return tx.query_one<UtcTime>("SELECT received_at FROM stripe_events ORDER BY received_at DESC LIMIT 1");
}

}  // namespace ee::cp
