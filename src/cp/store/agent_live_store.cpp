#include "cp/store/agent_live_store.h"

#include <fmt/format.h>

namespace ee::cp {

Result<void> AgentLiveStore::upsert(db::Transaction& tx, std::span<const AgentLiveRow> rows) const {
  static const std::string sql = fmt::format(
      "INSERT INTO agent_live ({}) VALUES ({}) ON CONFLICT(agent_id) DO UPDATE SET"
      " last_heartbeat_at=excluded.last_heartbeat_at, seq=excluded.seq, bad_streak=excluded.bad_streak,"
      " good_streak=excluded.good_streak, stats=COALESCE(excluded.stats, agent_live.stats)"
      " WHERE agent_live.last_heartbeat_at<excluded.last_heartbeat_at",
      db::columns_of<AgentLiveRow>(), db::placeholders_of<AgentLiveRow>());
  for (const AgentLiveRow& row : rows) {
    const auto written = tx.execute(sql, db::params_of(row));
    if (!written) return std::unexpected(written.error());
  }
  return {};
}

Result<std::optional<AgentLiveRow>> AgentLiveStore::get(db::Transaction& tx, const AgentId& id) const {
  static const std::string sql =
      fmt::format("SELECT {} FROM agent_live WHERE agent_id=:id", db::columns_of<AgentLiveRow>());
  return tx.query_one<AgentLiveRow>(sql, {{"id", id}});
}

Result<std::vector<AgentLiveRow>> AgentLiveStore::page(db::Transaction& tx, const AgentId& after,
                                                       std::int64_t limit) const {
  static const std::string sql = fmt::format(
      "SELECT {} FROM agent_live WHERE agent_id>:after ORDER BY agent_id LIMIT :limit", db::columns_of<AgentLiveRow>());
  return tx.query<AgentLiveRow>(sql, {{"after", after}, {"limit", limit}});
}

Result<void> AgentLiveStore::bring_back(db::Transaction& tx, UtcTime limit, UtcTime now) const {
  const auto changed = tx.execute("UPDATE agent_live SET last_heartbeat_at=:now WHERE last_heartbeat_at>:limit",
                                  {{"now", now}, {"limit", limit}});
  if (!changed) return std::unexpected(changed.error());
  return {};
}

Result<void> AgentLiveStore::remove(db::Transaction& tx, const AgentId& id) const {
  const auto removed = tx.execute("DELETE FROM agent_live WHERE agent_id=:id", {{"id", id}});
  if (!removed) return std::unexpected(removed.error());
  return {};
}

}  // namespace ee::cp
