#include "cp/store/idempotency_store.h"

#include <algorithm>
#include <boost/describe.hpp>

namespace ee::cp {

namespace {
constexpr std::size_t kMaxKey = 255;

struct KeptRow {
  std::string body_sha256;
  std::int64_t status = 0;
  std::string response;
  UtcTime expires_at;
};
BOOST_DESCRIBE_STRUCT(KeptRow, (), (body_sha256, status, response, expires_at))

db::Params key_params(const IdempotentRequest& request) {
  return {{"principal", request.principal}, {"method", request.method}, {"path", request.path}, {"key", request.key}};
}
}  // namespace

Result<void> check_idempotency_key(std::string_view key) {
  const bool visible = std::ranges::all_of(key, [](char c) { return c > ' ' && c <= '~'; });
  if (key.empty() || key.size() > kMaxKey || !visible) return fail(ErrorCode::invalid_idempotency_key);
  return {};
}

Result<std::optional<StoredAnswer>> IdempotencyStore::find(db::Transaction& tx, const IdempotentRequest& request,
                                                           UtcTime now) const {
  auto found = tx.query_one<KeptRow>(
      "SELECT body_sha256, status, response, expires_at FROM idempotency_keys "
      "WHERE principal=:principal AND method=:method AND path=:path AND key=:key",
      key_params(request));
  if (!found) return std::unexpected(std::move(found.error()));
  if (!*found) return std::optional<StoredAnswer>{};
  KeptRow& row = **found;
  if (row.expires_at <= now) {
    const auto removed = tx.execute(
        "DELETE FROM idempotency_keys WHERE principal=:principal AND method=:method AND path=:path AND key=:key",
        key_params(request));
    if (!removed) return std::unexpected(removed.error());
    return std::optional<StoredAnswer>{};
  }
  if (row.body_sha256 != request.body_sha256) return fail(ErrorCode::idempotency_key_reused);
  return std::optional(StoredAnswer{.status = row.status, .body = std::move(row.response)});
}

Result<void> IdempotencyStore::keep(db::Transaction& tx, const IdempotentRequest& request, const StoredAnswer& answer,
                                    UtcTime now) const {
  const bool fits = answer.body.size() <= kMaxBody;
  db::Params params = key_params(request);
  params.emplace_back("body_sha256", request.body_sha256);
  params.emplace_back("status", answer.status);
  params.emplace_back("response", fits ? answer.body : std::string(R"({"answer_too_long":true})"));
  params.emplace_back("now", now);
  params.emplace_back("expires_at", now + kKept);
  const auto written = tx.execute(
      "INSERT INTO idempotency_keys (principal, method, path, key, body_sha256, status, response, created_at, "
      "expires_at) VALUES (:principal, :method, :path, :key, :body_sha256, :status, :response, :now, :expires_at)",
      params, db::OnUnique{ErrorCode::concurrent_update});
  if (!written) return std::unexpected(written.error());
  return {};
}

Result<std::int64_t> IdempotencyStore::remove_expired(db::Transaction& tx, UtcTime now, std::int64_t limit) const {
  return tx.execute(
      "DELETE FROM idempotency_keys WHERE (principal, method, path, key) IN (SELECT principal, method, path, key "
      "FROM idempotency_keys WHERE expires_at<=:now ORDER BY expires_at LIMIT :limit)",
      {{"now", now}, {"limit", limit}});
}

}  // namespace ee::cp
