#include "cp/service/idempotency.h"

#include "common/bytes.h"
#include "common/crypto.h"
#include "common/require.h"

namespace ee::cp {

Result<IdempotentRequest> idempotent_request(const std::optional<AccountId>& acted_for, std::string_view method,
                                             std::string_view path, std::string_view key, std::string_view body) {
  if (auto valid = check_idempotency_key(key); !valid) return std::unexpected(std::move(valid.error()));
  return IdempotentRequest{.principal = acted_for ? acted_for->str() : "admin",
                           .method = std::string(method),
                           .path = std::string(path),
                           .key = std::string(key),
                           .body_sha256 = to_hex(sha256(bytes_of(body)))};
}

Result<IdempotentAnswer> Idempotency::run(const std::optional<IdempotentRequest>& request, const Effect& effect) const {
  return database_.write<IdempotentAnswer>([&](db::Transaction& tx) { return run(tx, request, effect); });
}

Result<IdempotentAnswer> Idempotency::run(db::Transaction& tx, const std::optional<IdempotentRequest>& request,
                                          const Effect& effect) const {
  const IdempotencyStore kept;
  if (request) {
    auto known = kept.find(tx, *request, clock_.now());
    if (!known) return std::unexpected(std::move(known.error()));
    if (*known) {
      return IdempotentAnswer{
          .status = static_cast<int>((*known)->status), .body = std::move((*known)->body), .replayed = true};
    }
  }
  auto answer = effect(tx);
  if (!answer) return std::unexpected(std::move(answer.error()));
  require(answer->status >= 200 && answer->status < 500);
  if (request) {
    const StoredAnswer stored{.status = answer->status, .body = answer->kept_body.value_or(answer->body)};
    if (auto done = kept.keep(tx, *request, stored, clock_.now()); !done)
      return std::unexpected(std::move(done.error()));
  }
  return IdempotentAnswer{.status = answer->status, .body = std::move(answer->body), .replayed = false};
}

}  // namespace ee::cp
