#pragma once
#include <array>
#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "common/agent_api.h"
#include "cp/domain/agent_health.h"
#include "cp/service/agent_key.h"
#include "cp/store/agent_live_store.h"
#include "db/database.h"

namespace ee::cp {

/// What one heartbeat brings to its agent's slot.
struct Beat {
  AgentKey registration_id{};
  UtcTime registered_at = {};
  HealthStatus status = HealthStatus::unknown;  ///< as the directory has it
  std::int64_t seq = 0;
  bool good = false;
  agent_api::TunnelLink link = agent_api::TunnelLink::none;
  const std::optional<agent_api::WorkloadReport>* workload = nullptr;  ///< looked at during the call only
  std::optional<agent_api::HostStats> stats = {};
};

struct MergeResult {
  bool fresh = false;             ///< false: duplicate or reordered; nothing was changed
  HealthTrack health = {};        ///< after this beat; `status` differs from the beat's: write it through
  bool workload_changed = false;  ///< tell apply_agent_report, then `workload_applied`
};

/// The live side of every agent in memory: one slot of bounded size each, 64 shards. A slot that changed is dirty until
/// the flusher has written it to `agent_live`; nothing queues, since an agent is one slot. Thread-safe; a heartbeat
/// takes one shard's lock for well under a microsecond.
class LiveMap {
 public:
  explicit LiveMap(db::Database& database) : database_(database) {}

  /// How far ahead a time may lie without being wrong: clocks are read before locks, and those of replicas differ.
  static constexpr Milliseconds kClockTolerance{2000};

  /// Reads the table at the start, so that sequence numbers, streaks and times go on. Answers the number of agents.
  Result<std::int64_t> load();

  MergeResult merge(const AgentKey& id, const Beat& beat, const HealthThresholds& thresholds, UtcTime now);
  /// The report that `merge` called changed has reached the database; until then every heartbeat brings it again.
  void workload_applied(const AgentKey& id, const std::optional<agent_api::WorkloadReport>& workload);

  /// Notes the interval told to the agent, and the first time that it was asked to refresh its evidence.
  void note_answer(const AgentKey& id, Seconds interval, bool reattest_now, UtcTime now);
  /// An answer told it to refresh since `attested_at`: when the first one did.
  std::optional<UtcTime> reattest_told_at(const AgentKey& id) const;
  /// The next answers that ask for it are the first ones again.
  void forget_reattest_told();

  struct Seen {
    UtcTime last_heartbeat_at = {};
    Seconds interval_told{30};
  };
  /// What memory knows. Nothing: no heartbeat was seen since the table was loaded, and the table had none.
  std::optional<Seen> seen(const AgentKey& id) const;
  /// max(memory, table). Nothing: never.
  Result<std::optional<UtcTime>> last_heartbeat_at(db::Transaction& tx, const AgentId& id) const;
  std::optional<agent_api::HostStats> stats(const AgentKey& id) const;
  /// Whether the agent last said that something runs.
  bool workload_reported(const AgentKey& id) const;

  /// Forgets an agent that is being deleted: its slot and whatever was not flushed.
  void remove(const AgentKey& id);
  /// Streaks are counted from zero again.
  void clear_streaks(const AgentKey& id);
  std::size_t size() const;

  // ---- for the flusher --------------------------------------------------------------------------------------------

  /// How many slots are dirty.
  std::size_t dirty() const { return dirty_.load(); }
  /// Whose slots are dirty now, by id as the table has them: chunks of neighbours change few of its pages.
  std::vector<AgentKey> dirty_keys() const;
  /// Takes the slots of these agents that are dirty; they become clean. `oldest`: when the first of them became dirty.
  struct Batch {
    std::vector<AgentLiveRow> rows;
    std::vector<AgentKey> keys;
    std::vector<UtcTime> dirty_since;
    std::optional<UtcTime> oldest;
  };
  Batch take(std::span<const AgentKey> keys, UtcTime now);
  /// The batch was not written: its slots are dirty as before.
  void put_back(const Batch& batch);
  /// After the system's clock went back: what was dated ahead of `now` is dated `now`, so that silence shows after its
  /// time. Answers how many heartbeats were dated ahead by more than kClockTolerance.
  std::size_t bring_back(UtcTime now);
  /// The batch was written.
  void written(const Batch& batch, UtcTime now);

 private:
  /// Statistics are rewritten at most so often.
  static constexpr Seconds kStatsEvery{300};

  /// The numbers of agent_api::HostStats, -1 for one that was not told: half of their size there.
  using Stats = std::array<std::int64_t, 9>;
  static Stats packed(const agent_api::HostStats& stats);
  static agent_api::HostStats unpacked(const Stats& stats);

  struct Slot {
    AgentKey registration_id{};  // zero: loaded from the table, not yet matched with a registration
    UtcTime last_heartbeat_at{};
    std::optional<UtcTime> dirty_since;
    std::optional<UtcTime> reattest_told_at;
    UtcTime stats_written_at{};
    std::int64_t seq = 0;
    std::int32_t bad_streak = 0;
    std::int32_t good_streak = 0;
    std::int32_t interval_told_seconds = 30;
    bool workload_known = false;     // whether workload_digest says anything
    bool workload_reported = false;  // the last report was not null
    agent_api::TunnelLink link = agent_api::TunnelLink::none;
    bool has_stats = false;
    ByteArray<16> workload_digest{};  // of the last report that was applied
    Stats stats{};
  };
  static_assert(sizeof(Slot) <= 176);  // 100,000 of them, each with its node in the map: 21 MiB
  struct Shard {
    mutable std::mutex mutex;
    std::unordered_map<AgentKey, Slot, AgentKeyHash> slots;
  };
  static void mark_dirty(Slot& slot, std::atomic<std::size_t>& dirty, UtcTime since);

  db::Database& database_;
  AgentLiveStore store_;
  std::array<Shard, kAgentShards> shards_;
  std::atomic<std::size_t> dirty_ = 0;
};

}  // namespace ee::cp
