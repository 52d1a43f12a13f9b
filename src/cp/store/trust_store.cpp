#include "cp/store/trust_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include <boost/json/value.hpp>

#include "common/bytes.h"
#include "common/json.h"
#include "cp/store/meta_store.h"

namespace ee::cp {

namespace {

Result<attestation::Measurement> measurement(const std::string& hex, std::string_view where) {
  auto bytes = from_hex_exact<48>(hex);
  if (!bytes) return fail(ErrorCode::internal_error, fmt::format("{} holds no measurement", where));
  return *bytes;
}

Result<attestation::RtmrProfile> to_profile(const RtmrProfileRow& row) {
  auto mrtd = measurement(row.mrtd, "trusted_rtmr_profiles.mrtd");
  if (!mrtd) return std::unexpected(std::move(mrtd.error()));
  attestation::RtmrProfile profile{.id = row.id,
                                   .mrtd = *mrtd,
                                   .name = row.name,
                                   .node_size = row.node_size,
                                   .enabled = row.enabled,
                                   .expires_at = row.expires_at,
                                   .version = row.version};
  const std::array registers = {&row.rtmr0, &row.rtmr1, &row.rtmr2, &row.rtmr3};
  for (std::size_t i = 0; i < registers.size(); ++i) {
    if (!*registers[i]) continue;
    auto value = measurement(**registers[i], "trusted_rtmr_profiles.rtmr");
    if (!value) return std::unexpected(std::move(value.error()));
    profile.rtmrs[i] = *value;
  }
  return profile;
}

}  // namespace

Result<TrustStore::Loaded> TrustStore::load(db::Transaction& tx) const {
  static const std::string mrtds_sql = fmt::format("SELECT {} FROM trusted_mrtds", db::columns_of<TrustedMrtdRow>());
  static const std::string profiles_sql =
      fmt::format("SELECT {} FROM trusted_rtmr_profiles", db::columns_of<RtmrProfileRow>());
  const auto trust_version = version(tx);
  if (!trust_version) return std::unexpected(trust_version.error());
  const auto mrtds = tx.query<TrustedMrtdRow>(mrtds_sql);
  if (!mrtds) return std::unexpected(mrtds.error());
  const auto profile_rows = tx.query<RtmrProfileRow>(profiles_sql);
  if (!profile_rows) return std::unexpected(profile_rows.error());

  Loaded loaded{.trust = {}, .version = *trust_version};
  for (const TrustedMrtdRow& row : *mrtds) {
    auto mrtd = measurement(row.mrtd, "trusted_mrtds.mrtd");
    if (!mrtd) return std::unexpected(std::move(mrtd.error()));
    loaded.trust.mrtds.push_back({.mrtd = *mrtd,
                                  .kind = row.kind,
                                  .note = row.note,
                                  .enabled = row.enabled,
                                  .expires_at = row.expires_at,
                                  .version = row.version});
  }
  for (const RtmrProfileRow& row : *profile_rows) {
    auto profile = to_profile(row);
    if (!profile) return std::unexpected(std::move(profile.error()));
    loaded.trust.profiles.push_back(std::move(*profile));
  }
  return loaded;
}

Result<std::int64_t> TrustStore::version(db::Transaction& tx) const { return MetaStore().number(tx, kTrustVersionKey); }

Result<Page<TrustedMrtdRow>> TrustStore::list(db::Transaction& tx, const TrustedMrtdFilter& filter,
                                              const PageRequest& page) const {
  std::string where;
  db::Params params = {{"limit", page.limit + 1}};
  if (filter.kind) {
    where += " AND kind=:kind";
    params.emplace_back("kind", *filter.kind);
  }
  if (filter.enabled_only) where += " AND enabled=1";
  if (page.after) {
    where += " AND (created_at, mrtd)>(:after_at, :after_id)";
    params.emplace_back("after_at", page.after->at);
    params.emplace_back("after_id", page.after->id);
  }
  auto rows = tx.query<TrustedMrtdRow>(
      fmt::format("SELECT {} FROM trusted_mrtds WHERE 1=1{} ORDER BY created_at, mrtd LIMIT :limit",
                  db::columns_of<TrustedMrtdRow>(), where),
      params);
  if (!rows) return std::unexpected(std::move(rows.error()));
  return page_of(std::move(*rows), page.limit,
                 [](const TrustedMrtdRow& row) { return PagePosition{.at = row.created_at, .id = row.mrtd}; });
}

Result<std::optional<TrustedMrtdRow>> TrustStore::get(db::Transaction& tx, const std::string& mrtd) const {
  static const std::string sql =
      fmt::format("SELECT {} FROM trusted_mrtds WHERE mrtd=:mrtd", db::columns_of<TrustedMrtdRow>());
  return tx.query_one<TrustedMrtdRow>(sql, {{"mrtd", mrtd}});
}

Result<std::vector<RtmrProfileRow>> TrustStore::profiles(db::Transaction& tx, const std::string& mrtd) const {
  static const std::string sql = fmt::format("SELECT {} FROM trusted_rtmr_profiles WHERE mrtd=:mrtd ORDER BY name",
                                             db::columns_of<RtmrProfileRow>());
  return tx.query<RtmrProfileRow>(sql, {{"mrtd", mrtd}});
}

Result<std::vector<attestation::Measurement>> TrustStore::event_digests(db::Transaction& tx,
                                                                        const std::string& profile_id) const {
  const auto stored = tx.query_one<std::string>(
      "SELECT event_digests FROM trusted_rtmr_profiles WHERE id=:id AND event_digests IS NOT NULL",
      {{"id", profile_id}});
  if (!stored) return std::unexpected(stored.error());
  std::vector<attestation::Measurement> digests;
  if (!*stored) return digests;
  const auto texts = json::parse(**stored);
  if (!texts || !texts->is_array()) return fail(ErrorCode::internal_error, "a stored event log is damaged");
  for (const auto& text : texts->get_array()) {
    if (!text.is_string()) return fail(ErrorCode::internal_error, "a stored event log is damaged");
    auto digest = measurement(std::string(text.get_string()), "trusted_rtmr_profiles.event_digests");
    if (!digest) return std::unexpected(std::move(digest.error()));
    digests.push_back(*digest);
  }
  return digests;
}

Result<std::optional<UtcTime>> TrustStore::latest_expiry(db::Transaction& tx, UtcTime now) const {
  const auto times = tx.query<UtcTime>(
      "SELECT expires_at FROM trusted_mrtds WHERE expires_at<=:now UNION ALL "
      "SELECT expires_at FROM trusted_rtmr_profiles WHERE expires_at<=:now ORDER BY 1 DESC LIMIT 1",
      {{"now", now}});
  if (!times) return std::unexpected(times.error());
  return times->empty() ? std::nullopt : std::optional(times->front());
}

Result<void> TrustStore::raise_version(db::Transaction& tx) const {
  const auto raised = MetaStore().raise(tx, kTrustVersionKey);
  if (!raised) return std::unexpected(raised.error());
  return {};
}

Result<std::int64_t> TrustStore::agents_with(db::Transaction& tx, const std::string& mrtd) const {
  const auto count = tx.query_one<std::int64_t>(
      "SELECT count(*) FROM agent_evidence e JOIN agents a ON a.id=e.agent_id "
      "WHERE e.mrtd=:mrtd AND a.status NOT IN ('deleting', 'deleted')",
      {{"mrtd", mrtd}});
  if (!count) return std::unexpected(count.error());
  return count->value_or(0);
}

Result<void> TrustStore::add(db::Transaction& tx, const TrustedMrtdRow& row) const {
  static const std::string sql = fmt::format("INSERT INTO trusted_mrtds ({}) VALUES ({})",
                                             db::columns_of<TrustedMrtdRow>(), db::placeholders_of<TrustedMrtdRow>());
  const auto written = tx.execute(sql, db::params_of(row), db::OnUnique{ErrorCode::mrtd_exists});
  if (!written) return std::unexpected(written.error());
  return raise_version(tx);
}

Result<TrustedMrtdRow> TrustStore::change(db::Transaction& tx, const std::string& mrtd, const TrustedMrtdChange& change,
                                          std::optional<std::int64_t> if_version, UtcTime now) const {
  auto found = get(tx, mrtd);
  if (!found) return std::unexpected(std::move(found.error()));
  if (!*found) return fail(ErrorCode::mrtd_not_found);
  TrustedMrtdRow row = std::move(**found);
  if (if_version && *if_version != row.version) return fail(ErrorCode::version_mismatch);
  const std::int64_t seen = row.version;
  row.enabled = change.enabled.value_or(row.enabled);
  row.note = change.note.value_or(row.note);
  row.expires_at = change.expires_at.value_or(row.expires_at);
  row.version = seen + 1;
  row.updated_at = now;
  const auto changed = tx.execute(
      "UPDATE trusted_mrtds SET enabled=:enabled, note=:note, expires_at=:expires_at, version=:version, "
      "updated_at=:now WHERE mrtd=:mrtd AND version=:seen",
      {{"enabled", row.enabled},
       {"note", row.note},
       {"expires_at", row.expires_at},
       {"version", row.version},
       {"now", now},
       {"mrtd", mrtd},
       {"seen", seen}});
  if (!changed) return std::unexpected(changed.error());
  if (*changed == 0) return fail(ErrorCode::version_mismatch);
  if (auto raised = raise_version(tx); !raised) return std::unexpected(std::move(raised.error()));
  return row;
}

Result<void> TrustStore::remove(db::Transaction& tx, const std::string& mrtd) const {
  const auto removed = tx.execute("DELETE FROM trusted_mrtds WHERE mrtd=:mrtd", {{"mrtd", mrtd}});
  if (!removed) return std::unexpected(removed.error());
  if (*removed == 0) return fail(ErrorCode::mrtd_not_found);
  return raise_version(tx);
}

Result<void> TrustStore::add_profile(db::Transaction& tx, const RtmrProfileRow& row) const {
  const auto refused = [](std::string field, std::string code, const std::string& detail) {
    return fail(Error{.code = ErrorCode::invalid_request,
                      .detail = detail,
                      .fields = {{.field = std::move(field), .code = std::move(code), .detail = detail}}});
  };
  const auto owner = get(tx, row.mrtd);
  if (!owner) return std::unexpected(owner.error());
  if (!*owner) return fail(ErrorCode::mrtd_not_found);
  const auto known = profiles(tx, row.mrtd);
  if (!known) return std::unexpected(known.error());
  if (std::ranges::find(*known, row.name, &RtmrProfileRow::name) != known->end()) {
    return refused("name", "duplicate", "this MRTD has a profile of that name");
  }
  if (!row.rtmr0 && !row.rtmr1 && !row.rtmr2 && !row.rtmr3) {
    return refused("rtmr0", "required", "at least one register must be given");
  }
  static const std::string sql = fmt::format("INSERT INTO trusted_rtmr_profiles ({}) VALUES ({})",
                                             db::columns_of<RtmrProfileRow>(), db::placeholders_of<RtmrProfileRow>());
  const auto written = tx.execute(sql, db::params_of(row));
  if (!written) return std::unexpected(written.error());
  return raise_version(tx);
}

Result<void> TrustStore::remove_profile(db::Transaction& tx, const std::string& mrtd,
                                        const std::string& profile_id) const {
  const auto removed =
      tx.execute("DELETE FROM trusted_rtmr_profiles WHERE id=:id AND mrtd=:mrtd", {{"id", profile_id}, {"mrtd", mrtd}});
  if (!removed) return std::unexpected(removed.error());
  if (*removed == 0) return fail(ErrorCode::mrtd_not_found);
  return raise_version(tx);
}

}  // namespace ee::cp
