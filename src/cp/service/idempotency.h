#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "common/clock.h"
#include "common/id.h"
#include "cp/store/idempotency_store.h"
#include "db/database.h"

namespace ee::cp {

/// What the work of a POST answers.
struct EffectAnswer {
  int status = 200;       ///< 2xx, or a 4xx after an effect that stays
  std::string body = {};  ///< JSON
  /// What a replay is given, when `body` holds a one-time secret: the same with the secret null and
  /// `"secret_shown":true`. Nothing: `body` itself.
  std::optional<std::string> kept_body = {};
};

struct IdempotentAnswer {
  int status = 200;
  std::string body = {};
  bool replayed = false;  ///< the answer carries `Idempotent-Replayed: true`
};

/// What an `Idempotency-Key` stands for: `acted_for` is the account, nothing for administrators' own work; `body` is
/// the request's body as sent. Errors: `invalid_idempotency_key`.
Result<IdempotentRequest> idempotent_request(const std::optional<AccountId>& acted_for, std::string_view method,
                                             std::string_view path, std::string_view key, std::string_view body);

/// POST routes with an `Idempotency-Key` (05 section 3.6): earlier answer, or effect and its answer, in one
/// transaction, so that there is no moment in which one is there without the other. Thread-safe; the references outlive
/// it.
class Idempotency {
 public:
  using Effect = std::function<Result<EffectAnswer>(db::Transaction&)>;

  Idempotency(db::Database& database, const Clock& clock) : database_(database), clock_(clock) {}

  /// Runs `effect` once for this request and keeps what it answers; a repetition within 24 h is given the same. An
  /// error of the effect rolls everything back and is not kept: the key is free again. Without a request (no key was
  /// sent) the effect just runs. Errors: `idempotency_key_reused`, those of the effect.
  Result<IdempotentAnswer> run(const std::optional<IdempotentRequest>& request, const Effect& effect) const;
  /// The same inside a transaction of the caller.
  Result<IdempotentAnswer> run(db::Transaction& tx, const std::optional<IdempotentRequest>& request,
                               const Effect& effect) const;

 private:
  db::Database& database_;
  const Clock& clock_;
};

}  // namespace ee::cp
