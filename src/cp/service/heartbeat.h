#pragma once
#include <atomic>
#include <functional>

#include "common/agent_api.h"
#include "common/error.h"
#include "cp/service/agent_settings.h"
#include "cp/service/deployment_hooks.h"
#include "cp/service/directory.h"
#include "cp/service/live_map.h"
#include "db/database.h"

namespace ee::cp {

/// Values of the settings that every heartbeat needs, without the lists of AgentSettings.
struct HeartbeatSettings {
  Seconds interval{30};               ///< agents.health_interval_seconds
  HealthThresholds health = {};       ///< agents.down_after_failures, agents.up_after_successes
  Seconds credential_rotate{604800};  ///< agents.credential_rotate_seconds
};

/// Who beats: the agent that the credential proved.
struct HeartbeatCaller {
  AgentId agent = {};
  UtcTime credential_created_at = {};  ///< tells when it is time to rotate
};

/// How a heartbeat ended, for `ee_agent_heartbeats_total{result}`.
enum class HeartbeatResult : std::uint8_t { ok, duplicate, refused, failed };
BOOST_DESCRIBE_ENUM(HeartbeatResult, ok, duplicate, refused, failed)

/// The heartbeat, mostly from memory: the database is touched only when health or the reported workload changed, or a
/// quarantined agent says that it is clean. Thread-safe.
class HeartbeatService {
 public:
  struct Sources {
    std::function<HeartbeatSettings()> settings;  ///< never waits
    std::function<int()> interval_raise;          ///< LiveFlusher::interval_raise
    std::function<std::int64_t()> signing_keys_version;
    std::function<void(HeartbeatResult)> observe = {};
  };

  HeartbeatService(db::Database& database, Directory& directory, LiveMap& live, DeploymentHooks& deployments,
                   Sources sources)
      : database_(database),
        directory_(directory),
        live_(live),
        deployments_(deployments),
        sources_(std::move(sources)) {}

  /// Takes one heartbeat at `now`. A duplicate or reordered one is answered like any other and changes nothing.
  /// A database that does not answer is no reason to fail: what could not be written is tried again with the next beat.
  ///
  /// Errors: `agent_not_found`; `agent_deleted`, whose detail is the reason alone (`owner`, `admin`, `stale` or
  /// `capacity`); `agent_attestation_failed`; `boot_id_mismatch`; those of the directory's read for an agent this
  /// process has not heard of.
  Result<agent_api::HeartbeatAnswer> heartbeat(const HeartbeatCaller& caller,
                                               const agent_api::HeartbeatRequest& request, UtcTime now);

  /// Whether taking this heartbeat would touch memory only, so that an io thread may take it: the agent is known, idle
  /// and healthy, and says that it is well and runs nothing. May say no to a beat that would.
  bool is_quiet(const AgentId& agent, const agent_api::HeartbeatRequest& request) const;

 private:
  Result<DirectoryEntryPtr> admit(const AgentId& agent, const agent_api::HeartbeatRequest& request);
  /// What the beat changed goes to the database at once. The entry as it is afterwards.
  DirectoryEntryPtr write_through(const AgentId& agent, DirectoryEntryPtr entry,
                                  const agent_api::HeartbeatRequest& request, const MergeResult& merged, UtcTime now);
  Result<void> write_health(const AgentId& agent, const DirectoryEntry& entry,
                            const agent_api::HeartbeatRequest& request, HealthStatus to, UtcTime now);
  Result<void> write_report(const AgentId& agent, const std::optional<agent_api::WorkloadReport>& workload,
                            UtcTime now);
  agent_api::HeartbeatAnswer answer(const HeartbeatCaller& caller, const DirectoryEntry& entry,
                                    const agent_api::HeartbeatRequest& request, UtcTime now);

  db::Database& database_;
  Directory& directory_;
  LiveMap& live_;
  DeploymentHooks& deployments_;
  AgentStore agents_;
  Sources sources_;
};

/// Whether an agent is to refresh its evidence: it was asked for, and nothing newer was accepted since.
bool wants_evidence(const DirectoryEntry& entry);

}  // namespace ee::cp
