#pragma once
#include <boost/describe.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/id.h"
#include "common/time.h"
#include "db/database.h"

namespace ee::cp {

/// A row of `agent_evidence`: the last evidence of an agent that was accepted, enough to verify its quote again.
struct EvidenceRow {
  AgentId agent_id = {};
  std::string kind = {};      ///< `dcap`, `ita`, `emulated`
  std::string quote = {};     ///< base64
  std::string preimage = {};  ///< base64 of what report_data is the SHA-512 of
  std::string mrtd = {};      ///< measurements: 96 hex
  std::string rtmr0 = {};
  std::string rtmr1 = {};
  std::string rtmr2 = {};
  std::string rtmr3 = {};
  std::string td_attributes = {};
  std::string tcb_status = {};
  std::optional<std::string> fmspc = {};
  std::string node_size = {};
  std::string binding = {};
  std::string advisory_ids = "[]";   ///< JSON array
  std::string warnings = "[]";       ///< JSON array
  std::string policy_snapshot = {};  ///< JSON
  std::optional<std::string> rtmr_profile_id = {};
  std::string verifier_mode = {};
  std::int64_t policy_version = 0;  ///< of trust and settings at the last evaluation
  UtcTime attested_at = {};
  std::string audit_id = {};
  bool operator==(const EvidenceRow&) const = default;
};
BOOST_DESCRIBE_STRUCT(EvidenceRow, (),
                      (agent_id, kind, quote, preimage, mrtd, rtmr0, rtmr1, rtmr2, rtmr3, td_attributes, tcb_status,
                       fmspc, node_size, binding, advisory_ids, warnings, policy_snapshot, rtmr_profile_id,
                       verifier_mode, policy_version, attested_at, audit_id))

/// A place in the order of `outdated`.
struct EvidencePlace {
  std::int64_t policy_version = 0;
  AgentId agent_id = {};
};

/// Table `agent_evidence`; a row goes with its agent. Stateless.
class EvidenceStore {
 public:
  /// Writes or replaces the agent's row. Errors: `in_use` when there is no such agent.
  Result<void> put(db::Transaction& tx, const EvidenceRow& row) const;
  Result<std::optional<EvidenceRow>> get(db::Transaction& tx, const AgentId& agent_id) const;
  /// At most `limit` rows that were evaluated under an older policy than `policy_version`, oldest policy first.
  Result<std::vector<EvidenceRow>> outdated(db::Transaction& tx, std::int64_t policy_version, std::int64_t limit,
                                            const std::optional<EvidencePlace>& after = {}) const;
  /// At most `limit` rows with this MRTD, by agent, after `after`.
  Result<std::vector<EvidenceRow>> with_mrtd(db::Transaction& tx, const std::string& mrtd, const AgentId& after,
                                             std::int64_t limit) const;
  /// How many agents there are that are neither deleted nor failed.
  Result<std::int64_t> count_trusted(db::Transaction& tx) const;
  /// Notes that the row was evaluated again. False when somebody else did since it was read: of two replicas one wins.
  Result<bool> mark_evaluated(db::Transaction& tx, const AgentId& agent_id, std::int64_t seen_version,
                              std::int64_t policy_version) const;
};

}  // namespace ee::cp
