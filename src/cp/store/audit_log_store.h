#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "common/random.h"
#include "common/time.h"
#include "cp/domain/cursor.h"
#include "db/database.h"

namespace ee::cp {

enum class AuditResult : std::uint8_t { ok, refused, failed };
BOOST_DESCRIBE_ENUM(AuditResult, ok, refused, failed)

/// What happened, as the code that did it says. `actor` is `<kind>:<id>` (04 section 12).
struct AuditEntry {
  std::string actor = {};
  std::string action = {};  ///< a slug: `setting_changed`, `job_run_requested`, ...
  std::optional<std::string> object_type = {};
  std::optional<std::string> object_id = {};
  AuditResult result = AuditResult::ok;
  std::optional<std::string> reason_code = {};
  std::optional<std::string> request_id = {};
  std::optional<std::string> client_address = {};
  std::string detail = "{}";  ///< JSON object; scrubbed of secrets here; above 4 KiB it is dropped with a note
};

/// A row of `audit_log`, or one of `attestation_audit` in its form (then without a chain).
struct AuditRow {
  std::string id = {};
  UtcTime at = {};
  std::string actor = {};
  std::string action = {};
  std::optional<std::string> object_type = {};
  std::optional<std::string> object_id = {};
  AuditResult result = AuditResult::ok;
  std::optional<std::string> reason_code = {};
  std::optional<std::string> request_id = {};
  std::optional<std::string> client_address = {};
  std::optional<std::string> detail = {};
  std::string chain = "main";
  std::optional<std::string> prev_hash = {};
  std::optional<std::string> hash = {};
  bool operator==(const AuditRow&) const = default;
};
BOOST_DESCRIBE_STRUCT(AuditRow, (),
                      (id, at, actor, action, object_type, object_id, result, reason_code, request_id, client_address,
                       detail, chain, prev_hash, hash))

struct AuditFilter {
  std::optional<std::string> action = {};
  std::optional<std::string> actor = {};
  std::optional<std::string> object_type = {};
  std::optional<std::string> object_id = {};
  std::optional<AuditResult> result = {};
  std::optional<UtcTime> since = {};  ///< from then on
  std::optional<UtcTime> until = {};  ///< before then
};

/// Table `audit_log` (05 section 14.4). Rows form a chain: `hash` = SHA-256 of `prev_hash` and the row's canonical
/// JSON, so that a changed, removed or inserted row shows. Within the chain the order by (`at`, `id`) is that of
/// writing: when the clock steps back, `at` stays at the last row's and the detail says what the clock said. Stateless.
class AuditLogStore {
 public:
  static constexpr std::size_t kMaxDetail = 4096;

  /// Writes the row in the transaction of its effect; its id.
  Result<std::string> append(db::Transaction& tx, const AuditEntry& entry, UtcTime now, Random& random) const;
  /// Newest first, decisions of `attestation_audit` among them.
  Result<Page<AuditRow>> list(db::Transaction& tx, const AuditFilter& filter, const PageRequest& page) const;
  /// Deletes at most `limit` rows from before `before`, the oldest first; how many. The last one's hash stays as the
  /// anchor of the chain. Rows of the last 90 days cannot be deleted.
  Result<std::int64_t> remove_before(db::Transaction& tx, UtcTime before, std::int64_t limit) const;
};

/// Walks the whole chain in steps, so that a long one does not hold a transaction. Used by the database check.
class AuditChainCheck {
 public:
  /// Checks at most `limit` further rows. True when there may be more; then `broken_at()` tells nothing final yet.
  Result<bool> step(db::Transaction& tx, std::int64_t limit);
  /// The id of the first row that does not follow from the one before it; `head` when rows are missing at the end.
  const std::optional<std::string>& broken_at() const { return broken_at_; }
  std::int64_t rows() const { return rows_; }

 private:
  std::optional<PagePosition> position_;
  std::string hash_ = {};
  std::optional<std::string> broken_at_;
  std::int64_t rows_ = 0;
};

}  // namespace ee::cp
