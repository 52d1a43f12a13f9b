#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/time.h"
#include "db/database.h"

namespace ee::cp {

/// A POST with an `Idempotency-Key`. `principal` is the account acted for, else `admin`.
struct IdempotentRequest {
  std::string principal = {};
  std::string method = {};
  std::string path = {};
  std::string key = {};
  std::string body_sha256 = {};  ///< 64 hex
};

/// The first answer, to be given again.
struct StoredAnswer {
  std::int64_t status = 0;
  std::string body = {};  ///< JSON
};

/// 1..255 visible ASCII characters. Errors: `invalid_idempotency_key`.
Result<void> check_idempotency_key(std::string_view key);

/// Table `idempotency_keys` (05 section 3.6). The answer is written in the transaction of the effect, so there is no
/// moment in between: a caller does `find`, the effect, `keep` in one write. Stateless.
class IdempotencyStore {
 public:
  static constexpr Seconds kKept{24 * 3600};
  static constexpr std::size_t kMaxBody = 64UL * 1024;

  /// The answer of an earlier request with this key and body; nothing: do the work. A key that has expired is free
  /// again. Errors: `idempotency_key_reused` for another body.
  Result<std::optional<StoredAnswer>> find(db::Transaction& tx, const IdempotentRequest& request, UtcTime now) const;
  /// Keeps the answer. One-time secrets must be taken out by the caller (null, and `"secret_shown":true`); of a body
  /// above kMaxBody only a note is kept. Errors: `concurrent_update` when the key was kept meanwhile.
  Result<void> keep(db::Transaction& tx, const IdempotentRequest& request, const StoredAnswer& answer,
                    UtcTime now) const;
  /// Deletes at most `limit` expired rows; how many.
  Result<std::int64_t> remove_expired(db::Transaction& tx, UtcTime now, std::int64_t limit) const;
};

}  // namespace ee::cp
