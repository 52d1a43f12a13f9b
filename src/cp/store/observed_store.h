#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "common/time.h"
#include "cp/domain/cursor.h"
#include "db/database.h"

namespace ee::cp {

/// A row of `observed_measurements`: what a machine measured whose quote was genuine and which was refused all the
/// same. Nothing in it is trusted.
struct ObservedRow {
  std::string id = {};           ///< UUIDv7
  std::string fingerprint = {};  ///< SHA-256 of MRTD, RTMR0 to 2 and node size
  std::string mrtd = {};         ///< measurements: 96 hex
  std::string rtmr0 = {};
  std::string rtmr1 = {};
  std::string rtmr2 = {};
  std::string rtmr3 = {};
  std::string node_size = {};
  std::string vm_name = {};  ///< of the latest
  std::string tcb_status = {};
  std::string reason_code = {};
  std::int64_t count = 1;
  UtcTime first_seen_at = {};
  UtcTime last_seen_at = {};
  bool operator==(const ObservedRow&) const = default;
};
BOOST_DESCRIBE_STRUCT(ObservedRow, (),
                      (id, fingerprint, mrtd, rtmr0, rtmr1, rtmr2, rtmr3, node_size, vm_name, tcb_status, reason_code,
                       count, first_seen_at, last_seen_at))

/// Table `observed_measurements`. Stateless.
class ObservedStore {
 public:
  static constexpr std::int64_t kMaxRows = 1000;

  /// Counts what was seen, by its fingerprint; beyond `kMaxRows` the rows that were not seen for longest go.
  Result<void> record(db::Transaction& tx, const ObservedRow& seen) const;
  /// Last seen first.
  Result<Page<ObservedRow>> list(db::Transaction& tx, const PageRequest& page) const;
  Result<std::optional<ObservedRow>> get(db::Transaction& tx, const std::string& id) const;
  /// False: there was none.
  Result<bool> remove(db::Transaction& tx, const std::string& id) const;
  /// Removes at most `limit` rows that were not seen since `before`.
  Result<std::int64_t> remove_unseen(db::Transaction& tx, UtcTime before, std::int64_t limit) const;
};

}  // namespace ee::cp
