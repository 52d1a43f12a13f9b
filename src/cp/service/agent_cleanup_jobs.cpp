#include "cp/service/agent_cleanup_jobs.h"

#include <algorithm>

#include "cp/store/enrollment_token_store.h"

namespace ee::cp {
namespace {

constexpr Seconds kKeepTombstones{30 * 86400};
constexpr Seconds kKeepRevoked{7 * 86400};
constexpr Seconds kKeepDeadTokens{30 * 86400};
constexpr std::int64_t kPurgeChunk = 1000;

/// Calls `chunk` until it does less than a whole one.
Result<std::int64_t> in_chunks(db::Database& database, const std::stop_token& stop,
                               const std::function<Result<std::int64_t>(db::Transaction&)>& chunk) {
  std::int64_t total = 0;
  while (!stop.stop_requested()) {
    const auto done = database.write<std::int64_t>(chunk);
    if (!done) return done;
    total += *done;
    if (*done < kPurgeChunk) break;
  }
  return total;
}

}  // namespace

Result<JobSummary> StaleCleanup::run(const std::stop_token& stop) {
  JobSummary summary;
  const UtcTime now = clock_.now();
  if (clock_.steady_now() - started_at_ < kStartGrace) return summary;
  const UtcTime before = now - settings_().stale_after;
  const auto suspects = directory_.select([&](const DirectoryEntry& entry) {
    if (!entry.is_live() || entry.current_deployment_id) return false;
    const auto seen = live_.seen(entry.id);
    return std::max(seen ? seen->last_heartbeat_at : UtcTime::min(), entry.registered_at) < before;
  });
  std::int64_t deleted = 0;
  for (const DirectoryEntryPtr& entry : suspects) {
    if (stop.stop_requested() || deleted >= kBatch) break;
    const AgentId id(uuid_text(entry->id));
    const auto last =
        database_.read<std::optional<UtcTime>>([&](db::Transaction& tx) { return live_.last_heartbeat_at(tx, id); });
    if (!last) return std::unexpected(last.error());
    if (*last && **last >= before) continue;  // another replica hears it
    const auto removed = service_.remove(AgentScope::everything(), id, false, DeleteReason::stale,
                                         {.name = "system:agent_stale_cleanup"});
    if (removed) {
      ++deleted;
    } else if (removed.error().code != ErrorCode::agent_has_deployment &&
               removed.error().code != ErrorCode::agent_not_found) {
      return std::unexpected(removed.error());
    }
  }
  summary.count("deleted", deleted);
  summary.stopped = stop.stop_requested();
  return summary;
}

Result<JobSummary> purge_tombstones(db::Database& database, const Clock& clock, const std::stop_token& stop) {
  const UtcTime now = clock.now();
  const auto tombstones = in_chunks(database, stop, [&](db::Transaction& tx) {
    return AgentStore().purge_tombstones(tx, now - kKeepTombstones, kPurgeChunk);
  });
  if (!tombstones) return std::unexpected(tombstones.error());
  const auto credentials = in_chunks(database, stop, [&](db::Transaction& tx) {
    return CredentialStore().purge_revoked(tx, now - kKeepRevoked, kPurgeChunk);
  });
  if (!credentials) return std::unexpected(credentials.error());
  const auto tokens = in_chunks(database, stop, [&](db::Transaction& tx) {
    return EnrollmentTokenStore().purge_dead(tx, now - kKeepDeadTokens, kPurgeChunk);
  });
  if (!tokens) return std::unexpected(tokens.error());
  JobSummary summary;
  summary.count("tombstones", *tombstones);
  summary.count("credentials", *credentials);
  summary.count("enrollment_tokens", *tokens);
  summary.stopped = stop.stop_requested();
  return summary;
}

}  // namespace ee::cp
