#pragma once
#include <optional>
#include <string>

#include "attestation/event_log.h"
#include "attestation/quote/quote.h"
#include "attestation/validate/policy_snapshot.h"
#include "common/agent_api.h"
#include "cp/service/agent_assignments.h"
#include "cp/service/trust_service.h"
#include "db/database.h"

namespace ee::cp {

/// What an agent was measured to be when its evidence was accepted last; a refresh must show the same.
struct MeasuredBefore {
  std::string mrtd;
  std::array<std::string, 4> rtmrs;  ///< 96 hex each
  std::string binding;               ///< 64 hex
};

/// The event log that came with evidence, read and replayed; nothing when there is none or the mode ignores it.
/// Errors: event_log_missing, event_log_malformed.
Result<std::optional<attestation::EventLog>> replay_sent_log(const std::optional<std::string>& base64,
                                                             attestation::EventLogMode mode);

/// The JSON array of at most 5 events of a boot whose digest is not in the stored log of the profile, with register,
/// type, digest and, where the event says it in plain text, what it is. Nothing when the profile has no stored log (or
/// comes from the environment, which has none), or every event is in it.
Result<std::optional<std::string>> changed_events_json(db::Transaction& tx, const attestation::EventLog& log,
                                                       const std::string& profile_id);

/// What is known of the agent that a workload log is said to be of.
struct WorkloadLogContext {
  std::string vm_name = {};
  /// Of a refresh: RTMR3 (96 hex) of the evidence that was accepted last. What led to it was judged then.
  std::optional<std::string> accepted_rtmr3 = {};
  /// Of a registration: this database was made or put back then, and knows nothing of some deployments from before.
  std::optional<UtcTime> forgotten_before = {};
};
/// The workload log leads to RTMR3, and every deployment in it is one that was assigned to this agent, or to an earlier
/// one of its name: a VM that was deleted for its silence comes back with the log of its boot. An absent log says
/// nothing. Answers how many entries could not be judged, since the database may have forgotten them. Errors:
/// workload_log_mismatch, workload_unknown, those of the database.
Result<std::size_t> check_workload_log(db::Database& database, const AgentAssignments& assignments,
                                       const std::optional<std::vector<agent_api::WorkloadLogEntry>>& log,
                                       const WorkloadLogContext& context, const attestation::Quote& quote);

/// The TD is the one that was measured before: MRTD, RTMR0 to 2 and binding are equal, and without a workload log RTMR3
/// too. Errors: measurement_changed.
Result<void> check_unchanged(const attestation::Quote& quote, Bytes binding, bool has_workload_log,
                             const MeasuredBefore& before);

}  // namespace ee::cp
