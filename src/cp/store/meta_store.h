#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/time.h"
#include "db/database.h"

namespace ee::cp {

/// Table `meta`: single values of the installation. Stateless.
class MetaStore {
 public:
  Result<std::optional<std::string>> get(db::Transaction& tx, std::string_view key) const;
  Result<void> set(db::Transaction& tx, std::string_view key, std::string_view value) const;
  Result<void> remove(db::Transaction& tx, std::string_view key) const;

  /// A value that is a whole number; 0 when absent.
  Result<std::int64_t> number(db::Transaction& tx, std::string_view key) const;
  /// Adds one and gives the new value.
  Result<std::int64_t> raise(db::Transaction& tx, std::string_view key) const;

  /// When this database was restored from a backup; challenges given before are void.
  Result<std::optional<UtcTime>> restored_at(db::Transaction& tx) const;
  /// When this database was made or, if that is later, put back: of deployments from before it may know nothing.
  Result<std::optional<UtcTime>> began_at(db::Transaction& tx) const;
  /// A write that means nothing but that writing works: what `/ready` asks for every 10 s.
  Result<void> probe(db::Transaction& tx, UtcTime now) const;
};

inline constexpr std::string_view kRestoredAtKey = "restored_at";
/// Unix ms until which a restored database is not believed about what it does not know.
inline constexpr std::string_view kReapHoldKey = "reap_hold_until";
inline constexpr Seconds kReapHold{24 * 3600};

/// Rises with every change of trusted MRTDs and profiles.
inline constexpr std::string_view kTrustVersionKey = "trust_version";

}  // namespace ee::cp
