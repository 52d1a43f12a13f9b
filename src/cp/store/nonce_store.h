#pragma once
#include <boost/describe.hpp>
#include <optional>
#include <string>

#include "common/time.h"
#include "db/database.h"

namespace ee::cp {

/// A row of `attestation_nonces`: a nonce that was used. Only its hash is kept.
struct NonceUse {
  std::string nonce_hash = {};  ///< SHA-256 of the nonce, 64 hex
  std::string purpose = {};     ///< `register`, `refresh`
  std::string vm_name = {};
  std::optional<std::string> agent_id = {};  ///< set for refresh
  UtcTime expires_at = {};
  UtcTime consumed_at = {};
  std::string consumed_by = {};  ///< request id
};
BOOST_DESCRIBE_STRUCT(NonceUse, (), (nonce_hash, purpose, vm_name, agent_id, expires_at, consumed_at, consumed_by))

/// Table `attestation_nonces`. Stateless.
class NonceStore {
 public:
  /// Rows are kept so long past their expiry: by then every replica refuses the challenge as expired, however their
  /// clocks differ.
  static constexpr Seconds kKeptAfterExpiry{3600};

  /// Marks the nonce as used. False when it was used before: of any number of callers exactly one gets true. What
  /// fails afterwards does not give the nonce back.
  Result<bool> consume(db::Transaction& tx, const NonceUse& use) const;
  /// Deletes at most `limit` rows whose expiry is longer ago than kKeptAfterExpiry; how many.
  Result<std::int64_t> remove_expired(db::Transaction& tx, UtcTime now, std::int64_t limit) const;
};

}  // namespace ee::cp
