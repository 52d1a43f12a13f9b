#include "cp/store/rate_card_store.h"

#include <fmt/format.h>

#include "common/json.h"

namespace ee::cp {
namespace {

struct CardRow {
  std::int64_t version = 0;
  UtcTime effective_at = {};
  std::string card = {};
};
BOOST_DESCRIBE_STRUCT(CardRow, (), (version, effective_at, card))

Result<RateCardVersion> to_version(const CardRow& row) {
  auto card = json::read<RateCard>(row.card);
  if (!card || !check_rate_card(*card).empty())
    return fail(ErrorCode::internal_error, fmt::format("rate card {} is damaged", row.version));
  return RateCardVersion{.version = row.version, .effective_at = row.effective_at, .card = std::move(*card)};
}

}  // namespace

Result<std::vector<RateCardVersion>> RateCardStore::all(db::Transaction& tx) const {
  const auto rows = tx.query<CardRow>("SELECT version, effective_at, card FROM rate_cards ORDER BY effective_at");
  if (!rows) return std::unexpected(rows.error());
  std::vector<RateCardVersion> cards;
  cards.reserve(rows->size());
  for (const CardRow& row : *rows) {
    auto card = to_version(row);
    if (!card) return std::unexpected(std::move(card.error()));
    cards.push_back(std::move(*card));
  }
  return cards;
}

Result<RateCardVersion> RateCardStore::in_force(db::Transaction& tx, UtcTime at) const {
  const auto row = tx.query_one<CardRow>(
      "SELECT version, effective_at, card FROM rate_cards WHERE effective_at<=:at ORDER BY effective_at DESC LIMIT 1",
      {{"at", at}});
  if (!row) return std::unexpected(row.error());
  if (!*row) return fail(ErrorCode::internal_error, "there is no rate card");
  return to_version(**row);
}

Result<RateCardVersion> RateCardStore::append(db::Transaction& tx, const RateCard& card, UtcTime effective_at,
                                              const std::string& created_by, const std::string& reason,
                                              UtcTime now) const {
  const auto last =
      tx.query_one<CardRow>("SELECT version, effective_at, card FROM rate_cards ORDER BY effective_at DESC LIMIT 1");
  if (!last) return std::unexpected(last.error());
  if (effective_at <= now || (*last && effective_at <= (*last)->effective_at))
    return fail(ErrorCode::rate_effective_in_past, "a card begins in the future, after every card before it");
  RateCardVersion made{.version = *last ? (*last)->version + 1 : 1, .effective_at = effective_at, .card = card};
  const auto written = tx.execute(
      "INSERT INTO rate_cards (version, effective_at, card, created_at, created_by, reason) "
      "VALUES (:version, :effective_at, :card, :now, :created_by, :reason)",
      {{"version", made.version},
       {"effective_at", effective_at},
       {"card", json::write(card)},
       {"now", now},
       {"created_by", created_by},
       {"reason", reason}});
  if (!written) return std::unexpected(written.error());
  return made;
}

}  // namespace ee::cp
