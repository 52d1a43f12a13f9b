#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "attestation/verify/collateral_checks.h"
#include "attestation/verify/collateral_store.h"

namespace ee::attestation {

/// A piece of collateral that was verified when it came.
struct CollateralPiece {
  CollateralKey key;
  CollateralRow row;
  std::shared_ptr<const CollateralItem> item;
  std::shared_ptr<const VerifiedRootCrl> root_crl;  ///< of that kind only: other pieces' signers are looked up in it
};

/// One remembered piece, for metrics and the status page.
struct CollateralState {
  std::string cache_key;
  CollateralKind kind;
  UtcTime fetched_at;
  UtcTime next_update_at;
  std::optional<ErrorCode> last_error;  ///< of the latest attempt to refresh it
};

/// What CollateralCache remembers: at most 256 pieces and failures, the least recently used goes. Thread-safe.
class CollateralMemory {
 public:
  /// The piece of that name; nullptr when there is none. `use` also says that somebody needs it now.
  std::shared_ptr<const CollateralPiece> find(const std::string& name) const;
  std::shared_ptr<const CollateralPiece> use(const std::string& name, UtcTime now);
  void put(std::shared_ptr<const CollateralPiece> piece, UtcTime now);

  /// A failure to fetch: no further attempt before `retry_at`.
  void put_failure(const CollateralKey& key, const Error& error, UtcTime retry_at);
  /// The failure that still forbids an attempt; nothing when one may be made.
  std::optional<Error> failure(const std::string& name, UtcTime now) const;

  /// True at most once a minute for each piece: time to see whether another replica has a newer one.
  bool may_look_further(const std::string& name, UtcTime now);

  /// The pieces that were used since `used_since` and may be fetched, root CRL first.
  std::vector<std::shared_ptr<const CollateralPiece>> candidates(UtcTime used_since, UtcTime now) const;
  std::vector<CollateralState> states() const;

 private:
  struct Entry {
    std::shared_ptr<const CollateralPiece> piece = {};  // empty: only failures so far
    UtcTime used_at = {};
    UtcTime retry_at = {};
    UtcTime look_at = {};
    std::optional<Error> failure = {};
    std::uint64_t order = 0;
  };
  Entry& entry(const std::string& name);

  mutable std::mutex mutex_;
  std::unordered_map<std::string, Entry> entries_;
  std::uint64_t uses_ = 0;
};

}  // namespace ee::attestation
