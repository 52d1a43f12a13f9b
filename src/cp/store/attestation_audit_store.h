#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "common/time.h"
#include "cp/domain/cursor.h"
#include "db/database.h"

namespace ee::cp {

enum class AttestationEvent : std::uint8_t {
  registration_attestation_accepted,
  registration_attestation_rejected,
  refresh_attestation_accepted,
  refresh_attestation_rejected,
  trust_entry_added,
  trust_entry_changed,
  trust_entry_removed,
  attestation_policy_changed,
  policy_relaxed,
};
BOOST_DESCRIBE_ENUM(AttestationEvent, registration_attestation_accepted, registration_attestation_rejected,
                    refresh_attestation_accepted, refresh_attestation_rejected, trust_entry_added, trust_entry_changed,
                    trust_entry_removed, attestation_policy_changed, policy_relaxed)

enum class AttestationResult : std::uint8_t { accepted, rejected, info };
BOOST_DESCRIBE_ENUM(AttestationResult, accepted, rejected, info)

/// A row of `attestation_audit` (01 section 15.2). Never a token, a raw nonce or a key.
struct AttestationAuditRow {
  std::string id = {};  ///< UUIDv7
  UtcTime at = {};
  AttestationEvent event = AttestationEvent::policy_relaxed;
  std::optional<std::string> request_id = {};
  AttestationResult result = AttestationResult::info;
  std::optional<std::string> reason_code = {};
  std::optional<std::string> warnings = {};  ///< JSON array
  std::optional<std::string> agent_id = {};
  std::optional<std::string> vm_name = {};
  std::optional<std::string> actor = {};
  std::optional<std::string> source_ip = {};
  std::optional<std::string> purpose = {};
  std::optional<std::string> nonce_id = {};
  std::optional<std::string> quote_sha256 = {};
  std::optional<std::string> mrtd = {};
  std::optional<std::string> rtmr0 = {};
  std::optional<std::string> rtmr1 = {};
  std::optional<std::string> rtmr2 = {};
  std::optional<std::string> rtmr3 = {};
  std::optional<std::string> td_attributes = {};
  std::optional<std::string> tcb_status = {};
  std::optional<std::string> fmspc = {};
  std::optional<std::string> advisory_ids = {};  ///< JSON array
  std::optional<std::string> ita_token_sha256 = {};
  std::optional<std::string> verifier_mode = {};
  std::optional<std::string> policy_snapshot = {};  ///< JSON
  std::optional<std::string> details = {};          ///< JSON; above 8 KiB it is dropped with a note
  std::optional<std::int64_t> duration_ms = {};
  bool operator==(const AttestationAuditRow&) const = default;
};
BOOST_DESCRIBE_STRUCT(AttestationAuditRow, (),
                      (id, at, event, request_id, result, reason_code, warnings, agent_id, vm_name, actor, source_ip,
                       purpose, nonce_id, quote_sha256, mrtd, rtmr0, rtmr1, rtmr2, rtmr3, td_attributes, tcb_status,
                       fmspc, advisory_ids, ita_token_sha256, verifier_mode, policy_snapshot, details, duration_ms))

struct AttestationAuditFilter {
  std::optional<std::string> agent_id = {};
  std::optional<std::string> vm_name = {};
  std::optional<AttestationResult> result = {};
  std::optional<std::string> reason_code = {};
  std::optional<std::string> mrtd = {};
  std::optional<UtcTime> from = {};  ///< from then on
  std::optional<UtcTime> to = {};    ///< before then
};

/// Table `attestation_audit`: append-only. Stateless.
class AttestationAuditStore {
 public:
  static constexpr std::size_t kMaxDetails = 8192;

  Result<void> append(db::Transaction& tx, const AttestationAuditRow& row) const;
  Result<std::optional<AttestationAuditRow>> get(db::Transaction& tx, const std::string& id) const;
  /// Newest first.
  Result<Page<AttestationAuditRow>> list(db::Transaction& tx, const AttestationAuditFilter& filter,
                                         const PageRequest& page) const;
  /// How many registrations of an agent were accepted since then.
  Result<std::int64_t> count_accepted(db::Transaction& tx, const std::string& agent_id, UtcTime since) const;
  /// Whether an administrator removed the trusted MRTD since then.
  Result<bool> was_removed_since(db::Transaction& tx, const std::string& mrtd, UtcTime since) const;
  /// Deletes at most `limit` rows from before `before`; how many. Rows of the last 90 days cannot be deleted.
  Result<std::int64_t> remove_before(db::Transaction& tx, UtcTime before, std::int64_t limit) const;
};

}  // namespace ee::cp
