#include "cp/store/meta_store.h"

#include <charconv>

namespace ee::cp {

Result<std::optional<std::string>> MetaStore::get(db::Transaction& tx, std::string_view key) const {
  return tx.query_one<std::string>("SELECT value FROM meta WHERE key=:key", {{"key", key}});
}

Result<void> MetaStore::set(db::Transaction& tx, std::string_view key, std::string_view value) const {
  const auto written = tx.execute(
      "INSERT INTO meta (key, value) VALUES (:key, :value) ON CONFLICT (key) DO UPDATE SET value=excluded.value",
      {{"key", key}, {"value", value}});
  if (!written) return std::unexpected(written.error());
  return {};
}

Result<void> MetaStore::remove(db::Transaction& tx, std::string_view key) const {
  const auto removed = tx.execute("DELETE FROM meta WHERE key=:key", {{"key", key}});
  if (!removed) return std::unexpected(removed.error());
  return {};
}

Result<std::int64_t> MetaStore::number(db::Transaction& tx, std::string_view key) const {
  const auto text = get(tx, key);
  if (!text) return std::unexpected(text.error());
  if (!*text) return 0;
  std::int64_t value = 0;
  const char* end = (*text)->data() + (*text)->size();
  const auto parsed = std::from_chars((*text)->data(), end, value);
  if (parsed.ec != std::errc() || parsed.ptr != end) {
    return fail(ErrorCode::internal_error, "meta." + std::string(key) + " is not a number");
  }
  return value;
}

Result<std::int64_t> MetaStore::raise(db::Transaction& tx, std::string_view key) const {
  const auto before = number(tx, key);
  if (!before) return before;
  const std::int64_t after = *before + 1;
  if (const auto written = set(tx, key, std::to_string(after)); !written) return std::unexpected(written.error());
  return after;
}

Result<std::optional<UtcTime>> MetaStore::restored_at(db::Transaction& tx) const {
  const auto ms = number(tx, kRestoredAtKey);
  if (!ms) return std::unexpected(ms.error());
  if (*ms == 0) return std::optional<UtcTime>{};
  return std::optional<UtcTime>(from_unix_ms(*ms));
}

Result<std::optional<UtcTime>> MetaStore::began_at(db::Transaction& tx) const {
  auto began = restored_at(tx);
  if (!began) return began;
  const auto made = tx.query_one<UtcTime>("SELECT applied_at FROM schema_migrations ORDER BY version LIMIT 1");
  if (!made) return std::unexpected(made.error());
  return *made && (!*began || **began < **made) ? *made : *began;
}

Result<void> MetaStore::probe(db::Transaction& tx, UtcTime now) const {
  return set(tx, "write_probe_at", std::to_string(unix_ms(now)));
}

}  // namespace ee::cp
