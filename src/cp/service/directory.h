#pragma once
#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/clock.h"
#include "cp/service/agent_key.h"
#include "cp/store/agent_store.h"
#include "db/database.h"

namespace ee::cp {

/// What a heartbeat and the sweeps need of an agent, in memory. Identifiers are 16 bytes, and texts (name, hostname)
/// are left to the table, so that 100,000 agents fit.
struct DirectoryEntry {
  AgentKey id{};
  AgentKey registration_id{};
  AgentKey boot_id{};
  AgentKey tunnel_digest{};  ///< of hostname and tunnel: tells one from another; zero: neither
  std::optional<AgentKey> current_deployment_id = {};
  AgentStatus status = AgentStatus::undeployed;
  std::optional<QuarantineReason> quarantine_reason = {};
  HealthStatus health_status = HealthStatus::unknown;
  AttestationState attestation_state = AttestationState::verified;
  TunnelState tunnel_state = TunnelState::none;
  std::optional<DeleteReason> delete_reason = {};
  bool draining = false;
  bool has_direct_url = false;
  UtcTime health_changed_at = {};
  UtcTime attestation_due_at = {};
  std::optional<UtcTime> attest_requested_at = {};
  UtcTime registered_at = {};
  std::int64_t assignment_epoch = 0;
  std::int64_t row_version = 0;
  /// `row_version` at which this process first saw the tunnel as it is now: rises with every change of the tunnel, but
  /// not with every change of the agent.
  std::int64_t tunnel_version = 0;

  bool is_live() const { return status != AgentStatus::deleting && status != AgentStatus::deleted; }
};
/// 100,000 of them, each with its node in the map: 27 MiB.
static_assert(sizeof(DirectoryEntry) <= 160);
using DirectoryEntryPtr = std::shared_ptr<const DirectoryEntry>;

/// All agents in memory: 64 shards, read by every heartbeat. Changes of this process are put in at once, after their
/// COMMIT; those of other replicas come by `poll` each second; `reload` every ten minutes repairs whatever was missed.
/// An entry is replaced only by a newer `row_version`. Thread-safe; readers never wait for the database.
class Directory {
 public:
  /// Changes of one statement of `poll`.
  static constexpr std::int64_t kPage = 5000;
  /// Rows of one statement of `reload`: whole rows, so fewer at once.
  static constexpr std::int64_t kReloadPage = 1000;
  /// How far `poll` looks back, so that a transaction that was slow to commit is not missed.
  static constexpr Milliseconds kOverlap{5000};
  static constexpr Milliseconds kQuietOverlap{30000};  ///< covers clocks of replicas that differ

  Directory(db::Database& database, Clock& clock) : database_(database), clock_(clock) {}

  DirectoryEntryPtr find(const AgentKey& id) const;
  /// The entry; read from the database when this process has not heard of the agent yet. Null: no such agent.
  Result<DirectoryEntryPtr> find_or_read(const AgentId& id);

  /// After a COMMIT of this process. Older than what is known: no effect.
  void put(const DirectoryRow& row);
  void put(const AgentRow& row);

  /// Agents that are neither `deleting` nor `deleted`.
  std::size_t live_count() const { return live_.load(); }
  std::size_t size() const;
  /// Agents of that attestation, health, ...: a copy of the entries for which `wanted` holds, shard by shard.
  std::vector<DirectoryEntryPtr> select(const std::function<bool(const DirectoryEntry&)>& wanted) const;

  /// Reads what changed since the last call. Answers how many rows were new. Errors: those of the database; nothing is
  /// lost then.
  Result<std::int64_t> poll();
  /// Reads everything, and forgets agents that are gone. Answers the number of agents. Also for the start.
  Result<std::int64_t> reload();

 private:
  struct Slot {
    DirectoryEntryPtr entry;
    std::uint64_t generation = 0;  // of the last reload that saw it, or of the put
  };
  struct Shard {
    mutable std::shared_mutex mutex;
    std::unordered_map<AgentKey, Slot, AgentKeyHash> entries;
  };

  struct News {
    std::vector<AgentChange> seen;
    std::vector<DirectoryRow> rows;  // of those that are newer than what is known
  };
  Result<News> read_news(UtcTime from, const AgentId& after, UtcTime until);
  bool knows(const AgentChange& change) const;
  bool apply(const DirectoryRow& row, std::uint64_t generation);
  void forget_older_than(std::uint64_t generation);

  db::Database& database_;
  Clock& clock_;
  AgentStore agents_;
  std::array<Shard, kAgentShards> shards_;
  std::atomic<std::size_t> live_ = 0;
  std::atomic<std::uint64_t> generation_ = 1;
  std::mutex feed_mutex_;  // one poll or reload at a time; guards the two times
  UtcTime last_updated_at_{};
  UtcTime polled_at_{};  // when the last whole poll or reload began
};

DirectoryRow directory_row_of(const AgentRow& row);

}  // namespace ee::cp
